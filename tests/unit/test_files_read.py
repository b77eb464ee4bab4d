"""Long-format files and recordings: what is taken, what is left out and said, what is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from collectors.files import SampleFileError, read_samples
from plant.frames import BAD, GOOD, SAMPLES, UNCERTAIN
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, Source

DATA = Path(__file__).parent / "data"
AT = datetime(2026, 1, 31, 6, tzinfo=UTC)


def plant(*sources: Source) -> Plant:
    signals = [
        Signal(id="state", equipment="m", role=Role.STATE, source="nist", address="execution", scale=7),
        Signal(id="good", equipment="m", role=Role.GOOD),
        Signal(id="order", equipment="m", role=Role.ORDER),
    ]
    return Plant(
        site=Site(id="s", name="S", zone=ZoneInfo("Europe/Berlin")),
        equipment={"m": Equipment(id="m", name="M", level=EquipmentLevel.WORK_UNIT)},
        sources={s.id: s for s in sources},
        signals={(s.equipment, s.id): s for s in signals},
    )


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, name: str = "samples.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_csv_values_decide_for_themselves(csv: Callable[[str], Path]) -> None:
    path = csv(
        "Time,equipment,signal,value,quality\n"
        "2026-01-31T06:00:00Z,m,state,running,good\n"
        "2026-01-31T07:00:00.5+01:00,m,good,12,Uncertain\n"
        "2026-01-31 06:00:01,m,good,,0\n"
        "1769839202000,m,order,0042,\n"
        "1769839203.25,m,good,1e1,2\n"
        "1769839204000000,m,good,nan,\n"
    )
    got = read_samples([path], plant())
    assert got.schema == pl.Schema(SAMPLES)
    assert got.select("value", "text", "quality").rows() == [
        (None, "running", GOOD),
        (12, None, UNCERTAIN),
        (None, None, BAD),
        (None, "0042", GOOD),
        (10, None, BAD),
        (None, "nan", GOOD),
    ]
    assert [(t - AT).total_seconds() for t in got["time"]] == [0, 0.5, 1, 2, 3.25, 4]
    assert got["received"].to_list() == got["time"].to_list()


def test_every_mistake_is_named_with_its_row_and_nothing_is_read(csv: Callable[[str], Path]) -> None:
    path = csv(
        "time,equipment,signal,value,quality\n"
        "yesterday,m,state,1,good\n"
        "2026-01-31T06:00:00Z,,state,1,good\n"
        "2026-01-31T06:00:00Z,m,state,1,excellent\n"
    )
    with pytest.raises(SampleFileError) as caught:
        read_samples([path, path.with_name("none.csv")], plant())
    message = str(caught.value)
    assert "samples.csv, row 2, column time: 'yesterday'; write it like" in message
    assert "row 3, column equipment: nothing" in message
    assert "row 4, column quality: 'excellent'; write good, uncertain or bad" in message
    assert "none.csv: cannot be read" in message


def test_a_thousand_wrong_rows_are_counted_not_listed(csv: Callable[[str], Path]) -> None:
    path = csv("time,equipment,signal,value\n" + "x,m,state,1\n" * 1000)
    with pytest.raises(SampleFileError, match="1000 rows are like that") as caught:
        read_samples([path], plant())
    assert len(str(caught.value).splitlines()) <= 21


def test_missing_column_and_wrong_format(csv: Callable[[str], Path]) -> None:
    with pytest.raises(SampleFileError, match=r"column signal is missing \(it has time, equipment, value\)"):
        read_samples([csv("time,equipment,value\n")], plant())
    with pytest.raises(SampleFileError, match="not a readable parquet file"):
        read_samples([csv("no parquet", "broken.parquet")], plant())
    with pytest.raises(SampleFileError, match="not a readable csv file"):
        read_samples([csv("", "empty.csv")], plant())


def test_unknown_signals_are_left_out_and_reported(csv: Callable[[str], Path]) -> None:
    said: list[str] = []
    path = csv(f"time,equipment,signal,value\n{AT.isoformat()},m,speed,1\n{AT.isoformat()},x,state,1\n")
    assert read_samples([path], plant(), said.append).is_empty()
    assert [s.split(": ", 1)[1] for s in said] == [
        '1 row(s) left out: the plant file has no signal "speed" of "m"',
        '1 row(s) left out: the plant file has no equipment "x"',
    ]


def test_parquet_of_samples_reads_back_the_same(csv: Callable[[str], Path], tmp_path: Path) -> None:
    frame = pl.DataFrame(
        [
            (AT, "m", "good", 1.5, None, GOOD, AT),
            (AT, "m", "state", None, "idle", UNCERTAIN, AT),
            (AT, "m", "order", None, None, BAD, AT),
        ],
        schema=dict(SAMPLES),
        orient="row",
    )
    frame.write_parquet(tmp_path / "a.parquet")
    assert read_samples([tmp_path / "a.parquet"], plant()).equals(frame)


def test_recordings_take_the_shdr_source(tmp_path: Path) -> None:
    source = Source(id="nist", protocol="shdr", options={"file": "elsewhere/nist_mazak_excerpt.txt"})
    other = Source(id="other", protocol="shdr", options={"host": "h"})
    path = DATA / "nist_mazak_excerpt.txt"
    for given, known in ((path, (source,)), (path, (source, other)), (f"nist={path}", (source, other))):
        got = read_samples([given], plant(*known))
        assert got["text"].to_list() == [None, "STOPPED", "READY", "ACTIVE", "READY"]
    assert got["received"].to_list() == got["time"].to_list()
    with pytest.raises(SampleFileError, match="SOURCE="):
        read_samples([DATA / "nist_hurco_excerpt.txt"], plant(source, other))
    with pytest.raises(SampleFileError, match="has none"):
        read_samples([path], plant())
