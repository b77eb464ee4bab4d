"""The plant file is edited while the plant runs: what changed is taken up, what did not is not touched."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.slow]
ROOT = Path(__file__).parents[2]
HEAD = 'schema = 1\n[site]\nid = "p"\nname = "P"\nzone = "Europe/Berlin"\n'
MACHINE = """[[equipment]]
id = "{name}"
name = "{name}"
level = "WorkUnit"
[[source]]
id = "{name}-plc"
protocol = "shdr"
host = "127.0.0.1"
port = {port}
{more}
[[signal]]
equipment = "{name}"
id = "state"
role = "state"
source = "{name}-plc"
address = "execution"
states = {{ ACTIVE = "{active}" }}
"""


class Adapter:
    """An adapter that says ACTIVE to whoever connects, and counts them."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            connection.sendall(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z|execution|ACTIVE\n".encode())
            threading.Thread(target=self._keep, args=(connection,), daemon=True).start()

    @staticmethod
    def _keep(connection: socket.socket) -> None:
        try:
            while connection.recv(1000):
                connection.sendall(b"* PONG 1000\n")
        except OSError:
            pass

    def close(self) -> None:
        self._server.close()


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.1)


@pytest.fixture
def adapters() -> Iterator[dict[str, Adapter]]:
    made = {name: Adapter() for name in ("saw", "mill", "drill")}
    yield made
    for adapter in made.values():
        adapter.close()


def test_a_changed_plant_file_is_taken_up_live(tmp_path: Path, adapters: dict[str, Adapter]) -> None:
    path, data = tmp_path / "plant.toml", tmp_path / "data"

    def write(*machines: tuple[str, str, str]) -> None:
        text = [
            MACHINE.format(name=name, port=adapters[name].port, active=active, more=more)
            for name, active, more in machines
        ]
        path.with_suffix(".new").write_text(HEAD + "".join(text))
        path.with_suffix(".new").rename(path)

    def shown() -> dict[str, str]:
        try:
            answer = httpx.get(f"{url}/api/v1/board")
        except httpx.HTTPError:
            return {}
        return {m["id"]: m["state"] for m in answer.json()["machines"]} if answer.status_code == 200 else {}

    def sources(process: str) -> set[str]:
        try:
            return set(json.loads((data / "collectors" / f"{process}.json").read_text())["sources"])
        except (OSError, ValueError):
            return set()

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    write(("saw", "running", ""), ("mill", "running", ""))
    argv = ["up", str(path), "--data", str(data), "--port", str(port)]
    process = subprocess.Popen([sys.executable, "-m", "infra", *argv], cwd=ROOT)
    try:
        until(lambda: shown() == {"saw": "running", "mill": "running"}, "the board")

        write(("saw", "setup", ""), ("mill", "running", ""), ("drill", "running", ""))
        until(lambda: shown() == {"saw": "setup", "mill": "running", "drill": "running"}, "a machine more")
        assert {name: adapter.connections for name, adapter in adapters.items()} == {
            "saw": 1,
            "mill": 1,
            "drill": 1,
        }

        write(("saw", "setup", ""), ("mill", "running", 'process = "fast"'))
        until(
            lambda: sources("fast") == {"mill-plc"} and sources("collect") == {"saw-plc"}, "another process"
        )
        until(lambda: shown() == {"saw": "setup", "mill": "running"}, "a machine less")
        assert {name: adapter.connections for name, adapter in adapters.items()} == {
            "saw": 1,
            "mill": 2,
            "drill": 1,
        }

        path.write_text(HEAD + "[[equipment]]\n")
        until(lambda: not httpx.get(f"{url}/health").json()["plant file"]["ok"], "the mistake to be said")
        assert shown() == {"saw": "setup", "mill": "running"}

        write(("saw", "setup", ""))
        until(lambda: not (data / "collectors" / "fast.json").exists(), "the other process to end")
        until(lambda: shown() == {"saw": "setup"}, "one machine")
        assert adapters["saw"].connections == 1
    finally:
        process.terminate()
        process.wait(30)
