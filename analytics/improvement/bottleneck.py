"""Which machine of a line held the others up, and when: the active period method (Roser, Nakano, Tanaka: "Shifting
bottleneck detection", Winter Simulation Conference 2002).

A machine is active while it neither waits for another nor is out of its planned time: it runs, is down, is set up. At any
instant the machine with the longest uninterrupted active period is the bottleneck. Where the active periods of two
bottlenecks that follow each other overlap, the bottleneck is shifting: either may hold the line up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise

import polars as pl

from plant.frames import TIME
from plant.states import TimeCategory

BOTTLENECKS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "line": pl.String,
    "start": TIME,
    "end": TIME,
    "equipment": pl.String,
    "shifting": pl.Boolean,  # false: the sole bottleneck; true: one of two
}
"""Spans in which a machine is a bottleneck of its line. Those of one line overlap only where they are shifting."""

_ACTIVE = [
    c.value
    for c in (
        TimeCategory.RUNNING,
        TimeCategory.UNPLANNED_DOWNTIME,
        TimeCategory.CHANGEOVER,
        TimeCategory.MICRO_STOP,
    )
]
_PLANNED = [TimeCategory.NOT_SCHEDULED.value, TimeCategory.PLANNED_DOWNTIME.value]


@dataclass(frozen=True, slots=True, order=True)
class _Period:
    """An active period; the longest sorts first. Times in microseconds since 1970."""

    minus_length: int
    start: int
    equipment: str

    @property
    def end(self) -> int:
        return self.start - self.minus_length


def active_periods(ledger: pl.DataFrame) -> pl.DataFrame:
    """line, equipment, start, end: spans a machine was active without interruption, in the time the ledger covers.

    Planned stops and breaks are left out and do not end an active period: they hit the machines of a line alike.
    Unknown time ends it, for nobody can say.
    """
    rows = (
        ledger.filter(~pl.col("category").is_in(_PLANNED))
        .sort("equipment", "start")
        .select("line", "equipment", "start", "end", active=pl.col("category").is_in(_ACTIVE))
    )
    differs = pl.any_horizontal(pl.col(c) != pl.col(c).shift() for c in ("equipment", "active"))
    return (
        rows.with_columns(run=differs.fill_null(True).cum_sum())
        .filter("active")
        .group_by("run", maintain_order=True)
        .agg(pl.col("line", "equipment", "start").first(), pl.col("end").last())
        .drop("run")
    )


def bottlenecks(ledger: pl.DataFrame) -> pl.DataFrame:
    """`BOTTLENECKS` of every line with two machines or more, sorted by line, start and equipment.

    Time in which no machine of a line is active has none.
    """
    machines = ledger.group_by("line").agg(pl.col("equipment").n_unique())
    several = machines.filter(pl.col("equipment") > 1)["line"]
    periods = active_periods(ledger).filter(pl.col("line").is_in(several.implode()))
    found: list[tuple[str, int, int, str, bool]] = []
    for (line,), of_line in periods.partition_by("line", as_dict=True).items():
        begun = of_line.select("equipment", pl.col("start", "end").cast(pl.Int64)).rows()
        chain = list(_chain([_Period(start - end, start, machine) for machine, start, end in begun]))
        found += [(str(line), *span) for span in _spans(chain)]
    stored = {name: pl.Int64 if kind == TIME else kind for name, kind in BOTTLENECKS.items()}
    rows = pl.DataFrame(found, schema=stored, orient="row").cast(dict(BOTTLENECKS))  # type: ignore[arg-type]
    return rows.sort("line", "start", "equipment")


def bottleneck_shares(ledger: pl.DataFrame) -> pl.DataFrame:
    """line, equipment, sole, shifting (microseconds), share (0..1, of the time the line has a bottleneck; null if it never
    has), the largest of each line first. A shifting span counts half for each of its two machines."""
    length = (pl.col("end") - pl.col("start")).dt.total_microseconds()
    found = bottlenecks(ledger)
    sums = found.group_by("line", "equipment").agg(
        sole=length.filter(~pl.col("shifting")).sum(), shifting=length.filter(pl.col("shifting")).sum()
    )
    weighted = 2 * pl.col("sole") + pl.col("shifting")
    whole = weighted.sum().over("line")
    return (
        ledger.select("line", "equipment")
        .unique()
        .join(sums, on=["line", "equipment"], how="left")
        .with_columns(pl.col("sole", "shifting").fill_null(0))
        .with_columns(share=pl.when(whole > 0).then(weighted / whole))
        .sort("line", "share", "equipment", descending=[False, True, False], nulls_last=True)
    )


def _chain(periods: Sequence[_Period]) -> Iterator[tuple[int, int, _Period]]:
    """start, end and the longest active period of that time, for each span in which it is the same."""
    waiting = sorted(periods, key=lambda p: p.start, reverse=True)
    edges = sorted({edge for p in periods for edge in (p.start, p.end)})
    active: list[_Period] = []
    last: tuple[int, int, _Period] | None = None
    for start, end in pairwise(edges):
        while waiting and waiting[-1].start <= start:
            heappush(active, waiting.pop())
        while active and active[0].end <= start:
            heappop(active)
        if not active:
            continue
        if last is not None and last[2] is active[0]:
            last = (last[0], end, active[0])
            continue
        if last is not None:
            yield last
        last = (start, end, active[0])
    if last is not None:
        yield last


def _spans(chain: Sequence[tuple[int, int, _Period]]) -> Iterator[tuple[int, int, str, bool]]:
    """start, end, equipment, shifting: the chain less the overlaps of neighbours, and these once for each of the two."""
    overlaps = []
    for (_, end, one), (start, _, two) in pairwise(chain):
        shared = (max(one.start, two.start), min(one.end, two.end))
        overlaps.append(shared if end == start and shared[0] < shared[1] else (end, end))
    before = [(chain[0][0], chain[0][0]), *overlaps] if chain else []
    for (start, end, period), shared_before, shared_after in zip(
        chain, before, [*overlaps, (chain[-1][1],) * 2] if chain else [], strict=True
    ):
        sole = max(start, shared_before[1]), min(end, shared_after[0])
        if sole[0] < sole[1]:
            yield *sole, period.equipment, False
        for shared in (shared_before, shared_after):
            if shared[0] < shared[1]:
                yield *shared, period.equipment, True
