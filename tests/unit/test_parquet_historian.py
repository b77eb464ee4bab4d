"""What the Parquet historian does with its files, beyond the contract."""

import fcntl
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.cli.doctor import run as doctor
from infra.historians import parquet
from infra.historians.parquet import ParquetHistorian
from infra.historians.segments import Folder
from infra.historians.trends import thinned
from pipelines.ports import HistorianError
from plant.frames import SAMPLES, Window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALWAYS = Window(NOON - timedelta(days=400), NOON + timedelta(days=400))


def samples(
    count: int, *, start: datetime = NOON, equipment: str = "filler", signal: str = "good"
) -> pl.DataFrame:
    times = [start + timedelta(seconds=i) for i in range(count)]
    return pl.DataFrame(
        {
            "time": times,
            "equipment": [equipment] * count,
            "signal": [signal] * count,
            "value": [float(i) for i in range(count)],
            "text": [None] * count,
            "quality": [0] * count,
            "received": times,
        },
        schema=dict(SAMPLES),
    )


def files(root: Path) -> list[Path]:
    return sorted(root.glob("2*/*.parquet"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "history"


def test_one_file_per_write_and_day_until_merged(root: Path) -> None:
    historian = ParquetHistorian(root)
    for hour in range(6):
        historian.write(samples(10, start=NOON + timedelta(hours=3 * hour)))
    historian.write(samples(20, start=NOON.replace(hour=23, minute=59, second=50)))
    assert [f.parent.name for f in files(root)] == ["2026-03-01"] * 5 + ["2026-03-02"] * 3
    historian.compact()
    merged = files(root)
    assert [f.parent.name for f in merged] == ["2026-03-01", "2026-03-02"]
    historian.compact()
    assert files(root) == merged


def test_a_finished_file_is_not_merged_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MERGED_ROWS", 20)
    historian = ParquetHistorian(root)
    for minute in range(9):
        historian.write(samples(5, start=NOON + timedelta(minutes=minute)))
        historian.compact()
    heights = sorted(pl.read_parquet(f).height for f in files(root))
    assert sum(heights) == 45
    assert max(heights) <= 20
    assert len(heights) <= 5


def test_batches_are_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 100)
    historian = ParquetHistorian(root)
    historian.write(samples(1000, start=NOON.replace(hour=23, minute=55)))
    heights = [b.height for b in historian.read_batches(ALWAYS)]
    assert sum(heights) == 1000
    assert max(heights) <= 110


@pytest.mark.parametrize("merged", [False, True])
def test_batches_and_trends_of_few_signals_are_few(
    root: Path, monkeypatch: pytest.MonkeyPatch, merged: bool
) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 100)
    historian = ParquetHistorian(root)
    for machine in range(20):
        historian.write(samples(300, equipment=f"machine-{machine}", start=NOON.replace(hour=23, minute=57)))
    if merged:
        historian.compact()
    heights = [b.height for b in historian.read_batches(ALWAYS, ["machine-7"])]
    assert sum(heights) == 300
    assert max(heights) <= 110
    assert len(heights) < 10
    assert sum(b.height for b in historian.read_batches(ALWAYS, None, ["none"])) == 0
    every = timedelta(seconds=7)
    assert historian.trend(ALWAYS, every, ["machine-7"]).equals(
        thinned([historian.read(ALWAYS, ["machine-7"])], every)
    )


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_the_disk_refuses_is_not_acknowledged_and_leaves_nothing(root: Path) -> None:
    historian = ParquetHistorian(root)
    historian.write(samples(10))
    with largest_file(1000), pytest.raises(HistorianError, match="disk is full: make room"):
        historian.write(samples(5000, start=NOON + timedelta(hours=1)))
    assert historian.read(ALWAYS).equals(samples(10))
    assert not list(root.rglob(".tmp-*"))
    historian.write(samples(5000, start=NOON + timedelta(hours=1)))
    assert historian.read(ALWAYS).height == 5010


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("mine")
    with pytest.raises(HistorianError, match=r"history.*there is a file where the folder should be"):
        ParquetHistorian(tmp_path / "history")


def test_a_folder_that_may_not_be_written_is_named() -> None:
    # Not even root may make a folder there.
    with pytest.raises(HistorianError, match=r"/sys/history.*may not write there"):
        ParquetHistorian(Path("/sys/history"))


