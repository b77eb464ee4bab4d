"""A control chart of a machine: of one of its process values, or of its rejects per hour, shift or order."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

import polars as pl

from analytics.figures.buckets import edges
from analytics.spc.capability import Index, Specified, capability
from analytics.spc.study import Exclusion, Frozen, Study, key, study
from analytics.spc.subgroups import charted, lots, reach
from dashboards.ports import Refused
from plant.frames import Window
from plant.model import ChartKind, ControlChart, Equipment, Plant, Role, RuleSet, Signal

REJECTS = "@rejects"
"""Stands for a signal: the rejects of the machine. Ids have no "@"."""
PER = {"hour": "Per hour", "shift": "Per shift", "order": "Per order"}
COUNTED = (ChartKind.P, ChartKind.NP, ChartKind.C, ChartKind.U)
_LOTS_BACK = {"hour": timedelta(days=1), "shift": timedelta(days=4), "order": timedelta(days=4)}
"""How far before the window runs may begin."""


class Source(Protocol):
    """What a chart is made from; the Backend has it."""

    @property
    def plant(self) -> Plant: ...

    def now(self) -> datetime: ...

    def ledger(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame: ...

    def samples(self, window: Window, equipment: str, signal: str) -> pl.DataFrame: ...

    def spc_limits(self, equipment: str, signal: str, study: str) -> list[Frozen]: ...

    def spc_exclusions(self, equipment: str, signal: str) -> list[Exclusion]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which chart: of a signal, or of rejects (`REJECTS`) in lots `per` hour, shift or order."""

    machine: str
    signal: str
    per: str = "hour"
    chart: ChartKind = ChartKind.P


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chart and all that belongs to it."""

    asked: Asked
    key: str
    signal: Signal | None
    study: Study
    limits: Sequence[Frozen]
    exclusions: Sequence[Exclusion]
    """Of the points shown, those left out."""
    indices: Sequence[Index]
    """Capability; empty for rejects."""
    histogram: Sequence[float]
    """The values shown, of the points that are not left out."""


def signals(plant: Plant, machine: str) -> tuple[Signal, ...]:
    """The process values of a machine, those with specification limits first."""
    found = plant.signals_of(machine, Role.PROCESS_VALUE)
    return tuple(sorted(found, key=lambda s: s.lower is None and s.upper is None))


def machines(plant: Plant) -> tuple[Equipment, ...]:
    """The machines, those with specification limits first, then those with process values."""

    def rank(machine: Equipment) -> int:
        found = signals(plant, machine.id)
        return 2 if not found else 1 if found[0].lower is None and found[0].upper is None else 0

    return tuple(sorted(plant.machines(), key=rank))


def chosen(plant: Plant, machine: str | None, signal: str | None, per: str, chart: str) -> Asked:
    """What is asked for; what is left out is the first there is.

    Raises:
        Refused: the plant has no such thing.
    """
    known = {m.id: m for m in machines(plant)}
    if not known:
        raise Refused("machine: the plant has no machine yet; add one in the plant file")
    machine = machine or next(iter(known))
    if machine not in known:
        raise Refused(f"machine: {machine!r} is not one of {', '.join(known)}")
    offered = [*(s.id for s in signals(plant, machine)), REJECTS]
    signal = signal or offered[0]
    if signal not in offered:
        raise Refused(f"signal: {signal!r} is not one of {', '.join(offered)}")
    if per not in PER:
        raise Refused(f"per: {per!r} is not one of {', '.join(PER)}")
    if chart not in [kind.value for kind in COUNTED]:
        raise Refused(f"chart: {chart!r} is not one of {', '.join(COUNTED)}")
    return Asked(machine=machine, signal=signal, per=per, chart=ChartKind(chart))


def find(source: Source, asked: Asked, window: Window) -> Shown:
    """The chart of a window, judged."""
    if asked.signal == REJECTS:
        signal, plan = None, ControlChart(chart=asked.chart, rules=RuleSet.NELSON)
        name = f"{asked.chart} per {asked.per}"
        span = Window(window.start - _LOTS_BACK[asked.per], min(window.end, source.now()))
        points = lots(_ledger(source, asked, span), asked.per, source.plant.site.zone)
        values: list[float] = []
    else:
        signal = source.plant.signals[asked.machine, asked.signal]
        plan, name = signal.spc, key(signal.spc)
        span = Window(reach(plan, window.start), min(window.end, source.now()))
        values_of = source.samples(span, asked.machine, asked.signal)
        points = charted(values_of, plan, source.ledger(span, [asked.machine]), source.now())
        values = []
    limits = source.spc_limits(asked.machine, asked.signal, name)
    exclusions = source.spc_exclusions(asked.machine, asked.signal)
    found = study(points, plan, limits, exclusions, window)
    indices: Sequence[Index] = ()
    if signal is not None:
        values = _values(values_of, found.points)
        if found.estimate is not None:
            indices = capability(found.estimate, Specified(lower=signal.lower, upper=signal.upper))
    last = {e.time: e for e in exclusions}
    out = found.points.filter("excluded")["time"].to_list()
    return Shown(
        asked=asked,
        key=name,
        signal=signal,
        study=found,
        limits=limits,
        exclusions=[last[time] for time in out],
        indices=indices,
        histogram=values,
    )


def freezing(shown: Shown, window: Window, now: datetime, user: str, why: str) -> Frozen:
    """Limits from what is shown, valid from its end on.

    Raises:
        Refused: there is nothing to estimate them from.
    """
    if shown.study.estimate is None:
        raise Refused(f"There are no limits to freeze: {shown.study.problem}.")
    return Frozen(
        study=shown.key,
        valid_from=min(window.end, now),
        estimate=shown.study.estimate.to_json(),
        window_start=window.start,
        window_end=min(window.end, now),
        at=now,
        user=user,
        why=why,
    )


def excluding(shown: Shown, time: datetime, excluded: bool, now: datetime, user: str, why: str) -> Exclusion:
    """A point of the chart to leave out, or to take in again.

    Raises:
        Refused: there is no such point, or it is so already.
    """
    row = shown.study.points.filter(pl.col("time") == time)
    if row.is_empty():
        raise Refused("There is no such point any more: reload the page.")
    if row["excluded"][0] == excluded:
        raise Refused("That point is left out already." if excluded else "That point is not left out.")
    if excluded and not why.strip():
        raise Refused("Say why the point is left out: an assignable cause that was found.")
    return Exclusion(time=time, excluded=excluded, at=now, user=user, why=why.strip())


def to_json(shown: Shown, window: Window) -> dict[str, Any]:
    """The chart as the REST API gives it."""
    found = shown.study
    return {
        "from": window.start,
        "to": window.end,
        "machine": shown.asked.machine,
        "signal": shown.asked.signal,
        "study": shown.key,
        "chart": found.chart.kind.value,
        "estimate": found.estimate.to_json() if found.estimate else None,
        "problem": found.problem or None,
        "capability": [asdict(index) for index in shown.indices],
        "limits": [asdict(one) for one in shown.limits],
        "points": found.points.to_dicts(),
        "violations": found.violations.to_dicts(),
    }


def _ledger(source: Source, asked: Asked, span: Window) -> pl.DataFrame:
    if asked.per != "hour":
        return source.ledger(span, [asked.machine])
    cuts = [span.start, *edges(span, source.plant.site.zone, "hour"), span.end]
    return pl.concat(source.ledger(Window(a, b), [asked.machine]) for a, b in pairwise(cuts))


def _values(samples: pl.DataFrame, points: pl.DataFrame) -> list[float]:
    """The values the points are of."""
    spans = points.filter(~pl.col("excluded")).select(begin="time", until="end").sort("begin")
    usable = samples.filter(pl.col("value").is_not_null(), pl.col("quality") < 2).sort("time")
    found = usable.join_asof(spans, left_on="time", right_on="begin", strategy="backward")
    return found.filter(pl.col("time") <= pl.col("until"))["value"].to_list()
