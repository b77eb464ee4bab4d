"""What keeps other web sites out of the plant's browser sessions: one ASGI middleware.

It refuses hosts it was not told about (DNS rebinding), unsafe methods that come from another site (CSRF:
Fetch Metadata, W3C, and the Origin header, RFC 6454), bodies that are too long, and it adds the response
headers that stop framing, sniffing and anything loaded from elsewhere.
"""

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
MAX_BODY = 10 * 1024 * 1024
"""Bytes a request may carry."""

_SAFE = ("GET", "HEAD", "OPTIONS")


def content_policy(script_hashes: Sequence[str]) -> str:
    """The Content-Security-Policy: everything from here, inline scripts only those Dash itself writes.

    Inline styles are allowed because Plotly draws with them.
    """
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("script-src 'self'", *script_hashes)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class Guard:
    """ASGI middleware; put it outermost."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], policy: str) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it, though Dash would
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            status, text = refusal
            await JSONResponse({"error": text}, status)(scope, receive, send_with_headers)

    def _served(self, headers: Headers) -> bool:
        return (urlsplit(f"//{headers.get('host', '')}").hostname or "") in self._hosts

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._served(headers):
            return 421, f"this server does not answer to the name {host!r}; use one of {sorted(self._hosts)}"
        if method in _SAFE:
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "refused: the request comes from another web site"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"refused: the request comes from {origin!r}, not from this server"
        length = headers.get("content-length", "0" if "transfer-encoding" not in headers else "")
        if not length.isdecimal():
            return 411, "say how long the body is (Content-Length)"
        if int(length) > MAX_BODY:
            return 413, f"the body is longer than {MAX_BODY // 1024 // 1024} MB; send it in parts"
        return None
