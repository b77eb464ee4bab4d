"""Cycle times from counters and signals."""

from datetime import UTC, datetime, timedelta

import polars as pl

from analytics.facts.cycles import cycle_times
from plant.frames import CYCLES, INCREMENTS, INTERVALS

START = datetime(2026, 3, 2, 6, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def parts(*rows: tuple[float, str, int] | tuple[float, str, int, str]) -> pl.DataFrame:
    made = [("m", at(t), kind, n, *(flag or [None])) for t, kind, n, *flag in rows]
    return pl.DataFrame(made, schema=dict(INCREMENTS), orient="row")


def states(*rows: tuple[float, float, str]) -> pl.DataFrame:
    made = [("m", at(a), at(b), state, state, None) for a, b, state in rows]
    return pl.DataFrame(made, schema=dict(INTERVALS), orient="row")


def seconds(found: pl.DataFrame) -> list[tuple[float, float, int]]:
    rows = found.select("time", "cycle", "parts").iter_rows()
    return [((time - START).total_seconds(), cycle / 1e6, count) for time, cycle, count in rows]


def test_the_time_between_two_readings_is_shared_by_the_parts_of_the_second() -> None:
    made = parts((10, "good", 1), (22, "good", 1), (42, "good", 3), (52, "reject", 1))
    found = cycle_times(made, states((0, 100, "running")))
    assert seconds(found) == [(22, 12, 1), (42, 6.666666, 3), (52, 10, 1)]


def test_time_stopped_is_not_counted() -> None:
    made = parts((10, "good", 1), (40, "good", 1))
    found = cycle_times(made, states((0, 15, "running"), (15, 33, "down"), (33, 100, "running")))
    assert seconds(found) == [(40, 12, 1)]


def test_what_nobody_can_know_is_left_out() -> None:
    seen = states((0, 20, "running"), (20, 22, "unknown"), (22, 50, "running"), (55, 100, "running"))
    made = parts((10, "good", 1), (30, "good", 1), (40, "good", 1), (60, "good", 1), (70, "good", 2, "reset"))
    assert seconds(cycle_times(made, seen)) == [(40, 10, 1)]


def test_a_total_counter_counts_alone() -> None:
    made = parts((10, "total", 1), (10, "good", 1), (20, "total", 1), (20, "reject", 1), (20, "good", 0))
    assert seconds(cycle_times(made, states((0, 100, "running")))) == [(20, 10, 1)]


def test_a_signal_for_cycles_stands_in_place_of_the_counter() -> None:
    made, seen = parts((10, "good", 1), (20, "good", 1)), states((0, 100, "running"))
    measured = pl.DataFrame([("m", at(12), 11_500_000, 1)], schema=dict(CYCLES), orient="row")
    assert seconds(cycle_times(made, seen, measured)) == [(12, 11.5, 1)]
    pulses = pl.DataFrame([("m", at(t), None, 1) for t in (5, 12, 20)], schema=dict(CYCLES), orient="row")
    assert seconds(cycle_times(made, seen, pulses)) == [(12, 7, 1), (20, 8, 1)]
