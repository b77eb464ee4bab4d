"""A disk that takes no more: nothing is acknowledged, nothing torn is left, and it goes on when there is room."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

WRITER = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from collectors.spool import Spool, SpoolFullError
from plant.frames import GOOD, SAMPLES

at = datetime(2026, 1, 31, tzinfo=UTC)

def batch(rows):
    row = [(at, "m", f"signal-{i}", i * 1.1, None, GOOD, at) for i in range(rows)]
    return pl.DataFrame(row, schema=dict(SAMPLES), orient="row")

folder = Path(sys.argv[1])
spool = Spool(folder, "plant")
first = spool.append(batch(1))
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
for _ in range(3):
    try:
        spool.append(batch(5_000))
    except SpoolFullError as error:
        print("refused:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
second = spool.append(batch(5_000))
heights = [spool.read(entry).height for entry in spool.pending()]
print(first < second, heights, [p.name for p in (folder / "plant").glob("*.tmp")])
"""


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("cannot write to the spool" in line and "File too large" in line for line in lines[:3])
    assert lines[3] == "True [1, 5000] []"