@pytest.mark.parametrize("damage", ["emptied", "cut", "overwritten"])
def test_a_damaged_file_is_an_error_once_and_then_set_aside(root: Path, damage: str) -> None:
    historian = ParquetHistorian(root, clock=lambda: NOON)
    historian.write(samples(10))
    historian.write(samples(500, start=NOON + timedelta(hours=1)))
    bad = files(root)[1]
    content = bad.read_bytes()
    ruined = {"emptied": b"", "cut": content[:-30], "overwritten": content[:20] + b"\0" * 400 + content[420:]}
    bad.write_bytes(ruined[damage])
    with pytest.raises(HistorianError, match=bad.name):
        historian.read(ALWAYS)
    assert historian.read(ALWAYS).equals(samples(10))
    [report] = (root / ".damaged").glob("*.txt")
    assert "missing: 500 samples between 2026-03-01T13:00:00+00:00" in report.read_text()
    health = historian.health()
    assert not health.ok
    assert bad.name in health.detail


def test_a_damaged_file_is_news_for_a_day_and_missing_until_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "historian"
    historian = ParquetHistorian(root, clock=lambda: NOON)
    historian.write(samples(500))
    [bad] = files(root)
    good = bad.read_bytes()
    bad.write_bytes(b"?")
    with pytest.raises(HistorianError, match="damaged"):
        historian.read(ALWAYS)
    a_day_later = ParquetHistorian(root, clock=lambda: NOON + timedelta(days=1))
    assert not historian.health().ok
    assert a_day_later.health().ok
    assert "1 damaged file(s) with 500 samples" in a_day_later.health().detail
    [missing] = Folder(root).missing()
    assert (missing.first, missing.rows, missing.home) == (NOON, 500, bad)
    doctor(None, root.parent, 0, json=True)
    says = "500 samples between 2026-03-01 12:00:00 and 2026-03-01 12:08:19 UTC"
    assert says in capsys.readouterr().out
    bad.write_bytes(good)
    assert historian.read(ALWAYS).equals(samples(500))
    assert not Folder(root).missing()
    assert historian.health().ok
    assert "set aside" not in historian.health().detail


def test_files_of_others_do_no_harm(root: Path) -> None:
    historian = ParquetHistorian(root)
    for hour in range(2):
        historian.write(samples(10, start=NOON + timedelta(hours=hour)))
    (root / "2026-03-02").write_text("mine")
    (root / "2026-03-01" / "notes.txt").write_text("mine")
    pl.DataFrame({"a": [1]}).write_parquet(root / "2026-03-01" / "mine.parquet")
    pl.DataFrame({"a": [1]}).write_parquet(root / "series.parquet")
    with_more = files(root)[0]
    pl.read_parquet(with_more).with_columns(more=pl.lit(1)).write_parquet(with_more)
    assert historian.read(ALWAYS).height == 20
    assert historian.last(ALWAYS.end).height == 1
    assert historian.health().ok
    historian.compact()
    assert historian.read(ALWAYS).height == 20
    assert (root / "2026-03-02").exists()
    with pytest.raises(HistorianError, match=r"2026-03-02.*there is a file where the folder should be"):
        historian.write(samples(10, start=NOON + timedelta(days=1)))


def test_a_folder_that_vanishes_is_said(root: Path) -> None:
    historian = ParquetHistorian(root)
    shutil.rmtree(root)
    for use in (lambda: historian.read(ALWAYS), lambda: historian.write(samples(1))):
        with pytest.raises(HistorianError, match="it is gone: mount its disk"):
            use()
    assert not historian.health().ok


def test_merging_sets_a_damaged_file_aside_and_keeps_the_rest(root: Path) -> None:
    historian = ParquetHistorian(root)
    for hour in range(3):
        historian.write(samples(10, start=NOON + timedelta(hours=hour)))
    files(root)[1].write_bytes(b"not parquet")
    historian.compact()
    assert len(files(root)) == 1
    assert historian.read(ALWAYS).height == 20


def test_what_a_killed_writer_left_is_swept_but_not_what_a_living_one_is_writing(root: Path) -> None:
    ParquetHistorian(root)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stray, mine = root / f".tmp-{gone.pid}-0", root / f".tmp-{os.getpid()}-999"
    stray.write_bytes(b"half")
    mine.write_bytes(b"half")
    ParquetHistorian(root).compact()
    assert not stray.exists()
    assert mine.exists()


