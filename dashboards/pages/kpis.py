"""Every KPI of every group, and what is behind each figure: formula, numbers, rows."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from analytics.figures.explain import Explanation, Side
from analytics.kpis import Kpi, catalogue
from dashboards import again, kpitables, losspanels, params, parts, words
from dashboards.callbacks import Callbacks
from dashboards.charts import SHOWN as CATEGORIES
from dashboards.kpitables import CONVENTIONS, GROUPS, SETS, WINDOWS
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from plant.frames import Window
from plant.model import Convention, Plant
from plant.states import TimeCategory

PATH = "/kpis"
LIVE = ("kpi-figures", "kpi-losses", "kpi-behind")
"""Where the parts of the page are that are drawn again."""
MOST = 200
"""Groups the table shows; the file has all."""
ROWS = 30
"""Ledger rows the drawer lists of each side."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The table for a window, machines, groups, a set of KPIs and a convention; with `kpi`, what is behind that figure."""
    now, drawn = backend.now(), _drawn(backend, query, theme)
    span = kpitables.window(backend, query)
    return html.Div(
        [
            _toolbar(backend, query, span, *_chosen(backend, query)),
            *(
                html.Div(shown, id=place, className="stacked")
                for place, shown in zip(LIVE, drawn, strict=True)
            ),
            again.clock("kpi", parts.pace(span), drawn, going=span.end >= now),
        ],
        className="page",
    )


def _chosen(backend: Backend, query: Query) -> tuple[str, str, Convention]:
    """Groups, set of KPIs and convention."""
    own = backend.plant.settings.convention.value
    return (
        _one("by", query.get("by", "line"), GROUPS),
        _one("set", query.get("set", "oee"), SETS),
        Convention(_one("convention", query.get("convention", own), [*Convention])),
    )


def _drawn(backend: Backend, query: Query, theme: str) -> list[list[Component]]:
    """All that changes while the window is running."""
    plant = backend.plant
    span = kpitables.window(backend, query)
    machines = params.machines(plant, [query["machine"]] if query.get("machine") else [])
    by, chosen, convention = _chosen(backend, query)
    ids = SETS[chosen][1]
    groups = [by] if by else []
    found, whole = kpitables.table(backend, span, machines, groups, convention, ids)
    kpis = [catalogue()[name] for name in ids]
    address = {
        "from": words.utc(span.start),
        "to": words.utc(span.end),
        "by": by or None,
        "kpi": ",".join(ids),
        "convention": convention.value,
        "equipment": query.get("machine") or None,
        "format": "csv",
    }
    zone, now = plant.site.zone, backend.now()
    title = f"{SETS[chosen][0]}, {words.moment(span.start, zone, now)} to {words.moment(span.end, zone, now)}"
    named = html.Span(f"OEE as {CONVENTIONS[convention]}", className="muted")
    export = html.A(
        "Save as CSV",
        href=parts.link("/api/v1/kpis", {}, **address),
        className="button small",
        download="kpis.csv",
    )
    table = parts.panel(
        title,
        _table(backend, found, whole, by, kpis, query),
        _glossary(kpis, convention),
        extra=html.Div([named, export], className="labelled"),
        name="figures-table",
    )
    return [
        [table],
        [losspanels.six_big(backend, backend.six_big_losses(span, machines))],
        [_drawer(backend, query, span, machines, by, convention)] if query.get("kpi") else [],
    ]


def _one(name: str, value: str, allowed: Any) -> str:
    if value not in allowed:
        raise Refused(f"{name}: {value!r} is not one of {', '.join(filter(None, allowed))}")
    return value


