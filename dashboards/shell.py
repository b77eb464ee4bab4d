"""The frame around every page: the HTML document with navigation and header, and the page switch.

The frame is plain HTML outside of Dash's own tree, so it stands before Dash has loaded and the stream that
feeds the header never stops when the page changes.
"""

import json
import logging
from collections.abc import Sequence
from html import escape
from typing import Any

from dash import Dash, Input, Output, dcc, html, no_update
from dash.development.base_component import Component

from dashboards import params
from dashboards.callbacks import Callbacks
from dashboards.pages import Page
from dashboards.ports import Backend, Refused

log = logging.getLogger(__name__)

_DOCUMENT = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script src="/assets/theme.js"></script>
{%css%}
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
<nav class="nav" aria-label="Pages">NAVIGATION</nav>
<header class="head">
  <div class="brand"><span class="logo" data-icon="plant"></span>
    <div><h1 id="site">SITE</h1><p id="scope"></p></div></div>
  <div class="head-right">
    <div id="shift" class="shift" hidden></div>
    <div id="live" class="live" role="status"><i></i><b>Connecting</b><span></span></div>
    <div class="clock"><time id="clock">--:--:--</time><small id="zone">ZONE</small></div>
    <button id="who" class="square" type="button" title="Who is acting" aria-label="Who is acting"></button>
    <button id="theme" class="square" type="button" aria-label="Light or dark"></button>
    <button id="tv" class="square" type="button" aria-label="TV mode (Esc leaves it)"></button>
    <a id="bell" class="square" href="/alerts" title="Alerts" aria-label="Alerts"></a>
  </div>
</header>
<main id="main" tabindex="-1">{%app_entry%}</main>
<div id="over"></div>
<script id="lineside-plant" type="application/json">PLANT</script>
<footer hidden>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def document(backend: Backend, pages: Sequence[Page]) -> str:
    """Dash's index template for this plant."""
    links = "".join(
        f'<a href="{page.path}" data-page="{page.path}"><span data-icon="{page.icon}"></span>'
        f"{escape(page.title)}</a>"
        for page in pages
        if page.menu
    )
    plant = backend.plant
    facts = {
        "site": {"id": plant.site.id, "name": plant.site.name, "zone": plant.site.zone.key},
        "reasons": [{"id": r.id, "name": r.name, "parent": r.parent} for r in plant.reasons.values()],
        "users": [{"id": u.id, "name": u.name} for u in plant.users.values()],
    }
    data = json.dumps(facts).replace("<", "\\u003c")  # a name must not end the script element
    return (
        _DOCUMENT.replace("NAVIGATION", links)
        .replace("SITE", escape(plant.site.name))
        .replace("ZONE", escape(plant.site.zone.key))
        .replace("PLANT", data.replace("{%", "{\\u0025"))
    )


def layout() -> Component:
    """What Dash itself owns: the address, who acts, the theme, and the page."""
    return html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="user"),
            dcc.Store(id="theme-name"),
            dcc.Store(id="changed"),
            html.Div(id="said"),
            html.Div(id="page"),
        ]
    )


def register(app: Dash, backend: Backend, pages: Sequence[Page], cb: Callbacks) -> None:
    """The page switch and every page's own callbacks."""
    by_path = {page.path: page for page in pages}

    @cb(
        Output("page", "children"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("theme-name", "data"),
        Input("changed", "data"),
    )
    def show(path: str | None, search: str | None, theme: str | None, changed: object) -> Any:
        if theme is None:  # the browser says which in a moment; drawing twice would flash
            return no_update
        page = by_path.get(path or "/")
        if page is None:
            return notice(
                "There is no such page", f"Nothing is at {path}. Choose a page from the navigation."
            )
        query = params.query(search)
        try:
            drawn: Component = page.layout(backend, query, theme)
        except Refused as refused:
            return notice("That cannot be shown", str(refused))
        except Exception:
            log.exception("page %s%s failed", path, search)
            return notice("This page failed", "The server's log says why. The other pages still work.")
        return drawn

    for page in pages:
        page.register(backend, cb)


def notice(title: str, text: str) -> Component:
    """A page that only says something."""
    return html.Section([html.H2(title), html.P(text)], className="panel notice", role="alert")
