"""Every source and what comes in from it. The page is an empty place; assets/sources.js draws into it."""

from dash import dcc, html
from dash.development.base_component import Component

from dashboards import parts
from dashboards.pages import Page, Query
from dashboards.ports import Backend

PATH = "/sources"
ADD = "/add"
"""Where machines are added."""


def layout(backend: Backend, query: Query, theme: str) -> Component:
    """Where the sources are drawn, or what to do when there is none. What is shown is chosen in the browser: `source`
    (opened), `show`, `find` and `sort`."""
    if not backend.plant.sources:
        return html.Div(_none_yet(), className="page")
    return html.Div(id="sources", className="page sources")


def _none_yet() -> Component:
    text = (
        "Nothing is connected to this plant. Give the address of a machine's OPC UA server, and Lineside finds out what it"
        " offers, proposes what each value is, and writes it into the plant file:"
    )
    return parts.panel(
        "No sources yet",
        html.P(text),
        html.Div(dcc.Link("Add a machine", href=ADD, className="button primary"), className="actions"),
        html.P("The same in a terminal:", className="muted"),
        html.Pre("lineside browse opc.tcp://192.168.0.10:4840 --write plant.toml", tabIndex="0"),
    )


PAGE = Page(path=PATH, title="Sources", icon="sources", order=50, layout=layout)
