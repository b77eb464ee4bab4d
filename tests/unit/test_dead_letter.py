"""The dead letter on a real folder: kept once, looked at, put back, bounded."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.gaps import gaps
from collectors.spool import Spool, SpoolFullError
from infra import deadletter
from infra.deadletter import DeadLetter, DeadLetterError
from plant.frames import GOOD, REFUSED, empty

AT = datetime(2026, 1, 31, 6, tzinfo=UTC)


def refused(
    *values: float, problem: str = "the plant file has no such signal", at: datetime = AT
) -> pl.DataFrame:
    return pl.DataFrame(
        [(at + timedelta(seconds=v), "m", "good", v, None, GOOD, at, problem) for v in values],
        schema=dict(REFUSED),
        orient="row",
    )


@pytest.fixture
def dead(tmp_path: Path) -> DeadLetter:
    return DeadLetter(tmp_path / "dead", tmp_path / "spool")


def test_kept_again_is_kept_once(dead: DeadLetter) -> None:
    assert dead.files() == []
    for _ in range(2):
        dead.keep("line-plc", 7, refused(1, 2))
        dead.keep("line-plc", 7, refused(3, problem="too long"))
        dead.keep("line-plc", 7, empty(REFUSED))
    files = dead.files()
    assert [(f.collector, f.rows) for f in files] == [("line-plc", 2), ("line-plc", 1)]
    assert files[0].problem == "the plant file has no such signal" and files[1].problem == "too long"
    assert dead.rows(files[0].name).equals(refused(1, 2))
    assert dead.rows(files[0].name.removesuffix(".parquet"))["value"].to_list() == [1, 2]


def test_other_frames_and_names_are_refused(dead: DeadLetter) -> None:
    with pytest.raises(ValueError, match="not refused samples"):
        dead.keep("a", 1, refused(1).drop("problem"))
    for name in ("nothing", "../spool/sequence", ""):
        with pytest.raises(DeadLetterError, match="lineside spool dead"):
            dead.rows(name)


def test_retried_samples_are_in_the_spool_before_the_file_goes(dead: DeadLetter, tmp_path: Path) -> None:
    dead.keep("a", 1, refused(1, 2))
    dead.keep("a", 2, refused(3))
    full = Spool(tmp_path / "spool", "retry", max_bytes=10)
    with pytest.raises(SpoolFullError):
        dead.retry([f.name for f in dead.files()], full)
    full.close()
    assert len(dead.files()) == 2
    spool = Spool(tmp_path / "spool", "retry")
    assert dead.retry([f.name for f in dead.files()], spool) == 3
    assert dead.files() == []
    back = pl.concat([spool.read(entry) for entry in spool.pending()])
    assert back.equals(refused(1, 2, 3).drop("problem"))


def test_beyond_the_bound_the_oldest_go_and_are_recorded(tmp_path: Path) -> None:
    probe = DeadLetter(tmp_path / "probe", tmp_path / "spool")
    probe.keep("a", 1, refused(1))
    size = probe.files()[0].bytes
    dead = DeadLetter(tmp_path / "dead", tmp_path / "spool", max_bytes=3 * size)
    for number in range(5):
        dead.keep("line-plc", number, refused(number))
        os.utime(tmp_path / "dead" / dead.files()[-1].name, (number, number))
    assert [f.name.split("-")[2] for f in dead.files()] == [f"{n:016d}" for n in (2, 3, 4)]
    lost = gaps(tmp_path / "spool")
    assert [(g.collector, g.first, g.last, g.rows) for g in lost] == [
        ("line-plc", AT + timedelta(seconds=n), AT + timedelta(seconds=n), 1) for n in (0, 1)
    ]
    assert "dead letter was full" in lost[0].why


def test_many_small_files_become_few(dead: DeadLetter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadletter, "MOST_FILES", 10)
    for number in range(40):
        dead.keep("ab"[number % 2], number, refused(number))
    files = dead.files()
    assert len(files) <= 10
    values = {
        c: sorted(v for f in files if f.collector == c for v in dead.rows(f.name)["value"]) for c in "ab"
    }
    assert values == {"a": list(range(0, 40, 2)), "b": list(range(1, 40, 2))}
    assert not gaps(dead._spool)


def test_files_of_version_0_1_and_strange_ones_are_shown_and_put_back(
    dead: DeadLetter, tmp_path: Path
) -> None:
    (tmp_path / "dead").mkdir()
    for name in ("line-plc-000000000012.parquet", "copy.parquet"):
        refused(1, 2).write_parquet(tmp_path / "dead" / name)
    assert sorted((f.collector, f.rows) for f in dead.files()) == [("line-plc", 2), ("unknown", 2)]
    spool = Spool(tmp_path / "spool", "retry")
    assert dead.retry([f.name for f in dead.files()], spool) == 4 and dead.files() == []


def test_a_damaged_file_is_named_and_holds_up_nothing(dead: DeadLetter, tmp_path: Path) -> None:
    dead.keep("a", 1, refused(1))
    dead.keep("a", 2, refused(2))
    first, second = (tmp_path / "dead" / f.name for f in dead.files())
    data = bytearray(first.read_bytes())
    data[len(data) // 3] ^= 1
    first.write_bytes(data)
    (first.parent / "x.parquet.tmp").write_bytes(b"half")
    damaged, whole = sorted(dead.files(), key=lambda file: file.name)
    assert damaged.rows == 0 and "cannot be read" in damaged.problem and whole.rows == 1
    with pytest.raises(DeadLetterError, match="cannot be read"):
        dead.retry([damaged.name], Spool(tmp_path / "spool", "retry"))
    assert dead.retry([second.name], Spool(tmp_path / "spool", "retry")) == 1
    assert first.exists() and not second.exists()
    DeadLetter(tmp_path / "dead", tmp_path / "spool").keep("a", 3, refused(3))
    assert not list(first.parent.glob("*.tmp"))
