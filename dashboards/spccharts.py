"""Plotly figures of control charts and of histograms with specification limits."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from analytics.spc.study import Study
from dashboards.charts import COLOURS, frame
from dashboards.words import value, wall

MOST = 600
"""Points drawn: the newest ones."""
_TOP, _BOTTOM, _HEAD, _BETWEEN = 300, 170, 26, 52
"""Pixels of the plots, of the title above them, and of the space between them."""
_PLOTS = {
    "location": ("value", "center", "lower", "upper"),
    "spread": ("spread", "spread_center", "spread_lower", "spread_upper"),
}


def control(study: Study, unit: str, zone: ZoneInfo, theme: str) -> dict[str, Any]:
    """The chart pair: points, centre line, limits and zones; what a rule found is marked with its number."""
    points = study.points.tail(MOST)
    both = study.chart.spread is not None
    inner = _TOP + _HEAD + (_BOTTOM + _BETWEEN if both else 0)
    layout = frame(theme, inner + 60)
    layout |= {"showlegend": False, "hovermode": "closest"}
    layout["margin"] |= {"l": 62, "r": 112, "t": 20, "b": 40}
    layout["xaxis"] |= {"type": "date", "showgrid": False, "anchor": "y2" if both else "y"}
    axis = layout.pop("yaxis")
    tops = {"location": inner - _HEAD, "spread": _BOTTOM}
    heights = {"location": _TOP, "spread": _BOTTOM}
    titles = {"location": study.chart.location, "spread": study.chart.spread or ""}
    data: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for number, plot in enumerate(("location", "spread") if both else ("location",)):
        name = "" if number == 0 else "2"
        top = tops[plot] / inner
        bottom = (tops[plot] - heights[plot]) / inner
        layout[f"yaxis{name}"] = axis | {"domain": [bottom, top], "zeroline": False, "showgrid": False}
        layout[f"yaxis{name}"] |= {"fixedrange": True}
        shown = titles[plot] + (
            f" ({unit})" if unit and not study.chart.attribute and study.chart.zoned else ""
        )
        notes.append(
            {
                "text": f"<b>{escape(shown)}</b>",
                "x": 0,
                "y": top,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "yshift": 6,
            }
        )
        data += _lines(points, plot, study, zone, theme, f"y{name}")
        data += _points(points, plot, study, unit, zone, theme, f"y{name}")
        notes += _ends(points, plot, theme, f"y{name}")
    layout |= {"annotations": notes, "shapes": _frozen(points, zone, theme)}
    return {"data": data, "layout": layout}


def _lines(
    points: pl.DataFrame, plot: str, study: Study, zone: ZoneInfo, theme: str, axis: str
) -> list[dict[str, Any]]:
    colours = COLOURS[theme]
    _, center, lower, upper = _PLOTS[plot]
    known = points.filter(pl.col("phase").is_not_null(), ~pl.col("excluded"))
    x = [wall(at, zone) for at in known["time"]]

    def line(y: Sequence[float | None], colour: str, dash: str, width: float) -> dict[str, Any]:
        style = {"color": colours[colour], "width": width, "dash": dash, "shape": "hvh"}
        return {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": list(y),
            "yaxis": axis,
            "line": style,
            "hoverinfo": "skip",
        }

    drawn = [line(known[center].to_list(), "running", "solid", 1.6)]
    drawn += [line(known[name].to_list(), "down", "dash", 1.6) for name in (lower, upper)]
    if plot == "location" and study.chart.zoned:
        for sigmas in (-2, -1, 1, 2):
            zone_line = known["center"] + sigmas * known["error"]
            inside = zone_line.is_between(known["lower"], known["upper"])
            kept = pl.select(pl.when(inside).then(zone_line)).to_series().to_list()
            drawn.append(line(kept, "planned", "dot", 1))
    return drawn


def _points(
    points: pl.DataFrame, plot: str, study: Study, unit: str, zone: ZoneInfo, theme: str, axis: str
) -> list[dict[str, Any]]:
    colours = COLOURS[theme]
    column, _, lower, upper = _PLOTS[plot]
    kept = points.filter(~pl.col("excluded"))
    out = points.filter("excluded") if plot == "location" else points.clear()
    rows = study.violations.filter(pl.col("plot") == plot)
    marked = rows.group_by("time").agg(
        number=pl.col("number").cast(pl.String).str.join(" "), text=pl.col("text").str.join("<br>")
    )
    hit = kept.join(marked, on="time", how="inner", maintain_order="left")

    def hover(row: dict[str, Any]) -> str:
        said = f"{value(row[column])} {escape(unit)}".strip()
        if row[upper] is not None:
            said += f"<br>limits {value(row[lower])} to {value(row[upper])}"
        return f"{said}<br>n = {row['n']}"

    base = {"type": "scatter", "yaxis": axis, "hovertemplate": "%{x}<br>%{customdata}<extra></extra>"}
    drawn = [
        base
        | {
            "mode": "lines+markers",
            "x": [wall(at, zone) for at in kept["time"]],
            "y": kept[column].to_list(),
            "customdata": [hover(row) for row in kept.iter_rows(named=True)],
            "line": {"color": colours["ink"], "width": 1.2},
            "marker": {"size": 5 if kept.height < 150 else 3, "color": colours["ink"]},
        }
    ]
    if not out.is_empty():
        drawn.append(
            base
            | {
                "mode": "markers",
                "x": [wall(at, zone) for at in out["time"]],
                "y": out[column].to_list(),
                "customdata": ["left out"] * out.height,
                "marker": {"size": 9, "symbol": "x-thin", "line": {"width": 2, "color": colours["muted"]}},
            }
        )
    if not hit.is_empty():
        drawn.append(
            base
            | {
                "mode": "markers+text" if hit.height <= 60 else "markers",
                "x": [wall(at, zone) for at in hit["time"]],
                "y": hit[column].to_list(),
                "text": hit["number"].to_list(),
                "textposition": "top center",
                "textfont": {"color": colours["down"], "size": 12},
                "customdata": [f"{hover(row)}<br>{escape(row['text'])}" for row in hit.iter_rows(named=True)],
                "marker": {
                    "size": 9 if hit.height <= 60 else 5,
                    "color": colours["down"],
                    "symbol": "diamond",
                },
            }
        )
    return drawn


def _ends(points: pl.DataFrame, plot: str, theme: str, axis: str) -> list[dict[str, Any]]:
    """The limits of the newest point, in numbers at the right."""
    known = points.filter(pl.col("phase").is_not_null(), ~pl.col("excluded"))
    if known.is_empty():
        return []
    last = known.row(-1, named=True)
    _, center, lower, upper = _PLOTS[plot]
    return [
        {
            "text": f"{name} {value(last[column])}", "x": 1, "xref": "paper", "xanchor": "left", "xshift": 5,
            "y": last[column], "yref": axis, "yanchor": "middle", "showarrow": False,
            "font": {"size": 12, "color": COLOURS[theme]["muted"]},
        }
        for name, column in (("UCL", upper), ("CL", center), ("LCL", lower))
        if last[column] is not None
    ]  # fmt: skip


def _frozen(points: pl.DataFrame, zone: ZoneInfo, theme: str) -> list[dict[str, Any]]:
    """A line where other limits begin to hold."""
    starts = points.filter(pl.col("limits").ne_missing(pl.col("limits").shift(1)))["time"].to_list()[1:]
    style = {"color": COLOURS[theme]["setup"], "width": 1.5, "dash": "dashdot"}
    return [
        {
            "type": "line",
            "x0": wall(at, zone),
            "x1": wall(at, zone),
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": style,
        }
        for at in starts
    ]


def histogram(
    values: Sequence[float],
    marks: Sequence[tuple[str, float]],
    mean: float,
    sigma: float,
    unit: str,
    theme: str,
) -> dict[str, Any]:
    """How the values are spread, the normal curve of their overall sigma, and the specification limits (`marks`)."""
    colours = COLOURS[theme]
    low, high = min(values), max(values)
    bins = max(1, min(40, math.ceil(math.sqrt(len(values)))))
    width = (high - low) / bins or 1.0
    heights = [0] * bins
    for one in values:
        heights[min(bins - 1, int((one - low) / width))] += 1
    layout = frame(theme, 260)
    layout |= {"showlegend": False, "bargap": 0.06}
    layout["margin"] |= {"l": 62, "r": 16, "t": 30, "b": 40}
    layout["xaxis"] |= {
        "title": {"text": escape(unit)},
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }
    layout["yaxis"] |= {"title": {"text": "values"}, "rangemode": "tozero", "fixedrange": True}
    bars = {
        "type": "bar",
        "x": [low + width * (i + 0.5) for i in range(bins)],
        "width": [width * 0.94] * bins,
        "y": heights,
        "marker": {"color": colours["planned"]},
        "hovertemplate": "%{x:.5g}: %{y} values<extra></extra>",
    }
    data = [bars]
    if sigma > 0:
        xs = [mean + sigma * (i / 20 - 4) for i in range(161)]
        scale = len(values) * width / (sigma * math.sqrt(2 * math.pi))
        ys = [scale * math.exp(-(((x - mean) / sigma) ** 2) / 2) for x in xs]
        curve = {"color": colours["ink"], "width": 1.6}
        data.append(
            {"type": "scatter", "mode": "lines", "x": xs, "y": ys, "line": curve, "hoverinfo": "skip"}
        )
    layout["shapes"] = [
        {
            "type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": colours["setup" if name == "target" else "down"], "width": 2, "dash": "dash"},
        }
        for name, at in marks
    ]  # fmt: skip
    layout["annotations"] = [
        {
            "text": f"{name} {value(at)}", "x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False,
            "font": {"size": 12, "color": colours["muted"]},
        }
        for name, at in marks
    ]  # fmt: skip
    return {"data": data, "layout": layout}
