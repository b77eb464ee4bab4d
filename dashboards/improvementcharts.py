"""The charts of the page Improve, as plain dicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dashboards.charts import COLOURS, axis_title, frame
from dashboards.words import length, percent, points

ROW = 34
"""Pixels of a bar."""
_NOTE = 16
"""Pixels of a line of notes above a chart."""


def bridge(before: float, effects: Sequence[tuple[str, float]], after: float, theme: str) -> dict[str, Any]:
    """From one OEE to the other, a step per effect."""
    colours = COLOURS[theme]
    names = ["OEE before", *(name for name, _ in effects), "OEE after"]
    reached, marks = before, [before]
    for _, step in effects:
        reached += step
        marks.append(reached)
    low, high = min(*marks, after), max(*marks, after)
    room = max((high - low) * 0.18, 0.01)
    layout = frame(theme, 70 + ROW * len(names))
    layout["margin"] |= {"l": 10, "r": 60, "t": 4}
    layout |= {"showlegend": False, "bargap": 0.3}
    layout["xaxis"] |= {"tickformat": ".0%", "range": [max(0.0, low - room), high + room], "fixedrange": True}
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "showgrid": False, "fixedrange": True}
    trace = {
        "type": "waterfall",
        "orientation": "h",
        "measure": ["absolute", *["relative"] * len(effects), "total"],
        "y": names,
        "x": [before, *(step for _, step in effects), None],
        "text": [percent(before), *(points(step) for _, step in effects), percent(after)],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}<br>%{text}<extra></extra>",
        "increasing": {"marker": {"color": colours["running"]}},
        "decreasing": {"marker": {"color": colours["down"]}},
        "totals": {"marker": {"color": colours["muted"]}},
        "connector": {"line": {"color": colours["line"], "width": 1}},
    }
    return {"data": [trace], "layout": layout}


def bottleneck(shares: pl.DataFrame, names: Mapping[str, str], theme: str) -> dict[str, Any]:
    """Per machine of one line how long it was the bottleneck, alone and as one of two."""
    colours = COLOURS[theme]
    rows = shares.to_dicts()
    whole = sum(2 * row["sole"] + row["shifting"] for row in rows) or 1
    layout = frame(theme, 92 + ROW * len(rows))
    layout["margin"] |= {"l": 10, "r": 20, "t": 30}
    layout |= {
        "barmode": "stack",
        "bargap": 0.3,
        "legend": {
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": 1,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
    }
    layout["xaxis"] |= {"tickformat": ".0%", "rangemode": "tozero", "fixedrange": True, "nticks": 6}
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True, "showgrid": False, "fixedrange": True}
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": word,
            "y": [names[row["equipment"]] for row in rows],
            "x": [weight * row[kind] / whole for row in rows],
            "customdata": [length(row[kind] / 1e6) for row in rows],
            "hovertemplate": f"%{{y}}<br>{word} for %{{customdata}}<extra></extra>",
            "marker": {"color": colours[colour]},
        }
        for kind, word, weight, colour in (
            ("sole", "alone", 2, "setup"),
            ("shifting", "together with another", 1, "planned"),
        )
    ]
    return {"data": traces, "layout": layout}


def cycles(shape: pl.DataFrame, marks: Mapping[str, int | None], theme: str) -> dict[str, Any]:
    """How many parts took how long (`analytics.improvement.idealcycle.SHAPE` of one product), with lines for what
    `marks` names (microseconds)."""
    colours = COLOURS[theme]
    closed = shape.filter(pl.col("to").is_not_null())
    beyond = shape.filter(pl.col("to").is_null())["parts"].sum()
    layout = frame(theme, 280)
    layout |= {"showlegend": False, "bargap": 0.06, "shapes": [], "annotations": []}
    known = sorted((at / 1e6, name) for name, at in marks.items() if at is not None)
    layout["margin"] |= {"t": 12 + _NOTE * len(known), "l": 66, "r": 20}
    title = axis_title("seconds a part", theme)
    layout["xaxis"] |= {"title": title, "showgrid": False, "fixedrange": True}
    layout["yaxis"] |= {"title": axis_title("parts", theme), "rangemode": "tozero", "fixedrange": True}
    middle = ((pl.col("from") + pl.col("to")) / 2e6).alias("middle")
    width = ((pl.col("to") - pl.col("from")) / 1e6).alias("width")
    bars = {
        "type": "bar",
        "x": closed.select(middle).to_series().to_list(),
        "width": closed.select(width).to_series().to_list(),
        "y": closed["parts"].to_list(),
        "hovertemplate": "%{x:.2f} s: %{y} parts<extra></extra>",
        "marker": {"color": colours["running"]},
    }
    end = closed["to"].max()
    for number, (at, name) in enumerate(known):
        line = {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
        layout["shapes"].append(line | {"line": {"color": colours["ink"], "width": 1.5, "dash": "dot"}})
        # A line of its own for each, written away from the edge it is near.
        place = {"x": at, "y": 1, "yref": "paper", "yanchor": "bottom", "yshift": _NOTE * number}
        side = "right" if isinstance(end, int) and at > end / 2e6 else "left"
        layout["annotations"].append(
            place | {"text": f"{name} {at:.3g} s", "xanchor": side, "showarrow": False, "font": {"size": 12}}
        )
    if beyond:
        note = {"text": f"{beyond:,} parts took longer", "xref": "paper", "yref": "paper", "x": 1, "y": 0.92}
        layout["annotations"].append(
            note | {"xanchor": "right", "showarrow": False, "font": {"color": colours["muted"], "size": 12}}
        )
    return {"data": [bars], "layout": layout}
