"""Swarms of micro-stops."""

from datetime import UTC, datetime, timedelta

import polars as pl

from analytics.improvement.microstops import clusters
from plant.frames import LEDGER
from plant.states import TimeCategory

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
COLUMNS = (
    "equipment",
    "start",
    "end",
    "reason",
    "raw",
    "order",
    "material",
    "stop_start",
    "category",
    "duration",
)


def stops(*spans: tuple[str, float, float, str], cut: bool = False) -> pl.DataFrame:
    """Machine, minute, seconds, raw; `cut`: each stop is two ledger rows."""
    rows = []
    for machine, minute, seconds, raw in spans:
        begin = START + timedelta(minutes=minute)
        pieces = 2 if cut else 1
        for piece in range(pieces):
            start = begin + timedelta(seconds=piece * seconds / pieces)
            end = start + timedelta(seconds=seconds / pieces)
            length = (end - start) // timedelta(microseconds=1)
            category = TimeCategory.MICRO_STOP.value
            rows.append((machine, start, end, raw.upper(), raw, "o", "p", begin, category, length))
    return pl.DataFrame(rows, schema={c: LEDGER[c] for c in COLUMNS}, orient="row")


def test_stops_close_to_each_other_are_a_cluster_and_single_ones_are_not() -> None:
    near = [("a", m, 30, "jam" if m else "door") for m in (0, 5, 10)]
    rows = stops(*near, ("a", 30, 20, "jam"), ("b", 12, 10, "jam"))
    (found,) = clusters(rows).rows(named=True)
    assert found["equipment"] == "a" and found["count"] == 3 and found["lost"] == 90_000_000
    assert found["start"] == START and found["end"] == START + timedelta(minutes=10, seconds=30)
    assert found["raw"] == "jam" and found["reason"] == "JAM" and found["order"] == "o"
    assert round(found["per_hour"], 3) == round(3 / (10.5 / 60), 3)


def test_a_stop_cut_at_an_hour_is_still_one() -> None:
    rows = stops(*[("a", m, 60, "jam") for m in (0, 3, 6, 9)], cut=True)
    assert clusters(rows).select("count", "lost").row(0) == (4, 240_000_000)


def test_apart_is_from_the_end_of_one_to_the_start_of_the_next() -> None:
    rows = stops(*[("a", m, 60, "jam") for m in (0, 11, 22, 33.1)])
    assert clusters(rows, apart=timedelta(minutes=10))["count"].to_list() == [3]


def test_without_micro_stops_there_are_none() -> None:
    assert clusters(stops()).is_empty()
