"""A control chart of a machine: of one of its process values, of its rejects per hour, shift or order, or of what people
counted in inspections."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import polars as pl

from analytics.figures.buckets import edges
from analytics.spc.capability import Index, Specified, capability
from analytics.spc.inspections import Inspection, counted, measured, standing
from analytics.spc.study import Exclusion, Frozen, Study, in_force, key, phase_one_since, study
from analytics.spc.subgroups import lots, order_starts, reach, subgroups, while_running
from dashboards.ports import Refused
from plant.frames import BAD, Window
from plant.model import ChartKind, ControlChart, Equipment, Plant, Role, RuleSet, Signal

REJECTS = "@rejects"
"""Stands for a signal: the rejects of the machine. Ids have no "@"."""
INSPECTION = "@inspection:"
"""In front of what units are inspected for, stands for a signal: "@inspection:Visual check"."""
PER = {"hour": "Per hour", "shift": "Per shift", "order": "Per order"}
COUNTED = (ChartKind.P, ChartKind.NP, ChartKind.C, ChartKind.U)
_LOTS_BACK = {"hour": timedelta(days=1), "shift": timedelta(days=4), "order": timedelta(days=4)}
"""How far before the window runs may begin."""
_INSPECTIONS_BACK = timedelta(days=30)
ENOUGH = 20
"""Points limits should be estimated from (ISO 7870-2: 20 to 25 subgroups)."""


class Source(Protocol):
    """What a chart is made from; the Backend has it."""

    @property
    def plant(self) -> Plant: ...

    def now(self) -> datetime: ...

    def ledger(
        self, window: Window, equipment: Sequence[str] | None = None, cuts: Sequence[datetime] = ()
    ) -> pl.DataFrame: ...

    def samples(self, window: Window, equipment: str, signal: str) -> pl.DataFrame: ...

    def spc_limits(self, equipment: str, signal: str, study: str) -> list[Frozen]: ...

    def spc_exclusions(self, equipment: str, signal: str) -> list[Exclusion]: ...

    def inspections(self, window: Window, equipment: str) -> list[Inspection]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which chart: of a signal, of rejects (`REJECTS`) in lots `per` hour, shift or order, or of inspections
    (`INSPECTION`)."""

    machine: str
    signal: str
    per: str = "hour"
    chart: ChartKind = ChartKind.P

    @property
    def test(self) -> str | None:
        """What units are inspected for; None: it is no chart of that."""
        return self.signal.removeprefix(INSPECTION) if self.signal.startswith(INSPECTION) else None

    @property
    def counts(self) -> bool:
        """It counts units, it does not measure."""
        return self.signal == REJECTS or self.test is not None


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
    """Capability; empty where units are counted."""
    histogram: Sequence[float]
    """The values the estimate is from."""
    inspections: Sequence[Inspection]
    """Entries of the window, also those that are taken back."""

    @property
    def too_few(self) -> int | None:
        """How many points there are in phase 1, when they are too few for limits; None: enough, or the limits are frozen."""
        first = self.study.points.filter(~pl.col("excluded"), pl.col("phase") == 1).height
        later = (self.study.points["phase"] == 2).any()
        return first if 0 < first < ENOUGH and not later else None


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
    if signal not in offered and not signal.startswith(INSPECTION):
        raise Refused(f"signal: {signal!r} is not one of {', '.join(offered)}, {INSPECTION}NAME")
    if per not in PER:
        raise Refused(f"per: {per!r} is not one of {', '.join(PER)}")
    if chart not in [kind.value for kind in COUNTED]:
        raise Refused(f"chart: {chart!r} is not one of {', '.join(COUNTED)}")
    return Asked(machine=machine, signal=signal, per=per, chart=ChartKind(chart))