def _toolbar(
    backend: Backend, query: Query, span: Window, by: str, chosen: str, convention: Convention
) -> Component:
    zone = backend.plant.site.zone
    kept = {k: v for k, v in query.items() if k not in ("kpi", "of")}

    def to(name: str, **more: None) -> Any:
        return lambda value: parts.link(PATH, kept, **{name: value}, **more)

    typed = html.Details(
        [
            html.Summary("Other times", className="chip"),
            html.Div(
                [
                    *(
                        html.Label(
                            [
                                f"{label} ",
                                dcc.Input(
                                    id=name,
                                    type="text",
                                    value=f"{at.astimezone(zone):{params.TYPED}}",
                                    autoComplete="off",
                                    size="16",
                                ),
                            ],
                            htmlFor=name,
                        )
                        for name, label, at in (("kpi-from", "From", span.start), ("kpi-to", "To", span.end))
                    ),
                    html.Button("Show", id="kpi-show", className="button"),
                    html.P(id="kpi-said", className="late", role="alert"),
                ],
                className="fields",
            ),
        ],
        open="from" in query,
    )
    window = "" if "from" in query else query.get("window", "shift")
    own = backend.plant.settings.convention
    conventions = [
        (c.value, f"{name}{' (the plant’s)' if c is own else ''}") for c, name in CONVENTIONS.items()
    ]
    sets = [(name, title) for name, (title, _) in SETS.items()]
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            parts.choice(
                                "Window", WINDOWS.items(), window, to("window", **{"from": None, "to": None})
                            ),
                            typed,
                        ],
                        className="chips",
                    ),
                    _labelled("Rows", parts.choice("Rows", GROUPS.items(), by, to("by"))),
                    _labelled("KPIs", parts.choice("KPIs", sets, chosen, to("set"))),
                ],
                className="choices",
            ),
            html.Div(
                [
                    parts.machine_choice(backend, PATH, kept),
                    parts.choice("Convention", conventions, convention.value, to("convention")),
                ],
                className="choices",
            ),
        ],
        className="toolbar",
    )


def _labelled(text: str, choice: Component) -> Component:
    return html.Div([html.Span(text), choice], className="labelled")


def _table(
    backend: Backend, found: pl.DataFrame, whole: pl.DataFrame, by: str, kpis: Sequence[Kpi], query: Query
) -> Component:
    if whole.is_empty():
        text = (
            "Nothing is known of this window. Choose another one, or look at Sources: is anything connected?"
        )
        return html.P(text, className="empty")
    most = {k.id: max([v for v in found[k.id] if v is not None], default=0.0) for k in kpis}
    rows = [
        (
            kpitables.group_name(backend.plant, by, row),
            *(_figure(k, row, most[k.id], query, kpitables.key(row[by])) for k in kpis),
        )
        for row in (found.head(MOST).iter_rows(named=True) if by else ())
    ]
    total = whole.row(0, named=True)
    everything = (html.B("Together"), *(_figure(k, total, 0.0, query, None) for k in kpis))
    heads = (GROUPS[by] if by else "", *(k.name for k in kpis))
    numeric = range(1, len(heads))
    more = found.height - MOST
    note = [html.P(f"{more} more rows: the file has all.", className="note")] if more > 0 else []
    return html.Div([parts.table(heads, [*rows, everything], "", numeric=numeric), *note])


def _figure(kpi: Kpi, row: dict[str, Any], most: float, query: Query, of: str | None) -> Component:
    """A value that leads to what is behind it, with a bar: of a share to its whole, of others to the largest."""
    value = row[kpi.id]
    link = dcc.Link(
        kpitables.shown(kpi, value),
        href=parts.link(PATH, query, kpi=kpi.id, of=of),
        className="value",
        title=f"{kpi.name}: what is behind it",
    )
    pieces: list[Any] = [link]
    if value is not None:
        scale = 1.0 if kpi.unit == "1" else most
        if scale:
            pieces.append(parts.bar(value / scale, "" if kpi.higher_is_better else "bad"))
    coverage = row["coverage"]
    if kpi.id == "performance" and row["performance_over_one"]:
        pieces.append(html.Small("over 100 %: the ideal cycle is wrong", className="late"))
    elif kpi.id == "quality" and value is not None and value > 1:
        pieces.append(html.Small("over 100 %: more good parts than parts", className="late"))
    elif kpi.id == "oee" and coverage is not None and coverage < 0.995:
        pieces.append(html.Small(f"of {words.percent(coverage, 0)} known", className="muted"))
    return html.Div(pieces, className="kpi-cell")


def _glossary(kpis: Sequence[Kpi], convention: Convention) -> Component:
    items = [
        html.Li(
            [html.B(k.name), f" = {k.formulas[convention].text}. ", html.Span(k.source, className="muted")]
        )
        for k in kpis
    ]
    return html.Details(
        [html.Summary("How they are computed", className="chip"), html.Ul(items)], className="more"
    )


