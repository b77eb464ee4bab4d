"""The Trends page in a real browser: hovering, zooming, typing times, the keyboard, both themes, a phone."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]
DRAWN = "#trend .scatterlayer path.js-line"


def test_values_are_read_by_hovering_and_a_drag_zooms(open_page: Open) -> None:
    page = open_page("/trends?window=day", 1180)
    page.wait_for_selector(DRAWN)
    box = page.locator("#trend .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 80)
    hover = page.locator("#trend .hoverlayer")
    expect(hover).to_contain_text(re.compile(r"temperature.*°C \(.* to .*, 12 samples\)"))
    expect(hover).to_contain_text("bar")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 90, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile("from=2026-03-03T17.*to=2026-03-03T21"))
    expect(page.get_by_text("Mean of every 30 s")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("Mean of every 2 min")).to_be_visible()


def test_times_are_typed_and_wrong_ones_are_told(open_page: Open) -> None:
    page = open_page("/trends")
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("From").fill("soon")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#trend-said")).to_have_text("From: write it like 2026-03-01 06:00")
    page.get_by_label("From").fill("2026-03-04 08:30")
    page.get_by_label("To").fill("2026-03-04 09:00")
    page.get_by_label("To").press("Enter")
    expect(page).to_have_url(re.compile("from=2026-03-04T07%3A30%3A00Z&to=2026-03-04T08%3A00%3A00Z"))
    expect(page.get_by_role("heading", name="Filler: 04 Mar 08:30 – 09:00")).to_be_visible()
    page.get_by_role("link", name="Later").click()
    expect(page.get_by_role("heading", name="Filler: 04 Mar 09:00 – 09:30")).to_be_visible()


def test_signals_are_switched_by_the_keyboard(open_page: Open) -> None:
    page = open_page("/trends")
    traces = page.locator("#trend .scatterlayer .trace")
    expect(traces).to_have_count(4)
    page.get_by_role("link", name="✓ pressure").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("signals=temperature"))
    expect(traces).to_have_count(2)
    expect(page.locator("tbody tr")).to_have_count(1)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("device", "width"), [("phone", 390), ("tablet", 1180), ("wide", 1920)])
def test_the_page_fits(open_page: Open, artefacts: Any, theme: str, device: str, width: int) -> None:
    path = "/trends?from=2026-03-04T05:00:00Z&to=2026-03-04T08:00:00Z"
    page = open_page(path, width, 844, theme=theme)
    page.wait_for_selector(DRAWN)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=artefacts / f"trends_{device}_{theme}.png", full_page=True)


@pytest.mark.parametrize("path", ["/trends", "/losses"])
def test_a_finger_on_a_chart_scrolls_the_page(open_page: Open, path: str) -> None:
    page = open_page(path, 390, 700, touch=True)
    chart = page.locator(".nsewdrag").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    x, y, before = box["x"] + 80, box["y"] + 100, page.evaluate("scrollY")
    browser = page.context.new_cdp_session(page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    touch("touchStart", {"x": x, "y": y})
    for step in range(1, 11):
        touch("touchMove", {"x": x, "y": y - 15 * step})
    touch("touchEnd")
    page.wait_for_function("before => scrollY > before + 80", arg=before)


def test_a_tap_shows_values(open_page: Open) -> None:
    page = open_page("/trends", 390, 844, touch=True)
    page.wait_for_selector(DRAWN)
    box = page.locator("#trend .nsewdrag").first.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + 60, box["y"] + 60)
    expect(page.locator("#trend .hoverlayer")).to_contain_text("samples")
