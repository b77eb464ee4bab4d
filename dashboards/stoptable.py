"""The stops of a page, some at a time: what each was, what it waited for, and the way to give it a reason."""

from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from analytics.figures.costs import of_time
from analytics.ledger.firstcause import WAITING
from dashboards import figures, kpitables, lineaccount, parts, words
from dashboards.pages import Query
from dashboards.ports import Backend, Refused
from plant.frames import Window

SORTS = {"newest": ("Newest first", "stop_start"), "longest": ("Longest first", "duration")}


def panel(
    backend: Backend,
    path: str,
    query: Query,
    stops: pl.DataFrame,
    window: Window,
    title: str,
    extra: Any = None,
) -> Component:
    """`stops`: as of `dashboards.figures.stops`. `sort` and `page` in the address say which of them. Raises Refused."""
    plant, now = backend.plant, backend.now()
    sort, page = query.get("sort", "newest"), _page(query.get("page", "1"))
    if sort not in SORTS:
        raise Refused(f"sort: {sort!r} is not one of {', '.join(SORTS)}")
    page = min(page, max(1, -(-stops.height // parts.LISTED)))
    shown = stops.sort(SORTS[sort][1], "equipment", descending=[True, False]).slice(
        (page - 1) * parts.LISTED, parts.LISTED
    )
    waited = shown.filter(pl.col("category").is_in(WAITING))["equipment"].unique().to_list()
    causes = lineaccount.charged_to(plant, lineaccount.charged(backend, window, waited), shown)
    costs = shown.select(of_time(plant, pl.col("duration"))).to_series().to_list()
    money = any(m.cost_per_hour is not None for m in plant.machines())
    rows = [
        (
            words.moment(stop["stop_start"], plant.site.zone, now),
            plant.equipment[stop["equipment"]].name,
            figures.loss_name(plant, stop["key"]),
            cause,
            words.length(stop["seconds"]),
            *([kpitables.money(plant, cost)] if money else []),
            html.Span(stop["order"] or words.NONE, className="whole"),
            dcc.Link(
                "Give reason" if stop["key"] == figures.UNCODED else "Change",
                href=parts.link(
                    path, query, stop=f"{stop['equipment']}|{words.utc(stop['stop_start'])}", say=None
                ),
                className="button small",
            ),
        )
        for stop, cause, cost in zip(shown.iter_rows(named=True), causes, costs, strict=True)
    ]
    together = stops.select(pl.col("seconds").sum()).item()
    heads = ("Began", "Machine", "Reason", "Charged to", "Length", *(["Cost"] if money else []), "Order", "")
    order = parts.choice(
        "Order of the stops",
        [(name, text) for name, (text, _) in SORTS.items()],
        sort,
        lambda v: parts.link(path, query, sort=None if v == "newest" else v, page=None),
    )
    return parts.panel(
        title,
        html.P(
            f"{words.number(stops.height)} stops, {words.length(together)} together.",
            className="note",
        )
        if rows
        else None,
        parts.table(heads, rows, "No stops here in this window.", numeric=(4, 5) if money else (4,)),
        _pages(path, query, page, stops.height),
        extra=html.Div([order if stops.height > 1 else None, extra], className="labelled"),
        name="stops",
    )


def _pages(path: str, query: Query, page: int, stops: int) -> Component | None:
    if stops <= parts.LISTED:
        return None

    def to(other: int, text: str) -> Component | None:
        if not 1 <= other <= -(-stops // parts.LISTED):
            return None
        return dcc.Link(
            text, href=parts.link(path, query, page=None if other == 1 else str(other)), className="chip"
        )

    first, last = (page - 1) * parts.LISTED + 1, min(page * parts.LISTED, stops)
    shown = f"{words.number(first)} to {words.number(last)} of {words.number(stops)}"
    return html.Nav(
        [to(page - 1, "Previous"), html.Span(shown, className="muted"), to(page + 1, "Next")],
        className="chips pages",
        **{"aria-label": "More stops"},
    )


def _page(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 1_000_000:
        raise Refused(f"page: {text!r} is no page; write a number from 1")
    return int(text)