def _drawer(
    backend: Backend,
    query: Query,
    span: Window,
    machines: Sequence[str] | None,
    by: str,
    convention: Convention,
) -> Component:
    plant, of = backend.plant, query.get("of")
    found = kpitables.behind(backend, span, machines, query["kpi"], convention, by, of)
    close = dcc.Link(
        "Close", href=parts.link(PATH, query, kpi=None, of=None), className="button small", id="kpi-close"
    )
    where = "Together"
    if by and of is not None:
        where = kpitables.group_name(plant, by, {by: kpitables.value(by, of)})
    kpi = found.kpi
    return html.Aside(
        [
            html.Div([html.H2(f"{kpi.name}: {where}"), close], className="panel-head"),
            html.P(kpitables.shown(kpi, found.value), className="big"),
            html.P(f"{found.formula}", className="formula"),
            html.P(_numbers(found), className="formula numbers"),
            html.P(found.note, className="late") if found.note else None,
            html.P(
                f"{kpi.source}. Computed as {CONVENTIONS[convention]}. "
                f"Something is known of {words.percent(found.coverage, 1)} of the planned time.",
                className="note",
            ),
            *(_side(plant, side, backend) for side in found.sides),
        ],
        className="panel drawer-side",
        **{"aria-label": f"What is behind {kpi.name}"},
    )


def _numbers(found: Explanation) -> str:
    """The formula with the amounts in it."""
    sides = {s.name: kpitables.amount(s, s.amount) for s in found.sides}
    text = f"{sides['numerator']} / {sides['denominator']}"
    if "times" in sides:
        text += f" × {sides['times']} / {sides['over']}"
    return f"{text} = {kpitables.shown(found.kpi, found.value)}"


_SIDES = {
    "numerator": "Numerator",
    "denominator": "Denominator",
    "times": "Times: numerator",
    "over": "Times: denominator",
}


def _side(plant: Plant, side: Side, backend: Backend) -> Component:
    now, zone = backend.now(), plant.site.zone
    terms = " + ".join(
        f"{kpitables.term(name)} {kpitables.amount(side, value)}" for name, value in side.terms
    )
    largest = max([abs(v) for v in side.groups["amount"]], default=0.0) or 1.0
    groups = [
        (
            _category(row),
            kpitables.cause(plant, row),
            parts.bar(row["amount"] / largest),
            kpitables.amount(side, row["amount"]),
            words.number(row["rows"]),
        )
        for row in side.groups.filter(pl.col("amount") != 0).iter_rows(named=True)
    ]
    rows = [
        (
            words.moment(row["start"], zone, now) if row.get("start") else words.NONE,
            plant.equipment[row["equipment"]].name if row.get("equipment") in plant.equipment else words.NONE,
            ": ".join(filter(None, (_category(row), kpitables.cause(plant, row)))),
            row.get("order") or words.NONE,
            kpitables.amount(side, row["amount"]),
        )
        for row in side.rows.sort("amount", descending=True).head(ROWS).iter_rows(named=True)
    ]
    detail = html.Details(
        [
            html.Summary(f"The largest {len(rows)} rows" if len(rows) > 1 else "The row", className="chip"),
            parts.table(("From", "Machine", "What", "Order", "Amount"), rows, "", numeric=(4,)),
        ],
        className="more",
    )
    return html.Section(
        [
            html.H3(f"{_SIDES[side.name]}: {kpitables.amount(side, side.amount)}"),
            html.P(terms, className="note"),
            parts.table(("What", "Reason", "", "Amount", "Rows"), groups, "No rows.", numeric=(3, 4)),
            detail if rows else None,
        ],
        className="kpi-side",
    )


def _category(row: dict[str, Any]) -> str:
    category = row.get("category")
    return CATEGORIES[TimeCategory(category)][0] if category else ""


def register(backend: Backend, cb: Callbacks) -> None:
    """What is new while the window is running, and typing a window; it ends in the address."""

    again.register(backend, cb, "kpi", LIVE, _drawn)

    @cb(
        Output("url", "search", allow_duplicate=True),
        Output("kpi-said", "children"),
        Input("kpi-show", "n_clicks"),
        Input("kpi-from", "n_submit"),
        Input("kpi-to", "n_submit"),
        State("kpi-from", "value"),
        State("kpi-to", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def show(
        clicks: int | None, one: int | None, two: int | None, start: str, end: str, search: str | None
    ) -> tuple[Any, Any]:
        if not (clicks or one or two):
            return no_update, no_update
        try:
            typed = params.typed_window(start or "", end or "", backend.plant.site.zone)
        except Refused as refused:
            return no_update, str(refused)
        query = params.query(search)
        times = {"from": words.utc(typed.start), "to": words.utc(typed.end)}
        return parts.link("", query, window=None, kpi=None, of=None, **times), ""


PAGE = Page(path=PATH, title="KPIs", icon="kpis", order=12, layout=layout, register=register)
