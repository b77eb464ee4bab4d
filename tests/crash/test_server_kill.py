"""kill -9 of the server while it takes samples from the spool: nothing is lost, nothing is there twice, and the ledger is
that of an uninterrupted run."""

import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.spool import Spool
from infra.folder import DataFolder
from infra.metrics import Metrics
from infra.plantfile import load
from infra.runtime import Runtime
from pipelines.derive import derive
from plant.frames import Window

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PLANT = Path(__file__).parents[2] / "infra" / "demo" / "plant.toml"
KILLS = 6
LENGTH = timedelta(hours=2)


def test_kill_the_server_while_it_takes_samples(tmp_path: Path) -> None:
    rng = random.Random(7)
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    window = Window(end - LENGTH, end)
    batches = list(frames(Simulation(4, window.start), end, chunk=30))
    data = tmp_path / "data"
    spool = Spool(data / "spool", "history")
    share = len(batches) // KILLS
    for turn in range(KILLS):
        for batch in batches[turn * share : (turn + 1) * share if turn < KILLS - 1 else len(batches)]:
            spool.append(batch)
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server_process.py")), str(PLANT), str(data)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "taking\n"
        try:
            server.wait(rng.uniform(0.0, 0.6))
        except subprocess.TimeoutExpired:
            server.kill()
        assert server.wait(10) == -9, "it was killed, it did not fail"
    spool.close()

    plant = replace(load(PLANT), channels={}, escalations={})
    with DataFolder(data) as folder:
        runtime = Runtime(plant, folder, "", Metrics.unregistered())
        runtime.take_all()
        runtime.start()
        try:
            stored = runtime.historian.read(window)
            derived = runtime.ledger(window, end)
        finally:
            runtime.stop()
    sent = pl.concat(batches)
    key = ["equipment", "signal", "time"]
    assert stored.sort(key).equals(sent.sort(key))
    assert derived.drop("material").equals(derive(sent, plant, window, until=end).drop("material"))
