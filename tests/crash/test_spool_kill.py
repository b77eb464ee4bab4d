"""kill -9 and SIGSTOP of processes around the spool: whatever was acknowledged is there, whole, once and in order,
or recorded as a gap; refused samples that are put back are never lost in between."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from collectors.gaps import gaps
from collectors.spool import Spool, damaged_files
from infra.deadletter import DeadLetter
from plant.frames import GOOD, SAMPLES

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


AT = datetime(2026, 1, 31, tzinfo=UTC)


def sample(value: float) -> pl.DataFrame:
    row = (AT, "m", "good", value, None, GOOD, AT)
    return pl.DataFrame([row], schema=dict(SAMPLES), orient="row")


@contextlib.contextmanager
def python(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that ends with SIGKILL."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_acknowledged_samples_survive_kill_9(tmp_path: Path) -> None:
    moments = random.Random(7)
    acknowledged: list[tuple[str, int]] = []
    for life in range(KILLS):
        with python(WRITER, tmp_path, life * 1_000_000) as process:
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


def test_a_stopped_writer_disturbs_no_reader(tmp_path: Path) -> None:
    reader, moments = Spool(tmp_path), random.Random(3)
    seen: dict[str, int] = {}
    rows: list[tuple[str, float]] = []

    def drain() -> None:
        for entry in reader.pending(seen):
            rows.extend(reader.read(entry).select("equipment", "value").iter_rows())
            seen[entry.collector] = entry.sequence
            reader.remove(entry)

    with python(WRITER, tmp_path, 0) as writer:
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().split()]
        for _ in range(30):
            writer.send_signal(signal.SIGSTOP)
            os.waitpid(writer.pid, os.WUNTRACED)  # until it has stopped
            drain()
            assert reader.waiting().batches == 0 and reader.pending(seen) == []
            writer.send_signal(signal.SIGCONT)
            until = time.monotonic() + moments.uniform(0, 0.02)
            while time.monotonic() < until:
                drain()
            acknowledged.append(writer.stdout.readline().split())
        writer.send_signal(signal.SIGKILL)
        acknowledged += [
            line.split() for line in writer.stdout.read().splitlines(keepends=True) if line[-1] == "\n"
        ]
    drain()
    assert {(source, float(value)) for source, value in acknowledged} <= set(rows)
    for source in "ab":
        values = [value for s, value in rows if s == source]
        assert values == list(range(len(values)))
    assert damaged_files(tmp_path) == [] and gaps(tmp_path) == []


LARGE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from collectors.spool import Spool
from plant.frames import GOOD, SAMPLES

at = datetime(2026, 1, 31, tzinfo=UTC)
row = pl.DataFrame([(at, "m", "good", 0.0, None, GOOD, at)], schema=dict(SAMPLES), orient="row")
large = pl.concat([row] * 300_000).with_columns(value=pl.int_range(300_000).hash() / 7.0)
spool = Spool(Path(sys.argv[1]), "plant")
for _ in range(6):
    spool.append(large)
"""


def test_half_a_batch_is_never_seen(tmp_path: Path) -> None:
    reader, rows = Spool(tmp_path), 0
    with python(LARGE, tmp_path) as writer:
        alive = True
        while alive:
            alive = writer.poll() is None
            for entry in reader.pending():
                rows += reader.read(entry).height
                reader.remove(entry)
    assert rows == 6 * 300_000 and damaged_files(tmp_path) == []


DROPPER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from collectors.spool import Spool
Spool(Path(sys.argv[1])).drop_older(datetime(2100, 1, 1, tzinfo=UTC))
"""


@pytest.mark.slow
def test_killed_while_it_drops_nothing_goes_unrecorded(tmp_path: Path) -> None:
    spool, moments = Spool(tmp_path, "plant"), random.Random(11)
    spool.append(sample(0.0))
    (pattern,) = spool.pending()
    missing: set[datetime] = set()
    middle = 0
    for life in range(3):
        for n in range(3_000):  # each far from the next, so that one gap never covers two
            at = pattern.last_us + life * 10**12 + n * 10**8
            (pattern.folder / f"{life * 10_000 + n:016d}_{at}_{at}_1_{pattern.name[-14:]}").touch()
        before = {entry.last for entry in spool.pending()}
        with python(DROPPER, tmp_path) as dropper:
            wanted = moments.randint(1, 500)
            while dropper.poll() is None and len(before) - spool.waiting().batches < wanted:
                pass
        left = {entry.last for entry in spool.pending()}
        assert before > left
        middle += bool(left)
        missing |= before - left
        for entry in spool.pending():
            spool.remove(entry)
    assert missing <= {gap.last for gap in gaps(tmp_path)}
    assert middle, "it was killed while it dropped"


RETRIER = """
import sys
from pathlib import Path
from collectors.spool import Spool
from infra.deadletter import DeadLetter
root = Path(sys.argv[1])
dead = DeadLetter(root / "dead", root / "spool")
names = [file.name for file in dead.files()]
dead.retry(names, Spool(root / "spool", "retry"))
"""


@pytest.mark.slow
def test_killed_while_it_puts_back_nothing_is_lost(tmp_path: Path) -> None:
    dead, moments = DeadLetter(tmp_path / "dead", tmp_path / "spool"), random.Random(2)
    numbers = {float(number) for number in range(100)}
    for number in numbers:
        dead.keep("plant", int(number), sample(number).with_columns(problem=pl.lit("no such signal")))
    reader = Spool(tmp_path / "spool")
    middle = 0
    for _ in range(4):
        kept = len(dead.files())
        with python(RETRIER, tmp_path) as retrier:
            wanted = kept - moments.randint(1, 20)
            while retrier.poll() is None and len(list((tmp_path / "dead").iterdir())) > wanted:
                pass
        back = {reader.read(entry)["value"][0] for entry in reader.pending()}
        left = {dead.rows(file.name)["value"][0] for file in dead.files()}
        assert back | left == numbers and len(back & left) <= 1
        middle += bool(back and left)
    assert middle, "it was killed while it put back"


UNREADABLE = """
import os, sys
from pathlib import Path
from collectors.gaps import gaps
from collectors.spool import Spool, SpoolDamagedError
if os.getuid() == 0:
    os.setuid(65534)  # root may read everything
spool = Spool(Path(sys.argv[1]))
for entry in spool.pending():
    try:
        print(spool.read(entry)["value"].to_list())
    except SpoolDamagedError as error:
        print("set aside" in str(error), [gap.rows for gap in gaps(Path(sys.argv[1]))])
"""


def test_a_file_nobody_may_read_is_set_aside() -> None:
    with tempfile.TemporaryDirectory() as root:  # pytest's folders are closed to other users
        spool = Spool(Path(root), "plant")
        for value in (1.0, 2.0):
            spool.append(sample(value))
        spool.pending()[0].path.chmod(0)
        Path(root).chmod(0o755)
        spool.pending()[0].folder.chmod(0o777)
        with python(UNREADABLE, root) as process:
            assert process.stdout is not None
            assert process.stdout.read().splitlines() == ["True [1]", "[2.0]"]
