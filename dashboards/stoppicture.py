"""A stop, or another time somebody says something of, in the course of its machine's time, as a picture."""

from datetime import datetime, timedelta

import polars as pl
from dash import html
from dash.development.base_component import Component

from dashboards.ports import Backend
from plant.frames import Window
from plant.states import TimeCategory

GROUP = {
    TimeCategory.RUNNING: "running",
    TimeCategory.UNPLANNED_DOWNTIME: "down",
    TimeCategory.MICRO_STOP: "down",
    TimeCategory.CHANGEOVER: "setup",
    TimeCategory.STARVED: "waiting",
    TimeCategory.BLOCKED: "waiting",
    TimeCategory.PLANNED_DOWNTIME: "planned",
    TimeCategory.NOT_SCHEDULED: "planned",
}
"""Colour of a piece of the timeline, as on the board."""
LEGEND = {
    "down": "stopped",
    "running": "running",
    "setup": "changeover",
    "waiting": "waiting",
    "planned": "planned",
}


def picture(
    backend: Backend, equipment: str, span: Window, did: str, at: datetime | None = None
) -> Component:
    """The time between what the machine did before and after; `did`: what it is said to have done in it; `at`: where it is
    about to be split."""
    zone, now = backend.plant.site.zone, backend.now()
    start, end = span.start, span.end
    margin = max(timedelta(minutes=5), (end - start) / 4)
    shown = Window(start - margin, min(end + margin, now))
    whole = (shown.end - shown.start).total_seconds()

    def place(at: datetime) -> float:
        return 100 * (at - shown.start).total_seconds() / whole

    rows = backend.ledger(shown, [equipment])
    pieces = [
        html.I(
            style={"left": f"{place(a):.3f}%", "width": f"{place(b) - place(a):.3f}%"},
            **{"data-group": GROUP.get(TimeCategory(category), "unknown")},
        )
        for a, b, category in rows.select(
            pl.max_horizontal("start", pl.lit(shown.start)),
            pl.min_horizontal("end", pl.lit(shown.end)),
            "category",
        ).iter_rows()
    ]
    frame = html.B(
        className="this-stop",
        style={"left": f"{place(start):.3f}%", "width": f"{place(end) - place(start):.3f}%"},
    )
    cut = [html.B(className="cut", style={"left": f"{place(at):.3f}%"})] if at else []
    times = [f"{t.astimezone(zone):%H:%M:%S}" for t in (start, end)]
    told = f"Timeline: {did} from {times[0]} to {times[1]}" + (
        f", split at {at.astimezone(zone):%H:%M:%S}" if at else ""
    )
    legend = [
        html.Span([html.I(**{"data-group": group}), text])
        for group, text in LEGEND.items()
        if any(group == GROUP.get(TimeCategory(c)) for c in rows["category"].unique())
    ]
    return html.Div(
        [
            html.Div([*pieces, frame, *cut], className="strip tall", role="img", **{"aria-label": told}),
            html.Div(
                [html.Span(f"{t.astimezone(zone):%H:%M}") for t in (shown.start, shown.end)], className="axis"
            ),
            html.Div(legend, className="strip-legend"),
        ],
        className="stop-picture",
    )
