"""Which spans of late samples are one."""

from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.spans import MOST, NEAR, together
from plant.frames import TIME

START = datetime(2026, 3, 2, 6, tzinfo=UTC)


def spans(*rows: tuple[str, float, float]) -> pl.DataFrame:
    of = [(e, START + timedelta(minutes=a), START + timedelta(minutes=b)) for e, a, b in rows]
    return pl.DataFrame(of, schema={"equipment": pl.String, "earliest": TIME, "latest": TIME}, orient="row")


def test_near_spans_are_one_and_distant_ones_are_not() -> None:
    near = NEAR / timedelta(minutes=1)
    found = together(
        spans(("b", 0, 0), ("a", 30, 31), ("a", 0, 10), ("a", 2, 3), ("a", 10 + near, 12), ("b", 99, 99))
    )
    assert found.rows() == spans(("a", 0, 12), ("a", 30, 31), ("b", 0, 0), ("b", 99, 99)).rows()
    assert together(found).equals(found)
    assert together(spans()).is_empty()


def test_of_very_many_the_nearest_are_one() -> None:
    apart = [(5.0 if n % 2 else 2.0) for n in range(2 * MOST - 1)]
    at = [sum(apart[:n]) for n in range(len(apart))]
    found = together(spans(*(("a", a, a) for a in at)))
    assert found.height == MOST
    lengths = (found["latest"] - found["earliest"]).dt.total_minutes().to_list()
    assert set(lengths) <= {0, 2}
