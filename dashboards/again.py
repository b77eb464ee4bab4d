"""Parts of a page that are drawn again while somebody looks. Forms beside them are not, so nobody loses what they type; and
what is the same as before stays as it is. What is drawn again gets back what somebody reached in it: the place of the
keyboard, what is folded out, how far it is scrolled and the zoom (assets/again.js)."""

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from plotly.utils import PlotlyJSONEncoder

from dashboards import params
from dashboards.callbacks import Callbacks
from dashboards.pages import Query
from dashboards.ports import Backend, Refused

Draw = Callable[[Backend, Query, str], Sequence[list[Component]]]
"""(backend, query, theme) -> what each part shows now."""


def clock(name: str, seconds: float, drawn: Sequence[list[Component]], *, going: bool = True) -> Component:
    """Belongs into the layout. `drawn`: what the parts show at first; `going`: something can change yet."""
    turns = dcc.Interval(id=f"{name}-again", interval=1000 * seconds, disabled=not going)
    return html.Div([turns, dcc.Store(id=f"{name}-drawn", data=[_mark(part) for part in drawn])], hidden=True)


def register(backend: Backend, cb: Callbacks, name: str, places: Sequence[str], draw: Draw) -> None:
    """Have the components of these ids drawn again at each turn of the `clock`."""
    kept = (no_update,) * (len(places) + 1)

    @cb(
        *(Output(place, "children") for place in places),
        Output(f"{name}-drawn", "data"),
        Input(f"{name}-again", "n_intervals"),
        State(f"{name}-drawn", "data"),
        State("url", "search"),
        State("theme-name", "data"),
        prevent_initial_call=True,
    )
    def again(
        turn: int | None, drawn: Sequence[str], search: str | None, theme: str | None
    ) -> tuple[Any, ...]:
        if not turn:
            return kept
        try:
            found = draw(backend, params.query(search), theme or "light")
        except Refused:
            return kept
        marks = [_mark(part) for part in found]
        fresh = [
            no_update if mark == before else part
            for mark, before, part in zip(marks, drawn, found, strict=True)
        ]
        return *fresh, marks


def _mark(part: list[Component]) -> str:
    """The same for the same components."""
    return sha256(json.dumps(part, cls=PlotlyJSONEncoder).encode()).hexdigest()
