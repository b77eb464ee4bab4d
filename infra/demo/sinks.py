"""Where the demo's messages arrive: a webhook and a mail server on loopback that keep what they get as files."""

import socket
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler


class Sinks:
    """Both, started and stopped together; `webhook` and `mail` are their ports."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        handler = type("Handler", (_Webhook,), {"folder": folder})
        self._web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._mail = Controller(_Mailbox(folder), hostname="127.0.0.1", port=_free_port())
        self.webhook = self._web.server_address[1]
        self.mail = self._mail.port

    def __enter__(self) -> "Sinks":
        threading.Thread(target=self._web.serve_forever, daemon=True).start()
        self._mail.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._web.shutdown()
        self._web.server_close()
        self._mail.stop()


class _Webhook(BaseHTTPRequestHandler):
    folder: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _keep(self.folder, "webhook", "json", body)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the files tell."""


class _Mailbox(MessageHandler):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def handle_message(self, message: Message) -> None:
        _keep(self._folder, "mail", "eml", message.as_bytes())


_naming = threading.Lock()


def _keep(folder: Path, kind: str, ending: str, content: bytes) -> None:
    with _naming:
        number = sum(1 for _ in folder.iterdir()) + 1
        (folder / f"{number:04d}-{kind}.{ending}").write_bytes(content)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
