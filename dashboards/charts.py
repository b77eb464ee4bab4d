"""Plotly figures as plain dicts: on the hot path they are a hundred times cheaper than graph objects.

Times go in as the plant's wall time without offset, because Plotly ignores offsets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from dashboards.figures import Loss
from dashboards.view import ShiftView
from dashboards.words import length, number, shift_name, value, wall
from plant.frames import Window
from plant.model import Plant
from plant.states import TimeCategory

COLOURS: Mapping[str, Mapping[str, str]] = {
    "light": {
        "ink": "#10141d",
        "muted": "#5b6472",
        "line": "#e1e5ec",
        "surface": "#ffffff",
        "running": "#17a673",
        "waiting": "#f5c211",
        "down": "#b8141f",
        "setup": "#2563eb",
        "planned": "#aab3c0",
        "unknown": "#d5dae2",
        "band": "rgba(16, 20, 29, 0.2)",
        "shift": "#f1f3f8",
    },
    "dark": {
        "ink": "#eef1f6",
        "muted": "#98a2b3",
        "line": "#262d39",
        "surface": "#161b24",
        "running": "#2bbf8a",
        "waiting": "#f7c93b",
        "down": "#d9252f",
        "setup": "#5b8dff",
        "planned": "#7d8896",
        "unknown": "#333c4a",
        "band": "rgba(238, 241, 246, 0.24)",
        "shift": "#1d2430",
    },
}
"""The tokens of assets/base.css that charts need, the band of a trend and the shade of every other shift."""

_SHIFTS_NAMED = timedelta(hours=30)
_SHIFTS_SHADED = timedelta(days=8)

SHOWN: Mapping[TimeCategory, tuple[str, str]] = {
    TimeCategory.RUNNING: ("Running", "running"),
    TimeCategory.UNPLANNED_DOWNTIME: ("Unplanned stop", "down"),
    TimeCategory.MICRO_STOP: ("Micro-stop", "down"),
    TimeCategory.CHANGEOVER: ("Changeover", "setup"),
    TimeCategory.STARVED: ("Starved", "waiting"),
    TimeCategory.BLOCKED: ("Blocked", "waiting"),
    TimeCategory.PLANNED_DOWNTIME: ("Planned stop", "planned"),
    TimeCategory.NOT_SCHEDULED: ("Not scheduled", "unknown"),
    TimeCategory.UNKNOWN: ("Unknown", "unknown"),
}
"""Word and colour of each category."""


TIME_AXIS: Mapping[str, Any] = {
    "type": "date",
    "tickformatstops": (
        {"dtickrange": [None, 60_000], "value": "%H:%M:%S\n%d %b"},
        {"dtickrange": [60_000, 86_400_000], "value": "%H:%M\n%d %b"},
        {"dtickrange": [86_400_000, "M1"], "value": "%d %b\n%Y"},
        {"dtickrange": ["M1", None], "value": "%b %Y"},
    ),
}
"""An axis of the plant's time. Its ticks are written by the milliseconds between them; the second line where it changes."""


def axis_title(text: str, theme: str) -> dict[str, Any]:
    """What an axis counts, and its unit."""
    return {"text": escape(text), "font": {"size": 13, "color": COLOURS[theme]["muted"]}, "standoff": 6}


def frame(theme: str, height: int) -> dict[str, Any]:
    """The layout all charts begin with."""
    colours = COLOURS[theme]
    axis = {"gridcolor": colours["line"], "zerolinecolor": colours["line"], "linecolor": colours["line"]}
    return {
        "height": height,
        "paper_bgcolor": colours["surface"],
        "plot_bgcolor": colours["surface"],
        "font": {"family": "Inter, system-ui, sans-serif", "size": 13, "color": colours["ink"]},
        "margin": {"l": 56, "r": 48, "t": 8, "b": 40},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
        "hoverlabel": {"font": {"family": "Inter, system-ui, sans-serif"}},
        "uirevision": "kept",
    }


PARETO_BARS = 12
"""Bars a Pareto shows; the table beside it has all."""


