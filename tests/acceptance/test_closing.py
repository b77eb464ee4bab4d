"""Shifts close exactly once, whatever calendars the lines of a plant work by, over the change of the clocks."""

import tomllib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.ledger.closing import close_shifts
from infra.ledger.replanning import follow_plant
from infra.records.corrections import Restatements
from infra.records.jobs import ShiftClosure, ShiftClosures
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from infra.shifts import named
from plant.frames import Window
from plant.model import Plant
from plant.parse import parse
from tests.crash.closing_process import END, START, looks, prepare, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prepare(tmp_path / "data")
    return tmp_path / "data"


def kept(runtime: Runtime) -> tuple[list[ShiftClosure], pl.DataFrame]:
    with runtime.database.read() as connection:
        span = LedgerRows(connection).span()
        assert span is not None
        closures = ShiftClosures(connection).begun_in(Window(START - timedelta(days=2), END))
        return closures, LedgerRows(connection).touching(span)


def check_each_row_is_in_one_closure(runtime: Runtime, lines: str = "abc") -> list[ShiftClosure]:
    """What was scheduled until the last close is published once, but for shifts still running; machines are covered."""
    closures, rows = kept(runtime)
    keys = Counter((c.equipment, c.shift, c.shift_start) for c in closures)
    assert set(keys.values()) == {1}
    for (_,), mine in rows.partition_by("equipment", as_dict=True).items():
        assert mine["start"].to_list() == [START, *mine["end"].to_list()][:-1]
    of_shifts = named(runtime.plant, rows).drop_nulls("shift").filter(pl.col("line").is_in(list(lines)))
    sums = of_shifts.group_by("line", "shift", "shift_start").agg(pl.col("good").sum(), pl.col("end").max())
    stored = rows["end"].max()
    for line, shift, start, good, end in sums.iter_rows():
        closure = next(
            (c for c in closures if (c.equipment, c.shift, c.shift_start) == (line, shift, start)), None
        )
        if closure is None:
            assert end == stored, f"{shift} of {line} at {start} ended at {end} and was not closed"
        else:
            assert (closure.figures["good"], closure.figures["end"]) == (good, end.isoformat())
    return closures


def at(*wall: int) -> datetime:
    return datetime(*wall, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_lines_with_their_own_hours_close_their_own_shifts(data: Path) -> None:
    with running(data) as runtime:
        for now in looks():
            close_shifts(runtime, now)
            assert close_shifts(runtime, now) == 0
        closures = check_each_row_is_in_one_closure(runtime)
    found = {
        line: [(c.shift, f"{c.shift_start:%d %H:%M}") for c in closures if c.equipment == line]
        for line in "abc"
    }
    assert found["a"] == [
        ("night", "23 20:00"),
        ("early", "24 04:00"),
        ("extra", "24 13:00"),  # instead of late and night: that one would have had nine hours
        ("early", "25 05:00"),
        ("late", "25 13:00"),
    ]
    assert found["b"] == [
        ("night", "23 17:00"),
        ("day", "24 05:00"),
        ("night", "24 17:00"),  # begins on day 3 and lasts thirteen hours
        ("day", "25 06:00"),
    ]
    assert [name for name, _ in found["c"]] == ["night", "early", "extra", "early", "late"]
    long = next(c for c in closures if (c.equipment, c.shift_start) == ("b", at(2026, 10, 24, 17)))
    assert long.figures["end"] == at(2026, 10, 25, 6).isoformat()


def test_how_often_one_looks_does_not_matter(data: Path) -> None:
    with running(data) as runtime:
        for now in looks():
            close_shifts(runtime, now)
        often = [(c.equipment, c.shift, c.shift_start, c.figures) for c in kept(runtime)[0]]
    prepare(data.with_name("once"))
    with running(data.with_name("once")) as runtime:
        close_shifts(runtime, END)
        assert [(c.equipment, c.shift, c.shift_start, c.figures) for c in kept(runtime)[0]] == often


def changed(data: Path, good: str, bad: str) -> Plant:
    text = (data / "plant.toml").read_text()
    assert good in text
    return parse({"plant.toml": tomllib.loads(text.replace(good, bad))})


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('end = "19:00"', 'end = "10:00"'),  # it ended before the plant file said so
        ('id = "day"', 'id = "tag"'),
        ('shifts = ["early"]\nadd', 'shifts = ["early", "night"]\nadd'),
        ('equipment = ["a"]', 'equipment = ["a3"]'),
    ],
)
def test_a_plant_file_changed_between_closes_nothing_twice_and_forgets_nothing(
    data: Path, good: str, bad: str
) -> None:
    change = at(2026, 10, 24, 12, 30)  # Saturday 14:30: the early shift is over, the day of line b is not
    with running(data) as runtime:
        for now in looks():
            if now < change:
                close_shifts(runtime, now)
    with running(data, changed(data, good, bad)) as runtime:
        for now in looks():
            if now >= change:
                close_shifts(runtime, now)
        closures = check_each_row_is_in_one_closure(runtime)
    assert Counter(c.equipment for c in closures).keys() == {"a", "b", "c"}


