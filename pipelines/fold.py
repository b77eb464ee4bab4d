"""Live derivation: the same functions as `pipelines.derive`, applied to what is new.

Every rule of the derivation is local to a sample and its predecessors, so a batch is derived from itself
and a few carried rows. A sample that is late for its series sends that series back to a checkpoint; what is
newer is read from the historian and derived again. In whatever batches and order samples come, the facts are
those of one derivation of all of them (tests/property/test_derive_batches.py).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from analytics.counters import COUNTED, count, increments
from analytics.ledger import ledger
from analytics.orders import ORDERED, order_edges, order_runs
from analytics.readings import READINGS, readings, series, settle
from analytics.timeline import EDGES, intervals, state_edges, state_map
from pipelines.carry import Checkpoints, Rewind, carry, last
from pipelines.derive import Facts, booked
from plant.frames import RECODES, Window, empty
from plant.model import Plant

History = Callable[[Sequence[str], Window], pl.DataFrame]
"""Stored samples of these machines in the window (`pipelines.ports.Historian.read`)."""

_PIECES = 64
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch did to the facts."""

    rows: int
    """Samples that matter to the ledger and were not known yet."""
    restated: pl.DataFrame
    """equipment, earliest, latest: spans of late samples, whose time was derived again."""
    forgotten: pl.DataFrame
    """equipment, earliest, latest: spans of samples older than what is remembered; derive them offline."""