def pareto(
    losses: Sequence[Loss],
    theme: str,
    measure: str = "duration",
    picked: str | None = None,
    currency: str = "",
) -> dict[str, Any]:
    """The largest losses from the top down, by a measure (`figures.MEASURES`), and the line of what they make together;
    what nobody coded is hatched, and with one `picked` the others are pale. Lying bars have room for their names."""
    colours = COLOURS[theme]
    scale = 60 if measure == "duration" else 1
    total = sum(loss.amount(measure) for loss in losses) or 1.0
    shares, together = [], 0.0
    for loss in losses[:PARETO_BARS]:
        together += loss.amount(measure)
        shares.append(together / total)
    shown = losses[:PARETO_BARS]
    names = [escape(loss.name) for loss in shown]
    layout = frame(theme, 76 + 34 * len(shown))
    layout["margin"] |= {"l": 10, "r": 26, "t": 30, "b": 40}
    layout |= {"showlegend": False, "bargap": 0.35}
    title = {"duration": "minutes", "count": "stops", "cost": f"cost ({currency})" if currency else "cost"}[
        measure
    ]
    layout["xaxis"] |= {
        "title": axis_title(title, theme),
        "rangemode": "tozero",
        "fixedrange": True,
    }
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "showgrid": False, "fixedrange": True}
    layout["xaxis2"] = {
        "overlaying": "x",
        "side": "top",
        "range": [0, 1.02],
        "tickformat": ".0%",
        "dtick": 0.25,
        "tickangle": 0,
        "showgrid": False,
        "fixedrange": True,
        "color": colours["muted"],
    }
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": [loss.amount(measure) / scale for loss in shown],
        "customdata": [loss.key for loss in shown],
        "text": [f"{length(loss.seconds)} in {loss.count} stops" for loss in shown],
        "hovertemplate": "%{y}<br>%{text}<extra></extra>",
        "textposition": "none",
        "marker": {
            "color": [colours["planned" if loss.uncoded else SHOWN[loss.category][1]] for loss in shown],
            "opacity": [1 if picked in (None, loss.key) else 0.4 for loss in shown],
            "pattern": {"shape": ["/" if loss.uncoded else "" for loss in shown]},
        },
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "y": names,
        "x": shares,
        "xaxis": "x2",
        "customdata": [loss.key for loss in shown],
        "hovertemplate": "%{x:.0%} with those above<extra></extra>",
        "line": {"color": colours["ink"], "width": 2},
        "marker": {"size": 6},
    }
    return {"data": [bars, line], "layout": layout}


def timeline(ledger: pl.DataFrame, plant: Plant, theme: str) -> dict[str, Any]:
    """One lane per machine, one trace per category, so that the legend turns categories on and off."""
    colours, zone = COLOURS[theme], plant.site.zone
    lanes = [m.name for m in plant.machines() if m.id in set(ledger["equipment"])]
    pieces = (
        ledger.sort("equipment", "start")
        .with_columns(run=pl.struct("equipment", "category", "reason", "stop_start").rle_id())
        .group_by("run", maintain_order=True)
        .agg(pl.col("equipment", "category", "reason", "start").first(), pl.col("end").last())
    )
    traces = []
    for category, (word, colour) in SHOWN.items():
        rows = pieces.filter(pl.col("category") == category.value).to_dicts()
        if not rows:
            continue
        total = sum((r["end"] - r["start"]).total_seconds() for r in rows)
        reasons = [plant.reasons[r["reason"]].name if r["reason"] in plant.reasons else word for r in rows]
        spans = [(r["end"] - r["start"]).total_seconds() for r in rows]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": f"{word} {length(total)}",
                "y": [plant.equipment[r["equipment"]].name for r in rows],
                "base": [wall(r["start"], zone) for r in rows],
                "x": [span * 1000 for span in spans],
                "customdata": [
                    f"{reason}, {length(span)} from {r['start'].astimezone(zone):%H:%M:%S}"
                    for reason, span, r in zip(reasons, spans, rows, strict=True)
                ],
                "hovertemplate": "%{y}<br>%{customdata}<extra></extra>",
                "marker": {
                    "color": colours[colour],
                    "line": {"width": 0},
                    "opacity": 0.55 if category is TimeCategory.MICRO_STOP else 1,
                    "pattern": {"shape": "/" if category is TimeCategory.UNKNOWN else ""},
                },
            }
        )
    layout = frame(theme, 96 + 34 * len(lanes))
    layout |= {
        "barmode": "overlay",
        "bargap": 0.3,
        "legend": {"orientation": "h", "y": -0.12, "yanchor": "top"},
    }
    layout["margin"] |= {"l": 90, "r": 12, "t": 44, "b": 70}
    ends = ledger.select(pl.col("start").min(), pl.col("end").max()).row(0)
    layout["xaxis"] |= {**TIME_AXIS, "side": "top", "range": [wall(end, zone) for end in ends]}
    layout["yaxis"] |= {"categoryorder": "array", "categoryarray": lanes[::-1], "automargin": True}
    return {"data": traces, "layout": layout}


TREND_HEAD = 40
"""Pixels of the title above a signal's plot."""
TREND_PLOTS = {1: 340, 2: 240}
TREND_PLOT = 190
"""Pixels of each plot: of one or two, and of more."""


@dataclass(frozen=True, slots=True)
class Trend:
    """One signal to draw: `pieces` of `dashboards.trends.pieces`."""

    name: str
    unit: str
    pieces: Sequence[pl.DataFrame]


