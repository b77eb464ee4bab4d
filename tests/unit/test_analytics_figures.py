"""Summaries, losses and forecasts over ledgers of known content."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics.figures import buckets
from analytics.figures.losses import pareto, stops, waterfall
from analytics.figures.summary import summarise
from analytics.forecast import finish as forecast
from analytics.forecast import plannedtime
from analytics.forecast.pace import RATED, paces
from analytics.kpis import catalogue
from pipelines.derive import derive
from plant.frames import LEDGER, ORDER_RUNS, SAMPLES, Window, empty
from plant.model import (
    Break,
    Convention,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Role,
    Shift,
    Signal,
    Site,
    StateMapping,
    WorkCalendar,
)
from plant.states import MachineState, TimeCategory

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 2, 5, tzinfo=UTC)  # 06:00 in Berlin
STATES = {
    "run": StateMapping(state=MachineState.RUNNING),
    "stop": StateMapping(state=MachineState.DOWN),
    "jam": StateMapping(state=MachineState.DOWN, reason="jam"),
    "starved": StateMapping(state=MachineState.STARVED),
}
EARLY = Shift(
    id="early", name="Early", start=time(6), end=time(14), breaks=(Break(start=time(10), end=time(10, 30)),)
)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def plant(calendar: str | None = "c") -> Plant:
    """filler (counter and cycle), capper (counter, no cycle) and mixer (state only) on one line."""
    line = Equipment(id="line", name="Line", level=EquipmentLevel.PRODUCTION_LINE)
    machines = [
        Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, parent="line", calendar=calendar)
        for m in ("filler", "capper", "mixer")
    ]
    signals = [Signal(id="state", equipment=m.id, role=Role.STATE, states=STATES) for m in machines]
    signals += [Signal(id="good", equipment=m, role=Role.GOOD) for m in ("filler", "capper")]
    signals += [Signal(id="reject", equipment=m, role=Role.REJECT) for m in ("filler", "capper")]
    cycle = IdealCycle(equipment="filler", cycle=timedelta(seconds=30))
    return Plant(
        site=Site(id="s", name="s", zone=BERLIN),
        equipment={e.id: e for e in (line, *machines)},
        signals={(s.equipment, s.id): s for s in signals},
        materials={"p": Material(id="p", name="p", ideal_cycles=(cycle,))},
        calendars={"c": WorkCalendar(id="c", shifts=(EARLY,))},
    )


def samples(*points: tuple[float, str, str, str | int]) -> pl.DataFrame:
    rows = [
        (
            at(minute),
            machine,
            signal,
            None if isinstance(value, str) else float(value),
            value if isinstance(value, str) else None,
            0,
            at(minute),
        )
        for minute, machine, signal, value in points
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


RUNS = pl.DataFrame([("filler", at(0), None, "A1", "p")], schema=dict(ORDER_RUNS), orient="row")
HOUR = samples(
    *((0, m, s, 0) for m in ("filler", "capper") for s in ("good", "reject")),
    *((0, m, "state", "run") for m in ("filler", "capper", "mixer")),
    (20, "filler", "state", "jam"),
    (35, "filler", "state", "stop"),
    (40, "filler", "state", "run"),
    (50, "filler", "state", "jam"),
    (51, "filler", "state", "run"),
    (59, "filler", "good", 60),
    (59, "filler", "reject", 10),
    (59, "capper", "good", 90),
    (59, "capper", "reject", 10),
    (55, "mixer", "state", "starved"),
)


def ledger(minutes: float = 60, edges: Sequence[datetime] = ()) -> pl.DataFrame:
    return derive(HOUR, plant(), Window(at(0), at(minutes)), runs=RUNS, until=at(minutes), edges=edges)


def test_every_kpi_says_what_it_divides() -> None:
    row = summarise(ledger(), ["equipment"], plant()).filter(pl.col("equipment") == "filler")
    found = row.row(0, named=True)
    assert (found["availability"], found["availability_numerator"]) == (40 / 60, 40 * 60_000_000)
    assert found["performance"] == pytest.approx(35 / 40)
    assert found["quality"] == pytest.approx(6 / 7)
    assert found["oee"] == pytest.approx(0.5)
    assert found["oee"] == pytest.approx(found["availability"] * found["performance"] * found["quality"])
    iso = summarise(ledger(), ["equipment"], plant(), Convention.ISO22400).row(1, named=True)
    assert (iso["equipment"], iso["availability"], iso["oee"]) == ("filler", 39 / 60, found["oee"])
    assert set(catalogue()) >= {"availability", "performance", "quality", "oee", "teep", "coverage"}
    for kpi in catalogue().values():
        assert set(kpi.formulas) == set(Convention), kpi.id
        assert kpi.source and all(f.text for f in kpi.formulas.values()), kpi.id


def test_what_cannot_be_rated_has_no_performance_and_does_not_lower_the_line() -> None:
    rows = {r["equipment"]: r for r in summarise(ledger(), ["equipment"], plant()).iter_rows(named=True)}
    assert (rows["mixer"]["availability"], rows["mixer"]["oee"], rows["mixer"]["quality"]) == (
        55 / 60,
        None,
        None,
    )
    assert (rows["capper"]["performance"], rows["capper"]["quality"], rows["capper"]["unrated"]) == (
        None,
        0.9,
        100,
    )
    line = summarise(ledger(), ["line"], plant()).row(0, named=True)
    assert (line["line"], line["oee"], line["busy"]) == ("line", rows["filler"]["oee"], 3 * 3600 * 10**6)


def test_no_planned_time_gives_no_value_and_unknown_time_is_coverage() -> None:
    off = derive(HOUR, plant(), Window(at(-60), at(0)), runs=RUNS)
    row = summarise(off, [], plant()).row(0, named=True)
    assert (row["oee"], row["availability"], row["coverage"], row["utilisation"]) == (None, None, None, 0.0)
    half = derive(samples((30, "filler", "state", "run")), plant(), Window(at(0), at(60)), runs=RUNS)
    filler = (
        summarise(half, ["equipment"], plant()).filter(pl.col("equipment") == "filler").row(0, named=True)
    )
    assert (filler["coverage"], filler["availability"], filler["oee"]) == (0.5, 1.0, 0.0)
    assert summarise(empty(LEDGER), [], plant()).is_empty()


def test_hours_and_days_are_local_and_need_rows_cut_at_them() -> None:
    fall = Window(datetime(2026, 10, 24, 20, tzinfo=UTC), datetime(2026, 10, 26, 4, tzinfo=UTC))
    cuts = buckets.edges(fall, BERLIN, "hour", "day")
    days = buckets.edges(fall, BERLIN, "day")
    assert len(cuts) == 31
    assert days == [datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)]
    whole = derive(HOUR, plant(None), fall)
    with pytest.raises(ValueError, match=r"buckets\.edges"):
        summarise(whole, ["day"], plant(None))
    cut = derive(HOUR, plant(None), fall, edges=cuts)
    hours = summarise(cut, ["day"], plant(None))["duration"] / 3 / 3_600_000_000
    assert hours.to_list() == [2, 25, 5]
    assert summarise(cut, ["hour"], plant(None)).height == 32
    with pytest.raises(ValueError, match="cannot group by colour"):
        summarise(whole, ["colour"], plant(None))


def test_days_begin_where_the_clocks_skip_midnight() -> None:
    cairo = ZoneInfo("Africa/Cairo")
    spring = Window(datetime(2026, 4, 23, 12, tzinfo=UTC), datetime(2026, 4, 25, 12, tzinfo=UTC))
    days = [datetime(2026, 4, 23, 22, tzinfo=UTC), datetime(2026, 4, 24, 21, tzinfo=UTC)]
    assert buckets.edges(spring, cairo, "day") == days
    times = pl.Series("t", [spring.start, days[0], days[1] - timedelta(hours=1)])
    assert buckets.bucket(times, cairo, "day").to_list() == [
        datetime(2026, 4, 22, 22, tzinfo=UTC),
        days[0],
        days[0],
    ]


def test_pareto_counts_stops_not_rows() -> None:
    found = pareto(ledger(edges=[at(30)]))
    assert found.select("reason", "duration", "count").rows() == [
        ("jam", 15 * 60_000_000, 1),
        (None, 5 * 60_000_000, 1),
    ]
    assert found["cumulative"].to_list() == [0.75, 1.0]
    micro = pareto(ledger(), [TimeCategory.MICRO_STOP, TimeCategory.STARVED], ["equipment", "category"])
    assert micro.select("equipment", "category", "count").rows() == [
        ("mixer", "starved", 1),
        ("filler", "micro_stop", 1),
    ]
    assert pareto(empty(LEDGER)).is_empty()


def test_stops_are_listed_whole_with_order_and_reason() -> None:
    found = stops(ledger(edges=[at(30)]))
    assert found.select("equipment", "stop_start", "start", "end", "reason", "category", "order").rows() == [
        ("filler", at(20), at(20), at(35), "jam", "unplanned_downtime", "A1"),
        ("filler", at(20), at(35), at(40), None, "unplanned_downtime", "A1"),
        ("filler", at(50), at(50), at(51), "jam", "micro_stop", "A1"),
        ("mixer", at(55), at(55), at(60), None, "starved", None),
    ]


@pytest.mark.parametrize("convention", list(Convention))
def test_the_waterfall_closes(convention: Convention) -> None:
    found = waterfall(derive(HOUR, plant(), Window(at(-60), at(600)), runs=RUNS), plant(), convention)
    level = None
    for kind, duration in found.select("kind", "duration").iter_rows():
        if kind == "loss":
            assert level is not None
            level -= duration
        else:
            assert level in (None, duration)
            level = duration
    assert level == 60 * 30 * 1_000_000
    factor = dict(found.select("step", "factor").iter_rows())["micro_stop"]
    assert factor == ("performance" if convention is Convention.NAKAJIMA else "availability")


def test_a_finish_is_on_planned_time_and_slack_says_how_late() -> None:
    now = at(60)
    rows = ledger(edges=forecast.edges(Window(at(0), now)))
    pace = paces(rows, now)["filler"]
    rated = rows.filter(pl.col("equipment") == "filler", pl.col("category").is_in(RATED))
    rate = rated["good"].sum() / rated["duration"].sum() * 1e6
    assert pace.parts == pytest.approx(rate)
    assert pace.of(timedelta(seconds=30))[0] == pytest.approx(rate)  # every part is of 30 s: the same
    order = forecast.forecast_order(
        pace,
        plant(),
        now,
        equipment="filler",
        material="p",
        quantity=360,
        good=60,
        start=at(0),
        due=at(400),
    )
    # 300 left: at the ideal 30 s before the break of 30 min, at the present rate after it.
    assert order.finish_ideal == at(60 + 150)
    assert order.finish_present is not None and order.slack is not None and order.finish_early is not None
    assert abs(order.finish_present - at(60) - timedelta(seconds=300 / rate, minutes=30)) < timedelta(
        seconds=1
    )
    assert order.slack == at(400) - order.finish_present
    assert order.finish_early < order.finish_present < (order.finish_late or at(10_000))
    assert order.expected == int(360 * 60 / 370)


def test_a_finish_jumps_over_nights_and_has_a_horizon() -> None:
    assert plannedtime.after_planned(plant(), "filler", at(470), timedelta(minutes=20)) == at(24 * 60 + 10)
    assert plannedtime.after_planned(plant(), "filler", at(0), timedelta(days=50)) is None
    assert plannedtime.after_planned(plant(None), "filler", at(0), timedelta(days=50)) == at(50 * 1440)
    nothing = forecast.forecast_order(
        None, plant(), at(0), equipment="filler", material=None, quantity=5, good=0
    )
    assert (nothing.rate, nothing.finish_present, nothing.finish_ideal, nothing.slack, nothing.expected) == (
        None,
        None,
        None,
        None,
        None,
    )
    done = forecast.forecast_order(
        None,
        plant(),
        at(0),
        equipment="filler",
        material="p",
        quantity=5,
        good=6,
        due=at(1),
    )
    assert (done.finish_present, done.slack) == (at(0), timedelta(minutes=1))


def test_a_machine_first_seen_in_the_shift_is_not_behind_for_the_time_before() -> None:
    """It was added to the plant at minute 20 of the hour."""
    since = at(20)
    seen = HOUR.filter(pl.col("time") >= since)
    held = HOUR.filter(pl.col("time") < since).sort("time").group_by("equipment", "signal").last()
    first = held.select(HOUR.columns).with_columns(pl.lit(since).cast(HOUR.schema["time"]).alias("time"))
    rows = derive(pl.concat([first, seen]), plant(), Window(at(0), at(60)), runs=RUNS, until=at(60))
    found = forecast.forecast_shifts(rows, plant(), at(60), ["filler"])["filler"]
    assert (found.target, found.expected) == (900 - 40, 120 - 40)


def test_the_shift_has_a_target_and_a_forecast() -> None:
    rows = ledger(edges=forecast.edges(Window(at(0), at(60))))
    both = forecast.forecast_shifts(rows, plant(), at(60), ["filler", "mixer"])
    found = both["filler"]
    assert (found.shift, found.start, found.end, found.good) == ("early", at(0), at(480), 60)
    assert (found.target, found.expected) == (900, 120)
    pace = paces(rows, at(60), changeovers=True)["filler"]
    assert found.forecast == 60 + int(390 * 60 * pace.parts)
    assert found.spread is not None and found.spread > 0
    assert (both["mixer"].target, both["mixer"].expected) == (None, None)
    assert forecast.forecast_shifts(rows, plant(), at(60), ["mixer"]) == {"mixer": both["mixer"]}
    assert forecast.forecast_shifts(ledger(), plant(), at(481), ["filler"]) == {}
    assert forecast.shift_at(plant(None), "filler", datetime(2026, 10, 25, 12, tzinfo=UTC)) == (
        None,
        datetime(2026, 10, 24, 22, tzinfo=UTC),
        datetime(2026, 10, 25, 23, tzinfo=UTC),
    )


@pytest.mark.parametrize("name", buckets.EVERY)
def test_every_row_finds_its_bucket_where_the_clocks_go_back_half_an_hour(name: str) -> None:
    howe = ZoneInfo("Australia/Lord_Howe")
    first = datetime(2026, 4, 3, 3, 20, tzinfo=UTC)
    times = pl.Series(
        "t", [first + n * timedelta(minutes=10) for n in range(400)], dtype=pl.Datetime("us", "UTC")
    )
    found = times.to_frame().select(buckets.bucket_of("t", Window(first, times[-1]), howe, name))
    assert found.to_series().to_list() == buckets.bucket(times, howe, name).to_list()