class Fold:
    """Facts of one plant, kept up to date."""

    def __init__(
        self,
        plant: Plant,
        history: History,
        since: datetime,
        checkpoint_every: timedelta = timedelta(minutes=10),
    ) -> None:
        """`since`: samples before it are passed over, also those the historian has. Choose it early
        enough to know how the first window begins, then `accept` what the historian has from there on."""
        self._plant, self._history, self._since, self._every = plant, history, since, checkpoint_every
        self._known = series(plant)
        self._mapping = state_map(plant, self._known)
        self._edges, self._counted, self._ordered = empty(EDGES), empty(COUNTED), empty(ORDERED)
        self._carry = empty(READINGS)
        self._checkpoints = Checkpoints()
        self._newest: datetime | None = None
        self._checkpoint_at: datetime | None = None

    @property
    def newest(self) -> datetime | None:
        """Time of the newest sample, of any signal."""
        return self._newest

    def accept(self, samples: pl.DataFrame) -> Taken:
        """Take a batch (`plant.frames.SAMPLES`, any order, duplicates allowed) that the historian has stored.

        If the history cannot be read its error passes through, and nothing of the batch was taken.
        """
        samples = samples.filter(pl.col("time") >= self._since)
        rows = self._unknown(readings(samples, self._known)).join(last(self._carry), on="code", how="left")
        late = rows.filter(pl.col("time") <= pl.col("last"))
        rows = rows.select(list(READINGS))
        forgotten = late.clear()
        if not late.is_empty():
            floor = late.select("code", "time").join(self._checkpoints.floor(), on="code", how="left")
            older = floor.filter(pl.col("time") <= pl.col("last"))
            forgotten = late.join(older, on=["code", "time"], how="semi")
            late, rows = (frame.join(older, on=["code", "time"], how="anti") for frame in (late, rows))
        rewind = self._checkpoints.rewind(late.group_by("code").agg(earliest=pl.col("time").min()))
        before = self._carry.join(rows, on="code", how="semi").join(rewind.start, on="code", how="anti")
        again = self._read_again(rewind)
        work = settle(pl.concat([before, rewind.base, again, rows]))
        self._replace(rewind)
        self._edges = _add(self._edges, state_edges(work, self._known, self._mapping))
        self._counted = _add(self._counted, count(work, self._known))
        self._ordered = _add(self._ordered, order_edges(work, self._known))
        self._carry = pl.concat([self._carry.join(work, on="code", how="anti"), carry(work, self._known)])
        self._remember(samples)
        return Taken(rows.height, self._spans(late), self._spans(forgotten))

    def facts(self, until: datetime, orders: pl.DataFrame | None = None) -> Facts:
        """As `pipelines.derive.facts` of all samples accepted (less what was forgotten)."""
        newest = last(self._carry).select("code", time="last")
        return Facts(
            intervals=intervals(self._edges, newest, self._known, until),
            increments=increments(self._counted.filter(pl.col("time") < until), self._known),
            runs=order_runs(self._ordered, self._known, until, orders),
        )

    def ledger(
        self,
        window: Window,
        orders: pl.DataFrame | None = None,
        recodes: pl.DataFrame | None = None,
        runs: pl.DataFrame | None = None,
        until: datetime | None = None,
        edges: Iterable[datetime] = (),
    ) -> pl.DataFrame:
        """As `pipelines.derive.derive` of all samples accepted. Live, pass now as `until`."""
        if until is None:
            until = window.end if self._newest is None else max(window.end, self._newest + _TICK)
        found = self.facts(until, orders)
        recodes = empty(RECODES) if recodes is None else recodes
        return ledger(
            found.intervals, found.increments, booked(found.runs, runs), recodes, self._plant, window, edges
        )

    def forget(self, before: datetime) -> None:
        """Let go of facts older than that, save the state and the order that held then."""
        self._edges = _held(self._edges.sort("code", "time"), "state", before)
        self._ordered = _held(self._ordered.sort("code", "time"), "order", before)
        self._counted = self._counted.filter(pl.col("time") >= before)
        self._checkpoints.forget(before)

    def _unknown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows less those that repeat the newest sample of their series, as a re-sent batch does."""
        same = ["code", "time", "value", "text", "quality"]
        return rows.join(
            self._carry.select(same), on=same, how="anti", nulls_equal=True, maintain_order="left"
        )

    def _read_again(self, rewind: Rewind) -> pl.DataFrame:
        """Stored readings of rewound series, from where they went back to up to what had been taken."""
        if rewind.start.is_empty():
            return empty(READINGS)
        reach = rewind.start.join(last(self._carry), on="code", suffix="_taken").join(self._known, on="code")
        start, end, beginnings = reach.select(
            pl.col("last").min(), pl.col("last_taken").max(), fresh=pl.col("last").null_count()
        ).row(0)
        window = Window(self._since if beginnings else start, end + _TICK)
        stored = readings(self._history(reach["equipment"].unique().sort().to_list(), window), self._known)
        return (
            stored.join(reach.select("code", "last", "last_taken"), on="code", maintain_order="left")
            .filter(
                pl.col("last").is_null() | (pl.col("time") > pl.col("last")),
                pl.col("time") <= pl.col("last_taken"),
                pl.col("time") >= self._since,
            )
            .select(list(READINGS))
        )

    def _replace(self, rewind: Rewind) -> None:
        """Drop what was derived of rewound series after the point they went back to."""
        if rewind.start.is_empty():
            return
        back = rewind.start.with_columns(back=pl.lit(True))
        keep = pl.col("back").is_null() | (pl.col("time") <= pl.col("last"))
        self._edges, self._counted, self._ordered = (
            frame.join(back, on="code", how="left").filter(keep).drop("back", "last")
            for frame in (self._edges, self._counted, self._ordered)
        )
        self._checkpoints.rewound(rewind)

    def _remember(self, samples: pl.DataFrame) -> None:
        newest = samples.select(pl.col("time").max()).item()
        if newest is None:
            return
        self._newest = newest if self._newest is None else max(self._newest, newest)
        if self._checkpoint_at is None or self._newest - self._checkpoint_at >= self._every:
            self._checkpoint_at = self._newest
            self._checkpoints.add(self._carry)

    def _spans(self, rows: pl.DataFrame) -> pl.DataFrame:
        return (
            rows.join(self._known.select("code", "equipment"), on="code")
            .group_by("equipment")
            .agg(earliest=pl.col("time").min(), latest=pl.col("time").max())
            .sort("equipment")
        )


def _add(frame: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Both, in few enough pieces that later passes stay fast."""
    both = pl.concat([frame, new]) if new.height else frame
    return both.rechunk() if both.n_chunks() > _PIECES else both


def _held(edges: pl.DataFrame, label: str, before: datetime) -> pl.DataFrame:
    """Sorted edges from the one on, per series, since which the label held at that time."""
    begun = (pl.col("code") != pl.col("code").shift()) | pl.col(label).ne_missing(pl.col(label).shift())
    held = edges.filter(begun.fill_null(True), pl.col("time") <= before)
    held = held.group_by("code").agg(held=pl.col("time").max())
    edges = edges.join(held, on="code", how="left", maintain_order="left")
    return edges.filter(pl.col("held").is_null() | (pl.col("time") >= pl.col("held"))).drop("held")
