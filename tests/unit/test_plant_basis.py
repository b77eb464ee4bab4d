"""Which past time another plant file makes different."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from plant.basis import basis, dirtied
from plant.frames import Window
from plant.model import (
    CalendarException,
    Convention,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Reason,
    Role,
    Settings,
    Shift,
    Signal,
    Site,
    WorkCalendar,
)

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
PAST = Window(T0, T0 + 30 * DAY)


def plant(**other: Any) -> Plant:
    machines = [
        Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, micro_stop=timedelta(minutes=2), calendar="c")
        for m in "ab"
    ]
    signals = [
        Signal(id=r.value, equipment=m, role=r, address=f"{m}.{r}", min_cycle=timedelta(seconds=5))
        for m in "ab"
        for r in (Role.STATE, Role.GOOD)
    ]
    made: dict[str, Any] = {
        "site": Site(id="s", name="s", zone=ZoneInfo("UTC")),
        "equipment": {m.id: m for m in machines},
        "signals": {(s.equipment, s.id): s for s in signals},
        "materials": {"p": material((20, None))},
        "calendars": {
            "c": WorkCalendar(id="c", shifts=(Shift(id="e", name="e", start=time(6), end=time(14)),))
        },
        "reasons": {"jam": Reason(id="jam", name="Jam")},
    }
    return Plant(**{**made, **other})


def material(*cycles: tuple[float, datetime | None]) -> Material:
    of_a = [IdealCycle(equipment="a", cycle=timedelta(seconds=s), valid_from=at) for s, at in cycles]
    return Material(id="p", name="p", ideal_cycles=tuple(of_a))


def found(after: Plant, before: Plant | None = None) -> list[tuple]:
    changes = dirtied(basis(before or plant()), basis(after), PAST)
    return [
        (d.equipment, (d.window.start - T0) / DAY, (d.window.end - T0) / DAY, d.cause, d.reasons or d.flagged)
        for d in changes
    ]


def edited(of: Plant, key: Any, table: str = "equipment", **fields: Any) -> Plant:
    entries = dict(getattr(of, table))
    entries[key] = replace(entries[key], **fields)
    return replace(of, **{table: entries})


@pytest.mark.parametrize(
    "other",
    [
        lambda p: edited(p, "a", name="Other", description="x", cost_per_hour=9.0),
        lambda p: edited(p, ("a", "good"), "signals", address="ns=2", scale=2.0, unit="pcs"),
        lambda p: replace(p, settings=Settings(target_oee=0.5, convention=Convention.ISO22400)),
        lambda p: edited(p, "jam", "reasons", name="Jammed"),
    ],
    ids=["names", "collection", "reporting", "reason name"],
)
def test_what_no_ledger_row_follows_from_dirties_nothing(other: Callable[[Plant], Plant]) -> None:
    assert found(other(plant())) == []


def test_a_cycle_dirties_from_its_date_to_the_next() -> None:
    new = (10, T0 + 3 * DAY), (15, T0 + 9 * DAY)
    assert found(plant(materials={"p": material((20, None), *new)})) == [("a", 3, 30, "ideal_cycle", False)]
    before = plant(materials={"p": material((20, None), (15, T0 + 9 * DAY))})
    after = plant(materials={"p": material((20, None), *new)})
    assert found(after, before) == [("a", 3, 9, "ideal_cycle", False)]
    assert found(plant(materials={"p": material((20, None), (20, T0 + 3 * DAY))})) == []
    assert found(plant(materials={"p": material((20, None), (10, T0 + 40 * DAY))})) == []


def test_an_exception_dirties_its_dates_and_another_week_everything() -> None:
    holiday = CalendarException(date=date(2026, 3, 12))
    calendar = plant().calendars["c"]
    off = plant(calendars={"c": replace(calendar, exceptions=(holiday,))})
    assert found(off) == [("a", 8, 12, "plant", False), ("b", 8, 12, "plant", False)]
    later = replace(calendar.shifts[0], end=time(15))
    assert found(plant(calendars={"c": replace(calendar, shifts=(later,))})) == [
        ("a", 0, 30, "plant", False),
        ("b", 0, 30, "plant", False),
    ]


def test_thresholds_and_planned_reasons_and_paces_dirty_what_they_decide() -> None:
    assert found(edited(plant(), "b", micro_stop=timedelta(minutes=3))) == [("b", 0, 30, "plant", False)]
    planned = found(edited(plant(), "jam", "reasons", planned=True))
    assert planned == [("a", 0, 30, "plant", ("jam",)), ("b", 0, 30, "plant", ("jam",))]
    faster = edited(plant(), ("a", "good"), "signals", min_cycle=timedelta(seconds=4))
    assert found(faster) == [("a", 0, 30, "ideal_cycle", True)]
    assert found(plant(), faster) == [("a", 0, 30, "ideal_cycle", False)]


def test_a_new_machine_has_no_past() -> None:
    without = replace(
        plant(),
        equipment={"a": plant().equipment["a"]},
        signals={key: s for key, s in plant().signals.items() if key[0] == "a"},
    )
    assert found(plant(), without) == []
