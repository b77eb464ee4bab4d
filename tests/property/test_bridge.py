"""The OEE bridge closes to zero whatever the two windows hold, and says what a person would say in plain cases."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.figures.summary import summarise
from analytics.improvement.bridge import NothingToCompareError, bridge
from plant.frames import LEDGER
from plant.model import (
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Role,
    Signal,
    Site,
    StateMapping,
)
from plant.states import MachineState, TimeCategory
from tests.examples import examples

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
SECOND = 1_000_000
CYCLES = {("a", "p"): 2, ("a", "q"): 5, ("b", "p"): 3, ("b", "q"): 3}
RUN, DOWN, MICRO = TimeCategory.RUNNING, TimeCategory.UNPLANNED_DOWNTIME, TimeCategory.MICRO_STOP
Row = tuple[str, str, TimeCategory, str | None, int, int, int]
"""Machine, product, category, reason, seconds, good and reject."""


def plant() -> Plant:
    machines = ("a", "b")
    states = {"1": StateMapping(state=MachineState.RUNNING)}
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT) for m in machines},
        signals={
            (m, role.value): Signal(
                id=role.value, equipment=m, role=role, states=states if role is Role.STATE else {}
            )
            for m in machines
            for role in (Role.STATE, Role.GOOD, Role.REJECT)
        },
        materials={
            p: Material(
                id=p,
                name=p,
                ideal_cycles=tuple(
                    IdealCycle(equipment=m, cycle=timedelta(seconds=s))
                    for (m, made), s in CYCLES.items()
                    if made == p
                ),
            )
            for p in ("p", "q")
        },
    )


PLANT = plant()


def ledger(*rows: Row) -> pl.DataFrame:
    reached = dict.fromkeys(("a", "b"), START)
    full = []
    for machine, material, category, reason, seconds, good, reject in rows:
        begin, reached[machine] = reached[machine], reached[machine] + timedelta(seconds=seconds)
        cycle = CYCLES[machine, material] * SECOND
        values = dict.fromkeys(LEDGER) | {
            "equipment": machine,
            "start": begin,
            "end": reached[machine],
            "line": "l",
            "material": material,
            "state": "running" if category is RUN else "down",
            "stop_start": begin,
            "reason": reason,
            "category": category.value,
            "duration": seconds * SECOND,
            "good": good,
            "reject": reject,
            "ideal": (good + reject) * cycle,
            "ideal_good": good * cycle,
        }
        numbers = [name for name, kind in LEDGER.items() if kind == pl.Int64]
        full.append(values | {name: values[name] or 0 for name in numbers})
    return pl.DataFrame(full, schema=dict(LEDGER)).sort("equipment", "start")


def oee(rows: pl.DataFrame) -> float:
    return float(summarise(rows, [], PLANT)["oee"].item())


ROW = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from("pq"),
    st.sampled_from([RUN, RUN, DOWN, MICRO, TimeCategory.CHANGEOVER, TimeCategory.UNKNOWN]),
    st.sampled_from([None, "jam", "tool"]),
    st.integers(1, 5000),
    st.integers(0, 400),
    st.integers(0, 40),
)
KNOWN = st.lists(ROW, min_size=1, max_size=8).filter(
    lambda rows: any(category is not TimeCategory.UNKNOWN for _, _, category, *_ in rows)
)


@given(KNOWN, KNOWN)
@examples(150)
def test_the_points_add_up_to_the_difference_and_change_sign_with_the_windows(
    one: list[Row], two: list[Row]
) -> None:
    before, after = ledger(*one), ledger(*two)
    found, back = bridge(before, after, PLANT), bridge(after, before, PLANT)
    assert found["points"].sum() == pytest.approx(oee(after) - oee(before), abs=1e-9)
    keys = ["effect", "category", "reason", "equipment", "material"]
    both = found.join(back, on=keys, nulls_equal=True, how="full", suffix="_back")
    sums = both.select(pl.col("points").fill_null(0) + pl.col("points_back").fill_null(0)).to_series()
    assert (sums.abs() < 1e-9).all()


@given(KNOWN)
@examples(30)
def test_a_window_does_not_differ_from_itself(rows: list[Row]) -> None:
    assert bridge(ledger(*rows), ledger(*rows), PLANT).is_empty()


def effects(found: pl.DataFrame) -> dict[tuple[str, str | None], float]:
    named = found.select("effect", pl.coalesce("reason", "material"), pl.col("points").round(6)).rows()
    return {(effect, name): points for effect, name, points in named}


def test_what_a_stop_cost_is_the_oee_its_time_would_have_given() -> None:
    before = ledger(("a", "p", RUN, None, 1000, 400, 0))
    after = ledger(("a", "p", RUN, None, 800, 320, 0), ("a", "p", DOWN, "jam", 200, 0, 0))
    assert effects(bridge(before, after, PLANT)) == {("availability", "jam"): -0.16}


def test_speed_and_quality_are_told_apart() -> None:
    before = ledger(("a", "p", RUN, None, 1000, 400, 0))
    after = ledger(("a", "p", RUN, None, 1000, 225, 75))
    assert effects(bridge(before, after, PLANT)) == {
        ("speed", "p"): round((0.6 - 0.8) * (1 + 0.75) / 2, 6),
        ("quality", "p"): round((0.75 - 1) * (0.8 + 0.6) / 2, 6),
    }


def test_another_mix_of_the_same_work_is_only_mix() -> None:
    before = ledger(("a", "p", RUN, None, 500, 250, 0), ("a", "q", RUN, None, 500, 50, 0))
    after = ledger(("a", "p", RUN, None, 900, 450, 0), ("a", "q", RUN, None, 100, 10, 0))
    found = bridge(before, after, PLANT)
    assert set(found["effect"]) == {"mix"}
    assert found["points"].sum() == pytest.approx(0.95 - 0.75)


def test_a_window_without_known_time_is_refused_by_name() -> None:
    known = ledger(("a", "p", RUN, None, 10, 1, 0))
    unknown = ledger(("a", "p", TimeCategory.UNKNOWN, None, 10, 0, 0))
    with pytest.raises(NothingToCompareError, match="second window"):
        bridge(known, unknown, PLANT)


def test_a_window_in_which_nobody_said_what_was_made_is_refused_by_name() -> None:
    known = ledger(("a", "p", RUN, None, 10, 1, 0))
    ran, stopped = ledger(("a", "p", RUN, None, 10, 0, 0), ("a", "p", DOWN, None, 10, 0, 0)).partition_by(
        "start"
    )
    unsaid = pl.concat([ran.with_columns(material=pl.lit(None, pl.String)), stopped])
    with pytest.raises(NothingToCompareError, match="first window has no ideal cycle"):
        bridge(unsaid, known, PLANT)
    assert bridge(stopped, known, PLANT)["points"].sum() == pytest.approx(oee(known))
