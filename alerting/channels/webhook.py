"""Webhook: one JSON POST per escalation step.

Options: `url`; `timeout` ("10s"); `proxy`; `secret` to sign with, written as { env = "NAME" }. The body has
the message as `text`, which is what chat systems show; the alert, its order and the people to tell as data.

`Idempotency-Key` and `webhook-id` are equal for every attempt of one message. With a secret the request is
signed as https://www.standardwebhooks.com describes: base64 HMAC-SHA256 of "id.timestamp.body".
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from alerting.alert import Notification
from alerting.channels._options import Options
from alerting.ports import PermanentError, TransientError
from plant.model import ChannelConfig

ADDRESSED = False

_KNOWN = ("url", "timeout", "proxy", "secret")
_RETRY = frozenset({408, 421, 423, 425, 429})
"""4xx answers that are about the moment, not about the message (RFC 9110, 6585, 8470)."""
_SECRET_PREFIX = "whsec_"


def check(config: ChannelConfig) -> list[str]:
    """What is wrong with the options, each with the fix."""
    options = Options(config, _KNOWN)
    url = options.text("url")
    if url is None:
        options.wrong("url", 'is missing; write url = "https://..."')
    elif not _is_http(url):
        options.wrong("url", f'is "{url}"; start it with http:// or https:// and name a host')
    proxy = options.text("proxy")
    if proxy is not None and not _is_http(proxy):
        options.wrong("proxy", f'is "{proxy}"; start it with http:// or https:// and name a host')
    options.duration("timeout")
    options.text("secret")
    return options.errors


def create(config: ChannelConfig) -> "Webhook":
    """The channel. Raises ValueError with what `check` finds."""
    errors = check(config)
    if errors:
        raise ValueError("; ".join(errors))
    options = Options(config, _KNOWN)
    return Webhook(
        url=options.text("url") or "",
        timeout=options.duration("timeout") or timedelta(seconds=10),
        proxy=options.text("proxy"),
        secret=options.text("secret"),
    )


class Webhook:
    """`alerting.ports.Channel` over HTTP. One connection pool; used by one worker."""

    def __init__(self, url: str, timeout: timedelta, proxy: str | None, secret: str | None) -> None:
        self._url = url
        self._timeout = timeout
        self._key = _signing_key(secret) if secret is not None else None
        # trust_env=False: a proxy variable meant for something else must not redirect alerts.
        self._client = httpx.Client(timeout=timeout.total_seconds(), proxy=proxy, trust_env=False)

    def send(self, notification: Notification) -> str:
        """See `Channel`. The receipt is the status line."""
        body = json.dumps(_payload(notification), ensure_ascii=False).encode()
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers=self._headers(notification, body)
            ) as answer:
                status = f"{answer.status_code} {answer.reason_phrase}".strip()
                retry_after = _retry_after(answer.headers.get("retry-after"))
        except httpx.TimeoutException as error:
            seconds = self._timeout.total_seconds()
            raise TransientError(f"{self._where()} did not answer within {seconds:g} s") from error
        except httpx.HTTPError as error:
            raise TransientError(f"{self._where()}: {error or type(error).__name__}") from error
        if answer.is_success:
            return status
        if answer.status_code in _RETRY or answer.is_server_error:
            raise TransientError(f"{self._where()} answered {status}", retry_after)
        if answer.is_redirect:
            target = answer.headers.get("location", "elsewhere")
            raise PermanentError(f"{self._where()} moved ({status}); put {target} in the plant file")
        raise PermanentError(f"{self._where()} answered {status}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _headers(self, notification: Notification, body: bytes) -> dict[str, str]:
        key = header_key(notification.key)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "webhook-id": key}
        if self._key is not None:
            sent = str(int(time.time()))
            digest = hmac.digest(self._key, f"{key}.{sent}.".encode() + body, hashlib.sha256)
            headers |= {
                "webhook-timestamp": sent,
                "webhook-signature": "v1," + base64.b64encode(digest).decode(),
            }
        return headers

    def _where(self) -> str:
        """The address without user, password or query: those may be secrets."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def header_key(key: str) -> str:
    """The key as a header may carry it: as it is when it is plain ASCII, else its SHA-256."""
    if key.isascii() and key.isprintable() and len(key) <= 255:
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def _payload(notification: Notification) -> dict[str, object]:
    return {
        "key": notification.key,
        "subject": notification.subject,
        "text": f"{notification.subject}\n{notification.text}",
        "link": notification.link,
        **notification.details,
    }


def _signing_key(secret: str) -> bytes:
    if secret.startswith(_SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _retry_after(value: str | None) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3); None when it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
        return timedelta(seconds=max(seconds, 0.0))
    except (ValueError, OverflowError):
        return None
