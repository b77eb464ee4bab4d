"""The ledger of time that still goes on: rows that can no longer change are kept, only the others are derived.

A row follows from what is said of the time up to its end, and of the stop it is a piece of: its length, and whether the
product changes in it. So news of a machine from an instant on leaves its rows before that alone, save those

- of a stop that may yet be a micro-stop,
- of a stop in which an order begins or ends from then on, where changeovers are told by the product,
- of running that may yet be a blip in a stop: so long before the news as `min_running` says. What the stop before it
  becomes follows from there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from analytics.ledger.attributes import min_running
from analytics.ledger.changeover import detecting
from analytics.ledger.rows import ledger, startup_times
from pipelines.derive import corrected
from pipelines.fold import Fold
from plant.frames import CORRECTIONS, TIME, Window, empty
from plant.model import Plant
from plant.states import MachineState

_EVER = datetime(1, 1, 1, tzinfo=UTC)
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Derived:
    window: Window
    runs: pl.DataFrame
    recodes: pl.DataFrame
    corrections: pl.DataFrame
    edges: frozenset[datetime]
    rows: pl.DataFrame


class RunningLedger:
    """Asked again and again for a window whose end moves on with the clock."""

    def __init__(self, plant: Plant, fold: Fold) -> None:
        """The only one to ask the fold for what has `changed`."""
        self._plant, self._fold = plant, fold
        default = plant.settings.micro_stop
        self._blips = min_running(plant)
        startup, told = startup_times(plant), set(detecting(plant))
        self._machines = pl.DataFrame(
            [
                (
                    m.id,
                    default if m.micro_stop is None else m.micro_stop,
                    self._blips.get(m.id, _NONE),
                    startup[m.id],
                    m.id in told,
                )
                for m in plant.machines()
            ],
            schema={
                "equipment": pl.String,
                "threshold": pl.Duration("us"),
                "blip": pl.Duration("us"),
                "startup": pl.Duration("us"),
                "detects": pl.Boolean,
            },
            orient="row",
        )
        self._by_cycles = [m.id for m in plant.machines() if m.cycle_gaps is not None]
        self._last: _Derived | None = None

    def rows(
        self,
        window: Window,
        runs: pl.DataFrame,
        recodes: pl.DataFrame,
        edges: Iterable[datetime] = (),
        corrections: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """As `analytics.ledger.rows.ledger` of all the fold's facts up to the end of the window."""
        edges = frozenset(edges)
        corrections = empty(CORRECTIONS) if corrections is None else corrections
        last, self._last = self._last, None  # should this fail, the next call begins anew
        starts = self._starts(last, window, runs, recodes, corrections, edges)
        since = dict(starts.select("equipment", "begin").iter_rows())
        anew = [machine for machine in self._by_cycles if since[machine] == window.start]
        needed = since | self._stops_since(last, window, starts)
        needed |= _said_since(recodes, needed) | dict.fromkeys(anew, _EVER)
        found = self._fold.facts(window.end, since=needed)
        oldest = min(since.values(), default=window.start)
        rows = ledger(
            self._whole(found.intervals, needed),
            corrected(found.increments, corrections),
            runs,
            recodes,
            self._plant,
            Window(oldest, window.end),
            edges,
            since,
        )
        if last is not None:
            old = last.rows.join(starts.select("equipment", "begin"), on="equipment", maintain_order="left")
            old = old.filter(pl.col("start") >= window.start, pl.col("end") <= pl.col("begin")).drop("begin")
            rows = self._carried_on(pl.concat([old, rows]).sort("equipment", "start"), starts)
        self._last = _Derived(window, runs, recodes, corrections, edges, rows)
        return rows

    def _carried_on(self, rows: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
        """Of machines whose state comes from their cycles, what goes on where the derived rows begin began with the kept
        ones: their parts are not all looked at again."""
        if not self._by_cycles:
            return rows
        same = (pl.col("equipment") == pl.col("equipment").shift()) & (
            pl.col("state") == pl.col("state").shift()
        )
        goes_on = (
            rows.with_columns(was=pl.when(same).then(pl.col("stop_start").shift()))
            .join(starts.filter(pl.col("equipment").is_in(self._by_cycles)), on="equipment")
            .filter(pl.col("start") == pl.col("begin"), pl.col("stop_start") < pl.col("begin"))
            .select("equipment", "stop_start", "was")
        )
        began = pl.min_horizontal("stop_start", "was")
        return rows.join(goes_on, on=["equipment", "stop_start"], how="left", maintain_order="left").select(
            pl.when(pl.col("was").is_not_null()).then(began).otherwise("stop_start").alias("stop_start")
            if name == "stop_start"
            else name
            for name in rows.columns
        )

    def _whole(self, intervals: pl.DataFrame, since: Mapping[str, datetime]) -> pl.DataFrame:
        """Intervals less those in which parts were not looked at: they would pass for blips."""
        begin = pl.col("equipment").replace_strict(
            {machine: since[machine] for machine in self._blips}, default=_EVER, return_dtype=TIME
        )
        return intervals.filter(pl.col("end") > begin) if self._blips else intervals

    def _stops_since(
        self, last: _Derived | None, window: Window, starts: pl.DataFrame
    ) -> dict[str, datetime]:
        """Since when facts are needed of machines whose rows follow from whole stops: where what goes on at the begin
        (`starts`: equipment, begin) began, or what went on so long before as a start-up lasts; and what may be a blip before
        it."""
        looking = starts.join(self._machines, on="equipment").filter(
            pl.col("detects") | (pl.max_horizontal("blip", "startup") > _NONE)
        )
        ever = dict.fromkeys(looking["equipment"], _EVER)
        if last is None or not ever:
            return ever
        at = looking.filter(
            pl.col("begin") > window.start, ~pl.col("equipment").is_in(self._by_cycles)
        ).with_columns(time=pl.col("begin") - pl.col("startup"))
        found = last.rows.join(at, on="equipment").filter(
            pl.col("start") <= pl.col("time"), pl.col("end") > pl.col("time")
        )
        begun = (pl.col("stop_start") - pl.col("blip")).fill_null(_EVER)
        return ever | dict(found.select("equipment", begun).iter_rows())

    def _starts(
        self,
        last: _Derived | None,
        window: Window,
        runs: pl.DataFrame,
        recodes: pl.DataFrame,
        corrections: pl.DataFrame,
        edges: frozenset[datetime],
    ) -> pl.DataFrame:
        """equipment, begin: from where the rows of each machine must be derived."""
        changed = self._fold.changed()
        whole = self._machines.select("equipment", begin=pl.lit(window.start, TIME))
        if last is None or window.start < last.window.start or window.end < last.window.end:
            return whole
        differing = [e for e in edges ^ last.edges if window.start < e]
        news = [
            self._machines.select("equipment", time=pl.lit(min([last.window.end, *differing]), TIME)),
            pl.DataFrame(list(changed.items()), schema={"equipment": pl.String, "time": TIME}, orient="row"),
            # What was said of the time before tells when what goes on in the window began.
            _differing(last.recodes, recodes, _EVER),
            *(
                _differing(*pair, window.start)
                for pair in ((last.runs, runs), (_spans(last.corrections), _spans(corrections)))
            ),
        ]
        news_from = pl.concat(news).group_by("equipment").agg(pl.col("time").min())
        if self._by_cycles:
            # A gap between two parts is judged as a whole, and the last one grows.
            mine = pl.col("equipment").is_in(self._by_cycles)
            begun = self._fold.gaps_begun(dict(news_from.filter(mine).iter_rows()))
            gaps = pl.DataFrame(
                list(begun.items()), schema={"equipment": pl.String, "time": TIME}, orient="row"
            )
            news_from = pl.concat([news_from.filter(~mine), gaps])
        news_from = news_from.join(self._machines, on="equipment").with_columns(
            pl.col("time") - pl.col("blip")
        )
        ordered = _ordered(pl.concat([last.runs, runs]), news_from.filter("detects"), window.end)
        # Rows were begun at the new start of the window, or they cannot be kept.
        fits = last.rows.filter(pl.col("start") == window.start).select("equipment")
        over = (
            last.rows.join(news_from, on="equipment")
            .filter(pl.col("start") < pl.col("time"), pl.col("end") >= pl.col("time"))
            .join(fits, on="equipment", how="semi")
        )
        short = (pl.col("time") - pl.col("stop_start") < pl.col("threshold")).fill_null(False)
        product = pl.col("equipment").is_in(ordered) & (pl.col("state") == MachineState.DOWN.value)
        begin = pl.when(short | product).then("stop_start").otherwise("start")
        found = over.select("equipment", found=begin.clip(lower_bound=pl.lit(window.start, TIME)))
        return whole.join(found, on="equipment", how="left").select(
            "equipment", begin=pl.coalesce("found", "begin")
        )


def _ordered(runs: pl.DataFrame, since: pl.DataFrame, until: datetime) -> list[str]:
    """The machines on which an order begins or ends from their time on (`since`: equipment, time), up to `until`."""
    marks = pl.concat([runs.select("equipment", mark=end) for end in ("start", "end")])
    met = marks.join(since.select("equipment", "time"), on="equipment")
    return met.filter(pl.col("mark").is_between(pl.col("time"), until))["equipment"].unique().to_list()


def _said_since(recodes: pl.DataFrame, since: Mapping[str, datetime]) -> dict[str, datetime]:
    """Where people said what a machine was doing, its stops may be made of several of the signal's: from where on all of
    them are needed."""
    said = recodes.filter(pl.col("state").is_not_null()).group_by("equipment").agg(pl.col("start").min())
    return {machine: min(start, since.get(machine, start)) for machine, start in said.iter_rows()}


def _spans(corrections: pl.DataFrame) -> pl.DataFrame:
    tick = pl.duration(microseconds=1)
    return corrections.with_columns(start=pl.col("time"), end=pl.col("time") + tick)


def _differing(before: pl.DataFrame, now: pl.DataFrame, since: datetime) -> pl.DataFrame:
    """equipment, time: since when spans that reach beyond `since` are others than before."""
    before, now = (frame.filter(pl.col("end").is_null() | (pl.col("end") > since)) for frame in (before, now))
    if now.equals(before):
        return pl.DataFrame(schema={"equipment": pl.String, "time": TIME})
    keys = now.columns
    others = [
        one.join(two, on=keys, how="anti", nulls_equal=True) for one, two in ((before, now), (now, before))
    ]
    return pl.concat(others).select("equipment", time="start").group_by("equipment").agg(pl.col("time").min())
