"""Plotly figures of control charts and of histograms with specification limits."""

import math
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from analytics.spc.study import Study
from dashboards.charts import COLOURS, TIME_AXIS, axis_title, frame
from dashboards.words import value, wall

MOST = 600
"""Points drawn: the newest ones."""
_TOP, _BOTTOM, _HEAD, _BETWEEN = 300, 170, 26, 52
"""Pixels of the plots, of the title above them, and of the space between them."""
MOST_BARS = 40
MOST_STEPS = 200
"""Steps between the smallest and the largest value, when they are seen as steps."""
_LABEL = 30
"""Pixels a label of two lines is high."""
_WIDTH = 190
"""Pixels a plot is wide at least."""
_ROOM = 24
"""Pixels above and below what is drawn, for the numbers of rules."""
_NUMBER = 13
"""Pixels a rule's number takes."""
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
    layout["margin"] |= {"l": 58, "r": 72, "t": 20, "b": 40}
    layout["xaxis"] |= {**TIME_AXIS, "showgrid": False, "anchor": "y2" if both else "y"}
    layout["xaxis"] |= {"tickangle": 0, "nticks": 5}
    if points.height:
        layout["xaxis"] |= {"range": _times(points, zone)}
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
        span = _span(points, plot, heights[plot])
        layout[f"yaxis{name}"] |= {"fixedrange": True, "range": list(span)}
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
        notes += _ends(points, plot, theme, f"y{name}", span, heights[plot])
    layout |= {"annotations": notes, "shapes": _frozen(points, zone, theme)}
    return {"data": data, "layout": layout}


def _span(points: pl.DataFrame, plot: str, height: int) -> tuple[float, float]:
    """What the axis shows: all that is drawn, and room for a rule's number above and below."""
    drawn = pl.concat([points[name].cast(pl.Float64) for name in _PLOTS[plot]]).drop_nulls()
    found = drawn.filter(drawn.is_finite())
    low, high = (float(str(found.min())), float(str(found.max()))) if len(found) else (0.0, 1.0)
    room = _ROOM / (height - 2 * _ROOM) * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _times(points: pl.DataFrame, zone: ZoneInfo) -> list[str]:
    """From the first to the last point, and a little more."""
    first, last = points["time"][0], points["time"][-1]
    room = (last - first) * 0.02 or timedelta(minutes=1)
    return [wall(first - room, zone), wall(last + room, zone)]


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
    points: pl.DataFrame,
    plot: str,
    study: Study,
    unit: str,
    zone: ZoneInfo,
    theme: str,
    axis: str,
) -> list[dict[str, Any]]:
    colours = COLOURS[theme]
    column, center, lower, upper = _PLOTS[plot]
    kept = points.filter(~pl.col("excluded"))
    out = points.filter("excluded") if plot == "location" else points.clear()
    rows = study.violations.filter(pl.col("plot") == plot)
    marked = rows.group_by("time").agg(
        number=pl.col("number").min().cast(pl.String), text=pl.col("text").str.join("<br>")
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
        above = (hit[column] >= hit[center]).fill_null(True).to_list()
        drawn.append(
            base
            | {
                "mode": "markers+text",
                "x": [wall(at, zone) for at in hit["time"]],
                "y": hit[column].to_list(),
                "text": _numbers(points, hit),
                "textposition": ["top center" if up else "bottom center" for up in above],
                "textfont": {
                    "color": colours["down"],
                    "size": 12,
                    "shadow": ", ".join([f"0 0 3px {colours['surface']}"] * 4),
                },
                "customdata": [f"{hover(row)}<br>{escape(row['text'])}" for row in hit.iter_rows(named=True)],
                "marker": {
                    "size": 9 if hit.height <= 60 else 5,
                    "color": colours["down"],
                    "symbol": "diamond",
                },
            }
        )
    return drawn


def _numbers(points: pl.DataFrame, hit: pl.DataFrame) -> list[str]:
    """The first rule each marked point breaks, where there is room beside the number before it."""
    first, last = points["time"][0], points["time"][-1]
    least = (last - first) * _NUMBER / _WIDTH
    found, shown = [], None
    for time, number in hit.select("time", "number").iter_rows():
        room = shown is None or time - shown >= least
        shown = time if room else shown
        found.append(number if room else "")
    return found


def _apart(places: Sequence[float], least: float) -> list[float]:
    """Ascending places moved so that they are that far apart, as little as it takes."""
    found = list(places)
    while any(least - (b - a) > 1 for a, b in pairwise(found)):
        for i in range(len(found) - 1):
            short = least - (found[i + 1] - found[i])
            if short > 0:
                found[i] -= short / 2
                found[i + 1] += short / 2
    return found


def _ends(
    points: pl.DataFrame, plot: str, theme: str, axis: str, span: tuple[float, float], height: int
) -> list[dict[str, Any]]:
    """The limits of the newest point, in numbers at the right."""
    known = points.filter(pl.col("phase").is_not_null(), ~pl.col("excluded"))
    if known.is_empty():
        return []
    last = known.row(-1, named=True)
    _, center, lower, upper = _PLOTS[plot]
    named = [
        (name, last[column])
        for name, column in (("LCL", lower), ("CL", center), ("UCL", upper))
        if last[column] is not None
    ]
    places = [(at - span[0]) / (span[1] - span[0]) * height for _, at in named]
    return [
        {
            "text": f"{name}<br>{value(at)}", "x": 1, "xref": "paper", "xanchor": "left", "xshift": 5, "align": "left",
            "y": at, "yref": axis, "yanchor": "middle", "yshift": moved - place, "showarrow": False,
            "font": {"size": 12, "color": COLOURS[theme]["muted"]},
        }
        for (name, at), place, moved in zip(named, places, _apart(places, _LABEL), strict=True)
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
    low, width, heights = _bars(values)
    bins = len(heights)
    shown = [low, low + width * bins, *(at for _, at in marks), mean - 4 * sigma, mean + 4 * sigma]
    room = 0.04 * (max(shown) - min(shown))
    layout = frame(theme, 260)
    layout |= {"showlegend": False, "bargap": 0.06}
    layout["margin"] |= {"l": 62, "r": 16, "t": 30, "b": 40}
    layout["xaxis"] |= {
        "title": axis_title(unit, theme),
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "range": [min(shown) - room, max(shown) + room],
    }
    layout["yaxis"] |= {"title": axis_title("values", theme), "rangemode": "tozero", "fixedrange": True}
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
            "line": {"color": colours["setup" if name == "Target" else "down"], "width": 2, "dash": "dash"},
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


def _bars(values: Sequence[float]) -> tuple[float, float, list[int]]:
    """Where the first bar begins, how wide each is, and how many values are in each. About as many bars as the root of
    the values; of values in steps, such as those of a gauge, each bar holds as many steps as the others.
    """
    distinct = sorted(set(values))
    low, high = distinct[0], distinct[-1]
    if low == high:
        width = abs(low) * 0.01 or 1.0
        return low - width / 2, width, [len(values)]
    width = (high - low) / min(MOST_BARS, math.ceil(math.sqrt(len(values))))
    step = min(b - a for a, b in pairwise(distinct))
    begin = low
    if high - low <= MOST_STEPS * step:
        width = max(1, round(width / step)) * step
        begin = low - step / 2
    heights = [0] * (int((high - begin) / width) + 1)
    for one in values:
        heights[int((one - begin) / width)] += 1
    if begin == low and len(heights) > 1 and math.isclose(begin + width * (len(heights) - 1), high):
        last = heights.pop()
        heights[-1] += last
    return begin, width, heights
