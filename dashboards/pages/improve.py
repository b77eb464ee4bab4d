"""What to work on: why OEE changed, which machine holds its line up, which standards are wrong, where short stops swarm."""

from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from analytics.improvement.bottleneck import bottleneck_shares
from analytics.improvement.idealcycle import audit, shape
from analytics.improvement.microstops import clusters
from dashboards import again, improvement, params, parts, words
from dashboards import improvementcharts as charts
from dashboards.callbacks import Callbacks
from dashboards.figures import loss_name
from dashboards.pages import Page, Query
from dashboards.ports import Backend
from plant.model import Plant
from plant.states import MachineState

PATH = "/improve"
STEPS = 9
"""Effects the chart of the bridge shows; the table has all."""
LIVE = ("improve-bridge", "improve-bottlenecks", "improve-standards", "improve-clusters")
"""Where the parts of the page are that are drawn again."""
SHOWN = 15
"""Rows of a table of effects or clusters."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The page for a window, what it is compared with, machines, and the product whose cycle times are drawn."""
    name, against = query.get("window", "last"), query.get("against", "before")
    now, drawn = backend.now(), _drawn(backend, query, theme)
    window = parts.period(backend, name)
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            parts.choice(
                                "Window",
                                parts.PERIODS.items(),
                                name,
                                lambda v: parts.link(PATH, query, window=v),
                            ),
                            html.Div(
                                [
                                    html.Span("Compared with"),
                                    parts.choice(
                                        "Compared with",
                                        improvement.AGAINST.items(),
                                        against,
                                        lambda v: parts.link(PATH, query, against=v),
                                    ),
                                ],
                                className="labelled",
                            ),
                        ],
                        className="choices",
                    ),
                    parts.machine_choice(backend, PATH, query),
                ],
                className="toolbar",
            ),
            *(
                html.Div(shown, id=place, className="stacked")
                for place, shown in zip(LIVE, drawn, strict=True)
            ),
            again.clock("improve", parts.pace(window), drawn, going=window.end >= now),
        ],
        className="page",
    )


def _drawn(backend: Backend, query: Query, theme: str) -> list[list[Component]]:
    """All that changes while the window is running."""
    plant, name = backend.plant, query.get("window", "last")
    window = parts.period(backend, name)
    machines = params.machines(plant, [query["machine"]] if query.get("machine") else [])
    before = improvement.earlier(backend, name, window, query.get("against", "before"))
    ledger = backend.ledger(window, machines)
    return [
        [_bridge(backend, improvement.compare(backend, before, window, machines), theme)],
        [_bottlenecks(plant, ledger, theme)],
        [_standards(backend, backend.cycles(window, machines), query, theme)],
        [_clusters(backend, ledger, query)],
    ]


def _bridge(backend: Backend, found: improvement.Comparison, theme: str) -> Component:
    plant, now = backend.plant, backend.now()
    spans = [
        f"{words.moment(w.start, plant.site.zone, now)} to {words.moment(w.end, plant.site.zone, now)}"
        for w in (found.before, found.after)
    ]
    if found.problem or found.oee_before is None or found.oee_after is None:
        text = (
            f"Nothing to compare: {found.problem or 'one of the windows has no OEE'}. Choose another window."
        )
        return parts.panel("Why OEE changed", html.P(text, className="empty"))
    change = found.oee_after - found.oee_before
    verdict = (
        "is the same as"
        if abs(change) < 5e-4
        else f"is {words.points(abs(change)).lstrip('+')} points {'above' if change > 0 else 'below'}"
    )
    lead = html.P(
        [
            html.B(f"OEE {words.percent(found.oee_after)}"),
            f" ({spans[1]}) {verdict} {words.percent(found.oee_before)} ({spans[0]}). ",
            "The steps add up to the difference.",
        ],
        className="lead",
    )
    effects = improvement.main_effects(found.effects, STEPS)
    rows = [
        (
            row["name"],
            _compared(row, "before"),
            _compared(row, "after"),
            html.B(words.points(row["points"]), className="late" if row["points"] < 0 else ""),
        )
        for row in found.effects.head(SHOWN).iter_rows(named=True)
    ]
    table = parts.table(("Effect", "Before", "After", "Points"), rows, "Nothing differs.", numeric=(1, 2, 3))
    chart = parts.graph("bridge", charts.bridge(found.oee_before, effects, found.oee_after, theme))
    return html.Div(
        [
            parts.panel("Why OEE changed", lead, chart, name="wide"),
            parts.panel("Each effect", table),
        ],
        className="columns",
    )


def _compared(row: dict[str, Any], side: str) -> str:
    if row[side] is None:
        return words.NONE
    of = {"availability": " of time", "mix": " of time"}.get(row["effect"], "")
    return f"{words.percent(row[side])}{of}"


def _bottlenecks(plant: Plant, ledger: pl.DataFrame, theme: str) -> Component:
    shares = bottleneck_shares(ledger)
    names = {m.id: m.name for m in plant.machines()}
    lines = shares.filter(pl.len().over("line") > 1)
    pieces: list[Component] = []
    for (line,), rows in lines.partition_by("line", as_dict=True, maintain_order=True).items():
        title, first = plant.equipment[str(line)].name, rows.row(0, named=True)
        if first["share"] is None:
            pieces.append(html.P(f"{title}: no machine was active in this window.", className="empty"))
            continue
        held = f"{names[first['equipment']]} held it up for {words.percent(first['share'], 0)} of its time"
        chart = parts.graph(f"bottleneck-{line}", charts.bottleneck(rows, names, theme))
        pieces.append(html.Div([html.P([html.B(title), f": {held}."], className="lead"), chart]))
    if not pieces:
        text = "A bottleneck takes a line of two machines or more."
        return parts.panel("Bottleneck", html.P(text, className="empty"))
    how = "At any time it is the machine that has been active longest without waiting (active period method)."
    return parts.panel("Bottleneck", html.Div(pieces, className="halves"), html.P(how, className="note"))


