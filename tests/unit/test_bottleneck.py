"""The active period method: which machine held the line up, against a definition instant by instant."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.improvement.bottleneck import active_periods, bottleneck_shares, bottlenecks
from plant.frames import LEDGER
from plant.states import TimeCategory
from tests.examples import examples

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
RUN, STARVED, DOWN, BREAK, UNKNOWN = (
    TimeCategory.RUNNING,
    TimeCategory.STARVED,
    TimeCategory.UNPLANNED_DOWNTIME,
    TimeCategory.PLANNED_DOWNTIME,
    TimeCategory.UNKNOWN,
)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def ledger(**machines: list[tuple[int, TimeCategory]]) -> pl.DataFrame:
    """Per machine: minutes and category, one after the other."""
    rows = []
    for machine, spans in machines.items():
        reached = 0
        for minutes, category in spans:
            rows.append((machine, at(reached), at(reached + minutes), "line", category.value))
            reached += minutes
    columns = ("equipment", "start", "end", "line", "category")
    return pl.DataFrame(rows, schema={c: LEDGER[c] for c in columns}, orient="row")


def spans(found: pl.DataFrame) -> list[tuple[int, int, str, bool]]:
    return [
        ((s - START) // timedelta(minutes=1), (e - START) // timedelta(minutes=1), m, b)
        for s, e, m, b in found.select("start", "end", "equipment", "shifting").rows()
    ]


def test_the_longest_active_period_is_the_bottleneck_and_overlaps_are_shifting() -> None:
    rows = ledger(a=[(50, RUN), (30, STARVED), (20, RUN)], b=[(40, STARVED), (60, RUN)])
    assert spans(bottlenecks(rows)) == [
        (0, 40, "a", False),
        (40, 50, "a", True),
        (40, 50, "b", True),
        (50, 100, "b", False),
    ]
    shares = bottleneck_shares(rows).select("equipment", "share").rows()
    assert shares == [("b", 0.55), ("a", 0.45)]


def test_a_stop_of_its_own_is_active_and_a_break_ends_nothing() -> None:
    rows = ledger(a=[(20, RUN), (10, DOWN), (30, BREAK), (20, RUN)], b=[(80, STARVED)])
    assert active_periods(rows).select("start", "end").rows() == [(at(0), at(80))]
    assert spans(bottlenecks(rows)) == [(0, 80, "a", False)]


def test_nobody_active_or_a_line_of_one_machine_has_none() -> None:
    assert bottlenecks(ledger(a=[(10, STARVED)], b=[(10, UNKNOWN)])).is_empty()
    assert bottlenecks(ledger(a=[(10, RUN)])).is_empty()
    assert bottleneck_shares(ledger(a=[(10, STARVED)], b=[(10, UNKNOWN)]))["share"].to_list() == [None, None]


MACHINE = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([RUN, STARVED, DOWN, UNKNOWN])), min_size=1)


@given(st.lists(MACHINE, min_size=2, max_size=4))
@examples(150)
def test_at_every_minute_it_is_the_machine_with_the_longest_active_period(
    machines: list[list[tuple[int, TimeCategory]]],
) -> None:
    rows = ledger(**{f"m{n}": spans for n, spans in enumerate(machines)})
    periods = [
        ((s - START) // timedelta(minutes=1), (e - START) // timedelta(minutes=1), m)
        for m, s, e in active_periods(rows).select("equipment", "start", "end").rows()
    ]
    found = spans(bottlenecks(rows))
    for minute in range(max(sum(m for m, _ in spans) for spans in machines)):
        active = [(e - s, -s, m) for s, e, m in periods if s <= minute < e]
        here = [(m, shifting) for s, e, m, shifting in found if s <= minute < e]
        if not active:
            assert here == []
            continue
        longest = max(length for length, _, _ in active)
        assert {m for m, _ in here} & {m for length, _, m in active if length == longest}
        assert all(shifting for _, shifting in here) or len(here) == 1
        assert {m for m, _ in here} <= {m for _, _, m in active}
