"""A closed shift as it was reported and as it is corrected, and the form that corrects its counts."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import polars as pl
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import params, parts, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Query
from dashboards.ports import Backend, Refused
from dashboards.view import PublishedView, RestatementView, ShiftView
from plant.frames import Window
from plant.model import Plant

SHOWN = {"oee": "OEE", "availability": "availability", "performance": "performance", "quality": "quality"}
"""KPIs that are told apart in words."""
COUNTED = {"good": "Good", "reject": "Reject", "rework": "Rework"}


def published(backend: Backend, shift: ShiftView) -> list[PublishedView]:
    """What was published of the lines in that shift, and of shifts of other calendars that began in it. None while it is
    open."""
    start, end = parts.utc(shift["start"]), parts.utc(shift["end"])
    return backend.published(Window(start, end))


def shift_of(plant: Plant, published: PublishedView) -> ShiftView:
    """The shift a published figure is of, also when no calendar has it any more."""
    known = (s for c in plant.calendars.values() for s in c.shifts if s.id == published["shift"])
    name = next((s.name for s in known), published["shift"])
    end = str(published["reported"]["end"])
    return ShiftView(id=published["shift"], name=name, start=published["shift_start"], end=end, crew=None)


def restated(backend: Backend, shift: ShiftView, published: Sequence[PublishedView]) -> Component:
    """What is published of it: as reported, as corrected, and why they differ."""
    plant, now = backend.plant, backend.now()
    rows: list[tuple[Any, ...]] = []
    for line in published:
        reported, corrected = line["reported"], line["corrected"]
        for kpi, name in SHOWN.items():
            before, after = _value(reported, kpi), _value(corrected, kpi)
            if kpi == "oee" or before != after:
                rows.append(
                    (
                        _named(plant, shift, line),
                        name[0].upper() + name[1:],
                        words.percent(before),
                        words.percent(after),
                        _points(after - before) if before is not None and after is not None else words.NONE,
                    )
                )
        for kind, name in COUNTED.items():
            before, after = _value(reported, kind), _value(corrected, kind)
            if before is not None and after is not None and before != after:
                difference = words.number(after - before)
                rows.append(
                    (
                        _named(plant, shift, line),
                        name,
                        words.number(before),
                        words.number(after),
                        difference if after < before else f"+{difference}",
                    )
                )
    made = sorted(
        ((_named(plant, shift, p), r) for p in published for r in p["restatements"]),
        key=lambda pair: pair[1]["at"],
    )
    items = [
        html.Li(
            [
                html.Span(words.moment(one["at"], plant.site.zone, now), className="muted"),
                f" {sentence(plant, one)}",
                html.Span(f" ({line})", className="muted") if len(published) > 1 else None,
            ]
        )
        for line, one in made
    ]
    history = (
        html.Ul(items, className="restatements")
        if items
        else html.P("Nothing has changed since the shift closed.", className="empty")
    )
    heads = ("Line", "Figure", "As reported", "As corrected", "Change")
    return parts.panel(
        "As reported, as corrected", parts.table(heads, rows, "", numeric=(2, 3, 4)), history, name="restated"
    )


def sentence(plant: Plant, made: RestatementView) -> str:
    """Ada re-coded 12 min of Press 1 from Jam to Cleaning: OEE +0.8 points."""
    user = plant.users.get(made["user"])
    who = user.name if user else made["user"]
    said = f"{who} {made['detail']}" if who else made["detail"][0].upper() + made["detail"][1:]
    moved = [f"{name} {_points(made['moved'][kpi])}" for kpi, name in SHOWN.items() if kpi in made["moved"]]
    return f"{said}: {', '.join(moved) or 'no KPI moved'}."


def counts_form(backend: Backend, path: str, query: Query, ledger: pl.DataFrame) -> Component:
    """Choose the machine, then say by how much its counts change; parts go where most were made."""
    plant, zone = backend.plant, backend.plant.site.zone
    machine = query.get("correct", "")
    if not machine:
        first = plant.machines()[0].id
        return html.Div(
            dcc.Link("Correct counted parts", href=parts.link(path, query, correct=first), className="chip"),
            className="chips no-print",
        )
    inside: list[Any] = [
        parts.choice(
            "Machine",
            [(m.id, m.name) for m in plant.machines()],
            machine,
            lambda value: parts.link(path, query, correct=value),
        ),
    ]
    if params.machines(plant, [machine]):
        mine = ledger.filter(pl.col("equipment") == machine)
        if mine.is_empty():
            inside.append(html.P("Nothing is known of this machine in this shift.", className="empty"))
        else:
            at = mine.sort("good", "start")["start"][-1]
            counted = ", ".join(
                f"{words.number(int(mine[kind].sum()))} {name.lower()}" for kind, name in COUNTED.items()
            )
            fields = [
                html.Label(
                    [
                        f"{name} ",
                        dcc.Input(
                            id=f"correct-{kind}",
                            type="text",
                            value="",
                            placeholder="0",
                            size="8",
                            autoComplete="off",
                        ),
                    ],
                    htmlFor=f"correct-{kind}",
                )
                for kind, name in COUNTED.items()
            ]
            why = dcc.Input(id="correct-why", type="text", value="", size="30", autoComplete="off")
            inside += [
                dcc.Store(
                    id="correct-what",
                    data={"machine": machine, "at": words.utc(at), "key": uuid4().hex},
                ),
                html.P(
                    f"Counted: {counted}. Say by how much each changes: 12 good that were rejects are -12 good and "
                    f"12 reject. They go to {at.astimezone(zone):%H:%M}, when most parts were made.",
                    className="lead",
                ),
                html.Div(
                    [
                        *fields,
                        html.Label(["Why ", why], htmlFor="correct-why"),
                        html.Button(
                            "Correct", id="correct-do", className="button", **{"data-needs-user": "1"}
                        ),
                    ],
                    className="fields",
                ),
            ]
    close = dcc.Link("Close", href=parts.link(path, query, correct=None), className="button small")
    return parts.panel("Correct counted parts", *inside, extra=close, name="no-print")


def register(backend: Backend, cb: Callbacks) -> None:
    """The form's button."""

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input("correct-do", "n_clicks"),
        State("user", "data"),
        State("correct-what", "data"),
        *(State(f"correct-{kind}", "value") for kind in (*COUNTED, "why")),
        prevent_initial_call=True,
    )
    def correct(
        clicks: int | None, user: str | None, about: Mapping[str, str] | None, *typed: str | None
    ) -> tuple[Any, Any]:
        if not clicks or not about:
            return no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True)

        def do() -> None:
            changes = {
                kind: _whole(name, text)
                for (kind, name), text in zip(COUNTED.items(), typed[:-1], strict=True)
            }
            at = params.instant("at", about["at"])
            backend.correct_counts(about["machine"], at, changes, typed[-1] or "", user, about["key"])

        return attempt(do, "Corrected; what was counted before is kept.")


def _whole(name: str, text: str | None) -> int:
    plain = (text or "0").strip().replace("\u2212", "-")
    if not plain.lstrip("+-").isdigit():
        raise Refused(f"{name}: write a whole number, such as 12 or -12.")
    return int(plain)


def _value(values: Mapping[str, object], name: str) -> float | None:
    found = values.get(name)
    return float(found) if isinstance(found, int | float) else None


def _points(change: float) -> str:
    if not change:
        return "unchanged"
    text = f"{100 * change:+.1f}".replace("-", "\u2212")
    return f"{text} points"


def _named(plant: Plant, shift: ShiftView, published: PublishedView) -> str:
    """The line, and its shift when that is another one."""
    known = plant.equipment.get(published["line"])
    line = known.name if known else published["line"]
    if (published["shift"], parts.utc(published["shift_start"])) == (shift["id"], parts.utc(shift["start"])):
        return line
    return f"{line}, {shift_of(plant, published)['name']}"