def _standards(backend: Backend, cycles: pl.DataFrame, query: Query, theme: str) -> Component:
    plant = backend.plant
    found = audit(cycles, plant.site.zone)
    if found.is_empty():
        text = "No cycle times in this window: a machine needs a part counter and something it makes."
        return parts.panel("Ideal cycles", html.P(text, className="empty"))
    chosen = query.get("product") or f"{found['equipment'][0]}|{found['material'][0]}"
    wrong: list[tuple[Any, ...]] = []
    others: list[tuple[Any, ...]] = []
    for row in found.iter_rows(named=True):
        key = f"{row['equipment']}|{row['material']}"
        (others if row["proposal"] is None else wrong).append(
            (
                dcc.Link(
                    f"{plant.equipment[row['equipment']].name}, {_product(plant, row['material'])}",
                    href=parts.link(PATH, query, product=key),
                ),
                _seconds(row["ideal"]),
                _seconds(row["best"]),
                _seconds(row["median"]),
                words.number(row["parts"]),
                improvement.VERDICTS[row["verdict"]],
                _proposal(backend, row),
            )
        )
    heads = ("Product", "Ideal", "Best shown", "Median", "Parts", "The ideal cycle is", "Proposal")
    drawn: list[Any] = []
    machine, _, product = chosen.partition("|")
    of = found.filter(pl.col("equipment") == machine, pl.col("material") == product)
    if not of.is_empty():
        row = of.row(0, named=True)
        marks = {"ideal": row["ideal"], "best shown": row["best"], "median": row["median"]}
        bins = shape(cycles.filter(pl.col("equipment") == machine, pl.col("material") == product))
        title = f"Cycle times of {plant.equipment[machine].name}, {_product(plant, product)}"
        drawn = [html.H3(title), parts.graph("cycles", charts.cycles(bins, marks, theme))]
    hint = html.P(
        "Best shown: a tenth of the parts were at least as fast. A proposal is for the plant file; nothing changes until "
        "somebody writes it there.",
        className="note",
    )
    calm = "No ideal cycle is known to be wrong."
    tables: list[Component] = [parts.table(heads, wrong, calm, numeric=(1, 2, 3, 4))]
    if others:
        right = parts.table(heads[:-1], [row[:-1] for row in others], "", numeric=(1, 2, 3, 4))
        summary = html.Summary(f"{len(others)} with nothing to change", className="chip")
        tables.append(html.Details([summary, right], className="more"))
    return parts.panel("Ideal cycles", *tables, hint, *drawn)


def _product(plant: Plant, material: str) -> str:
    known = plant.materials.get(material)
    return known.name if known else material


def _seconds(cycle: int | None) -> str:
    return words.NONE if cycle is None else f"{cycle / 1e6:.3g} s"


def _proposal(backend: Backend, row: dict[str, Any]) -> Any:
    if row["proposal"] is None:
        return words.NONE
    day = row["valid_from"].astimezone(backend.plant.site.zone).date()
    return html.Code(f'cycle = "{row["proposal"] / 1e6:.3g}s", from = {day.isoformat()}')


def _clusters(backend: Backend, ledger: pl.DataFrame, query: Query) -> Component:
    plant, now = backend.plant, backend.now()
    rows = [
        (
            dcc.Link(
                plant.equipment[row["equipment"]].name,
                href=parts.link("/losses", {}, window=query.get("window", "last"), machine=row["equipment"]),
            ),
            words.moment(row["start"], plant.site.zone, now),
            words.length((row["end"] - row["start"]).total_seconds()),
            words.number(row["count"]),
            words.length(row["lost"] / 1e6),
            _mostly(plant, row),
            row["order"] or words.NONE,
        )
        for row in clusters(ledger).head(SHOWN).iter_rows(named=True)
    ]
    heads = ("Machine", "From", "Over", "Micro-stops", "Lost", "Mostly", "Order")
    empty = "No swarms of micro-stops: never three within ten minutes of each other."
    if ledger.filter(pl.col("state") != MachineState.UNKNOWN.value).is_empty():
        empty = "Nothing is known of this window."
    return parts.panel("Swarms of micro-stops", parts.table(heads, rows, empty, numeric=(2, 3, 4)))


def _mostly(plant: Plant, row: dict[str, Any]) -> str:
    """What most of the time of a swarm was: the reason, or what the plant file says of the machine's own state."""
    if row["reason"]:
        return loss_name(plant, row["reason"])
    if row["raw"] is None:
        return words.NONE
    return improvement.state_name(plant, row["equipment"], row["raw"])


def register(backend: Backend, cb: Callbacks) -> None:
    """What is new while the window is running."""
    again.register(backend, cb, "improve", LIVE, _drawn)


PAGE = Page(path=PATH, title="Improve", icon="improve", order=18, layout=layout, register=register)
