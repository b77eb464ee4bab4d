"""Figures of any ledger: they add up, they close, and the rows behind them are all there is to them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.figures.buckets import bucket
from analytics.figures.cells import CELLS, cells, uneven
from analytics.figures.elements import SUMS
from analytics.figures.explain import explain
from analytics.figures.losses import six_big_losses, waterfall, waterfall_rows
from analytics.figures.reliability import loose
from analytics.figures.summary import summarise
from analytics.kpis import catalogue
from plant.frames import LEDGER, Window
from plant.model import Convention, Equipment, EquipmentLevel, IdealCycle, Material, Plant, Role, Signal, Site
from plant.states import MachineState, TimeCategory
from tests.examples import examples

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
SECOND = 1_000_000
CYCLES = {"p": 2, "q": 5}
"""Seconds; x has none."""
MACHINES = ("a", "b", "c")


def _plant() -> Plant:
    line = Equipment(id="l", name="l", level=EquipmentLevel.PRODUCTION_LINE)
    machines = [
        Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, parent="l", cost_per_hour=60.0)
        for m in MACHINES
    ]
    counted = {
        (m, r.value): Signal(id=r.value, equipment=m, role=r)
        for m in ("a", "b")
        for r in (Role.STATE, Role.GOOD)
    }
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={e.id: e for e in (line, *machines)},
        signals=counted | {("c", "state"): Signal(id="state", equipment="c", role=Role.STATE)},
        materials={
            p: Material(
                id=p,
                name=p,
                value=3.0,
                ideal_cycles=tuple(IdealCycle(equipment=m, cycle=timedelta(seconds=s)) for m in ("a", "b")),
            )
            for p, s in CYCLES.items()
        }
        | {"x": Material(id="x", name="x")},
    )


PLANT = _plant()
row = st.tuples(
    st.sampled_from(MACHINES),
    st.sampled_from(("p", "q", "x", None)),
    st.sampled_from(list(TimeCategory)),
    st.sampled_from(list(MachineState)),
    st.sampled_from(("jam", "tool", None)),
    st.sampled_from(("early", "late", None)),
    st.integers(1, 10_000),
    st.integers(0, 50),
    st.integers(0, 9),
    st.integers(0, 9),
)
rows = st.lists(row, max_size=40)


def ledger(drawn: list[tuple[object, ...]]) -> pl.DataFrame:
    reached = dict.fromkeys(MACHINES, START)
    full = []
    for machine, material, category, state, reason, shift, seconds, good, reject, rework in drawn:
        begin = reached[machine]
        reached[machine] = begin + timedelta(seconds=seconds)
        cycle = CYCLES.get(material, 0) * SECOND if machine != "c" else 0
        made = good + reject + rework
        full.append(
            dict.fromkeys(LEDGER)
            | {
                "equipment": machine,
                "line": "l",
                "start": begin,
                "end": reached[machine],
                "stop_start": begin,
                "shift": shift,
                "order": "A" if material == "p" else None,
                "material": material,
                "state": state.value,
                "reason": reason,
                "category": category.value,
                "duration": seconds * SECOND,
                "good": good,
                "reject": reject,
                "rework": rework,
                "startup": reject // 2,
                "ideal": made * cycle,
                "ideal_good": good * cycle,
                "unrated": 0 if cycle else made,
                "flagged": 0,
            }
        )
    return pl.DataFrame(full, schema=dict(LEDGER), orient="row")


@given(
    drawn=rows, by=st.sampled_from((["shift"], ["equipment", "reason"], ["product"], ["category", "order"]))
)
@examples(40)
def test_groups_add_up_to_the_whole(drawn: list[tuple[object, ...]], by: list[str]) -> None:
    of = ledger(drawn)
    groups, whole = summarise(of, by, PLANT), summarise(of, [], PLANT)
    assert (
        groups.height
        == of.select(pl.struct(pl.col("material" if n == "product" else n) for n in by).n_unique()).item()
    )
    if whole.height:
        assert groups.select(pl.col(list(SUMS)).sum()).equals(whole.select(list(SUMS)))
        (known,) = whole.select(pl.col("AUBT") + pl.col("ADOT") + pl.col("unknown") - pl.col("PBT")).row(0)
        assert known == 0


@given(
    drawn=rows,
    by=st.sampled_from(([], ["day"], ["equipment", "reason"], ["product", "shift"], ["state", "category"])),
    zone=st.sampled_from(("UTC", "America/New_York")),
    since=st.integers(-20_000, 100_000),
)
@examples(40)
def test_cells_add_up_to_what_their_rows_do(
    drawn: list[tuple[object, ...]], by: list[str], zone: str, since: int
) -> None:
    first = START + timedelta(seconds=since)
    cycle = IdealCycle(equipment="b", cycle=timedelta(seconds=5), valid_from=first)
    materials = PLANT.materials | {"q": replace(PLANT.materials["q"], ideal_cycles=(cycle,))}
    plant = replace(PLANT, site=replace(PLANT.site, zone=ZoneInfo(zone)), materials=materials)
    of = ledger(drawn)
    day = bucket(of["start"], plant.site.zone, "day")
    of = of.filter(bucket(of["end"] - timedelta(microseconds=1), plant.site.zone, "day") == day)
    found = cells(of, plant.site.zone)
    assert found.schema == CELLS and found.height <= of.height
    broken = uneven(plant, Window(START, START + timedelta(days=10)))
    assert broken <= {"b"}
    of, found = (f.filter(~pl.col("equipment").is_in(sorted(broken))) for f in (of, found))
    wanted = summarise(of, by, plant, kpis=catalogue())
    assert summarise(found, by, plant, kpis=catalogue(), failing=loose(of)).equals(wanted)
    assert_frame_equal(six_big_losses(found, plant), six_big_losses(of, plant))


def test_a_first_ideal_cycle_within_a_day_makes_its_machine_uneven() -> None:
    def found(since: datetime, zone: str = "UTC") -> set[str]:
        cycle = IdealCycle(equipment="a", cycle=timedelta(seconds=5), valid_from=since)
        materials = {"q": replace(PLANT.materials["q"], ideal_cycles=(cycle,))}
        plant = replace(PLANT, site=replace(PLANT.site, zone=ZoneInfo(zone)), materials=materials)
        return uneven(plant, Window(START, START + timedelta(days=3)))

    midnight = START + timedelta(hours=18)
    assert found(midnight) == set()
    assert found(midnight + timedelta(seconds=1)) == {"a"}
    assert found(midnight, "Europe/Berlin") == {"a"}
    assert found(START - timedelta(seconds=1)) == found(START + timedelta(days=3)) == set()


@given(drawn=rows, convention=st.sampled_from(list(Convention)))
@examples(30)
def test_losses_close_to_the_microsecond(drawn: list[tuple[object, ...]], convention: Convention) -> None:
    of = ledger(drawn)
    level = None
    for step, kind, _, duration, rows in waterfall(of, PLANT, convention).iter_rows():
        behind = waterfall_rows(of, PLANT, step)
        assert (behind["amount"].sum(), behind.height) == (duration, rows)
        level = (level or 0) - duration if kind == "loss" else duration if level is None else level
        assert kind == "loss" or level == duration
    known = of.filter(~pl.col("category").is_in(["not_scheduled", "planned_downtime", "unknown"]))[
        "duration"
    ].sum()
    assert six_big_losses(of, PLANT)["duration"].sum() == known


@pytest.mark.parametrize("kpi", list(catalogue()))
@given(drawn=rows, convention=st.sampled_from(list(Convention)))
@examples(6)
def test_the_rows_behind_a_figure_are_all_of_it(
    kpi: str, drawn: list[tuple[object, ...]], convention: Convention
) -> None:
    of = ledger(drawn)
    found = explain(catalogue()[kpi], of, PLANT, convention)
    if of.is_empty():
        assert found.note and found.value is None
        return
    table = summarise(of, [], PLANT, convention, [kpi]).row(0, named=True)
    assert found.value == table[kpi]
    if found.value is None:
        assert found.note
        return
    sides = {}
    for side in found.sides:
        amounts = side.groups["amount"]
        sides[side.name] = amounts.product() if side.unit == "1" else amounts.sum()
        assert sides[side.name] == pytest.approx(side.amount)
        assert side.unit == "1" or side.rows["amount"].sum() == amounts.sum()
        assert side.groups["rows"].sum() == side.rows.height
    ratio = sides["numerator"] / sides["denominator"] * sides.get("times", 1) / sides.get("over", 1)
    assert found.value == pytest.approx(ratio * found.kpi.scale)


@given(drawn=rows, convention=st.sampled_from(list(Convention)))
@examples(40)
def test_oee_is_its_factors_where_everything_is_rated(
    drawn: list[tuple[object, ...]], convention: Convention
) -> None:
    rated = [("a", "p", *one[2:]) for one in drawn]
    found = summarise(ledger(rated), [], PLANT, convention)
    for line in found.iter_rows(named=True):
        factors = [line[name] for name in ("availability", "performance", "quality")]
        if None not in factors:
            assert line["oee"] == pytest.approx(factors[0] * factors[1] * factors[2])


@given(drawn=rows)
@examples(20)
def test_no_share_is_below_nothing(drawn: list[tuple[object, ...]]) -> None:
    found = summarise(ledger(drawn), ["equipment"], PLANT, kpis=catalogue())
    bounded = [
        k.id
        for k in catalogue().values()
        if k.unit == "1" and k.id not in ("performance", "oee", "teep", "ooe", "nee", "fall_off_ratio")
    ]
    for name in bounded:
        assert found[name].drop_nulls().is_between(0, 1 + 1e-12).all(), name