@pytest.mark.parametrize("late", [False, True], ids=["before its new end", "after its new end"])
def test_a_shift_that_is_lengthened_after_it_was_closed_stays_as_reported_and_is_corrected(
    data: Path, late: bool
) -> None:
    """Line a works an extra shift from 15:00 to 19:30; later the plant file says that it was until 21:00."""
    closed, told = at(2026, 10, 24, 17, 45), at(2026, 10, 24, 21 if late else 18)
    with running(data) as runtime:
        close_shifts(runtime, closed)
        follow_plant(runtime, closed)
        if late:
            close_shifts(runtime, told)
        reported = {(c.equipment, c.shift, c.shift_start): c.figures for c in kept(runtime)[0]}
    key = "a", "extra", at(2026, 10, 24, 13)
    assert reported[key]["end"] == at(2026, 10, 24, 17, 30).isoformat()
    with running(data, changed(data, 'end = "19:30"', 'end = "21:00"')) as runtime:
        follow_plant(runtime, told)
        for now in (told, at(2026, 10, 24, 19, 30), END):
            close_shifts(runtime, now)
        closures, rows = kept(runtime)
        present = {(c.equipment, c.shift, c.shift_start): c.figures for c in closures}
        assert {name: present[name] for name in reported} == reported, "as reported never changes"
        with runtime.database.read() as connection:
            made = Restatements(connection).of(*key)
            others = [Restatements(connection).of(*name) for name in present if name != key]
        mine = named(runtime.plant, rows).filter(
            pl.col("line") == "a", pl.col("shift") == "extra", pl.col("shift_start") == key[2]
        )
        assert mine["end"].max() == at(2026, 10, 24, 19)
        assert len(made) == 1 and made[0].cause == "plant"
        assert made[0].figures["end"] == at(2026, 10, 24, 19).isoformat()
        assert made[0].figures["good"] == mine["good"].sum() > reported[key]["good"]
        assert others == [[]] * len(others)


EXTRA = 'shifts = ["early"]\nadd = [{ id = "extra", name = "Extra", start = "15:00", end = "19:30" }]'


@pytest.mark.parametrize("before", ["shifts = []", 'shifts = ["early"]'], ids=["a free day", "half a day"])
def test_overtime_entered_after_the_day_is_closed_once(data: Path, before: str) -> None:
    """On Saturday line a works an early and an extra shift, which the plant file tells on Sunday. Line c, which works around
    the clock, stays reported as it was."""
    told = at(2026, 10, 25, 12)
    with running(data, changed(data, EXTRA, before)) as runtime:
        close_shifts(runtime, told)
        follow_plant(runtime, told)
        reported = {(c.equipment, c.shift, c.shift_start): c.figures for c in kept(runtime)[0]}
    extra, early = ("a", "extra", at(2026, 10, 24, 13)), ("a", "early", at(2026, 10, 24, 4))
    assert extra not in reported
    with running(data) as runtime:
        for _ in range(2):
            follow_plant(runtime, told)
            assert close_shifts(runtime, told) == 0
        present = {
            (c.equipment, c.shift, c.shift_start): c.figures
            for c in check_each_row_is_in_one_closure(runtime, "ab")
        }
    assert {name: present[name] for name in reported} == reported, "as reported never changes"
    assert present.keys() - reported.keys() == {extra, early} - reported.keys()
    assert present[extra]["good"] > 0 and present[extra]["end"] == at(2026, 10, 24, 17, 30).isoformat()


def test_a_shift_that_is_moved_after_it_was_closed_is_not_closed_twice(data: Path) -> None:
    told = at(2026, 10, 25, 12)
    with running(data) as runtime:
        close_shifts(runtime, told)
        follow_plant(runtime, told)
        reported = [(c.equipment, c.shift, c.shift_start, c.figures) for c in kept(runtime)[0]]
    with running(data, changed(data, 'start = "15:00"', 'start = "16:00"')) as runtime:
        follow_plant(runtime, told)
        close_shifts(runtime, told)
        assert [(c.equipment, c.shift, c.shift_start, c.figures) for c in kept(runtime)[0]] == reported
        with runtime.database.read() as connection:
            made = Restatements(connection).of("a", "extra", at(2026, 10, 24, 13))
    assert made, "it says what is left of it"
