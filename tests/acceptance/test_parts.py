"""A plant run in parts: each a process of its own, on one data folder; and a second machine that stands by."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from collectors.spool import Spool
from plant.frames import GOOD, SAMPLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PLANT = """
schema = 1
[site]
id = "works"
name = "Works"
zone = "UTC"
{records}
[[source]]
id = "plc"
protocol = "shdr"
host = "127.0.0.1"
port = 9
[[equipment]]
id = "press"
name = "Press"
level = "WorkUnit"
[[signal]]
equipment = "press"
id = "state"
role = "state"
source = "plc"
address = "state"
states = {{ "1" = "running", "0" = "down" }}
"""


class Parts:
    """Processes of `lineside up --part`, ended at the end."""

    def __init__(self, folder: Path, records: str = "") -> None:
        self.plant = folder / "plant.toml"
        self.plant.write_text(PLANT.format(records=records))
        self.data = folder / "data"
        self.running: dict[str, subprocess.Popen[str]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def start(self, part: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "infra", "up", str(self.plant), "--part", part]
        command += ["--data", str(self.data), "--port", str(self.port)]
        said = (self.plant.parent / f"{part}.said").open("w")
        self.running[part] = subprocess.Popen(command, stdout=said, stderr=said, text=True)
        return self.running[part]

    def said(self, part: str) -> str:
        return (self.plant.parent / f"{part}.said").read_text()

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            process.wait(20)

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, None

    def shown(self) -> str | None:
        status, board = self.get("/api/v1/board")
        return board["machines"][0]["state"] if status == 200 else None

    def say(self, spool: Spool, state: float) -> None:
        now = datetime.now(UTC)
        row = (now, "press", "state", state, None, GOOD, now)
        spool.append(pl.DataFrame([row], schema=dict(SAMPLES), orient="row"))


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.1)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.stop()


def test_four_processes_are_one_plant(parts: Parts) -> None:
    parts.start("serve")
    until(
        lambda: "Waiting for the part that derives" in parts.said("serve"), "serve to say what it waits for"
    )
    derive = parts.start("derive")
    until(lambda: parts.shown() is not None, "the board")
    for part in ("collect", "alert"):
        parts.start(part)
    until((parts.data / "collectors" / "collect.json").exists, "the collectors' status")
    press = Spool(parts.data / "spool", "press")
    parts.say(press, 1.0)
    until(lambda: parts.shown() == "running", "the press to run")
    assert (
        b"lineside_spool_batches" in urllib.request.urlopen(f"http://127.0.0.1:{parts.port}/metrics").read()
    )

    derive.send_signal(signal.SIGKILL)
    derive.wait()
    until(lambda: parts.get("/api/v1/orders")[0] == 503, "the API to say that it cannot tell")
    assert "is it running?" in parts.get("/api/v1/orders")[1].lower()
    assert parts.get("/health")[0] == 503
    assert parts.shown() == "running", "what was seen last"
    parts.say(press, 0.0)
    parts.start("derive")
    until(lambda: parts.shown() == "down", "the board to go on")
    assert parts.get("/api/v1/orders")[0] == 200
    press.close()
    assert all(process.poll() is None for process in parts.running.values())
    parts.stop()
    assert {part: process.returncode for part, process in parts.running.items()} == dict.fromkeys(
        ("serve", "derive", "collect", "alert"), 0
    )
    assert not (parts.data / "derive.json").exists()


def test_an_unknown_part_is_an_error_that_names_the_known(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    assert parts.start("sell").wait(30) == 2
    assert "collect, derive, serve, alert" in parts.said("sell")


def test_a_second_sender_on_the_folder_stands_by_until_the_first_is_killed(parts: Parts) -> None:
    first = parts.start("alert")
    until(
        lambda: (parts.data / "lock.alert").exists() and "sends" in parts.said("alert"), "the first to lead"
    )
    time.sleep(2)
    parts.running["first"] = parts.running.pop("alert")
    parts.start("alert")
    until(lambda: "stands by" in parts.said("alert"), "the second to stand by")
    first.send_signal(signal.SIGKILL)
    first.wait()
    until(lambda: free(parts.data / "lock.alert") is False, "the second to lead")
    assert parts.running["alert"].poll() is None


def free(path: Path) -> bool:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@pytest.mark.server
def test_a_second_machine_stands_by_and_takes_over(tmp_path: Path, records_url: Callable[..., str]) -> None:
    records = f'[records]\nurl = "{records_url("postgresql")}"\n'
    both = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        both.append(Parts(tmp_path / name, records))
    first, second = both
    try:
        leader = first.start("derive")
        until((first.data / "derive.json").exists, "the first to lead")
        second.start("derive")
        until(lambda: "stands by" in second.said("derive"), "the second to stand by")
        assert f"{socket.gethostname()}:{first.data}" in second.said("derive").replace("\n", "")
        assert not (second.data / "derive.json").exists()
        leader.send_signal(signal.SIGSTOP)  # asleep for longer than its lease
        until((second.data / "derive.json").exists, "the second to take over")
        leader.send_signal(signal.SIGCONT)
        until(lambda: leader.poll() is not None, "the one that overslept to end")
        os.kill(second.running["derive"].pid, 0)
    finally:
        for one in both:
            one.stop()