def test_a_file_that_vanishes_between_listing_and_reading_is_listed_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    historian = ParquetHistorian(root)
    for hour in range(4):
        historian.write(samples(10, start=NOON + timedelta(hours=hour)))
    listed = Folder.list
    merges = iter([True])

    def merged_after_listing(folder: Folder, window: Window | None = None) -> object:
        found = listed(folder, window)
        if next(merges, False):
            monkeypatch.setattr(Folder, "list", listed)
            historian.compact()
        return found

    monkeypatch.setattr(Folder, "list", merged_after_listing)
    assert historian.read(ALWAYS).height == 40
    assert next(merges, None) is None


def test_listing_and_replacing_exclude_each_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A directory listed while files are replaced in it can show neither the old ones nor the new one.
    historian = ParquetHistorian(root)
    historian.write(samples(10))
    historian.write(samples(10))
    rename, scandir = Folder._rename, os.scandir
    replaced: list[bool] = []
    listed: list[bool] = []

    def locked_out(operation: int) -> bool:
        with (root / ".lock").open("rb") as handle:
            try:
                fcntl.flock(handle, operation | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def renaming(folder: Folder, temporary: Path, target: Path) -> None:
        replaced.append(locked_out(fcntl.LOCK_SH))
        rename(folder, temporary, target)

    def scanning(path: str | Path) -> object:
        if Path(path).parent == root:
            listed.append(locked_out(fcntl.LOCK_EX))
        return scandir(path)

    monkeypatch.setattr(Folder, "_rename", renaming)
    monkeypatch.setattr(os, "scandir", scanning)
    historian.compact()
    assert replaced == [True]
    listed.clear()
    assert historian.read(ALWAYS).height == 10
    assert listed
    assert all(listed)


def test_only_one_process_merges_at_a_time(root: Path) -> None:
    historian = ParquetHistorian(root)
    historian.write(samples(10))
    historian.write(samples(10))
    with Folder(root).housekeeping(wait=False) as mine:
        assert mine
        historian.compact()
    assert len(files(root)) == 2


@pytest.mark.parametrize("state", ["lost", "damaged"])
def test_last_survives_the_loss_of_the_catalogue(root: Path, state: str) -> None:
    historian = ParquetHistorian(root)
    historian.write(samples(5, start=NOON - timedelta(days=60), signal="state"))
    historian.write(samples(5))
    before = historian.last(ALWAYS.end)
    if state == "lost":
        (root / "series.parquet").unlink()
    else:
        (root / "series.parquet").write_bytes(b"?")
    assert ParquetHistorian(root).last(ALWAYS.end).equals(before)
    ParquetHistorian(root).write(samples(5, start=NOON + timedelta(days=1), equipment="capper"))
    assert ParquetHistorian(root).last(ALWAYS.end).height == before.height + 1


def test_last_without_catalogue_reports_a_damaged_file(root: Path) -> None:
    historian = ParquetHistorian(root)
    historian.write(samples(5))
    historian.write(samples(5, start=NOON + timedelta(minutes=1)))
    (root / "series.parquet").unlink()
    files(root)[1].write_bytes(b"?")
    with pytest.raises(HistorianError, match=r"damaged file\(s\)"):
        historian.last(ALWAYS.end)
    assert historian.last(ALWAYS.end)["time"].to_list() == [NOON + timedelta(seconds=4)]


def test_last_opens_only_days_that_can_have_an_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    historian = ParquetHistorian(root)
    historian.write(samples(5, start=NOON - timedelta(days=90), signal="state"))
    for day in range(30):
        historian.write(samples(5, start=NOON - timedelta(days=day)))
    read = ParquetHistorian.read
    windows: list[Window] = []

    def counted(self: ParquetHistorian, window: Window, *choice: list[str]) -> pl.DataFrame:
        windows.append(window)
        return read(self, window, *choice)

    monkeypatch.setattr(ParquetHistorian, "read", counted)
    assert historian.last(NOON + timedelta(minutes=1)).height == 2
    assert {w.start.date() for w in windows} == {NOON.date(), (NOON - timedelta(days=90)).date()}
