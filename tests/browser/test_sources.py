"""The Sources page in a real browser: problems first, opened, found and sorted; live; both themes, three sizes."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SOURCE = ".source"


def names(page: Page) -> list[str]:
    return page.locator(".source h3").all_inner_texts()


def test_problems_come_first_and_say_why(open_page: Open) -> None:
    page = open_page("/sources")
    page.wait_for_selector(SOURCE)
    assert names(page) == ["press", "bottling-plc", "cnc-2", "cnc-1"]
    press = page.locator('[data-source="press"]')
    expect(press).to_contain_text("Not connected")
    expect(press.locator(".why-list")).to_contain_text("192.168.0.31:502 does not answer")
    expect(page.locator('[data-source="bottling-plc"] .why-list')).to_contain_text("BadNodeIdUnknown")
    expect(page.locator('[data-source="cnc-2"]')).to_contain_text("1 gap, 3 overflows")
    expect(page.locator('[data-source="cnc-1"] .why-list')).to_be_hidden()


def test_a_source_opens_to_its_signals_and_stays_open_over_a_reload(open_page: Open) -> None:
    page = open_page("/sources")
    page.get_by_role("button", name="bottling-plc").click()
    expect(page).to_have_url(re.compile("source=bottling-plc"))
    rows = page.locator('[data-source="bottling-plc"] tbody tr')
    expect(rows).to_have_count(20)
    expect(rows.first).to_contain_text("Labeller reject")
    expect(rows.first).to_contain_text("No value")
    expect(rows.first).to_contain_text("the server has no node")
    warm = rows.filter(has_text="Filler temperature")
    expect(warm).to_contain_text("°C")
    expect(warm.locator("polyline")).to_have_attribute("points", re.compile(r"\d+\.\d,\d+\.\d \d+"))
    page.get_by_label("Only problems").check()
    expect(rows).to_have_count(2)
    page.reload()
    expect(rows).to_have_count(20)
    warm.get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"/trends\?machine=filler&signals=temperature"))


def test_it_is_found_and_sorted_by_the_keyboard(open_page: Open) -> None:
    page = open_page("/sources")
    page.wait_for_selector(SOURCE)
    page.get_by_label("Find").first.fill("mill")
    expect(page.locator(".empty").first).to_contain_text('has "mill" in its name')
    page.get_by_label("Find").first.fill("CNC-2")
    expect(page.locator(SOURCE)).to_have_count(1)
    page.get_by_label("Find").first.fill("")
    page.get_by_label("Sort by").select_option(label="Name")
    expect(page).to_have_url(re.compile("sort=name"))
    assert names(page) == ["bottling-plc", "cnc-1", "cnc-2", "press"]
    page.get_by_role("button", name="With problems").focus()
    page.keyboard.press("Enter")
    expect(page.locator(SOURCE)).to_have_count(3)
    page.get_by_role("button", name="cnc-2").focus()
    page.keyboard.press("Enter")
    expect(page.locator('[data-source="cnc-2"] .source-gaps')).to_contain_text("the connection was lost")


def test_it_follows_what_happens_and_says_when_it_cannot(open_page: Open, board: Any) -> None:
    page = open_page("/sources", may_complain="ERR_CONNECTION_REFUSED|Failed to load resource")
    page.wait_for_selector(SOURCE)
    board.backend.away = {"cnc-1"}
    expect(page.locator('[data-source="press"]')).to_contain_text("Connected")
    expect(page.locator('[data-source="cnc-1"]')).to_contain_text("Not connected")
    expect(page.locator(SOURCE).first).to_contain_text("cnc-1")
    board.stop()
    expect(page.get_by_role("alert").filter(has_text="Not up to date")).to_be_visible()
    board.start()
    expect(page.get_by_role("alert").filter(has_text="Not up to date")).to_be_hidden()


def test_a_plant_without_sources_says_what_to_do(open_page: Open, board: Any) -> None:
    board.backend.plant = replace(board.backend.plant, sources={})
    page = open_page("/sources")
    expect(page.locator(".panel")).to_contain_text("No sources yet")
    expect(page.get_by_role("link", name="Add a machine")).to_be_visible()
    expect(page.locator("pre")).to_contain_text("lineside browse")


def test_the_board_leads_to_the_source_of_a_machine(open_page: Open) -> None:
    page = open_page("/")
    tile = page.locator('[data-machine="labeller"]')
    expect(tile.get_by_title("1 signal without a value")).to_be_visible()
    tile.get_by_role("button", name="Labeller").click()
    page.locator(".drawer").get_by_role("link", name="bottling-plc").click()
    expect(page.locator('[data-source="bottling-plc"] tbody tr')).to_have_count(20)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width"), [("phone", 390), ("tablet", 1180), ("wide", 1920)])
def test_the_page_fits_and_everybody_can_use_it(
    open_page: Open, axe: str, artefacts: Any, theme: str, device: str, width: int
) -> None:
    page = open_page("/sources?source=bottling-plc", width, 900, theme=theme)
    page.wait_for_selector(".source tbody tr")
    expect(page.locator('.spark.value polyline[points*=","]').first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate(axe)
    found = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
    assert [(v["id"], v["help"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]] == []
    page.screenshot(path=artefacts / f"sources_{device}_{theme}.png", full_page=True)
