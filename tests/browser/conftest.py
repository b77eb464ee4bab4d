"""Chromium and a running server over the plant in memory."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from time import monotonic, sleep
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

from dashboards.app import create_app
from dashboards.live import Broadcast
from dashboards.server import Server

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "tests" / "artefacts"
CHROMIUM = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
)


class Board:
    """A server that can be stopped and started on its port, its backend, and the tick."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.ticking = threading.Event()
        self.ticking.set()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._ticks)
        self.start()
        self._ticker.start()

    def start(self) -> None:
        self.broadcast = Broadcast()
        self._server = Server(
            create_app(self.backend, self.broadcast), self.broadcast, "127.0.0.1", self.port
        )
        self._thread = threading.Thread(target=self._server.run)
        self.tick()
        self._thread.start()
        deadline = monotonic() + 15
        while not self._server.started:
            assert self._thread.is_alive() and monotonic() < deadline, "the server did not start"
            sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server did not stop although its streams were told to"

    def tick(self) -> None:
        """Publish what the backend shows now."""
        self.broadcast.publish(self.backend.snapshot())

    def end(self) -> None:
        self._ended.set()
        self._ticker.join()
        self.stop()

    def _ticks(self) -> None:
        while not self._ended.wait(1):
            if self.ticking.is_set():
                self.tick()


@pytest.fixture
def board(make_board_backend: Callable[[], Any]) -> Iterator[Board]:
    """A server of its own for each test, ticking once a second while `ticking` is set."""
    found = Board(make_board_backend())
    yield found
    found.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. It goes with the module: while it is there no other test could run an event loop of its own."""
    program = which("chromium")
    assert program, "chromium is missing: run `make services` (infra/scripts/services.sh installs it)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, board: Board) -> Iterator[Callable[..., Page]]:
    """`open_page(path, width, height, theme, touch)`: fails afterwards on any console error or foreign request, but
    those that match `may_complain`."""
    contexts, complaints, excused = [], [], []

    def local(request: Request) -> bool:
        return request.url.startswith((board.url, "data:", "blob:"))

    def opened(
        path: str = "/",
        width: int = 1920,
        height: int = 1080,
        theme: str = "light",
        may_complain: str | None = None,
        touch: bool = False,
    ) -> Page:
        if may_complain:
            excused.append(may_complain)
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            timezone_id="Asia/Tokyo",
            has_touch=touch,
            is_mobile=touch,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("websocket", lambda w: complaints.append(f"opened a websocket: {w.url}"))
        page.on("request", lambda r: None if local(r) else complaints.append(f"left the origin: {r.url}"))
        page.goto(board.url + path)
        page.wait_for_selector(".tile" if path.split("?")[0] == "/" else ".panel")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(re.search(e, text) for e in excused)] == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility rules as a script to run in a page."""
    script = ROOT / "node_modules" / "axe-core" / "axe.min.js"
    assert script.is_file(), "axe-core is missing: run infra/scripts/npm.sh"
    return script.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots go."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS
