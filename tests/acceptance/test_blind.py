"""A running plant whose source goes and whose collector hangs: no data within seconds, an alert after a while, both over
by themselves; and a machine that only stands quietly keeps its state."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from devices.shdr import ShdrDevice

pytestmark = [pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PLANT = """schema = 1
[site]
id = "p"
name = "P"
zone = "Europe/Berlin"
[settings]
blind_after = "2s"
[[equipment]]
id = "press"
name = "Press"
level = "WorkUnit"
stale_after = "1h"
[[source]]
id = "cell"
protocol = "shdr"
host = "127.0.0.1"
port = {port}
[[signal]]
equipment = "press"
id = "state"
role = "state"
source = "cell"
address = "execution"
states = {{ "1" = "running", "2" = "down" }}
[[signal]]
equipment = "press"
id = "heat"
role = "process_value"
source = "cell"
address = "nothing"
"""


class Served:
    """`lineside up` beside a device in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.device = ShdrDevice()
        self.do(self.device.start())
        self.do(self.device.put(1, "", datetime.now(UTC)))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url, self.data = f"http://127.0.0.1:{port}", folder / "data"
        (folder / "plant.toml").write_text(PLANT.format(port=self.device.options()["port"]))
        argv = ["up", str(folder / "plant.toml"), "--data", str(self.data), "--port", str(port)]
        self.process = subprocess.Popen([sys.executable, "-m", "infra", *argv], cwd=ROOT)

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    def get(self, path: str) -> Any:
        try:
            return httpx.get(self.url + path, timeout=10).json()
        except httpx.HTTPError:
            return None

    def state(self) -> str | None:
        board = self.get("/api/v1/board")
        return str(board["machines"][0]["state"]) if board else None

    def alerts(self) -> list[str]:
        return [alert["title"] for alert in self.get("/api/v1/alerts")]

    def collector(self) -> int:
        return int(json.loads((self.data / "collectors" / "collect.json").read_text())["pid"])


def until(holds: Callable[[], bool], what: str, seconds: float) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"waited for {what}"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(30)


def test_what_cannot_be_seen_is_said_and_raised_and_over_by_itself(served: Served) -> None:
    until(lambda: served.state() == "running", "the press to run", 60)
    quiet = time.monotonic() + 6.5
    while time.monotonic() < quiet:
        assert served.state() == "running", "it says nothing new, but its source lives"
        time.sleep(0.1)
    (source,) = served.get("/api/v1/sources")
    assert source["connected"] and source["counts"] == {"ok": 1, "uncertain": 0, "bad": 0, "silent": 1}
    assert served.alerts() == []

    served.do(served.device.stop())
    until(lambda: served.state() == "no_data", "the board to say no data", 6)
    until(lambda: served.alerts() != [], "the alert", 10)
    (title,) = served.alerts()
    assert title.startswith("Source cell without data: ") and title.endswith("nothing is known of Press")
    assert served.get("/api/v1/sources/cell")["state"] == "away"
    served.do(served.device.start())
    until(lambda: served.state() == "running" and served.alerts() == [], "the press to be back", 15)

    os.kill(served.collector(), signal.SIGSTOP)
    until(lambda: served.state() == "no_data", "no data from a collector that hangs", 12)
    until(lambda: served.alerts() != [], "the alert about the collector", 20)
    (title,) = served.alerts()
    assert title.startswith("Collector process collect without data: it does not answer")
    os.kill(served.collector(), signal.SIGKILL)
    until(lambda: served.state() == "running" and served.alerts() == [], "another collector", 30)
