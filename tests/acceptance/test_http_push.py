"""A program posts samples to a running plant: what was answered with 200 is kept, whatever is killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from collectors.spool import Spool
from infra.historians.parquet import ParquetHistorian
from plant.frames import Window

pytestmark = [pytest.mark.slow]
ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-acceptance-test"
PLANT = """schema = 1
[site]
id = "p"
name = "P"
zone = "Europe/Berlin"
[[equipment]]
id = "press"
name = "Press"
level = "WorkUnit"
stale_after = "1h"
[[source]]
id = "cell"
protocol = "http"
token = { env = "CELL_TOKEN" }
[[signal]]
equipment = "press"
id = "state"
role = "state"
source = "cell"
address = "press/state"
states = { "1" = "running", "2" = "down" }
[[signal]]
equipment = "press"
id = "good"
role = "good"
source = "cell"
address = "press/good"
"""


class Served:
    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        (folder / "plant.toml").write_text(PLANT)
        self.data = folder / "data"
        argv = [
            "up",
            str(folder / "plant.toml"),
            "--data",
            str(self.data),
            "--port",
            self.url.rpartition(":")[2],
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra", *argv], cwd=ROOT, env=os.environ | {"CELL_TOKEN": TOKEN}
        )

    def post(self, rows: list[dict[str, Any]], token: str = TOKEN) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}".encode()}
        return httpx.post(f"{self.url}/api/v1/samples", json={"samples": rows}, headers=headers, timeout=30)

    def state(self) -> str | None:
        try:
            answer = httpx.get(f"{self.url}/api/v1/board")
        except httpx.HTTPError:
            return None
        return str(answer.json()["machines"][0]["state"]) if answer.status_code == 200 else None

    def collector(self) -> int:
        return int(json.loads((self.data / "collectors" / "collect.json").read_text())["pid"])


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.1)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(30)


def test_posted_samples_are_live_and_survive_kills(served: Served) -> None:
    began = datetime.now(UTC)

    def listening() -> bool:
        try:
            return served.post([]).status_code == 200
        except httpx.HTTPError:
            return False

    until(listening, "the source to listen")
    refused = served.post([{"signal": "press/stat", "value": 1}])
    assert refused.status_code == 400 and "press/state" in refused.json()["error"]
    assert [served.post([], token=wrong).status_code for wrong in ("wrong", "schlüssel")] == [401, 401]
    assert httpx.get(f"{served.url}/api/v1/samples").status_code == 405
    assert served.post([{"signal": "press/state", "value": 1}]).status_code == 200
    until(lambda: served.state() == "running", "the press to run")

    stored: list[int] = []
    for number in range(60):
        if number in (20, 40):
            os.kill(served.collector(), signal.SIGKILL)
        time.sleep(0.02)
        at = (began + timedelta(milliseconds=number)).isoformat()
        rows = [{"signal": "press/good", "time": at, "value": number}]
        until(lambda rows=rows: served.post(rows).status_code == 200, f"post {number} to be stored")
        stored.append(number)
    served.process.terminate()
    served.process.wait(30)
    window = Window(began - timedelta(minutes=1), began + timedelta(minutes=5))
    historian, spool = ParquetHistorian(served.data / "historian"), Spool(served.data / "spool")
    kept = pl.concat([historian.read(window), *(spool.read(entry) for entry in spool.pending())])
    # The value held is said again with each later post; what was posted has its own time.
    posted = (pl.col("signal") == "good") & (pl.col("time") <= began + timedelta(seconds=1))
    good = kept.filter(posted).unique(["time"]).sort("time")["value"]
    assert good.to_list() == stored
