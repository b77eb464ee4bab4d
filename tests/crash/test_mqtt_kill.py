"""kill -9 of a collector while messages flow: what the broker took is on disk afterwards, all of it."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from devices.mosquitto import Mosquitto
from devices.mqtt import Publisher

from collectors.gaps import gaps
from collectors.spool import Spool

pytestmark = [pytest.mark.server, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
START = 1_767_225_600_000_000
"""Microseconds since 1970 of the message with number 0."""
TOPICS = 4
KILLS = 6


@contextmanager
def collector(folder: Path, broker: Mosquitto) -> Iterator[None]:
    """A collector process, killed at the end."""
    options = json.dumps(broker.options() | {"time": "ts", "keep_alive": "1s"})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.mqtt_process", str(folder), options], cwd=ROOT
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Flow:
    """Numbered messages, about 2000 a second, until it is stopped."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._publisher, self._stop = Publisher(port), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._publisher.start()
        self._thread.start()

    def stop(self) -> None:
        """Returns when the broker has all of them."""
        self._stop.set()
        self._thread.join()
        self._publisher.stop()

    def _run(self) -> None:
        while not self._stop.is_set():
            for _ in range(20):
                said = json.dumps({"ts": START + self.sent, "v": self.sent})
                last = self._publisher.send(f"plant/v{self.sent % TOPICS}", said)
                self.sent += 1
            last(20.0)
            time.sleep(0.01)


def values(folder: Path) -> list[float]:
    reader = Spool(folder / "spool")
    return [v for entry in reader.pending() for v in reader.read(entry)["value"].drop_nulls().to_list()]


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_kill_9_of_the_collector_loses_nothing(tmp_path: Path) -> None:
    moments, broker = random.Random(5), Mosquitto()
    broker.start()
    flow = Flow(broker.port)
    try:
        first = Publisher(broker.port)
        first.start()
        with collector(tmp_path, broker):  # from its first sample on it has a session
            until(
                lambda: (
                    first.put("plant/v0", json.dumps({"ts": START - 1, "v": -1})) is None
                    and values(tmp_path) != []
                )
            )
        first.stop()
        flow.start()
        for _ in range(KILLS):
            before = len(values(tmp_path))
            with collector(tmp_path, broker):
                until(lambda before=before: len(values(tmp_path)) > before)
                time.sleep(moments.uniform(0.0, 0.3))
        flow.stop()
        wanted = {float(number) for number in range(-1, flow.sent)}
        assert set(values(tmp_path)) < wanted, "some were waiting at the broker"
        with collector(tmp_path, broker):
            until(lambda: set(values(tmp_path)) >= wanted)
        assert set(values(tmp_path)) == wanted and len(wanted) > 1000
    finally:
        broker.stop()
    assert gaps(tmp_path / "spool") == []
