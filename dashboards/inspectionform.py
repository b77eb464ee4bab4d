"""Recording an inspection on a page: a field per value, the list of what was recorded, and taking one back."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from analytics.spc.inspections import Inspection, standing
from dashboards import inspections, params, parts, spc, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.ports import Backend, Refused
from plant.model import Signal

ROWS = 15
"""Inspections listed: the newest ones."""
MOST_FIELDS = 10
COUNTS = {"inspected": "Inspected", "nonconforming": "Nonconforming", "defects": "Defects"}
"""What is counted, and what people call it."""


def form(backend: Backend, asked: spc.Asked, signal: Signal | None) -> Component:
    """Fields for the inspection the chart is of: of values when a `signal` is measured, else of counted units."""
    inside: list[Component] = [
        dcc.Store(
            id="inspect-what",
            data={
                "machine": asked.machine,
                "test": signal.id if signal else asked.test,
                "key": uuid4().hex,
            },
        )
    ]
    fields = []
    if signal is None:
        inside.append(
            html.Datalist(
                [html.Option(value=name) for name in inspections.specifications(backend, asked.machine)],
                id="inspect-known",
            )
        )
        test = asked.test or ""
        fields.append(
            _field("test", "Inspected for", test, "Visual check", "22", list="inspect-known", maxLength=50)
        )
        fields += [_field(name, text, "", "", "7", inputMode="numeric") for name, text in COUNTS.items()]
        lead = (
            "Count the units you looked at, and those that were nonconforming, or all their defects, or both: p and np"
            " charts are of nonconforming units, u and c charts of defects."
        )
    else:
        least, most, usual = inspections.sizes(signal)
        count = min(usual, MOST_FIELDS)
        unit = f" ({signal.unit})" if signal.unit else ""
        fields += [
            _field(
                f"value-{i}", f"Value {i + 1}{unit}" if count > 1 else f"Value{unit}", "", "", "7",
                inputMode="decimal",
            )
            for i in range(count)
        ]  # fmt: skip
        lead = "One sample is one point of the chart." + (
            f" It takes {least} values at least; leave the other fields empty." if most > 1 else ""
        )
    fields += [
        _field("time", "Taken at", "", "now", "12"),
        _field("note", "Note", "", "", "24", maxLength=1000),
        html.Button("Record", id="inspect-do", className="button", **{"data-needs-user": "1"}),
    ]
    inside += [html.P(lead, className="muted lead"), html.Div(fields, className="fields")]
    return parts.panel("Record an inspection", *inside, name="no-print")


def _field(name: str, text: str, value: str, placeholder: str, size: str, **more: Any) -> Component:
    typed = dcc.Input(
        id={"type": "inspect", "field": name},
        type="text",
        value=value,
        placeholder=placeholder,
        size=size,
        autoComplete="off",
        **more,
    )
    return html.Label([f"{text} ", typed])


def recorded(backend: Backend, entries: Sequence[Inspection]) -> Component:
    """The inspections of a chart, newest first; those taken back say by whom and why."""
    plant, now, zone = backend.plant, backend.now(), backend.plant.site.zone
    back = {entry.withdraws: entry for entry in entries if entry.withdraws is not None}
    counting = {one.number for one in standing(entries)}
    newest = sorted(
        (one for one in entries if one.withdraws is None),
        key=lambda one: (one.time, one.number),
        reverse=True,
    )

    def name(user: str) -> str:
        return plant.users[user].name if user in plant.users else user

    rows = []
    for one in newest[:ROWS]:
        if one.number in counting:
            last: Any = html.Button(
                "Take back",
                id={"type": "inspect-back", "number": one.number},
                className="button small",
                **{"data-needs-user": "1", "aria-label": f"Take back: {_what(one)}"},
            )
        else:
            by = back[one.number]
            last = f"Taken back by {name(by.user)}" + (f": {by.note}" if by.note else "")
        rows.append(
            (words.moment(one.time, zone, now), _what(one), one.note or words.NONE, name(one.user), last)
        )
    heads = ("Sample of", "Found", "Note", "By", "")
    said = [html.P(f"The newest {ROWS} of {len(newest)}.", className="muted")] if len(newest) > ROWS else []
    return parts.panel(
        "Inspections",
        parts.table(heads, rows, "No inspection in this window yet. Record the first one."),
        *said,
    )


def _what(one: Inspection) -> str:
    if one.values:
        return ", ".join(words.value(value) for value in one.values)
    found = [
        f"{words.number(count)} {text}"
        for count, text in ((one.nonconforming, "nonconforming"), (one.defects, "defects"))
        if count is not None
    ]
    return f"{', '.join(found)} of {words.number(one.inspected)}"


def register(backend: Backend, cb: Callbacks) -> None:
    """Recording, and taking back."""

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Output("url", "search", allow_duplicate=True),
        Input("inspect-do", "n_clicks"),
        State("inspect-what", "data"),
        State({"type": "inspect", "field": ALL}, "id"),
        State({"type": "inspect", "field": ALL}, "value"),
        State("user", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def record(
        clicks: int | None,
        what: Mapping[str, str] | None,
        names: Sequence[Mapping[str, str]],
        typed: Sequence[str | None],
        user: str | None,
        search: str | None,
    ) -> tuple[Any, Any, Any]:
        if not clicks or not what:
            return no_update, no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True), no_update
        given = {name["field"]: (text or "").strip() for name, text in zip(names, typed, strict=True)}
        kept: list[Inspection] = []

        def do() -> None:
            entry = _entry(backend, what, given, user)
            backend.record_inspection(what["machine"], entry, what["key"])
            kept.append(entry)

        changed, told = attempt(do, "Recorded; it can be taken back below.")
        if not kept or "test" not in given or kept[0].test == what["test"]:
            return changed, told, no_update
        query = params.query(search)
        return changed, told, parts.link("", query, signal=f"{spc.INSPECTION}{kept[0].test}")

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input({"type": "inspect-back", "number": ALL}, "n_clicks"),
        State("inspect-what", "data"),
        State({"type": "inspect", "field": "note"}, "value"),
        State("user", "data"),
        prevent_initial_call=True,
    )
    def take_back(
        clicks: Sequence[int | None], what: Mapping[str, str] | None, note: str | None, user: str | None
    ) -> tuple[Any, Any]:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict) or not what:
            return no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True)
        number = ctx.triggered_id["number"]

        def do() -> None:
            entry = inspections.withdrawing(backend, what["machine"], number, user, note or "")
            backend.record_inspection(what["machine"], entry)

        return attempt(do, "Taken back; it stays in the list, and no chart counts it.")


def _entry(backend: Backend, what: Mapping[str, str], given: Mapping[str, str], user: str) -> Inspection:
    counts = {name: _whole(text, given[name]) for name, text in COUNTS.items() if given.get(name)}
    values = [_number(text) for name, text in given.items() if name.startswith("value-") and text]
    now = backend.now()
    time = _taken(backend, given["time"], now) if given["time"] else now
    test = given.get("test", what["test"])
    found = inspections.Found(**counts, values=values)
    return inspections.recording(backend, what["machine"], test, time, found, user, given["note"])


def _taken(backend: Backend, text: str, now: datetime) -> datetime:
    return params.typed_time(text, now - timedelta(days=1), backend.plant.site.zone)


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise Refused(f"{name}: {text!r} is no count; write a whole number, such as 3.")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise Refused(f"{text!r} is no number; write it as 12.34.") from None
