"""kill -9 of a process writing and merging the Parquet historian, with another one reading all the while."""

import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.historians.parquet import ParquetHistorian
from plant.frames import SAMPLES, Window

KILLS = 15
BATCH = 200
START = datetime(2026, 3, 1, 23, 50, tzinfo=UTC)
ALWAYS = Window(START, START + timedelta(days=30))

WRITER = f"""
import sys, threading
from datetime import datetime, timedelta
from pathlib import Path
import polars as pl
from infra.historians.parquet import ParquetHistorian
from plant.frames import SAMPLES

start, first = datetime.fromisoformat({START.isoformat()!r}), int(sys.argv[2])
historian = ParquetHistorian(Path(sys.argv[1]))

def merge():
    while True:
        historian.compact()

threading.Thread(target=merge, daemon=True).start()
for number in range(first, first + 1_000_000):
    base = [number * {BATCH} + i for i in range({BATCH})]
    times = [start + timedelta(milliseconds=20 * i) for i in base]
    columns = {{
        "time": times, "equipment": ["filler"] * {BATCH}, "signal": ["good"] * {BATCH},
        "value": [float(i) for i in base],
        "text": [None] * {BATCH}, "quality": [0] * {BATCH}, "received": times,
    }}
    historian.write(pl.DataFrame(columns, schema=dict(SAMPLES)))
    print(number, flush=True)
"""

READER = f"""
import sys
from datetime import datetime, timedelta
from pathlib import Path
from infra.historians.parquet import ParquetHistorian
from plant.frames import Window

start = datetime.fromisoformat({START.isoformat()!r})
historian = ParquetHistorian(Path(sys.argv[1]))
seen = 0
while True:
    rows = historian.read(Window(start, start + timedelta(days=30)))
    assert rows.height >= seen, f"{{seen}} samples became {{rows.height}}"
    assert rows["time"].is_unique().all(), "a sample was read twice"
    newest = historian.last(start + timedelta(days=30))
    assert not seen or newest["time"][0] >= rows["time"][-1], "last is older than what was read before it"
    seen = rows.height
    print(seen, flush=True)
"""


@pytest.mark.slow
def test_kill_9_loses_nothing_acknowledged_and_never_disturbs_a_reader(tmp_path: Path) -> None:
    root = tmp_path / "history"
    chance = random.Random(20260301)
    ParquetHistorian(root)
    acknowledged: set[int] = set()
    following = 0
    with (tmp_path / "reader.log").open("wb") as errors:
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(root)], stdout=subprocess.PIPE, stderr=errors
        )
    try:
        for _ in range(KILLS):
            killed = written_until_killed(
                root, following, after=chance.randint(1, 25), delay=chance.random() * 0.02
            )
            acknowledged |= set(killed)
            following = max(acknowledged) + 2  # the batch in flight may be there, or not
            stored = ParquetHistorian(root).read(ALWAYS)
            assert_whole(stored, acknowledged)
        assert reader.poll() is None, (tmp_path / "reader.log").read_text()
    finally:
        reader.kill()
        reads = reader.communicate()[0].split()
    assert len(reads) > KILLS
    assert (tmp_path / "reader.log").read_text() == ""

    historian = ParquetHistorian(root)
    before = historian.read(ALWAYS)
    historian.compact()
    assert historian.read(ALWAYS).equals(before)
    assert historian.last(ALWAYS.end)["time"].to_list() == [before["time"].max()]
    assert not list(root.rglob(".tmp-*"))
    assert not (root / ".damaged").exists()


def written_until_killed(root: Path, first: int, *, after: int, delay: float) -> list[int]:
    """Batches a writer acknowledged before it was killed, at least `after` of them."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), str(first)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    numbers = []
    for line in writer.stdout:
        numbers.append(int(line))
        if len(numbers) == after:
            # Somewhere inside a write or a merge.
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(delay)
            writer.send_signal(signal.SIGKILL)
    errors = writer.communicate()[1].decode()
    assert writer.returncode == -signal.SIGKILL, errors
    return numbers


def assert_whole(stored: pl.DataFrame, acknowledged: set[int]) -> None:
    assert stored.schema == dict(SAMPLES)
    counts = stored.group_by((pl.col("value") // BATCH).cast(pl.Int64).alias("batch")).len()
    # A batch over midnight is two files; only one killed in flight may have one of them.
    partial = counts.filter((pl.col("len") != BATCH) & pl.col("batch").is_in(list(acknowledged)))
    assert partial.is_empty(), partial
    missing = acknowledged - set(counts["batch"].to_list())
    assert not missing, f"acknowledged but gone: {sorted(missing)}"
    assert stored["time"].is_unique().all()
