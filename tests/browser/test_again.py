"""Pages of a running window in a real browser: new figures come by themselves, and what somebody reached stays."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from playwright.sync_api import Page, expect

from dashboards import parts
from plant.frames import Window

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]
ANEW = "name => !document.querySelector(name) || !document.querySelector(name).dataset.old"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages look again after three seconds."""
    monkeypatch.setattr(parts, "_AGAIN", 3)


def drawn_anew(page: Page, name: str) -> None:
    """Wait until it is another element than now."""
    page.evaluate("name => { document.querySelector(name).dataset.old = '1'; }", name)
    page.wait_for_function(ANEW, arg=name)
    page.wait_for_selector(name)


def zoom(page: Page, chart: str) -> list[str]:
    """Drag across a part of the chart, when it has just been drawn and stays for a while; the range it then shows."""
    plot = f"document.querySelector('{chart} .js-plotly-plot')"
    for _ in range(5):
        drawn_anew(page, f"{chart} .js-plotly-plot")
        page.wait_for_selector(f"{chart} .nsewdrag", state="attached")
        page.evaluate(f"{plot}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        before = shown(page, chart)
        box = page.locator(f"{chart} .nsewdrag").first.bounding_box()
        assert box
        page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        page.wait_for_timeout(500)
        after = shown(page, chart)
        if after and after[0] != before[0]:  # the end goes on by itself
            return after
    raise AssertionError("the chart is never zoomed")


def shown(page: Page, chart: str) -> list[str]:
    """The range of the horizontal axis, to the second."""
    found = page.evaluate(f"document.querySelector('{chart} .js-plotly-plot')?.layout?.xaxis.range ?? []")
    return [str(text)[:19].replace("T", " ") for text in found]


def test_losses_come_by_themselves_and_zoom_and_focus_stay(open_page: Open, board: Any) -> None:
    page = open_page("/losses?machine=filler&window=shift")
    page.wait_for_selector("#timeline .bars")
    zoomed = zoom(page, "#timeline")
    picked = page.locator("#losses-stops").get_by_role("link", name="Give reason").first
    picked.focus()
    href = picked.get_attribute("href") or ""
    machine, start = parse_qs(urlsplit(href).query)["stop"][0].split("|")
    drawn_anew(page, "#timeline .js-plotly-plot")
    page.wait_for_function(
        "range => String(document.querySelector('#timeline .js-plotly-plot')?.layout?.xaxis.range[0]).replace('T', ' ')"
        ".startsWith(range)",
        arg=zoomed[0],
    )
    assert shown(page, "#timeline") == zoomed
    expect(picked).to_be_focused()
    board.backend.recode(machine, parts.utc(start), "jam", "ana")
    expect(page.locator("#losses-pareto .table")).to_contain_text("Feeder jam")


def test_kpis_come_by_themselves_and_what_is_open_and_typed_stays(open_page: Open, board: Any) -> None:
    page = open_page("/kpis?kpi=oee&window=shift", 1180, 500)
    drawer = page.locator(".drawer-side")
    drawer.locator("summary").first.click()
    drawer.evaluate("node => { node.scrollTop = 60; }")
    page.locator("#kpi-behind summary").first.focus()
    page.evaluate("document.querySelector('details:has(#kpi-from)').open = true")
    page.locator("#kpi-from").fill("yesterday")
    drawn_anew(page, ".drawer-side")
    expect(drawer.locator("details").first).to_have_attribute("open", "")
    assert drawer.evaluate("node => node.scrollTop") == 60
    expect(page.locator("#kpi-from")).to_have_value("yesterday")
    expect(page.locator("#kpi-from")).to_be_focused()


def test_improve_comes_by_itself_while_its_window_is_running(open_page: Open, board: Any) -> None:
    page = open_page("/improve?window=shift&against=day&machine=filler")
    before = page.locator("#improve-bridge").inner_text()
    now = board.backend.now()
    rows = board.backend.ledger(Window(now - timedelta(hours=4), now), ["filler"])
    start = rows.filter(pl.col("stop_start").is_not_null(), pl.col("reason").is_null())["stop_start"].max()
    board.backend.recode("filler", start, "jam", "ana")
    page.wait_for_function(
        "before => document.querySelector('#improve-bridge').innerText !== before", arg=before
    )


def test_a_phone_shows_ten_rows_and_the_last_until_asked_for_more(open_page: Open) -> None:
    page = open_page("/kpis?kpi=oee&window=week", 390, 844)
    detail = page.locator("#kpi-behind details.more").first
    detail.locator("summary").first.click()
    rows = detail.locator("tbody tr")
    expect(rows.first).to_be_visible()
    whole = rows.count()
    assert whole > 11
    assert rows.locator("visible=true").count() == 11
    expect(rows.last).to_be_visible()
    detail.get_by_text(f"{whole - 11} more", exact=True).click()
    expect(rows.nth(10)).to_be_visible()
    assert rows.locator("visible=true").count() == whole
    page.set_viewport_size({"width": 1180, "height": 844})
    expect(detail.get_by_text(f"{whole - 11} more", exact=True)).to_be_hidden()
