"""kill -9 while people correct closed shifts and late samples come: facts, ledger rows and restatements are there
together or not at all."""

import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.spool import Spool
from infra.folder import DataFolder
from plant.frames import SAMPLES
from tests.acceptance.test_corrections import RUN, SETUP, STOP, Corrected, inside, sample

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
KILLS = 6


def test_kill_while_closed_shifts_are_corrected(tmp_path: Path) -> None:
    rng = random.Random(5)
    with DataFolder(tmp_path) as folder:
        plant_now = Corrected.made(folder)
        start, _ = inside(plant_now)
        reported = plant_now.reported()
        plant_now.close()
    spool = Spool(tmp_path / "spool", "late")
    for turn in range(KILLS):
        at = plant_now.begin + timedelta(hours=1.5 + turn * 0.7, seconds=turn)
        rows = [
            sample(at + timedelta(seconds=20 * n), "ab"[n % 2], "state", value, plant_now.now)
            for n, value in enumerate((STOP, RUN, SETUP, RUN))
        ]
        spool.append(pl.DataFrame(rows, schema=dict(SAMPLES), orient="row"))
        server = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("correcting_process.py")),
                str(tmp_path),
                str(start),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "correcting\n"
        try:
            server.wait(rng.uniform(0.1, 2.5))
        except subprocess.TimeoutExpired:
            server.kill()
        assert server.wait(10) == -9, "it was killed, it did not fail"
    spool.close()
    with DataFolder(tmp_path) as folder:
        plant_now.open()
        plant_now.check(reported)
        assert any(p["restatements"] for p in plant_now.published())
        plant_now.close()
