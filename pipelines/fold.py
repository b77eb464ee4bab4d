"""Live derivation: the same functions as `pipelines.derive`, applied to what is new.

Every rule of the derivation is local to a sample and its predecessors, so a batch is derived from itself
and a few carried rows. Taking a batch only finds what is new in it (`pipelines.arrivals`); the rules are
applied when somebody asks for facts, once for all batches since. A sample that is late for its series sends
that series back to a checkpoint; what is newer is read from the historian and derived again. In whatever
batches and order samples come, the facts are those of one derivation of all of them
(tests/property/test_derive_batches.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import cast

import polars as pl

from analytics.facts.counters import COUNTED, count, increments
from analytics.facts.cycles import CYCLED, cycle_ends, signalled
from analytics.facts.orders import ORDERED, order_edges, order_runs, products
from analytics.facts.readings import READINGS, readings, series, settle
from analytics.facts.telling import INPUT_EDGES, input_edges, lapses, told, told_edges
from analytics.facts.timeline import EDGES, intervals, state_edges, state_map
from analytics.ledger.rows import ledger
from pipelines.arrivals import Arrivals, by_series
from pipelines.carry import REACHED, Checkpoints, Rewind, carry, last
from pipelines.derive import Facts, booked
from pipelines.kept import Kept
from pipelines.spans import together
from plant.frames import RECODES, SAMPLES, TIME, Window, empty
from plant.model import Plant

History = Callable[[Sequence[str], Window], pl.DataFrame]
"""Stored samples of these machines in the window (`pipelines.ports.Historian.read`)."""

SPANS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "earliest": TIME,
    "latest": TIME,
}
"""Spans of samples, one per machine."""
_NO_SPANS = empty(SPANS)

_AGAIN: Mapping[str, pl.DataType | type[pl.DataType]] = {"state": pl.UInt32, "time": TIME}
"""Series of states that are told from several signals, and from when on that is to be done again."""

_PENDING, _BATCHES = 200_000, 1000
"""Rows waiting to be derived from, and batches they come from, at most: nobody may be asking for facts."""
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
        """`since`: of each signal the newest sample before it says what held then, others before it are passed over,
        also those the historian has. `accept` the last ones before it first, then what the historian has from there on.
        """
        self._plant, self._history, self._since, self._every = plant, history, since, checkpoint_every
        self._known = series(plant)
        self._mapping = state_map(plant, self._known)
        self._arrivals = Arrivals(self._known, plant.signals)
        self._edges, self._counted = Kept(EDGES, "state"), Kept(COUNTED)
        self._ordered = Kept(ORDERED, "order")
        self._inputs, self._ended = Kept(INPUT_EDGES, "label"), Kept(CYCLED, "time")
        """What tells the state of machines that no single signal tells."""
        self._tells = bool(self._known["tells"].any())
        self._logic = told(plant, self._known)
        self._again, self._lapsed = pl.DataFrame(schema=_AGAIN), empty(INPUT_EDGES)
        self._cycling = self._known.filter(pl.col("tells") & pl.col("tests").is_null())["code"]
        self._ends = bool(
            (self._known["cycle"].is_not_null() | self._known["code"].is_in(self._cycling.implode())).any()
        )
        self._products = products(plant, self._known)
        self._held = empty(SAMPLES)
        """The newest of each series before `since`."""
        self._work = empty(READINGS)
        """What was derived from, as far as what follows needs it; both only as of the last time it was derived."""
        self._fresh: list[pl.DataFrame] = []
        """`READINGS` that nothing was derived from yet, a batch each: behind the work, and in the order of time."""
        self._waiting = 0
        self._told, self._rewound = empty(REACHED), empty(REACHED)
        self._checkpoints = Checkpoints()
        self._newest: datetime | None = None
        self._checkpoint_at: datetime | None = None
        self._retired_at: datetime | None = None

    @property
    def newest(self) -> datetime | None:
        """Time of the newest sample, of any signal."""
        return self._newest

    def accept(self, samples: pl.DataFrame) -> Taken:
        """Take a batch (`plant.frames.SAMPLES`, any order, duplicates allowed) that the historian has stored.

        If the history cannot be read its error passes through, and nothing of the batch was taken.
        """
        times = samples["time"]
        oldest, newest = cast("datetime | None", times.min()), cast("datetime | None", times.max())
        if oldest is not None and oldest < self._since:
            held, newer = self._holding(samples)
            taken = self._take(pl.concat([newer, samples.filter(pl.col("time") >= self._since)]), newest)
            self._held = held
            return taken
        return self._take(samples, newest)

    def _take(self, samples: pl.DataFrame, newest: datetime | None) -> Taken:
        found = self._arrivals.take(samples)
        if found is None:
            taken = self._take_late(settle(self._arrivals.readings(samples)))
        else:
            fresh, new = found
            if new:
                self._fresh.append(fresh)
                self._waiting += fresh.height
            taken = Taken(new, _NO_SPANS, _NO_SPANS)
        if self._waiting > _PENDING or len(self._fresh) > _BATCHES:
            self._derive()
        self._remember(newest)
        return taken

    def _derive(self) -> None:
        """Derive from what was accepted since the last time."""
        if self._waiting:
            self._work = by_series([self._work, *self._fresh])
        self._fresh, self._waiting = [], 0
        work = self._work
        self._revive(work)
        if not work["carried"].all():
            self._edges.add(state_edges(work, self._known, self._mapping))
            counted = count(work, self._known)
            self._counted.add(counted)
            self._ordered.add(order_edges(work, self._known))
            if self._ends:
                self._ended.add(self._cycles_of(counted))
                self._ended.add(cycle_ends(work, self._known))
            if self._tells:
                said = input_edges(work, self._known)
                self._inputs.add(said)
                self._tell_again(said)
            self._work = carry(work, self._known)
        self._tell()

    def _cycles_of(self, counted: pl.DataFrame) -> pl.DataFrame:
        """Of the parts counted those that machines' states come from, as `CYCLED`."""
        parts = counted.filter(pl.col("code").is_in(self._cycling.implode()), pl.col("quantity") > 0)
        return parts.select("code", "time", "quantity", cycle=pl.lit(None, pl.Int64))

    def _tell_again(self, times: pl.DataFrame) -> None:
        """States that come from these signals are to be told again from these times on (code, time)."""
        states = times.join(self._logic.inputs, on="code").select("state", "time")
        self._again = pl.concat([self._again, states])

    def _tell(self) -> None:
        """Tell the states that are to be told again."""
        if self._again.is_empty():
            return
        since = self._again.group_by("state").agg(pl.col("time").min())
        self._again = self._again.clear()
        starts = self._logic.inputs.join(since, on="state").select("code", start="time")
        told_again = told_edges(self._inputs.since(starts), self._logic)
        rows = told_again.join(since.select(code="state", begin="time"), on="code", maintain_order="left")
        # Of the rows before that time the last one says how it begins.
        newer = (pl.col("code") != pl.col("code").shift(-1)) | (pl.col("time").shift(-1) > pl.col("begin"))
        rows = rows.filter((pl.col("time") >= pl.col("begin")) | newer.fill_null(True))
        rows = rows.with_columns(time=pl.max_horizontal("time", "begin"))
        self._edges.cut(since.select(code="state", last=pl.col("time") - _TICK))
        self._edges.add(rows.select(list(EDGES)))

    def _lapse(self, until: datetime) -> None:
        """What signals said that states are told from ends where they have been silent for too long before `until`."""
        if not self._tells:
            return
        newest = last(self._work).select("code", time="last")
        lapsed = lapses(newest, self._known, until).join(self._lapsed, on=["code", "time"], how="anti")
        if not lapsed.is_empty():
            self._lapsed = pl.concat([self._lapsed, lapsed])
            self._inputs.add(lapsed)
            self._tell_again(lapsed)
            self._tell()

    def _revive(self, work: pl.DataFrame) -> None:
        """Take back what was said of signals to have been silent, of which there are samples since."""
        if self._lapsed.is_empty():
            return
        stale = self._known.select("code", "stale")
        heard = self._lapsed.join(last(work), on="code").join(stale, on="code")
        heard = heard.filter(pl.col("last") + pl.col("stale") != pl.col("time"))
        self._inputs.cut(heard.select("code", last=pl.col("time") - _TICK))
        self._tell_again(heard)
        self._lapsed = self._lapsed.join(heard, on="code", how="anti")

    def _take_late(self, arrived: pl.DataFrame) -> Taken:
        """Take readings of which some are older than the newest of their series, or of the same instant."""
        self._derive()
        carried = self._work
        rows = self._unknown(arrived).join(last(carried), on="code", how="left")
        late = rows.filter(pl.col("time") <= pl.col("last"))
        rows = rows.select(list(READINGS))
        forgotten = late.clear()
        if not late.is_empty():
            floor = late.select("code", "time").join(self._checkpoints.floor(), on="code", how="left")
            older = floor.filter(pl.col("time") <= pl.col("last"))
            forgotten = late.join(older, on=["code", "time"], how="semi")
            late, rows = (frame.join(older, on=["code", "time"], how="anti") for frame in (late, rows))
        rewind = self._checkpoints.rewind(late.group_by("code").agg(earliest=pl.col("time").min()))
        before = carried.join(rewind.start, on="code", how="anti")
        work = settle(pl.concat([before, rewind.base, self._read_again(rewind), rows]))
        self._replace(rewind)
        self._work = work
        self._derive()
        self._arrivals.resume(self._work)
        self._retire()
        return Taken(rows.height, self._spans(late), self._spans(forgotten))

    def facts(
        self,
        until: datetime,
        orders: pl.DataFrame | None = None,
        since: Mapping[str, datetime] | None = None,
    ) -> Facts:
        """As `pipelines.derive.facts` of all samples accepted (less what was forgotten).

        `since`: of these machines only, and at least what says something of a machine's time from then on,
        which a short while ago is quick to find. Order runs are all there.
        """
        self._derive()
        self._lapse(until)
        newest = last(self._work).select("code", time="last")
        edges, counted, ended = self._edges.all, self._counted.all, self._ended.all
        if since is not None:
            starts = self._known.select(
                "code", start=pl.col("equipment").replace_strict(since, default=None, return_dtype=TIME)
            ).drop_nulls()
            newest = newest.join(starts, on="code", how="semi")
            edges, counted, ended = (
                partial(kept.since, starts) for kept in (self._edges, self._counted, self._ended)
            )
        parts, cycles = counted().filter(pl.col("time") < until), empty(CYCLED)
        if self._ends:
            cycles = ended().filter(pl.col("time") < until)
            # The parts before those that are asked for: with them a gap begins.
            before = cycles.join(parts, on=["code", "time"], how="anti")
            parts = pl.concat([parts, before.select(*list(COUNTED)[:3], flag=pl.lit(None, pl.String))])
        return Facts(
            intervals=intervals(edges(), newest, self._known, until),
            increments=increments(parts, self._known),
            runs=self.runs(until, orders),
            signalled=signalled(cycles, self._known),
        )

    def gaps_begun(self, times: Mapping[str, datetime]) -> dict[str, datetime]:
        """Of machines whose state comes from their cycles: when the gap between two parts that such a time is in began;
        none where nothing is known of a part before it."""
        if not self._ends:
            return {}
        starts = self._known.filter(pl.col("code").is_in(self._cycling.implode())).select(
            "code",
            "equipment",
            start=pl.col("equipment").replace_strict(times, default=None, return_dtype=TIME),
        )
        parts = self._ended.since(starts.drop_nulls().select("code", "start"))
        begun = parts.join(starts, on="code").filter(pl.col("time") < pl.col("start"))
        return dict(begun.group_by("equipment").agg(pl.col("time").max()).iter_rows())

    def runs(self, until: datetime, orders: pl.DataFrame | None = None) -> pl.DataFrame:
        """Only the order runs of `facts`."""
        self._derive()
        return order_runs(self._ordered.all(), self._known, until, orders, self._products)

    def changed(self) -> dict[str, datetime]:
        """Of each machine with news since the last call: what the samples say of its time before then is
        still the same."""
        self._derive()
        now = last(self._work)
        news = now.join(self._told, on="code", how="left", suffix="_told").filter(
            pl.col("last").ne_missing(pl.col("last_told"))
        )
        news = pl.concat([news.select("code", last="last_told"), self._rewound])
        self._told, self._rewound = now, empty(REACHED)
        found = (
            news.join(self._known.select("code", "equipment"), on="code")
            .group_by("equipment")
            .agg(pl.col("last").fill_null(self._since).min())
        )
        return dict(found.iter_rows())

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
        self._derive()
        self._lapse(before + _TICK)
        for kept in (self._edges, self._counted, self._ordered, self._inputs, self._ended):
            kept.forget(before)
        self._checkpoints.forget(before)

    def _unknown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows less those that repeat the newest sample of their series, as a re-sent batch does."""
        same = ["code", "time", "value", "text", "quality"]
        return rows.join(
            self._work.select(same), on=same, how="anti", nulls_equal=True, maintain_order="left"
        )

    def _holding(self, samples: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What held at `since` as these samples also say, and the samples of it that are new."""
        key = ["equipment", "signal"]
        older = samples.filter(pl.col("time") < self._since).join(self._known, on=key, how="semi")
        older = older.sort("time", "received").unique(key, keep="last", maintain_order=True)
        before = self._held.select(*key, held="time")
        newer = older.join(before, on=key, how="left").filter(
            pl.col("held").is_null() | (pl.col("time") > pl.col("held"))
        )
        newer = newer.select(list(SAMPLES))
        return pl.concat([self._held.join(newer, on=key, how="anti"), newer]), newer

    def _read_again(self, rewind: Rewind) -> pl.DataFrame:
        """Stored readings of rewound series, from where they went back to up to what had been taken."""
        if rewind.start.is_empty():
            return empty(READINGS)
        reach = rewind.start.join(last(self._work), on="code", suffix="_taken").join(self._known, on="code")
        start, end, beginnings = reach.select(
            pl.col("last").min(), pl.col("last_taken").max(), fresh=pl.col("last").null_count()
        ).row(0)
        start = self._since if beginnings else max(start, self._since)
        window = Window(start, max(start, end + _TICK))
        stored = self._history(reach["equipment"].unique().sort().to_list(), window)
        stored = stored.filter(pl.col("time") >= self._since)
        stored = readings(pl.concat([self._held, stored]), self._known)
        return (
            stored.join(reach.select("code", "last", "last_taken"), on="code", maintain_order="left")
            .filter(
                pl.col("last").is_null() | (pl.col("time") > pl.col("last")),
                pl.col("time") <= pl.col("last_taken"),
            )
            .select(list(READINGS))
        )

    def _replace(self, rewind: Rewind) -> None:
        """Drop what was derived of rewound series after the point they went back to."""
        if rewind.start.is_empty():
            return
        for kept in (self._edges, self._counted, self._ordered, self._inputs, self._ended):
            kept.cut(rewind.start)
        if self._tells:
            self._lapsed = self._lapsed.join(rewind.start, on="code", how="anti")
            self._tell_again(rewind.start.select("code", time=pl.col("last").fill_null(self._since)))
        self._rewound = pl.concat([self._rewound, rewind.start])
        self._checkpoints.rewound(rewind)

    def _remember(self, newest: datetime | None) -> None:
        if newest is None:
            return
        self._newest = newest if self._newest is None else max(self._newest, newest)
        if self._checkpoint_at is None or self._newest - self._checkpoint_at >= self._every:
            self._derive()
            # A late sample mostly sends its series back to the newest checkpoint.
            self._retired_at, self._checkpoint_at = self._checkpoint_at, self._newest
            self._checkpoints.add(self._work)
            self._retire()

    def _retire(self) -> None:
        if self._retired_at is not None:
            self._lapse(self._retired_at + _TICK)
            for kept in (self._edges, self._counted, self._inputs, self._ended):
                kept.retire(self._retired_at)

    def _spans(self, rows: pl.DataFrame) -> pl.DataFrame:
        known = self._known.select("code", "equipment")
        return together(rows.join(known, on="code").select("equipment", earliest="time", latest="time"))
