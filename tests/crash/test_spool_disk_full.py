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


LOSER = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from collectors.gaps import gaps
from collectors.spool import Spool, SpoolDamagedError
from infra.deadletter import DeadLetter
from plant.frames import GOOD, SAMPLES

at = datetime(2026, 1, 31, tzinfo=UTC)
folder = Path(sys.argv[1])
spool, dead = Spool(folder / "spool", "plant"), DeadLetter(folder / "dead", folder / "spool")
for value in (1.0, 2.0):
    spool.append(pl.DataFrame([(at, "m", "good", value, None, GOOD, at)], schema=dict(SAMPLES), orient="row"))
refused = spool.read(spool.pending()[0]).with_columns(problem=pl.lit("no such signal"))
spool.pending()[1].path.write_bytes(b"damaged")

def attempt():
    for action in (
        lambda: spool.read(spool.pending()[1]),
        lambda: dead.keep("plant", 1, refused),
        lambda: spool.drop_older(datetime(2100, 1, 1, tzinfo=UTC)),
    ):
        try:
            action()
        except (OSError, SpoolDamagedError) as error:
            print(type(error).__name__, str(error).split("written)")[-1].strip("; ").split(" as ")[0])
        print(len(spool.pending()), len(gaps(folder / "spool")), len(dead.files()), len(list(folder.rglob("*.tmp"))))

unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50, unlimited[1]))
attempt()
print((folder / "spool" / "plant" / "gaps.jsonl").stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
attempt()
"""


def said(code: str, *arguments: object) -> list[str]:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    lines = said(WRITER, tmp_path)
    assert len(lines) == 4
    assert all("cannot write to the spool" in line and "File too large" in line for line in lines[:3])
    assert lines[3] == "True [1, 5000] []"


def test_nothing_goes_while_the_disk_cannot_take_the_record_of_it(tmp_path: Path) -> None:
    """Damage, a refusal and an overdue batch, each followed by: batches, gaps, files of refused samples, torn files."""
    assert said(LOSER, tmp_path) == [
        *("SpoolDamagedError and cannot be set aside: File too large", "2 0 0 0"),
        *("OSError [Errno 27] File too large", "2 0 0 0"),
        *("OSError [Errno 27] File too large", "2 0 0 0"),
        "0",
        *("SpoolDamagedError set aside", "1 1 0 0"),
        "1 1 1 0",
        "0 2 1 0",
    ]
