"""Adding a machine: an address, a look at what is there, a proposal to confirm, the plant file's new section."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import params, parts
from dashboards.callbacks import Callbacks
from dashboards.onboarding import Confirmed, FoundMachine, FoundSignal, Looking, MeaningView, Section
from dashboards.pages import Page, Query
from dashboards.ports import Backend, Refused
from plant.model import Role
from plant.states import MachineState

PATH = "/add"
WATCH = {"60": "Look and watch for 1 min", "15": "15 s only", "180": "3 min"}
"""Seconds to what the button says."""
USUAL_WATCH = "60"
EVERY = 1000
"""Milliseconds between two looks at how far it is."""
MOST_ROWS = 60
"""Variables of a machine that are offered beyond the proposed ones."""
ROLES = {
    "": "Leave out",
    Role.STATE: "State",
    Role.GOOD: "Good parts",
    Role.REJECT: "Rejected parts",
    Role.REWORK: "Reworked parts",
    Role.TOTAL: "All parts",
    Role.CYCLE: "Cycle time",
    Role.ORDER: "Order",
    Role.MATERIAL: "Product",
    Role.PROCESS_VALUE: "Measured value",
    Role.ALARM: "Alarm",
}
STATES = {state: state.value.replace("_", " ").capitalize() for state in MachineState}
NO_CYCLE = "none"
STEPS = ("Address", "Watch", "Confirm", "Live")


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """The step the look in the address is at; without one the form."""
    job = query.get("job", "")
    if not job:
        return _page(0, _form("", ""))
    try:
        look = backend.looking(job)
    except Refused as refused:
        return _page(0, _form("", str(refused)))
    if look["state"] == "failed":
        return _page(0, _form(look["url"], look["said"]))
    if look["state"] != "done":
        again = dcc.Interval(id="add-again", interval=EVERY)
        return _page(1, html.Div(_progress(look), id="add-progress", className="page-part"), again)
    return _page(2, *_proposal(look))


def _page(step: int, *children: Component) -> Component:
    steps = html.Ol(_steps(step), id="add-steps", className="steps", **{"aria-label": "Steps"})
    return html.Div([steps, *children], className="page")


def _steps(step: int) -> list[Component]:
    return [
        html.Li(f"{number} {name}", **({"aria-current": "step"} if number == step + 1 else {}))
        for number, name in enumerate(STEPS, 1)
    ]


def _form(url: str, problem: str) -> Component:
    field = dcc.Input(
        id="add-url",
        type="text",
        value=url,
        placeholder="opc.tcp://192.168.0.10:4840",
        autoComplete="off",
        size="46",
    )
    told = html.Div(problem, className="errors", role="alert") if problem else None
    text = (
        "Lineside looks at everything the source offers, watches it for a while and says what each variable probably is."
        " It only reads. Best while the machine is producing: what counts and what stands still tells most."
    )
    looks = [
        html.Button(
            text,
            id={"add": "look", "seconds": seconds},
            className="button primary" if seconds == USUAL_WATCH else "button",
            type="button",
        )
        for seconds, text in WATCH.items()
    ]
    return parts.panel(
        "Add a machine",
        html.P(text, className="lead"),
        html.Div([html.Label(["Address of the source ", field], htmlFor="add-url")], className="fields"),
        html.Div(looks, className="fields"),
        html.Div(told, id="add-said"),
    )


def _progress(look: Looking) -> list[Component]:
    share = f"{100 * look['done']:.0f} %"
    bar = html.Div(
        parts.bar(look["done"]),
        role="progressbar",
        **{"aria-valuenow": f"{100 * look['done']:.0f}", "aria-label": "How far it is"},
    )
    head = parts.panel(
        f"Looking at {look['name'] or look['url']}",
        bar,
        html.P(f"{look['said']} · {share}", className="note", role="status"),
    )
    found = [(m["name"], s) for m in look["machines"] for s in m["signals"]] + [
        ("", s) for s in look["others"]
    ]
    if not found:
        return [head]
    shown = sorted(found, key=lambda pair: (pair[1]["role"] is None, not pair[1]["line"]))[:MOST_ROWS]
    rows = [
        (
            signal["name"],
            machine,
            _now(signal),
            _line(signal),
            signal["did"],
            ROLES[signal["role"] or ""] if signal["role"] else "",
        )
        for machine, signal in shown
    ]
    heads = ("Variable", "Machine", "Now", "Course", "Did", "Looks like")
    title = f"{len(found)} variables" + (f", the first {MOST_ROWS}" if len(found) > MOST_ROWS else "")
    return [head, parts.panel(title, parts.table(heads, rows, "Nothing yet.", numeric=(2,)))]


def _proposal(look: Looking) -> list[Component]:
    notes = [html.P(text, className="late") for text in look["notes"]]
    about = f"{look['product']}. {'; '.join(look['security'])}".strip(". ")
    head = parts.panel(
        f"{look['name']}: {len(look['machines'])} {'machine' if len(look['machines']) == 1 else 'machines'}",
        html.P(about, className="muted"),
        *notes,
        extra=dcc.Link("Look at another source", href=PATH, className="button small"),
    )
    if not look["machines"]:
        text = (
            "Nothing here looks like a machine: no state and no part counter was found. Was it producing? Look again"
            " while it does, or write the signals into the plant file by hand."
        )
        return [head, parts.panel("No machine", html.P(text, className="empty"))]
    cards = [_card(number, machine) for number, machine in enumerate(look["machines"])]
    buttons = html.Div(
        [
            html.Button("Add to the plant", id="add-write", className="button primary", type="button"),
            html.Button("Show what is written", id="add-show", className="button", type="button"),
        ],
        className="fields",
    )
    return [head, dcc.Store(id="add-picked"), *cards, buttons, html.Div(id="add-result", role="status")]


def _card(number: int, machine: FoundMachine) -> Component:
    offered = [(i, s) for i, s in enumerate(machine["signals"]) if s["role"] is not None]
    rest = [
        (i, s)
        for i, s in enumerate(machine["signals"])
        if s["role"] is None and s["line"] + s["alternatives"]
    ]
    rest = rest[:MOST_ROWS]
    hint = machine["cycle"]
    about = (
        f"{machine['cycle_why'].capitalize()}: {hint}." if hint else "One part every so long, at full speed."
    )
    states = next((s["states"] for _, s in offered if s["states"]), [])
    return parts.panel(
        machine["name"],
        html.P(machine["why"][:1].upper() + machine["why"][1:] + ".", className="muted"),
        *(html.P(problem, className="late") for problem in machine["problems"]),
        html.Div(
            [
                _field("name", number, "Name", machine["name"], ""),
                _field("cycle", number, "Ideal cycle", "", hint or "2.4s or 30/min"),
                html.P(about, className="muted hint"),
            ],
            className="fields",
        ),
        _signals(number, offered),
        _meanings(number, states) if states else None,
        html.Details(
            [html.Summary(f"{len(rest)} more variables", className="chip"), _signals(number, rest)],
            className="more",
        )
        if rest
        else None,
        extra=_picker(
            ("take", number, ""),
            {"take": "Add this machine", "": "Leave it out"},
            "take" if any(s["role"] == Role.STATE for _, s in offered) else "",
            f"Whether to add {machine['name']}",
        ),
        name="machine-card",
    )


def _field(what: str, machine: int, label: str, value: str, example: str) -> Component:
    name = {"add": what, "machine": machine}
    typed = dcc.Input(id=name, type="text", value=value, placeholder=example, autoComplete="off", size="22")
    return html.Label([f"{label} ", typed])


def _signals(machine: int, found: Sequence[tuple[int, FoundSignal]]) -> Component:
    rows = [
        (
            html.Div(
                [html.B(signal["name"]), html.Small(f"{signal['data_type']}", className="muted")],
                className="two",
            ),
            _picker(("role", machine, index), ROLES, signal["role"] or "", f"Role of {signal['name']}"),
            _now(signal),
            _line(signal),
            html.Div(
                [html.Span(signal["did"]), html.Small(_because(signal), className="muted")],
                className="two",
            ),
        )
        for index, signal in found
    ]
    return parts.table(
        ("Variable", "Is", "Now", "Course", "Why"), rows, "No signal is proposed.", numeric=(2,)
    )


def _because(signal: FoundSignal) -> str:
    sure = f"{signal['confidence']:.0%} sure: " if signal["role"] else ""
    return sure + "; ".join(signal["reasons"])


def _meanings(machine: int, states: Sequence[MeaningView]) -> Component:
    unsure = [m for m in states if not m["sure"]]
    rows = [
        (
            html.B(m["raw"]),
            _picker(("state", machine, m["raw"]), STATES, m["state"], f"Meaning of {m['raw']}"),
            html.Span([m["why"], "" if m["sure"] else html.Em(" Please check.", className="late")]),
        )
        for m in sorted(states, key=_by_number)
    ]
    title = f"What its {len(states)} values mean" + (f": {len(unsure)} to check" if unsure else "")
    inside = [
        html.Summary(title, className="chip"),
        parts.table(("Value", "Means", "Because"), rows, "No value was seen."),
    ]
    return html.Details(inside, className="more", open=len(states) <= 8)


def _by_number(meaning: MeaningView) -> tuple[bool, float, str]:
    raw = meaning["raw"]
    number = raw.lstrip("-").replace(".", "", 1).isdigit()
    return (meaning["sure"], float(raw) if number else 0.0, raw)


def _picker(pick: Sequence[object], options: Mapping[Any, str], value: str, label: str) -> Component:
    """A choice; `pick` says which it is. assets/add.js tells all of them to `add-picked` when one changes."""
    found = [
        html.Option(text, value=str(key), **({"selected": "selected"} if str(key) == value else {}))
        for key, text in options.items()
    ]
    return html.Select(found, className="pick", **{"aria-label": label, "data-pick": json.dumps(pick)})


def _now(signal: FoundSignal) -> str:
    return f"{signal['value']} {signal['unit']}".strip()


def _line(signal: FoundSignal) -> Component | str:
    """The course of the value as a row of bars; drawn for the eye, its words stand beside it."""
    line = signal["line"]
    if not line:
        return ""
    low, high = min(line), max(line)
    heights = [(12 + 88 * (v - low) / (high - low)) if high > low else 12 for v in line]
    bars = [html.I(style={"height": f"{height:.0f}%"}) for height in heights]
    return html.Div(bars, className="course", **{"aria-hidden": "true"})


Picked = Sequence[Sequence[Any]]
"""What was picked: (what, number of the machine, signal's number or raw value, choice) each; nothing: as proposed."""


def confirmed(
    look: Looking, picked: Picked, names: Mapping[int, str], cycles: Mapping[int, str]
) -> list[Confirmed]:
    """What somebody made of a proposal; only what differs from it. `names` and `cycles` by the number of the machine.

    Raises Refused: a machine without its ideal cycle.
    """
    found = []
    for number, machine in enumerate(look["machines"]):
        mine = [(what, which, value or None) for what, of, which, value in picked if of == number]
        takes = any(s["role"] == Role.STATE for s in machine["signals"])
        if not next((value is not None for what, _, value in mine if what == "take"), takes):
            continue
        cycle = (cycles.get(number) or "").strip()
        if not cycle:
            raise Refused(
                f'{machine["name"]}: give its ideal cycle, such as 2.4s or 30/min; or write "{NO_CYCLE}" and have no'
                " performance and no OEE."
            )
        signals = machine["signals"]
        meant = {m["raw"]: m["state"] for s in signals if s["role"] for m in s["states"]}
        found.append(
            Confirmed(
                id=machine["id"],
                name=names.get(number) or "",
                cycle="" if cycle == NO_CYCLE else cycle,
                roles={
                    signals[which]["address"]: value
                    for what, which, value in mine
                    if what == "role" and value != signals[which]["role"]
                },
                states={
                    which: value
                    for what, which, value in mine
                    if what == "state" and value and value != meant.get(which)
                },
            )
        )
    return found


def register(backend: Backend, cb: Callbacks) -> None:
    """Looking, following the look, showing and writing the section."""

    @cb(
        Output("url", "search", allow_duplicate=True),
        Output("add-said", "children"),
        Input({"add": "look", "seconds": ALL}, "n_clicks"),
        Input("add-url", "n_submit"),
        State("add-url", "value"),
        prevent_initial_call=True,
    )
    def begin(clicks: list[int | None], submitted: int | None, url: str | None) -> tuple[Any, Any]:
        if not (any(clicks) or submitted):
            return no_update, no_update
        pressed = ctx.triggered_id
        seconds = pressed["seconds"] if isinstance(pressed, dict) else USUAL_WATCH
        try:
            job = backend.look_at(url or "", float(seconds))
        except Refused as refused:
            return no_update, _refused(refused)
        return parts.link(PATH, {}, job=job).removeprefix(PATH), ""

    @cb(
        Output("add-progress", "children"),
        Output("changed", "data", allow_duplicate=True),
        Input("add-again", "n_intervals"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def follow(again: int | None, search: str | None) -> tuple[Any, Any]:
        try:
            look = backend.looking(_job(search))
        except Refused as refused:
            return _refused(refused), no_update
        if look["state"] in ("done", "failed"):
            return no_update, f"look {look['job']}"
        return _progress(look), no_update

    @cb(
        Output("add-result", "children"),
        Output("add-write", "disabled"),
        Output("add-steps", "children"),
        Input("add-show", "n_clicks"),
        Input("add-write", "n_clicks"),
        State("add-picked", "data"),
        State({"add": "name", "machine": ALL}, "value"),
        State({"add": "cycle", "machine": ALL}, "value"),
        State("url", "search"),
        State("user", "data"),
        prevent_initial_call=True,
    )
    def settle(
        show: int | None,
        add: int | None,
        picked: Picked | None,
        names: list[str],
        cycles: list[str],
        search: str | None,
        user: str | None,
    ) -> tuple[Any, Any, Any]:
        if not (show or add):
            return no_update, no_update, no_update
        try:
            job = _job(search)
            look = backend.looking(job)
            chosen = confirmed(look, picked or [], dict(enumerate(names)), dict(enumerate(cycles)))
            if ctx.triggered_id == "add-write":
                added = backend.add_machines(job, chosen, user or "not signed in")
                return _added(added, chosen), True, _steps(3)
            return _shown(backend.section(job, chosen)), no_update, no_update
        except Refused as refused:
            return _refused(refused), no_update, no_update


def _job(search: str | None) -> str:
    return params.query(search).get("job", "")


def _refused(refused: Refused) -> Component:
    return html.Div(str(refused), className="errors", role="alert")


def _shown(section: Section) -> Component:
    text = html.Pre(section["text"], tabIndex="0", className="file")
    return parts.panel(f"What is written into {section['file']}", text)


def _added(section: Section, chosen: Sequence[Confirmed]) -> Component:
    names = ", ".join(c["name"] for c in chosen)
    lacking = [c["name"] for c in chosen if not c["cycle"]]
    notes = [
        html.P(
            f"{', '.join(lacking)}: without an ideal cycle there is availability and quality, but no performance. Add it"
            " in the plant file.",
            className="late",
        )
    ]
    # A whole new page, so that everything on it knows the machine.
    board = html.A("Open the board", href="/", className="button primary")
    return parts.panel(
        f"{names}: in the plant",
        html.P(
            f"Written into {section['file']}; Lineside takes it up in a second or two. Its values are on the board"
            " as soon as they come."
        ),
        *(notes if lacking else []),
        html.Div(board, className="fields"),
        html.Details([html.Summary("What was written", className="chip"), _shown(section)], className="more"),
    )


PAGE = Page(
    path=PATH, title="Add a machine", icon="plant", order=90, layout=layout, register=register, menu=False
)
