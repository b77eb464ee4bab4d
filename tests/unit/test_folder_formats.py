"""Rows of long and wide files to samples: what is taken, and what makes a file wrong, with its place and the fix."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.folder import DEFAULTS, check, files
from collectors.folder.files import (
    FileError,
    Look,
    Settling,
    candidates,
    columns,
    put_away,
    set_aside,
    slices,
)
from collectors.folder.formats import Format, Slice
from plant.frames import BAD, GOOD, SAMPLES, UNCERTAIN
from plant.model import Role, Signal, Source

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SIGNALS = (
    Signal(id="state", equipment="m", role=Role.STATE, source="s", address="Zustand"),
    Signal(id="good", equipment="m", role=Role.GOOD, source="s", address="Teile OK"),
    Signal(id="temp", equipment="m", role=Role.PROCESS_VALUE, source="s", address="temp", scale=10, offset=1),
    Signal(id="order", equipment="m", role=Role.ORDER, source="s", address="Auftrag"),
)


def read(tmp_path: Path, text: str, **options: object) -> Slice:
    file = tmp_path / "a.csv"
    file.write_text(text, encoding="utf-8")
    given = DEFAULTS | options
    form = Format(SIGNALS, given)
    assert form.heading_problem(columns(file, str(given["delimiter"]))) == ""
    ((row, rows),) = slices(file, str(given["delimiter"]))
    found = form.read(rows, row, NOW)
    assert found.samples.schema == pl.Schema(SAMPLES)
    return found


def rows(found: Slice) -> list[tuple[object, ...]]:
    assert found.problems == []
    return found.samples.select("time", "signal", "value", "text", "quality").rows()


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 1, 31, hour, minute, second, tzinfo=UTC)


WIDE = {"format": "wide", "zone": "Europe/Berlin", "delimiter": ";", "decimal": ",", "time_column": "Zeit"}


def test_a_wide_file_as_a_german_spreadsheet_writes_it(tmp_path: Path) -> None:
    text = (
        "\ufeffZeit;ZUSTAND; teile ok ;temp;Auftrag;Bemerkung\n"
        "2026-01-31 07:00:00;Lauf;12;1,5;0042;was auch immer\n"
        "2026-01-31 07:01:00;;;;;\n"
        "\n"
        "2026-01-31T06:02:00Z;1,5;n/a;-,25;7,1;\n"
        "1769839380;NaN;13;2;;\n"
    )
    assert rows(read(tmp_path, text, **WIDE)) == [
        (at(6), "state", None, "Lauf", GOOD),
        (at(6), "good", 12, None, GOOD),
        (at(6), "temp", 16, None, GOOD),
        (at(6), "order", None, "0042", GOOD),
        (at(6, 2), "state", None, "1,5", GOOD),
        (at(6, 2), "good", None, None, BAD),
        (at(6, 2), "temp", -1.5, None, GOOD),
        (at(6, 2), "order", None, "7,1", GOOD),
        (at(6, 3), "state", None, "NaN", GOOD),
        (at(6, 3), "good", 13, None, GOOD),
        (at(6, 3), "temp", 21, None, GOOD),
    ]


def test_a_long_file_belongs_by_equipment_and_address(tmp_path: Path) -> None:
    text = (
        "time,equipment,signal,value,quality\n"
        "2026-01-31T06:00:00Z,m,zustand,Lauf,good\n"
        "2026-01-31T06:00:01Z,m,temp,1.5,uncertain\n"
        "2026-01-31T06:00:02Z,m,temp,,\n"
        "2026-01-31T06:00:03Z,other,temp,x,\n"
        "2026-01-31T06:00:04Z,m,other,x,\n"
        "\n"
    )
    found = read(tmp_path, text)
    assert rows(found) == [
        (at(6), "state", None, "Lauf", GOOD),
        (at(6, 0, 1), "temp", 16, None, UNCERTAIN),
        (at(6, 0, 2), "temp", None, None, BAD),
    ]
    assert found.others == 2


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("yesterday;Lauf;1;1;a", "row 3, column zeit: 'yesterday'"),
        ("1601-01-01 00:00:00;Lauf;1;1;a", "row 3, column zeit: '1601-01-01 00:00:00'"),
        ("2036-01-01 00:00:00;Lauf;1;1;a", "row 3, column zeit: '2036-01-01 00:00:00'"),
        ("2026-10-25 02:30:00;Lauf;1;1;a", "row 3, column zeit: '2026-10-25 02:30:00'"),
        ("2026-03-29 02:30:00;Lauf;1;1;a", "row 3, column zeit: '2026-03-29 02:30:00'"),
        ("2026-01-31 07:00:00;Lauf;many;1;a", "row 3, column teile ok: 'many'; it must be a number"),
        ("2026-01-31 07:00:00;Lauf;1;1.234,5;a", "row 3, column temp: '1.234,5'"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_nothing_is_taken(tmp_path: Path, row: str, says: str) -> None:
    text = f"Zeit;Zustand;Teile OK;temp;Auftrag\n2026-01-31 06:00:00;Lauf;1;1;a\n{row}\n"
    found = read(tmp_path, text, **WIDE)
    assert len(found.problems) == 1 and found.problems[0].startswith(says)
    assert found.samples.is_empty()


def test_mistakes_of_a_long_file(tmp_path: Path) -> None:
    text = "time,equipment,signal,value,quality\n,m,temp,1,good\n\n2026-01-31T06:00:00Z,,,1;5,fine\n"
    problems = "\n".join(read(tmp_path, text).problems)
    for place in (
        "row 2, column time",
        "row 4, column equipment",
        "row 4, column signal",
        "row 4, column quality",
    ):
        assert place in problems


@pytest.mark.parametrize(
    ("heading", "options", "says"),
    [
        ("time,equipment,value", {}, "column signal is missing"),
        ("", {}, "it is empty"),
        ("a,A,time", {"format": "wide"}, "column a is there more than once"),
        ("time,Zustände", {"format": "wide"}, "a column for none"),
        ("Zeit,Zustand", {"format": "wide"}, "column time is missing"),
    ],
)
def test_headings(heading: str, options: dict[str, object], says: str) -> None:
    form = Format(SIGNALS, DEFAULTS | options)
    assert says in form.heading_problem(heading.split(",") if heading else [])


def test_parquet_with_real_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "time": [datetime(2026, 7, 1, 8, tzinfo=UTC).replace(tzinfo=None)],
            "zustand": [True],
            "teile ok": [7],
            "temp": [1.5],
        },
    )
    frame.write_parquet(tmp_path / "a.parquet")
    form = Format(SIGNALS, DEFAULTS | {"format": "wide", "zone": "Europe/Berlin"})
    ((row, part),) = slices(tmp_path / "a.parquet", ",")
    found = form.read(part, row, NOW)
    six = datetime(2026, 7, 1, 6, tzinfo=UTC)
    assert [r[:3] for r in rows(found)] == [(six, "state", 1), (six, "good", 7), (six, "temp", 16)]
    names = ["time", "zustand", "teile ok", "temp"]
    assert form.absent(names) == ["m.order"]


@given(st.binary(max_size=300))
def test_no_bytes_give_a_sample_that_is_not_in_them(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    from collectors.folder.files import FileError

    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    for name in ("a.csv", "a.parquet"):
        file = folder / name
        file.write_bytes(data)
        form = Format(SIGNALS, DEFAULTS | {"format": "wide"})
        try:
            if form.heading_problem(columns(file, ",")):
                continue
            for row, part in slices(file, ","):
                form.read(part, row, NOW)
        except FileError:
            pass


def test_a_file_in_slices_keeps_its_row_numbers(tmp_path: Path) -> None:
    lines = [f"2026-01-31T06:00:00Z,m,temp,{n}" for n in range(1000)]
    (tmp_path / "a.csv").write_text("\n".join(["time,equipment,signal,value", *lines]))
    seen = 0
    for first, part in slices(tmp_path / "a.csv", ",", block=100):
        assert first == seen + 2 and part["value"][0] == str(seen)
        seen += part.height
    assert seen == 1000


def test_a_line_end_in_quotes_ends_no_row_wherever_a_slice_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('"ti\nme",note\n' + "".join(f'{n},"a ""{n}""\n, b"\n{n},plain\n' for n in range(40)))
    expected = [(str(n), note) for n in range(40) for note in (f'a "{n}"\n, b', "plain")]
    assert columns(file, ",") == ["ti\nme", "note"]
    for block in range(1, 60, 7):
        assert [row for _, part in slices(file, ",", block) for row in part.rows()] == expected


def test_a_quote_that_is_never_closed_is_said_and_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LONGEST_ROW", 1000)
    (tmp_path / "a.csv").write_text('time,note\n1,a\n2,"b\n' + "3,c\n" * 1000)
    with pytest.raises(files.FileError, match="never closed"):
        list(slices(tmp_path / "a.csv", ",", 100))


def test_what_a_spreadsheet_saved_as_utf_16_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("time,Auftrag\n".encode("utf-16"))
    with pytest.raises(FileError, match="save it as CSV UTF-8"):
        columns(tmp_path / "a.csv", ",")


def test_headings_that_are_there_twice_are_seen(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("time,Auftrag,auftrag\n")
    form = Format(SIGNALS, DEFAULTS | {"format": "wide"})
    assert "auftrag is there more than once" in form.heading_problem(columns(tmp_path / "a.csv", ","))


def test_which_files_are_looked_at_and_when_they_are_finished(tmp_path: Path) -> None:
    for name in ("b.csv", "a.CSV", ".hidden.csv", "c.csv.tmp", "d.csv~", "e.csv.part", "f.txt", "g.parquet"):
        (tmp_path / name).write_text("x")
    (tmp_path / "dir.csv").mkdir()
    found, others = candidates(tmp_path)
    assert [look.name for look in found] == ["a.CSV", "b.csv", "g.parquet"] and others == 1
    settling, small, grown = Settling(2.0), Look("a", 1, 1, 1), Look("a", 2, 1, 1)
    assert settling.finished([small], 0.0) == []
    assert settling.finished([grown], 1.9) == []
    assert settling.finished([grown], 3.8) == []
    assert settling.finished([grown], 3.9) == [grown]
    assert Settling(0.0).finished([small], 0.0) == [small]


def test_nothing_is_overwritten_when_files_are_put_away(tmp_path: Path) -> None:
    for text in "123":
        (tmp_path / "a.csv").write_text(text)
        put_away(tmp_path / "a.csv", tmp_path / "done")
    assert {f.name: f.read_text() for f in (tmp_path / "done").iterdir()} == {
        "a.csv": "1",
        "a-2.csv": "2",
        "a-3.csv": "3",
    }
    (tmp_path / "a.csv").write_text("x")
    to = set_aside(tmp_path / "a.csv", "row 3 is wrong")
    assert to.with_name("a.csv.txt").read_text() == "row 3 is wrong\n"


def test_check_names_what_is_wrong_and_the_fix() -> None:
    options = {
        "path": "p",
        "format": "wide",
        "zone": "Berlin",
        "delimiter": "tab",
        "decimal": ";",
        "time_column": "t",
    }
    assert len(check(Source(id="s", protocol="folder", options=options), ())) == 3
    same = {"path": "p", "decimal": ","}
    assert "both ','" in check(Source(id="s", protocol="folder", options=same), ())[0]
    twice = (SIGNALS[0], Signal(id="x", equipment="m", role=Role.GOOD, source="s", address=" zustand "))
    wide = Source(id="s", protocol="folder", options={"path": "p", "format": "wide", "time_column": "temp"})
    problems = check(wide, (*twice, SIGNALS[2]))
    assert (
        len(problems) == 2 and "also that of m.state" in problems[0] and "column of the times" in problems[1]
    )


def test_a_folder_that_was_taken_away_meanwhile_is_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    with pytest.raises(FileNotFoundError):
        put_away(folder / "a.csv", folder / files.DONE)
    assert not folder.exists()
