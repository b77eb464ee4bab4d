"""What people say a machine did at a time, whatever its signal says: for time without data, and for stops that were none."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import params, parts, stoppicture, words
from dashboards.actions import NOBODY, attempt, message
from dashboards.callbacks import Callbacks
from dashboards.pages import Query
from dashboards.ports import Backend, Refused
from plant.frames import Window
from plant.model import Plant
from plant.states import STOPPED, MachineState

NAMES: Mapping[str, str] = {
    MachineState.RUNNING: "It ran",
    MachineState.DOWN: "It was down",
    MachineState.SETUP: "It was set up",
    MachineState.STARVED: "It was starved",
    MachineState.BLOCKED: "It was blocked",
    MachineState.PLANNED_STOP: "It was stopped as planned",
    MachineState.MAINTENANCE: "It was maintained",
    MachineState.UNKNOWN: "Nobody knows",
}
"""Of each state, what is said."""
BACK = ""
"""Instead of a state: what was said before is taken back."""


def state_form(backend: Backend, path: str, query: Query) -> Component:
    """The panel of the time in the address (`say`: machine, from, to)."""
    plant = backend.plant
    machine, window = about(plant, query["say"])
    zone, now = plant.site.zone, backend.now()
    said = [e for e in backend.recodes(machine, window.start) if any(_meets(s, window) for s in e["spans"])]
    fields = [
        html.Label(
            [
                f"{name} ",
                dcc.Input(
                    id=f"say-{which}",
                    type="text",
                    value=f"{at.astimezone(zone):{params.TYPED_SECONDS}}",
                    size="21",
                    autoComplete="off",
                ),
            ],
            htmlFor=f"say-{which}",
        )
        for which, name, at in (("from", "From", window.start), ("to", "To", window.end))
    ]
    note = dcc.Input(id="say-note", type="text", value="", autoComplete="off", size="30")
    history = [
        (
            words.moment(e["at"], zone, now),
            ", ".join(dict.fromkeys(_told(span["state"], span["reason"]) for span in e["spans"])),
            e["note"],
            plant.users[e["user"]].name if e["user"] in plant.users else e["user"],
        )
        for e in said
    ]
    back = html.Div(_act("Take it back", BACK, small=True), className="chips") if said else None
    return parts.panel(
        f"{plant.equipment[machine].name}: what did it do?",
        html.P(
            "Say it if you know better than the signal. Signal and counted parts are kept, and what you say can be taken "
            "back.",
            className="muted",
        ),
        dcc.Store(
            id="say-seen",
            data={
                "machine": machine,
                "from": words.utc(window.start),
                "to": words.utc(window.end),
                "key": uuid4().hex,
            },
        ),
        html.Div([*fields, html.Label(["Note ", note], htmlFor="say-note")], className="fields"),
        html.Div([_act(text, state) for state, text in NAMES.items()], className="picks"),
        stoppicture.picture(backend, machine, window, "the time"),
        back,
        parts.table(("When", "Said", "Note", "Who"), history, "Nobody has said anything of this time."),
        extra=dcc.Link("Close", href=parts.link(path, query, say=None), className="button small"),
        name="ask",
    )


def about(plant: Plant, text: str) -> tuple[str, Window]:
    """Machine and time in the address. Raises Refused."""
    machine, _, times = text.partition("|")
    start, _, end = times.partition("|")
    if machine not in {m.id for m in plant.machines()}:
        raise Refused(f"say: the plant has no machine {machine!r}")
    first, last = params.instant("say", start), params.instant("say", end)
    if first >= last:
        raise Refused(f"say: {start} is not before {end}")
    return machine, Window(first, last)


def _meets(span: Mapping[str, Any], window: Window) -> bool:
    return parts.utc(span["start"]) < window.end and (
        span["end"] is None or parts.utc(span["end"]) > window.start
    )


def _told(state: str | None, reason: str | None) -> str:
    return NAMES[state] if state else "A reason" if reason else "Taken back"


def _act(text: str, state: str, *, small: bool = False) -> Component:
    return html.Button(
        text,
        id={"type": "say-act", "state": state},
        className="button small" if small else "button",
        **{"data-needs-user": "1"},
    )


def register(backend: Backend, cb: Callbacks) -> None:
    """Saying it."""

    @cb(
        Output("changed", "data", allow_duplicate=True),
        Output("said", "children", allow_duplicate=True),
        Output("url", "search", allow_duplicate=True),
        Input({"type": "say-act", "state": ALL}, "n_clicks"),
        State("user", "data"),
        State("say-seen", "data", allow_optional=True),
        State("say-from", "value", allow_optional=True),
        State("say-to", "value", allow_optional=True),
        State("say-note", "value", allow_optional=True),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def say(
        clicks: list[int | None],
        user: str | None,
        seen: Mapping[str, str] | None,
        start: str | None,
        end: str | None,
        note: str | None,
        search: str | None,
    ) -> tuple[Any, Any, Any]:
        if not any(clicks) or not isinstance(ctx.triggered_id, dict) or not seen:
            return no_update, no_update, no_update
        if not user:
            return no_update, message(NOBODY, bad=True), no_update
        state, machine = ctx.triggered_id["state"], seen["machine"]
        query = params.query(search)
        said: list[Window] = []

        def do() -> None:
            window = _window(backend, start or "", end or "", seen)
            backend.say_state(
                machine, window, state, "", user, note or "", f"{seen['key']}-{state}-{start}-{end}"
            )
            said.append(window)

        changed, told = attempt(do, f"{NAMES[state]}: said" if state else "Taken back")
        if not said:
            return changed, told, no_update
        # What is a stop now wants a reason; the rest stays here, where it can be taken back.
        times = {"say": f"{machine}|{words.utc(said[0].start)}|{words.utc(said[0].end)}", "stop": None}
        if state in STOPPED:
            times = {"say": None, "stop": f"{machine}|{words.utc(said[0].start)}"}
        address = parts.link("", query, **times)
        return changed, told, no_update if address.lstrip("?") == (search or "").lstrip("?") else address


def _window(backend: Backend, start: str, end: str, seen: Mapping[str, str]) -> Window:
    """What is typed; a time nobody touched to the microsecond. Raises Refused."""
    times: list[datetime] = []
    for name, typed, shown in (("From", start, seen["from"]), ("To", end, seen["to"])):
        at = params.exact_time(name, typed, backend.plant.site.zone)
        exact = parts.utc(shown)
        times.append(exact if exact.replace(microsecond=0) == at else at)
    if times[0] >= times[1]:
        raise Refused(f"To: {end} is not after {start}; the time ends after it begins.")
    if times[1] > backend.now():
        raise Refused(f"To: {end} has not come yet; say it of time that is over.")
    return Window(*times)
