"""Pieces of a page that more than one page uses. Every choice is a link, so it stands in the address."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from dashboards.ports import Backend, Refused
from plant.frames import Window

GRAPH = {"displaylogo": False, "showSendToCloud": False, "displayModeBar": False, "responsive": True}
"""Plotly's configuration: it must not offer to upload the plant's figures."""

PERIODS = {"shift": "This shift", "last": "Last shift", "today": "Today", "day": "24 hours", "week": "7 days"}


LISTED = 10
"""Rows of a long list that are shown at once, on every page."""
_AGAIN, _AGAIN_LONG = 20, 120
"""Seconds; the second for windows longer than a day."""


def pace(window: Window) -> float:
    """Seconds between two looks at figures of a window that is still running: those of weeks change little and cost more."""
    return _AGAIN if window.end - window.start <= timedelta(days=1) else _AGAIN_LONG


def period(backend: Backend, name: str) -> Window:
    """The window of one of `PERIODS`, up to now.

    Raises:
        Refused: another name, or a shift where there is none.
    """
    now = backend.now()
    if name == "today":
        zone = backend.plant.site.zone
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return Window(midnight.astimezone(UTC), now)
    if name in ("day", "week"):
        return Window(now - timedelta(days=1 if name == "day" else 7), now)
    if name not in PERIODS:
        raise Refused(f"window: {name!r} is not one of {', '.join(PERIODS)}")
    found = backend.shifts(Window(now - timedelta(days=4), now))
    spans = [(utc(s["start"]), utc(s["end"])) for s in found]
    if name == "shift":
        spans = [span for span in spans if span[1] > now]
        return Window(max(s for s, _ in spans), now) if spans else Window(now - timedelta(hours=8), now)
    spans = [span for span in spans if span[1] <= now]
    if not spans:
        raise Refused("window: no shift has ended in the last four days; choose another window")
    return Window(*max(spans))


def utc(text: str) -> datetime:
    """A view's time, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def link(path: str, query: Mapping[str, str], **changes: str | None) -> str:
    """The address with some of its query changed; None takes a part away."""
    kept = {**query, **changes}
    text = urlencode({key: value for key, value in kept.items() if value is not None})
    return f"{path}?{text}" if text else path


def choice(label: str, options: Iterable[tuple[str, str]], chosen: str, href: Any) -> Component:
    """A row of links of which one is chosen; `href(value)` is the address of a value."""
    return html.Nav(
        [
            dcc.Link(text, href=href(value), className="chip chosen" if value == chosen else "chip")
            for value, text in options
        ],
        className="chips",
        **{"aria-label": label},
    )


def machine_choice(backend: Backend, path: str, query: Mapping[str, str]) -> Component:
    """Everything, a line, or one machine of the chosen line."""
    plant, chosen = backend.plant, query.get("machine", "")
    machines = plant.machines()
    lines = list(dict.fromkeys(plant.line_of(m.id) for m in machines))
    line = chosen if chosen in lines else plant.line_of(chosen) if chosen in plant.equipment else ""

    def href(value: str) -> str:
        return link(path, query, machine=value or None, reason=None, stop=None)

    rows = [choice("Line", [("", "All lines"), *((i, plant.equipment[i].name) for i in lines)], line, href)]
    if line:
        inside = [(m.id, m.name) for m in machines if plant.line_of(m.id) == line]
        rows.append(choice("Machine", [(line, "Whole line"), *inside], chosen, href))
    return html.Div(rows, className="choices")


def panel(title: str, *children: Any, extra: Any = None, name: str = "") -> Component:
    """A titled box."""
    head = html.Div([html.H2(title), extra], className="panel-head")
    return html.Section([head, *children], className=f"panel {name}".strip())


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    empty: str,
    numeric: Sequence[int] = (),
    *,
    fold: bool = True,
) -> Component:
    """A table, or one sentence when it would have no row. `numeric`: columns set flush right. `fold`: a phone may show
    `LISTED` rows and the last at first."""
    if not rows:
        return html.P(empty, className="empty")

    def cls(column: int) -> str:
        return "num" if column in numeric else ""

    # A phone shows each row as a card of its own (pages.css), with the heads beside the cells. Roles are said
    # again because a table that is not laid out as one loses them.
    head = html.Tr(
        [html.Th(text, className=cls(i), scope="col", role="columnheader") for i, text in enumerate(heads)],
        role="row",
    )
    body = [
        html.Tr(
            [
                html.Td(cell, className=cls(i), role="cell", **{"data-head": heads[i]})
                for i, cell in enumerate(row)
            ],
            role="row",
        )
        for row in rows
    ]
    groups = [html.Thead(head, role="rowgroup"), html.Tbody(body, role="rowgroup")]
    inside: list[Component] = [html.Table(groups, className="table", role="table")]
    more = len(rows) - LISTED - 1
    if fold and more > 0:
        # A phone shows the first rows and the last, which may be their sum, until asked for the others (pages.css).
        inside.append(html.Details(html.Summary(f"{more} more", className="chip"), className="rest"))
    return html.Div(inside, className="scroll", tabIndex="0", role="region", **{"aria-label": "Table"})


def graph(name: str, chart: Mapping[str, Any], *, tips: bool = True) -> Component:
    """A Plotly chart as tall as its figure says, also while it is drawn again. `tips`: Plotly's, on zooming."""
    height = f"{chart['layout']['height']}px"
    return dcc.Graph(id=name, figure=chart, config={**GRAPH, "showTips": tips}, style={"height": height})


def bar(share: float, kind: str = "") -> Component:
    """A thin horizontal bar, 0..1."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}%"
    return html.Div(html.I(style={"width": width}), className=f"thin {kind}".strip())


def figure(name: str, value: str, note: str = "", judge: str = "none") -> Component:
    """A number with its name."""
    parts = [
        html.H3(name),
        html.P(value, className="big"),
        html.P(note, className="note", **{"data-judge": judge}),
    ]
    return html.Div(parts, className="figure")
