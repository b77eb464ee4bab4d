"""Pace and its interval against hand-made ledgers, and the cases where nothing can be said."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.forecast.pace import Pace, paces
from plant.frames import LEDGER

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
CYCLE = timedelta(seconds=10)
MINUTE = 60


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def ledger(*rows: tuple[str, int, int], machine: str = "m", cycle: int = 10) -> pl.DataFrame:
    """Rows one after the other: (category, minutes, good parts)."""
    found, begin = [], 0
    for category, minutes, good in rows:
        row = dict.fromkeys(LEDGER, None) | {
            "equipment": machine,
            "start": at(begin),
            "end": at(begin + minutes),
            "stop_start": at(begin),
            "category": category,
            "duration": minutes * 60_000_000,
            "good": good,
            "ideal_good": good * cycle * 1_000_000,
            "unrated": 0 if cycle else good,
        }
        found.append(row)
        begin += minutes
    return pl.DataFrame(found, schema=dict(LEDGER))


def pace(*rows: tuple[str, int, int], cycle: int = 10) -> Pace:
    return paces(ledger(*rows, cycle=cycle), at(sum(r[1] for r in rows)))["m"]


def test_rate_and_variance_are_those_of_the_blocks() -> None:
    found = pace(
        ("running", 15, 80),
        ("unknown", 60, 0),
        ("running", 15, 60),
        ("changeover", 30, 0),
        ("running", 15, 40),
    )
    assert (found.blocks, found.rated) == (3, 2700)
    assert found.parts == pytest.approx(180 / 2700)
    assert found.earned == pytest.approx(1800 / 2700)
    # (20^2 + 0 + 20^2) / 2 parts squared per 900 s.
    assert found.parts_variance == pytest.approx(400 / 900)
    assert found.of(CYCLE) == pytest.approx((found.parts, found.parts_variance))
    assert found.of(timedelta(seconds=20))[0] == pytest.approx(found.parts / 2)


def test_without_ideal_cycles_parts_are_counted() -> None:
    found = pace(("running", 15, 80), ("running", 15, 60), cycle=0)
    assert found.earned is None
    assert found.of(CYCLE)[0] == pytest.approx(140 / 1800)


def test_only_the_last_hours_count() -> None:
    found = pace(("running", 30, 900), *[("running", 15, 60)] * 16)
    assert found.parts == pytest.approx(60 / 900)
    assert found.parts_variance == 0


def test_where_it_cannot_be_said_there_is_no_value() -> None:
    assert paces(ledger(("unknown", 60, 0)), at(60)) == {}
    assert pace(("unplanned_downtime", 60, 0)).needed(10, CYCLE) is None
    once = pace(("running", 10, 60))
    assert once.needed(60, CYCLE) == (pytest.approx(600), None, None)
    assert once.late(60, 600, CYCLE) is None
    assert once.output(600) == (pytest.approx(60), None)
    wild = pace(("running", 15, 200), ("running", 15, 0), ("running", 15, 5))
    expected, soonest, latest = wild.needed(1000, CYCLE) or (0, None, None)
    assert soonest is not None and soonest < expected
    assert latest is None


def test_a_stop_lasts_as_much_longer_as_earlier_ones_did() -> None:
    stops = [
        ("unplanned_downtime", 10, 0),
        ("running", 15, 90),
        ("unplanned_downtime", 30, 0),
        ("running", 15, 90),
    ]
    assert pace(*stops).wait == 0
    # 5 min so far: 5 and 25 min more for those that got so far, and as long again: (5 + 25 + 5) / 3.
    assert pace(*stops, ("unplanned_downtime", 5, 0)).wait == pytest.approx(35 / 3 * MINUTE)
    assert pace(*stops, ("unplanned_downtime", 20, 0)).wait == pytest.approx((10 + 20) / 2 * MINUTE)
    assert pace(*stops, ("unplanned_downtime", 40, 0)).wait == pytest.approx(40 * MINUTE)
    assert pace(*stops, ("planned_downtime", 40, 0)).wait == 0


def test_stops_of_other_machines_say_nothing() -> None:
    both = pl.concat(
        [
            ledger(("unplanned_downtime", 60, 0), ("running", 20, 100)),
            ledger(("running", 70, 400), ("unplanned_downtime", 10, 0), machine="n"),
        ]
    )
    found = paces(both, at(80))
    assert (found["m"].wait, found["n"].wait) == (0, pytest.approx(10 * MINUTE))


@given(
    st.builds(
        Pace,
        parts=st.floats(0.001, 10),
        parts_variance=st.floats(1e-3, 10),
        earned=st.none(),
        earned_variance=st.none(),
        rated=st.floats(1800, 14400),
        blocks=st.integers(2, 16),
        wait=st.floats(0, 7200),
    ),
    st.integers(1, 10_000),
)
def test_interval_and_probability_are_one_statement(found: Pace, parts: int) -> None:
    expected, soonest, latest = found.needed(parts, None) or (0, None, None)
    assert soonest is not None
    assert soonest <= expected + 1e-6
    assert latest is None or latest >= expected - 1e-6
    risks = [found.late(parts, seconds, None) for seconds in (soonest, expected, latest or 1e12)]
    assert all(a is not None and b is not None and a >= b - 1e-9 for a, b in pairwise(risks))
    if latest is not None and latest > found.wait + 1 and found.parts_variance:
        assert found.late(parts, latest, None) == pytest.approx(0.1, abs=1e-3)


def test_the_interval_is_that_of_students_t() -> None:
    found = pace(*[("running", 15, 80), ("running", 15, 60)] * 4)
    spread = (800 / 7 / 900 * (600 + 600**2 / 7200)) ** 0.5
    # t of 7 degrees of freedom, 0.9.
    assert found.output(600) == pytest.approx((70 / 900 * 600, 1.415 * spread), rel=3e-3)


def test_what_is_made_until_then_is_made_after_the_stop() -> None:
    rows = ("running", 15, 90), ("running", 15, 90), ("unplanned_downtime", 5, 0)
    found = pace(*rows)
    assert found.wait == 5 * MINUTE
    assert found.output(5 * MINUTE)[0] == 0
    assert found.output(15 * MINUTE)[0] == pytest.approx(found.parts * 10 * MINUTE)


def test_a_stop_that_is_still_short_is_waited_for_too() -> None:
    assert pace(("running", 15, 90), ("micro_stop", 1, 0)).wait == MINUTE


def test_time_that_counts_is_of_the_last_day_and_with_changeovers_where_asked() -> None:
    assert pace(("running", 15, 10), ("unknown", 24 * 60, 0), ("running", 15, 90)).rated == 900
    rows = ledger(("changeover", 15, 0), ("running", 15, 90))
    assert paces(rows, at(30))["m"].rated == 900
    assert paces(rows, at(30), changeovers=True)["m"].rated == 1800


def test_one_part_without_an_ideal_cycle_and_parts_are_counted() -> None:
    rows = ledger(("running", 15, 80), ("running", 15, 60)).with_columns(unrated=pl.Series([1, 0]))
    assert paces(rows, at(30))["m"].earned is None
