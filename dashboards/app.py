"""The web application: one FastAPI server with the REST API, the live stream and the Dash pages."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dash import Dash
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboards import api, reference, shell
from dashboards.callbacks import Callbacks
from dashboards.live import Broadcast
from dashboards.pages import Page, discover
from dashboards.ports import Backend
from dashboards.security import LOOPBACK_HOSTS, Guard, content_policy

ASSETS = Path(__file__).parent / "assets"


def create_app(backend: Backend, broadcast: Broadcast, hosts: Collection[str] = LOOPBACK_HOSTS) -> FastAPI:
    """The application over a backend; whoever ticks publishes snapshots to `broadcast`.

    `hosts` are the names it may be reached by; every other Host header is refused.
    """
    pages = discover()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        broadcast.close()
        callbacks.close()

    server = FastAPI(title="Lineside", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    api.install_errors(server)
    server.include_router(api.router(backend, broadcast))
    server.include_router(reference.router())

    app = Dash(
        __name__,
        server=server,
        assets_folder=str(ASSETS),
        assets_ignore="theme.js",
        compress=True,
        title="Lineside",
        update_title="",
        suppress_callback_exceptions=True,
        index_string=shell.document(backend, pages),
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.backend.websocket_capability = False  # else every tab holds a websocket that nothing uses
    app.layout = shell.layout()
    app.interpolate_index = _always_fresh(app, backend, pages)
    callbacks = Callbacks(app)
    shell.register(app, backend, pages, callbacks)
    app._setup_server()  # Dash would do it at the first request to "/": a deep link before it had no assets
    server.add_middleware(KnownPaths, pages=frozenset(page.path for page in pages))
    server.add_middleware(Guard, hosts=hosts, policy=content_policy(app.csp_hashes()))
    server.state.dash = app
    return server


def _always_fresh(app: Dash, backend: Backend, pages: Sequence[Page]) -> Callable[..., str]:
    """Dash keeps one document for ever; the plant's machines, reasons and users may be others by now."""
    written: Callable[..., str] = app.interpolate_index

    def document(**parts: str) -> str:
        app.index_string = shell.document(backend, pages)
        return written(**parts)

    return document


class KnownPaths:
    """Dash answers 200 and its page to every path there is; this answers 404 to those nobody serves."""

    def __init__(self, app: ASGIApp, pages: Collection[str]) -> None:
        self._app = app
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http" and not self._known(scope["path"]):
            app = PlainTextResponse(f"nothing is at {Request(scope).url.path}", 404)
        await app(scope, receive, send)

    def _known(self, path: str) -> bool:
        served = (
            "/api/",
            "/assets/",
            "/_dash-",
            "/_favicon.ico",
            "/docs",
            "/openapi.json",
            "/health",
            "/metrics",
        )
        return path in self._pages or path.startswith(served)
