"""The live board. The page is an empty place; assets/board.js draws into it from the event stream."""

from dash import html
from dash.development.base_component import Component

from dashboards.pages import Page, Query
from dashboards.ports import Backend


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """Where the board is drawn."""
    return html.Div(id="board", className="board")


PAGE = Page(path="/", title="Board", icon="board", order=0, layout=layout)
