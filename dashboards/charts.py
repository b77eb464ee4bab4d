"""Plotly figures as plain dicts: on the hot path they are a hundred times cheaper than graph objects.

Times go in as the plant's wall time without offset, because Plotly ignores offsets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dashboards.figures import Loss
from dashboards.words import length, wall
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
    },
}
"""The tokens of assets/base.css that charts need."""

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


def _frame(theme: str, height: int) -> dict[str, Any]:
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


def pareto(losses: Sequence[Loss], theme: str) -> dict[str, Any]:
    """Minutes per loss with the cumulative share; what nobody coded is hatched."""
    colours = COLOURS[theme]
    total = sum(loss.seconds for loss in losses) or 1.0
    shares, running = [], 0.0
    for loss in losses:
        running += loss.seconds
        shares.append(100 * running / total)
    names = [loss.name for loss in losses]
    layout = _frame(theme, 320)
    layout |= {"showlegend": False, "bargap": 0.35}
    layout["xaxis"] |= {"automargin": True, "showgrid": False}
    layout["yaxis"] |= {"title": {"text": "minutes"}, "rangemode": "tozero"}
    layout["yaxis2"] = {
        "overlaying": "y",
        "side": "right",
        "range": [0, 105],
        "ticksuffix": " %",
        "showgrid": False,
        "tickmode": "auto",
        "color": colours["muted"],
    }
    bars = {
        "type": "bar",
        "x": names,
        "y": [loss.seconds / 60 for loss in losses],
        "customdata": [loss.key for loss in losses],
        "text": [f"{length(loss.seconds)} in {loss.count}" for loss in losses],
        "hovertemplate": "%{x}<br>%{text} stops<extra></extra>",
        "textposition": "none",
        "marker": {
            "color": [colours["planned"] if loss.uncoded else colours["down"] for loss in losses],
            "pattern": {"shape": ["/" if loss.uncoded else "" for loss in losses]},
        },
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": names,
        "y": shares,
        "yaxis": "y2",
        "hoverinfo": "skip",
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
    layout = _frame(theme, 96 + 34 * len(lanes))
    layout |= {
        "barmode": "overlay",
        "bargap": 0.3,
        "legend": {"orientation": "h", "y": -0.12, "yanchor": "top"},
    }
    layout["margin"] |= {"l": 90, "r": 12, "t": 44, "b": 70}
    ends = ledger.select(pl.col("start").min(), pl.col("end").max()).row(0)
    layout["xaxis"] |= {"type": "date", "side": "top", "range": [wall(end, zone) for end in ends]}
    layout["yaxis"] |= {"categoryorder": "array", "categoryarray": lanes[::-1], "automargin": True}
    return {"data": traces, "layout": layout}
