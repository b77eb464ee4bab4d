"""Parts of a page that are drawn again while somebody looks. Forms beside them are not, so nobody loses what they type."""

from collections.abc import Callable, Sequence
from typing import Any

from dash import Input, Output, State, dcc, no_update
from dash.development.base_component import Component

from dashboards import params
from dashboards.callbacks import Callbacks
from dashboards.pages import Query
from dashboards.ports import Backend, Refused

Draw = Callable[[Backend, Query, str], Sequence[list[Component]]]
"""(backend, query, theme) -> what each part shows now."""


def clock(name: str, seconds: float, *, going: bool = True) -> Component:
    """Belongs into the layout. `going`: something can change yet."""
    return dcc.Interval(id=f"{name}-again", interval=1000 * seconds, disabled=not going)


def register(backend: Backend, cb: Callbacks, name: str, places: Sequence[str], draw: Draw) -> None:
    """Have the components of these ids drawn again at each turn of the `clock`."""
    kept = (no_update,) * len(places)

    @cb(
        *(Output(place, "children") for place in places),
        Input(f"{name}-again", "n_intervals"),
        State("url", "search"),
        State("theme-name", "data"),
        prevent_initial_call=True,
    )
    def again(turn: int | None, search: str | None, theme: str | None) -> tuple[Any, ...]:
        if not turn:
            return kept
        try:
            return tuple(draw(backend, params.query(search), theme or "light"))
        except Refused:
            return kept
