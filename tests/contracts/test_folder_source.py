"""A folder of files as a source: whole files or none, put away only after they are on disk, nothing read twice for ever."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from collectors.folder import create, files
from collectors.folder.client import FolderCollector
from collectors.spool import Spool
from plant.frames import SAMPLES
from plant.model import Role, Signal, Source

ROOT = Path(__file__).parents[2]
SIGNAL = Signal(id="good", equipment="m", role=Role.GOOD, source="s", address="good")


class Kept:
    """An `Emit`; `hold`: it acknowledges nothing."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.hold = False

    async def __call__(self, samples: pl.DataFrame) -> None:
        while self.hold:
            await asyncio.sleep(0.01)
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        raise AssertionError(f"no gap is possible: {why}")

    def numbers(self) -> list[float]:
        return [v for frame in self.frames for v in frame["value"].drop_nulls().to_list()]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def collecting(folder: Path, kept: Kept, **options: object) -> AsyncIterator[FolderCollector]:
    given = {"path": str(folder), "settle": "0s", "poll": "20ms"} | options
    collector = create(Source(id="s", protocol="folder", options=given), (SIGNAL,), folder.parent)
    task = asyncio.create_task(collector.run(kept))
    try:
        yield collector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def content(first: int, last: int) -> str:
    return "time,equipment,signal,value\n" + "".join(
        f"{datetime.fromtimestamp(1769839200 + n, UTC).isoformat()},m,good,{n}\n"
        for n in range(first, last + 1)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def test_files_go_in_the_order_of_names_and_only_after_they_are_on_disk(folder: Path) -> None:
    async def main() -> None:
        kept = Kept()
        kept.hold = True
        for name, first in (("b.csv", 11), ("a.csv", 1), ("c.csv", 21)):
            (folder / name).write_text(content(first, first + 9))
        async with collecting(folder, kept) as collector:
            await asyncio.sleep(0.3)
            assert not (folder / "done").exists(), "moved before its samples were acknowledged"
            kept.hold = False
            await until(lambda: len(list((folder / "done").glob("*"))) == 3)
            await until(lambda: "3 files taken, 0 waiting" in collector.status.detail)
        assert kept.numbers() == [float(n) for n in range(1, 31)]

    asyncio.run(main())


def test_a_bad_file_is_refused_whole_with_the_reason_and_the_others_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.slices, "__defaults__", (10,))

    async def main() -> None:
        kept = Kept()
        (folder / "a.csv").write_text(content(1, 100) + "yesterday,m,good,101\n")
        (folder / "b.csv").write_text(content(200, 209))
        (folder / "c.parquet").write_bytes(b"no parquet")
        async with collecting(folder, kept) as collector:
            await until(
                lambda: "2 refused" in collector.status.detail and (folder / "done" / "b.csv").exists()
            )
            why = (folder / "failed" / "a.csv.txt").read_text()
            assert "a.csv: row 102, column time: 'yesterday'" in why and "put it back" in why
            assert "not a readable parquet file" in (folder / "failed" / "c.parquet.txt").read_text()
            for file in list((folder / "failed").iterdir()):
                file.unlink()
            await until(lambda: "refused in" not in collector.status.detail)
        assert kept.numbers() == [float(n) for n in range(200, 210)], "of a bad file nothing is taken"

    asyncio.run(main())


def test_a_file_that_still_grows_is_left_alone(folder: Path) -> None:
    async def main() -> None:
        kept = Kept()
        file = folder / "a.csv"
        async with collecting(folder, kept, settle="300ms", after="delete"):
            for last in range(1, 6):
                file.write_text(content(1, last))
                await asyncio.sleep(0.1)
            assert kept.numbers() == []
            await until(lambda: not file.exists())
        assert kept.numbers() == [1, 2, 3, 4, 5] and not (folder / "done").exists()

    asyncio.run(main())


