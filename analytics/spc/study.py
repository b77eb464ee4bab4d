"""One chart over a window: phase 1 (limits estimated from the points shown) and phase 2 (limits frozen before).

A point is judged by the limits that were valid at its time. Points people left out are drawn, and nothing follows from
them: neither limits nor runs. A run does not go on over a change of limits.

Charts that remember (EWMA, CUSUM) begin at the centre line where limits begin to hold, in phase 1 with the first point of
the window, and anew after a point that was left out: its cause was found and removed (Montgomery, section 9.1).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from analytics.spc.charts import POINTS, Chart, Estimate, NoLimits, charts
from analytics.spc.rules import LIMITS, RULES, Rule, marked
from plant.frames import TIME, Window
from plant.model import ChartKind, ControlChart

JUDGED: Mapping[str, pl.DataType | type[pl.DataType]] = {
    **POINTS,
    "value": pl.Float64,  # what the first plot shows
    "center": pl.Float64,
    "error": pl.Float64,  # its standard error: zones are multiples of it
    "lower": pl.Float64,  # control limits; null: none
    "upper": pl.Float64,
    "spread": pl.Float64,  # the second plot; null: none
    "spread_center": pl.Float64,
    "spread_lower": pl.Float64,
    "spread_upper": pl.Float64,
    "excluded": pl.Boolean,
    "phase": pl.Int8,  # 1 or 2; null: no limits
    "limits": pl.Int64,  # which of the frozen ones, in the order given; null in phase 1
}
VIOLATIONS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "time": TIME,  # of the point that completes the pattern
    "plot": pl.String,  # location or spread
    "rule": pl.String,  # id
    "number": pl.Int64,
    "name": pl.String,
    "text": pl.String,
    "since": TIME,  # first point of the pattern
    "value": pl.Float64,
    "phase": pl.Int8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """Limits kept from a phase 1, or, without an estimate, that it is phase 1 again."""

    study: str
    """`key` of the chart they are for."""
    valid_from: datetime
    estimate: Mapping[str, float | int | str]
    """`Estimate`, as JSON. Empty: from `valid_from` on no limits are frozen."""
    window_start: datetime
    window_end: datetime
    at: datetime
    user: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A point left out, or taken in again; of those about one point the last one holds."""

    time: datetime
    excluded: bool
    at: datetime
    user: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A chart, judged."""

    chart: Chart
    points: pl.DataFrame
    """JUDGED, of the window."""
    violations: pl.DataFrame
    """VIOLATIONS, of the window."""
    estimate: Estimate | None
    """From all points of the window that are not left out, whatever limits they are judged by; when it went back to
    phase 1, from those since."""
    problem: str
    """Why there is no estimate."""
    rules: tuple[Rule, ...]


def key(plan: ControlChart) -> str:
    """What limits belong to: a chart that is set up otherwise needs others."""
    size = "all" if plan.size is None else str(plan.size)
    step = {"time": f" every {plan.every}", "inspection": f" gap {plan.gap}"}.get(plan.by, "")
    return f"{plan.chart} by {plan.by} size {size}{step}"


def study(
    points: pl.DataFrame,
    plan: ControlChart,
    frozen: Sequence[Frozen],
    exclusions: Iterable[Exclusion],
    window: Window,
) -> Study:
    """Judge the points of a window. `points` (POINTS, by time) may begin before it: runs then reach back."""
    chart = charts()[plan.chart]
    held = {e.time: e.excluded for e in exclusions}
    out = [time for time, is_out in held.items() if is_out]
    marked_out = points.with_columns(excluded=pl.col("time").is_in(pl.Series(out, dtype=TIME).implode()))
    numbers = pl.Series([_entry(time, frozen) for time in marked_out["time"]], dtype=pl.Int64)
    all_points = marked_out.with_columns(entry=numbers, era=numbers.rle_id())
    inside = pl.col("time").is_between(window.start, window.end, closed="left")
    taken = all_points.filter(inside, ~pl.col("excluded"))
    since = phase_one_since(frozen, window)
    estimate, problem = _estimated(
        chart, taken if since is None else taken.filter(pl.col("time") >= since), plan
    )
    if chart.remembers:
        begun = pl.col("excluded").shift(1).fill_null(False).cum_sum()
        all_points = all_points.with_columns(run=pl.struct("era", begun).rle_id())
    else:
        all_points = all_points.with_columns(run="era")
    pieces: list[pl.DataFrame] = []
    found: list[pl.DataFrame] = []
    rules = RULES[plan.rules] if chart.zoned else (LIMITS,)
    for piece in all_points.partition_by("run", maintain_order=True):
        entry, era = piece.select("entry", "era").row(0)
        if entry is not None and frozen[entry].estimate:
            judged = _judged(chart, piece, Estimate(**frozen[entry].estimate), plan, entry)
        else:
            phase_one, _ = _estimated(chart, taken.filter(pl.col("era") == era), plan)
            # Limits estimated from the window say nothing about points before it.
            judged = _judged(chart, piece.filter(inside), phase_one, plan, None)
        pieces.append(judged)
        found.append(_violations(chart, judged, rules))
    empty = pl.DataFrame(schema=JUDGED)
    return Study(
        chart=chart,
        points=pl.concat([empty, *pieces]).filter(inside),
        violations=pl.concat([pl.DataFrame(schema=VIOLATIONS), *found]).filter(inside),
        estimate=estimate,
        problem=problem,
        rules=rules,
    )


def in_force(frozen: Sequence[Frozen], at: datetime) -> Frozen | None:
    """The limits that hold then; None: it is phase 1."""
    entry = _entry(at, frozen)
    return None if entry is None or not frozen[entry].estimate else frozen[entry]


def phase_one_since(frozen: Sequence[Frozen], window: Window) -> datetime | None:
    """Since when it is phase 1 again at the end of the window; None: it is phase 2, or never was."""
    entry = _entry(window.end, frozen)
    return None if entry is None or frozen[entry].estimate else frozen[entry].valid_from


def _entry(time: datetime, frozen: Sequence[Frozen]) -> int | None:
    """Which entry holds then: that valid since last; of several since the same time the one entered last."""
    held = [(f.valid_from, number) for number, f in enumerate(frozen) if f.valid_from <= time]
    return max(held)[1] if held else None


def _estimated(chart: Chart, points: pl.DataFrame, plan: ControlChart) -> tuple[Estimate | None, str]:
    try:
        return chart.estimate(points, plan), ""
    except NoLimits as why:
        return None, str(why)


def _judged(
    chart: Chart, points: pl.DataFrame, used: Estimate | None, plan: ControlChart, number: int | None
) -> pl.DataFrame:
    taken = points.filter(~pl.col("excluded"))
    plain = pl.col("mean") if not chart.attribute else _plain(chart.kind)
    if used is None:
        # What was found is drawn without limits, too; what a chart remembers is nothing without a centre line.
        lined = points if chart.remembers else points.with_columns(value=plain)
        missing = [name for name in JUDGED if name not in lined.columns]
    elif chart.remembers:
        # One that is left out is the last of its run: it shows what it signalled, and nothing follows from it.
        lined = chart.lines(points, used, plan)
        missing = [name for name in JUDGED if name not in lined.columns]
    else:
        left = points.filter("excluded")
        drawn = chart.lines(taken, used, plan)
        # A point that is left out is drawn where it is, beside a chart that does not know it.
        lined = pl.concat([drawn, left.with_columns(value=plain)], how="diagonal_relaxed").sort("time")
        missing = [name for name in JUDGED if name not in lined.columns]
    lined = lined.with_columns(
        pl.lit(None, JUDGED[name]).alias(name) for name in missing if name not in lined.columns
    )
    phase = None if used is None else 1 if number is None else 2
    return (
        lined.with_columns(phase=pl.lit(phase, pl.Int8), limits=pl.lit(number, pl.Int64))
        .select(list(JUDGED))
        .cast(pl.Schema(JUDGED))
    )


def _plain(kind: ChartKind) -> pl.Expr:
    count = pl.col("count").cast(pl.Float64)
    return count / pl.col("n") if kind in (ChartKind.P, ChartKind.U) else count


def _violations(chart: Chart, judged: pl.DataFrame, rules: tuple[Rule, ...]) -> pl.DataFrame:
    known = judged.filter(~pl.col("excluded"), pl.col("value").is_not_null(), pl.col("phase").is_not_null())
    if known.is_empty():
        return pl.DataFrame(schema=VIOLATIONS)
    found = []
    if chart.zoned:
        z = (known["value"] - known["center"]) / known["error"]
        found.append(_named(known, z.fill_nan(None), rules, "location", "value"))
    else:
        found.append(_named(known, _beyond(known, "value", "lower", "upper"), (LIMITS,), "location", "value"))
    if chart.spread is not None:
        beyond = _beyond(known, "spread", "spread_lower", "spread_upper")
        found.append(_named(known, beyond, (LIMITS,), "spread", "spread"))
    return pl.concat(found).sort("time", "plot", "number", maintain_order=True)


def _beyond(known: pl.DataFrame, value: str, lower: str, upper: str) -> pl.Series:
    """2 or -2 outside of the limits, 0 inside."""
    above = pl.when(pl.col(value) > pl.col(upper)).then(2.0).when(pl.col(value) < pl.col(lower)).then(-2.0)
    return known.select(z=above.otherwise(0.0)).to_series()


def _named(known: pl.DataFrame, z: pl.Series, rules: tuple[Rule, ...], plot: str, value: str) -> pl.DataFrame:
    marks = marked(z, rules)
    pieces = []
    for rule in rules:
        since = known["time"].shift(rule.points - 1).fill_null(known["time"][0])
        pieces.append(
            known.select(
                "time",
                plot=pl.lit(plot),
                rule=pl.lit(rule.id),
                number=pl.lit(rule.number, pl.Int64),
                name=pl.lit(rule.name),
                text=pl.lit(rule.text),
                since=since,
                value=pl.col(value),
                phase=pl.col("phase"),
            ).filter(marks[rule.id])
        )
    return pl.concat(pieces).cast(pl.Schema(VIOLATIONS))
