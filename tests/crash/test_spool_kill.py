"""kill -9 of a process that spools: whatever it had acknowledged is there, whole, once and in order."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.spool import Spool

ROOT = Path(__file__).parents[2]
KILLS = 15

WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from collectors.emit import SpoolEmit
from collectors.spool import Spool
from plant.frames import GOOD, SAMPLES

at = datetime(2026, 1, 31, tzinfo=UTC)

async def one(emit, source, value):
    while True:
        row = (at, source, "good", float(value), None, GOOD, at)
        await emit(pl.DataFrame([row], schema=dict(SAMPLES), orient="row"))
        print(source, value, flush=True)
        value += 1

async def main():
    emit = SpoolEmit(Spool(Path(sys.argv[1]), "plant"), linger=0.001)
    await asyncio.gather(one(emit, "a", int(sys.argv[2])), one(emit, "b", int(sys.argv[2])))

asyncio.run(main())
"""


@pytest.mark.slow
def test_acknowledged_samples_survive_kill_9(tmp_path: Path) -> None:
    moments = random.Random(7)
    acknowledged: list[tuple[str, int]] = []
    for life in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(life * 1_000_000)]
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(moments.randint(1, 60)):
                source, value = process.stdout.readline().split()
                acknowledged.append((source, int(value)))
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().splitlines(keepends=True)
        acknowledged += [(s, int(v)) for s, v in (line.split() for line in rest if line.endswith("\n"))]

    reader = Spool(tmp_path)
    entries = reader.pending()
    rows = [row for entry in entries for row in reader.read(entry).select("equipment", "value").rows()]
    stored = [(source, int(value)) for source, value in rows]
    assert len(acknowledged) >= KILLS
    assert set(acknowledged) <= set(stored)
    assert len(set(stored)) == len(stored)
    for source in "ab":
        values = [v for s, v in stored if s == source]
        assert values == sorted(values)
    # Stored but not acknowledged: at most what each source had in flight when it was killed.
    assert len(stored) - len(acknowledged) <= 2 * KILLS
    numbers = [entry.sequence for entry in entries]
    assert numbers == sorted(set(numbers))
    assert not list(tmp_path.rglob("*.damaged"))