def test_a_file_that_cannot_be_moved_is_taken_once_and_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(file: Path, into: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "put_away", refused)

    async def main() -> None:
        kept = Kept()
        (folder / "a.csv").write_text(content(1, 3))
        async with collecting(folder, kept) as collector:
            await until(lambda: "a.csv cannot be moved (Permission denied)" in collector.status.detail)
            await asyncio.sleep(0.2)
            assert kept.numbers() == [1, 2, 3]
            (folder / "a.csv").write_text(content(4, 5))  # another file by that name
            await until(lambda: kept.numbers() == [1, 2, 3, 4, 5])

    asyncio.run(main())


@pytest.mark.parametrize("moment", [2, 3], ids=["while it is checked", "while it is taken"])
@pytest.mark.slow
def test_a_file_written_to_while_it_is_read_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    monkeypatch.setattr(files.slices, "__defaults__", (10,))
    real, looks = files.look, itertools.count(1)

    def look(path: Path) -> files.Look:
        if next(looks) == moment:
            path.write_text(content(1, 60))
        return real(path)

    (folder / "a.csv").write_text(content(1, 50))

    async def main() -> None:
        kept = Kept()
        monkeypatch.setattr(files, "look", look)
        async with collecting(folder, kept):
            await until(lambda: (folder / "done" / "a.csv").exists())
        assert sorted(set(kept.numbers())) == [float(n) for n in range(1, 61)]

    asyncio.run(main())


def test_a_folder_that_is_away_is_said_with_the_fix_and_found_again(folder: Path) -> None:
    async def main() -> None:
        kept = Kept()
        folder.rmdir()
        folder.write_text("a file, not a folder")
        async with collecting(folder, kept) as collector:
            await until(lambda: "cannot be read (Not a directory)" in collector.status.detail)
            folder.unlink()
            folder.mkdir()
            (folder / "a.csv").write_text(content(1, 2))
            await until(lambda: kept.numbers() == [1, 2])

    asyncio.run(main())


PROCESS = """
import asyncio, sys, time
from pathlib import Path
from collectors.emit import SourceEmit, SpoolEmit
from collectors.folder import create, files
from collectors.spool import Spool
from plant.model import Role, Signal, Source

folder, spool, hang = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "hang"
signal = Signal(id="good", equipment="m", role=Role.GOOD, source="s", address="good")
source = Source(id="s", protocol="folder", options={"path": str(folder), "settle": "0s", "poll": "20ms"})
if hang:
    def put_away(file, into):
        print("stored", flush=True)
        time.sleep(3600)
    files.put_away = put_away
emit = SourceEmit(SpoolEmit(Spool(spool, "plant")), "s", (signal,))
asyncio.run(create(source, (signal,), folder.parent).run(emit))
"""


def test_killed_between_spool_and_move_the_file_is_read_again_with_the_same_keys(
    folder: Path, tmp_path: Path
) -> None:
    def process(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROCESS, str(folder), str(tmp_path / "spool"), how]
        return subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
        )

    (folder / "a.csv").write_text(content(1, 500))
    with process("hang") as first:
        assert first.stdout is not None and first.stdout.readline() == "stored\n"
        first.send_signal(signal.SIGKILL)
    assert (folder / "a.csv").exists()
    with process("go on") as second:
        deadline = time.monotonic() + 30
        while not (folder / "done" / "a.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second.send_signal(signal.SIGKILL)
    assert (folder / "done" / "a.csv").exists()
    reader = Spool(tmp_path / "spool")
    batches = [reader.read(entry) for entry in reader.pending()]
    everything = pl.concat(batches)
    assert everything.schema == pl.Schema(SAMPLES) and everything.height == 1000
    once = everything.unique(["equipment", "signal", "time"], keep="last").sort("time")
    assert once["value"].to_list() == [float(n) for n in range(1, 501)]
    assert everything.select(pl.exclude("received")).n_unique() == 500
