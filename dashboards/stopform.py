"""What people say of one stop: its reason, that it was two or one with the next, and the history of what was said."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import polars as pl
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from analytics.ledger.sayings import NOT_STOPPED
from dashboards import figures, params, parts, stoppicture, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Query
from dashboards.ports import Backend, Refused
from dashboards.view import SaidView, SpanView, StopView
from plant.frames import Window
from plant.model import Plant, Reason

TAKEN_BACK = "Taken back"
LEFT = "As it is"
GOES_ON = "it goes on"
STEPS = (
    ("1 min earlier", timedelta(minutes=-1)),
    ("10 s earlier", timedelta(seconds=-10)),
    ("10 s later", timedelta(seconds=10)),
    ("1 min later", timedelta(minutes=1)),
)
"""By which the place of a split is moved."""


def stop_form(backend: Backend, path: str, query: Query) -> Component:
    """The panel of the stop in the address (`stop`); `at`, `first` and `second` say how it is about to be split."""
    plant = backend.plant
    machine, start = which(plant, query["stop"])
    close = dcc.Link("Close", href=_href(path, query, stop=None), className="button small")
    try:
        stop = backend.stop_at(machine, start)
    except Refused as refused:
        at = _present(backend, machine, start, start + timedelta(hours=1))
        now_there = (
            dcc.Link(
                f"The stop of {words.moment(at, plant.site.zone, backend.now())}",
                href=_href(path, query, stop=f"{machine}|{words.utc(at)}"),
                className="chip",
            )
            if at
            else None
        )
        return parts.panel("This stop has changed", html.P(str(refused)), now_there, extra=close, name="ask")
    end = parts.utc(stop["end"]) if stop["end"] else start + timedelta(seconds=stop["seconds"])
    said = backend.recodes(machine, start)
    now, zone = backend.now(), plant.site.zone
    began = words.moment(start, zone, now)
    lasted = words.length(stop["seconds"]) + ("" if stop["end"] else " so far")
    present = figures.loss_name(plant, stop["reason"]) if stop["reason"] else "no reason yet"
    return parts.panel(
        f"{plant.equipment[machine].name}, stop of {began}: what was it?",
        html.P(f"{stop['state'].replace('_', ' ').capitalize()} for {lasted}: {present}.", className="muted"),
        # What this page answers; every click on it has a key of its own, so a second one does nothing.
        dcc.Store(
            id="stop-seen",
            data={
                "stop": query["stop"],
                "seen": stop["version"],
                "key": uuid4().hex,
                "begin": stop["start"],
                "end": stop["end"] or words.utc(now),
            },
        ),
        html.Div(
            html.Label(
                [
                    "Note, kept with what you say ",
                    dcc.Input(id="stop-note", type="text", value="", autoComplete="off", size="40"),
                ],
                htmlFor="stop-note",
            ),
            className="fields",
        ),
        html.Div([_act(reason.name, "recode", reason.id) for reason in leaves(plant)], className="picks"),
        stoppicture.picture(backend, machine, Window(start, end), "stopped", _at(query, start, end)),
        _times(stop, path, query, zone),
        _split(backend, stop, path, query),
        _elsewise(stop, path, query),
        html.Div(_others(plant, stop, said, now), className="chips"),
        parts.table(
            ("When", "Said", "Note", "Who"),
            [
                (words.moment(e["at"], zone, now), what(plant, stop, e), e["note"], _who(plant, e))
                for e in said
            ],
            "Nobody has said anything of it. All that is said is kept; of each moment the last holds.",
        ),
        extra=close,
        name="ask",
    )


def which(plant: Plant, text: str) -> tuple[str, datetime]:
    """Machine and start of a stop in the address."""
    machine, _, start = text.partition("|")
    params.machines(plant, [machine])
    return machine, params.instant("stop", start)


def leaves(plant: Plant) -> list[Reason]:
    """The reasons a stop can have: those that have none below them."""
    parents = {r.parent for r in plant.reasons.values()}
    return [r for r in plant.reasons.values() if r.id not in parents]


def what(plant: Plant, stop: StopView, said: SaidView) -> str:
    """One thing somebody did, in words."""
    spans = [s for s in said["spans"] if s["state"] or s["reason"]]
    if not spans:
        return TAKEN_BACK
    # A state and a reason of the same span are one thing to people.
    texts = list(dict.fromkeys(_span(plant, stop, span) for span in spans))
    undone = TAKEN_BACK + ", then " if len(spans) < len(said["spans"]) else ""
    return undone + "; ".join(texts)


def _span(plant: Plant, stop: StopView, span: SpanView) -> str:
    zone, end = plant.site.zone, span["end"]
    named = [
        text
        for text in (
            (span["state"] or "").replace("_", " "),
            figures.loss_name(plant, span["reason"]) if span["reason"] else "",
        )
        if text
    ]
    text = ": ".join(named)
    whole = span["start"] == stop["start"] and end in (None, stop["end"])
    if whole:
        return text[0].upper() + text[1:]
    first, last = (datetime.fromisoformat(at).astimezone(zone) if at else None for at in (span["start"], end))
    times = f"{first:%H:%M:%S} – {last:%H:%M:%S}" if last else f"from {first:%H:%M:%S}"
    return f"{text[0].upper() + text[1:]} {times}"


def _who(plant: Plant, said: SaidView) -> str:
    user = plant.users.get(said["user"])
    return user.name if user else said["user"]


def _act(text: str, action: str, value: str, *, small: bool = False) -> Component:
    return html.Button(
        text,
        id={"type": "stop-act", "action": action, "value": value},
        className="button small" if small else "button",
        **{"data-needs-user": "1"},
    )


def _others(plant: Plant, stop: StopView, said: Sequence[SaidView], now: datetime) -> list[Component]:
    found = []
    if stop["following"]:
        next_one = words.moment(stop["following"], plant.site.zone, now)
        apart = words.length(stop["between"])
        found.append(
            _act(f"Merge with the next, {next_one}, {apart} later", "merge", stop["following"], small=True)
        )
    if said:
        found.append(_act("Undo the last change", "undo", said[-1]["at"], small=True))
        if any(span["state"] or span["reason"] for span in said[-1]["spans"]):
            found.append(_act("Take it all back", "recode", "", small=True))
    return found


def _split(backend: Backend, stop: StopView, path: str, query: Query) -> Component:
    """Choose the time and what each part was; every choice stands in the address."""
    plant, zone = backend.plant, backend.plant.site.zone
    start = parts.utc(stop["start"])
    end = start + timedelta(seconds=stop["seconds"])
    at = _at(query, start, end)
    if at is None:
        middle = words.utc(start + timedelta(seconds=round(stop["seconds"] / 2)))
        return dcc.Link("Split it in two", href=parts.link(path, query, at=middle), className="chip")
    inside: list[Any] = [
        html.Div(
            [
                html.Label(
                    [
                        "The second one began at ",
                        dcc.Input(
                            id="split-at",
                            type="text",
                            value=_typed(at, start, end, zone),
                            size="20",
                            autoComplete="off",
                        ),
                    ],
                    htmlFor="split-at",
                ),
                html.Nav(
                    [
                        dcc.Link(
                            text, href=parts.link(path, query, at=words.utc(at + step)), className="chip"
                        )
                        for text, step in STEPS
                        if start < at + step < end
                    ],
                    className="chips",
                    **{"aria-label": "Move the split"},
                ),
            ],
            className="fields",
        ),
    ]
    options = [("", LEFT), *((r.id, r.name) for r in leaves(plant))]
    for name, text in (("first", "Until then it was"), ("second", "From then on it was")):

        def href(value: str, name: str = name) -> str:
            return parts.link(path, query, **{name: value or None})

        choice = parts.choice(text, options, query.get(name, ""), href)
        inside.append(html.Div([html.Span(text), choice], className="labelled"))
    inside.append(
        html.Div(
            [
                _act(f"Split at {at.astimezone(zone):%H:%M:%S}", "split", words.utc(at)),
                dcc.Link("Leave it whole", href=_href(path, query), className="chip"),
            ],
            className="chips",
        )
    )
    return html.Div(inside, className="split-form")


def _times(stop: StopView, path: str, query: Query, zone: ZoneInfo) -> Component:
    """When it really began and ended."""
    if "times" not in query:
        return dcc.Link("Change when it began or ended", href=_href(path, query, times="1"), className="chip")
    start = parts.utc(stop["start"])
    end = parts.utc(stop["end"]) if stop["end"] else None
    fields = [
        html.Label(
            [
                f"{name} ",
                dcc.Input(
                    id=f"stop-{which}",
                    type="text",
                    value=f"{at.astimezone(zone):{params.TYPED_SECONDS}}" if at else GOES_ON,
                    disabled=at is None,
                    size="21",
                    autoComplete="off",
                ),
            ],
            htmlFor=f"stop-{which}",
        )
        for which, name, at in (("begin", "It began", start), ("end", "and ended", end))
    ]
    return html.Div(
        [
            html.Div([*fields, _act("Move it", "times", "")], className="fields"),
            html.P("Where it is shorter the machine ran; where it is longer it stood.", className="muted"),
            dcc.Link("Leave its times", href=_href(path, query), className="chip"),
        ],
        className="split-form",
    )


def _elsewise(stop: StopView, path: str, query: Query) -> Component | None:
    """To the form that says it was no stop, or another kind of one."""
    if not stop["end"]:
        return None
    about = f"{stop['equipment']}|{stop['start']}|{stop['end']}"
    return dcc.Link(
        "The machine did something else", href=_href(path, query, stop=None, say=about), className="chip"
    )


def _typed(at: datetime, start: datetime, end: datetime, zone: ZoneInfo) -> str:
    one_day = start.astimezone(zone).date() == end.astimezone(zone).date()
    return f"{at.astimezone(zone):%H:%M:%S}" if one_day else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _kept(typed: datetime, seen: Mapping[str, str]) -> datetime:
    """The begin or the end that was shown, to the microsecond, where that is what is typed."""
    shown = (parts.utc(seen["begin"]), parts.utc(seen["end"]))
    return next((at for at in shown if at.replace(microsecond=0) == typed), typed)


def _present(backend: Backend, machine: str, start: datetime, end: datetime) -> datetime | None:
    """When the stop began that is there now where one was; None: none is."""
    rows = backend.ledger(Window(start, max(end, start + timedelta(seconds=1))), [machine])
    stopped = rows.filter(~pl.col("state").is_in(NOT_STOPPED)).sort("start")
    return stopped["stop_start"][0] if stopped.height else None


def _at(query: Query, start: datetime, end: datetime) -> datetime | None:
    at = params.instant("at", query["at"]) if query.get("at") else None
    return at if at and start < at < end else None


def _href(path: str, query: Query, **changes: str | None) -> str:
    return parts.link(path, query, **{"at": None, "first": None, "second": None, "times": None, **changes})


def register(backend: Backend, cb: Callbacks) -> None:
    """Saying it."""

    @cb(
        Output("url", "search", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Input("split-at", "n_submit"),
        State("split-at", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def cut(entered: int | None, typed: str | None, search: str | None) -> tuple[Any, Any]:
        query = params.query(search)
        if not entered or not typed or not query.get("stop"):
            return no_update, no_update
        _, start = which(backend.plant, query["stop"])
        try:
            at = words.utc(params.typed_time(typed, start, backend.plant.site.zone))
        except Refused as refused:
            return no_update, message(str(refused), bad=True)
        return (no_update if at == query.get("at") else parts.link("", query, at=at)), no_update

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Output("url", "search", allow_duplicate=True),
        Input({"type": "stop-act", "action": ALL, "value": ALL}, "n_clicks"),
        State("user", "data"),
        State("stop-seen", "data", allow_optional=True),
        State("stop-note", "value", allow_optional=True),
        State("stop-begin", "value", allow_optional=True),
        State("stop-end", "value", allow_optional=True),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def act(
        clicks: list[int | None],
        user: str | None,
        seen: Mapping[str, str] | None,
        note: str | None,
        begin: str | None,
        end: str | None,
        search: str | None,
    ) -> tuple[Any, Any, Any]:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict) or not seen:
            return no_update, no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True), no_update
        picked = ctx.triggered_id
        query = params.query(search)
        machine, start = which(backend.plant, seen["stop"])
        value = picked["value"]
        how: dict[str, str] = {
            "note": note or "",
            "seen": seen["seen"],
            "key": f"{seen['key']}-{picked['action']}-{value}",
        }

        def do() -> None:
            match picked["action"]:
                case "recode":
                    backend.recode(machine, start, value, user, **how)
                case "split":
                    reasons = query.get("first", ""), query.get("second", "")
                    backend.split_stop(machine, start, params.instant("at", value), reasons, user, **how)
                case "merge":
                    backend.merge_stop(machine, start, "", user, **how)
                case "times":
                    typed = {"It began": begin or "", **({} if end == GOES_ON else {"and ended": end or ""})}
                    times = [
                        params.exact_time(name, text, backend.plant.site.zone) for name, text in typed.items()
                    ]
                    # What is typed has no fractions of a second: a time nobody touched stays as it is.
                    times = [_kept(at, seen) for at in times]
                    backend.retime_stop(
                        machine, start, times[0], times[1] if len(times) > 1 else None, user, **how
                    )
                case "undo":
                    backend.undo_stop(machine, start, user, **how)

        name = figures.loss_name(backend.plant, value)
        done = {
            "recode": f"Coded as {name}" if value else TAKEN_BACK,
            "split": "Split in two",
            "merge": "Merged with the next",
            "times": "Moved",
            "undo": "Undone",
        }
        changed, told = attempt(do, done[picked["action"]])
        address: Any = no_update
        if changed is not no_update and picked["action"] in ("split", "times", "undo"):
            at = _present(backend, machine, start, parts.utc(seen["end"]))
            address = _href("", query, stop=f"{machine}|{words.utc(at)}" if at else None)
        return changed, told, address
