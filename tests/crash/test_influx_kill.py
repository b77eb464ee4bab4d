"""kill -9 and SIGSTOP of everything between a collector and a real InfluxDB, again and again: nothing acknowledged is lost,
nothing is there twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from collectors.spool import Spool
from infra.folder import DataFolder
from infra.influxdb.server import InfluxServer
from infra.influxdb.server import running as influx_running
from infra.plantfile import load, with_secrets
from infra.stores import open_historian
from plant.frames import Window

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
FAULTS = int(os.environ.get("LINESIDE_FAULTS", "14"))
"""A long run sets more."""
BATCH = 500
FROZEN = 1.0
"""Seconds a frozen process is left alone."""
EVERYTHING = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
"""Of the collector's clock, which only counts."""
PLANT = """
schema = 1
[site]
id = "works"
name = "Works"
zone = "UTC"
[historian]
kind = "influxdb"
keep = "forever"
url = "{url}"
bucket = "{bucket}"
user = "{user}"
password = "{password}"
timeout = "5s"
[[equipment]]
id = "mixer"
name = "Mixer"
level = "WorkUnit"
"""
SIGNAL = """
[[signal]]
equipment = "mixer"
id = "v{number}"
role = "{role}"
source = "plc"
address = "v{number}"
"""


class Collector:
    """The collector process; restarted, it goes on past what may have been in flight."""

    def __init__(self, spool: Path) -> None:
        self._spool, self._first = spool, 0
        self.acknowledged: list[range] = []
        self.start()

    def start(self) -> None:
        script = Path(__file__).with_name("collector_process.py")
        command = [
            sys.executable,
            str(script),
            str(self._spool),
            "line",
            str(self._first),
            str(BATCH),
            "0.02",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                last = int(line)
                self.acknowledged.append(range(last + 1 - BATCH, last + 1))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()
        done = self.acknowledged[-1].stop if self.acknowledged else self._first
        self._first = done + BATCH


class Server:
    """The plant's server process: takes from the spool, derives, stores in InfluxDB."""

    def __init__(self, plant: Path, data: Path) -> None:
        self._command = [
            sys.executable,
            str(Path(__file__).with_name("server_process.py")),
            str(plant),
            str(data),
        ]
        self._errors = (data / "server.err").open("ab")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=self._errors, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "taking\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def kill_and_restart(actor: Collector | Server) -> Callable[[random.Random], None]:
    def fault(chance: random.Random) -> None:
        assert actor.process.poll() is None, "it was not killed, it failed"
        actor.kill()
        time.sleep(chance.uniform(0, 0.3))
        actor.start()

    return fault


def kill_service(influx: InfluxServer, name: str) -> Callable[[random.Random], None]:
    def fault(chance: random.Random) -> None:
        process: subprocess.Popen[bytes] = getattr(influx, name)
        process.kill()
        process.wait()
        time.sleep(chance.uniform(0, 1.0))
        influx.start()

    return fault


def restart_without_history(influx: InfluxServer, server: Server) -> Callable[[random.Random], None]:
    """The server starts while InfluxDB is away: it begins with what waits in the spool."""

    def fault(chance: random.Random) -> None:
        assert influx.influxd is not None
        influx.influxd.kill()
        influx.influxd.wait()
        server.kill()
        server.start()
        time.sleep(chance.uniform(0.5, 1.5))
        assert server.process.poll() is None, "it does without InfluxDB"
        influx.start()

    return fault


def freeze(
    process: Callable[[], "subprocess.Popen[bytes] | subprocess.Popen[str]"],
) -> Callable[[random.Random], None]:
    def fault(chance: random.Random) -> None:
        frozen = process()
        frozen.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN)
        frozen.send_signal(signal.SIGCONT)

    return fault


@contextmanager
def plant_on(influx: InfluxServer, folder: Path) -> Iterator[tuple[Path, DataFolder]]:
    path = folder / "plant.toml"
    text = PLANT.format(url=influx.url, bucket=influx.bucket, user=influx.user, password=influx.password)
    signals = [SIGNAL.format(number=n, role="process_value") for n in range(5)]
    source = '[[source]]\nid = "plc"\nprotocol = "shdr"\nhost = "127.0.0.1"\nport = 9\n'
    path.write_text(text + source + "".join(signals))
    data = DataFolder(folder / "data")
    data.root.mkdir()
    yield path, data


def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(11)
    with influx_running(tmp_path / "influx") as influx, plant_on(influx, tmp_path) as (plant, data):
        collector, server = Collector(data.spool), Server(plant, data.root)
        faults = [
            kill_and_restart(collector),
            kill_and_restart(server),
            kill_service(influx, "influxd"),
            kill_service(influx, "nginx"),
            restart_without_history(influx, server),
            freeze(lambda: influx.influxd),
            freeze(lambda: server.process),
        ]
        try:
            for number in range(FAULTS):
                time.sleep(chance.uniform(0.05, 0.6))
                faults[number % len(faults)](chance)
            collector.kill()
            emptied(data.spool, patience=120)
        finally:
            collector.kill()
            server.kill()

        historian = open_historian(with_secrets(load(plant)), data)
        stored = pl.concat(list(historian.read_batches(EVERYTHING)))
        historian.close()

    numbers = stored["value"].cast(pl.Int64)
    assert numbers.is_unique().all(), "a sample is there twice"
    acknowledged = pl.Series([n for part in collector.acknowledged for n in part], dtype=pl.Int64)
    assert acknowledged.len() > FAULTS * BATCH
    missing = acknowledged.filter(~acknowledged.is_in(numbers.implode()))
    assert missing.is_empty(), f"{missing.len()} acknowledged samples are gone, such as {missing[0]}"


def emptied(spool: Path, patience: float) -> None:
    """Wait until nothing waits any more."""
    deadline = time.monotonic() + patience
    while waiting := Spool(spool).pending():
        assert time.monotonic() < deadline, f"{len(waiting)} batches still wait"
        time.sleep(0.2)