def trends(
    shown: Sequence[Trend], shifts: Sequence[ShiftView], window: Window, zone: ZoneInfo, theme: str
) -> dict[str, Any]:
    """Mean and min-max band of each signal, one plot below the other over the same time; every other shift
    is shaded."""
    colours = COLOURS[theme]
    plot = TREND_PLOTS.get(len(shown), TREND_PLOT)
    inner = len(shown) * (plot + TREND_HEAD)
    layout = frame(theme, inner + 64)
    layout |= {"hovermode": "x unified", "hoversubplots": "axis", "showlegend": False}
    layout["margin"] |= {"l": 58, "r": 14, "t": 24, "b": 40}
    layout["xaxis"] |= {
        **TIME_AXIS,
        "range": [wall(window.start, zone), wall(window.end, zone)],
        "anchor": f"y{len(shown)}" if len(shown) > 1 else "y",
        "hoverformat": "%a %d %b %H:%M:%S",
    }
    axis = layout.pop("yaxis")
    shapes, notes = _shaded(shifts, window, zone, colours)
    data = []
    for row, trend in enumerate(shown):
        name = "" if row == 0 else str(row + 1)
        bottom = inner - (row + 1) * (plot + TREND_HEAD)
        top = (bottom + plot) / inner
        layout[f"yaxis{name}"] = axis | {"domain": [bottom / inner, top], "fixedrange": True}
        unit = f" <span style='color:{colours['muted']}'>{escape(trend.unit)}</span>" if trend.unit else ""
        notes.append(_note(f"<b>{escape(trend.name)}</b>{unit}", 0, top, xref="paper"))
        data += [_band(trend, f"y{name}", zone, colours), _mean(trend, f"y{name}", zone, colours)]
    # A window of its own must not inherit the zoom of the one before.
    layout |= {"shapes": shapes, "annotations": notes, "uirevision": f"{window.start} {window.end}"}
    return {"data": data, "layout": layout}


def _mean(trend: Trend, axis: str, zone: ZoneInfo, colours: Mapping[str, str]) -> dict[str, Any]:
    x: list[str | None] = []
    y: list[float | None] = []
    said: list[str | None] = []
    for piece in trend.pieces:
        for row in piece.iter_rows(named=True):
            x.append(wall(row["time"], zone))
            y.append(row["mean"])
            span = f"{value(row['min'])} to {value(row['max'])}"
            said.append(f"{value(row['mean'])} {escape(trend.unit)} ({span}, {number(row['count'])} samples)")
        x += [wall(row["end"], zone), None]
        y += [row["mean"], None]
        said += [said[-1], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(trend.name),
        "x": x,
        "y": y,
        "yaxis": axis,
        "customdata": said,
        "hovertemplate": "%{customdata}",
        "line": {"color": colours["ink"], "width": 1.6, "shape": "hv"},
        "connectgaps": False,
    }


def _band(trend: Trend, axis: str, zone: ZoneInfo, colours: Mapping[str, str]) -> dict[str, Any]:
    """Outlines from each bucket's start to its end, there along the largest values and back along the smallest."""
    x: list[str | None] = []
    y: list[float | None] = []
    for piece in trend.pieces:
        there, back = [], []
        for start, end, low, high in piece.select("time", "end", "min", "max").iter_rows():
            ends = wall(start, zone), wall(end, zone)
            there += [(ends[0], high), (ends[1], high)]
            back += [(ends[0], low), (ends[1], low)]
        outline = [*there, *back[::-1], there[0]]
        x += [*(at for at, _ in outline), None]
        y += [*(level for _, level in outline), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "yaxis": axis,
        "fill": "toself",
        "fillcolor": colours["band"],
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _shaded(
    shifts: Sequence[ShiftView], window: Window, zone: ZoneInfo, colours: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A rectangle behind every other shift, of long windows behind every other day; names where they fit."""
    span = window.end - window.start
    spans = [
        (shift_name(s), datetime.fromisoformat(s["start"]), datetime.fromisoformat(s["end"])) for s in shifts
    ]
    if span > _SHIFTS_SHADED:
        days: dict[date, list[tuple[str, datetime, datetime]]] = {}
        for one in spans:
            days.setdefault(one[1].astimezone(zone).date(), []).append(one)
        spans = [("", min(a for _, a, _ in day), max(b for _, _, b in day)) for day in days.values()]
    shapes, notes = [], []
    for turn, (name, start, end) in enumerate(spans):
        start, end = max(start, window.start), min(end, window.end)
        if (len(spans) - turn) % 2 == 0:  # never the last one: a window of one shift is plain
            shape = {"type": "rect", "layer": "below", "line": {"width": 0}, "fillcolor": colours["shift"]}
            across = {"x0": wall(start, zone), "x1": wall(end, zone), "yref": "paper", "y0": 0, "y1": 1}
            shapes.append(shape | across)
        if name and span <= _SHIFTS_NAMED and (end - start) > span / 8:
            notes.append(_note(escape(name), wall(start, zone), 1, font={"color": colours["muted"]}))
    return shapes, notes


def _note(text: str, x: Any, y: float, **more: Any) -> dict[str, Any]:
    place = {"x": x, "y": y, "xref": "x", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return {"text": text, "showarrow": False} | place | more