def find(source: Source, asked: Asked, window: Window) -> Shown:
    """The chart of a window, judged."""
    now = source.now()
    end = min(window.end, now)
    signal = None if asked.counts else source.plant.signals[asked.machine, asked.signal]
    if signal is None:
        plan = ControlChart(chart=asked.chart, rules=RuleSet.NELSON)
        name = f"{asked.chart} per {'inspection' if asked.test is not None else asked.per}"
    else:
        plan, name = signal.spc, key(signal.spc)
    limits = source.spc_limits(asked.machine, asked.signal, name)
    exclusions = source.spc_exclusions(asked.machine, asked.signal)
    entries = _inspections(source, asked, Window(window.start - _INSPECTIONS_BACK, end))
    kept = None
    if signal is None and asked.test is None:
        points = _lots(source, asked, Window(window.start - _LOTS_BACK[asked.per], end))
    elif signal is None:
        points = counted(standing(entries), asked.chart)
    else:
        held = in_force(limits, window.start)
        span = Window(reach(plan, window.start, held.valid_from if held else None), end)
        kept, points = _values(source, asked, plan, span)
        points = pl.concat([points, measured(standing(entries))]).sort("time", maintain_order=True)
    found = study(points, plan, limits, exclusions, window)
    values: list[float] = []
    indices: Sequence[Index] = ()
    if kept is not None and signal is not None and found.estimate is not None:
        since = phase_one_since(limits, window) or window.start
        shown = found.points.filter(~pl.col("excluded"), pl.col("time") >= since)
        values = _within(kept, shown) + _recorded(entries, shown)
        indices = capability(found.estimate, Specified(lower=signal.lower, upper=signal.upper))
    last = {e.time: e for e in exclusions}
    return Shown(
        asked=asked,
        key=name,
        signal=signal,
        study=found,
        limits=limits,
        exclusions=[last[time] for time in found.points.filter("excluded")["time"]],
        indices=indices,
        histogram=values,
        inspections=[entry for entry in entries if entry.time >= window.start],
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


def unfreezing(shown: Shown, now: datetime, user: str, why: str) -> Frozen:
    """That from now on it is phase 1 again; the points before keep the limits of their time.

    Raises:
        Refused: it is phase 1, or nobody says why.
    """
    if in_force(shown.limits, now) is None:
        raise Refused("No limits are frozen: it is phase 1 already.")
    if not why.strip():
        raise Refused("Say why the limits do not hold any more, such as a new tool.")
    return Frozen(
        study=shown.key,
        valid_from=now,
        estimate={},
        window_start=now,
        window_end=now,
        at=now,
        user=user,
        why=why.strip(),
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
        "inspections": [asdict(one) for one in shown.inspections],
        "points": found.points.to_dicts(),
        "violations": found.violations.to_dicts(),
    }


def _inspections(source: Source, asked: Asked, span: Window) -> list[Inspection]:
    test = asked.signal if asked.test is None else asked.test
    if asked.signal == REJECTS or span.start >= span.end:
        return []
    return [entry for entry in source.inspections(span, asked.machine) if entry.test == test]


def _lots(source: Source, asked: Asked, span: Window) -> pl.DataFrame:
    zone = source.plant.site.zone
    cuts = edges(span, zone, "hour") if asked.per == "hour" else []
    return lots(source.ledger(span, [asked.machine], cuts), asked.per, zone)


def _values(
    source: Source, asked: Asked, plan: ControlChart, span: Window
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The samples that count, and their subgroups."""
    samples = source.samples(span, asked.machine, asked.signal)
    ledger = source.ledger(span, [asked.machine])
    kept = while_running(samples, ledger) if plan.running else samples
    return kept, subgroups(kept, plan, order_starts(ledger), source.now())


def _within(samples: pl.DataFrame, points: pl.DataFrame) -> list[float]:
    """The values of samples the points are of."""
    spans = points.select(begin="time", until="end").sort("begin")
    usable = samples.filter(pl.col("value").is_not_null(), pl.col("quality") < BAD).sort("time")
    found = usable.join_asof(spans, left_on="time", right_on="begin", strategy="backward")
    return found.filter(pl.col("time") <= pl.col("until"))["value"].to_list()


def _recorded(entries: Sequence[Inspection], points: pl.DataFrame) -> list[float]:
    """The values people measured that the points are of."""
    times = set(points["time"])
    return [value for one in standing(entries) if one.time in times for value in one.values]
