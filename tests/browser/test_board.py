"""The live board in a real browser."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]


def tile(page: Page, machine: str) -> Any:
    return page.locator(f'[data-machine="{machine}"]')


def test_every_machine_has_a_tile_with_state_word_and_figures(open_page: Open, board: Any) -> None:
    page = open_page()
    expect(page.locator(".tile")).to_have_count(9)
    expect(page.locator(".line h2")).to_have_text(["Bottling", "Machining", "Pressing"])
    expect(tile(page, "filler").locator(".band b")).to_have_text("Down")
    expect(tile(page, "filler").locator(".why")).to_have_text("Needs a reason")
    expect(tile(page, "capper").locator(".why")).to_have_text("Waiting for Filler")
    expect(tile(page, "rinser").locator(".slack")).to_have_text("12 min late")
    shown = {m["id"]: m for m in board.backend.snapshot()["machines"]}
    expect(tile(page, "cnc-2").locator(".oee span")).to_have_text(
        re.compile(rf"^{int(round(shown['cnc-2']['kpi']['oee'] * 100, 1))}\.")
    )


def test_times_are_the_plants_not_the_browsers(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#clock")).to_have_text(re.compile(r"^10:0\d:\d\d$"))
    expect(page.locator("#shift")).to_contain_text("Early 06:00 – 14:00")


def test_a_change_is_on_the_board_as_soon_as_it_is_published(open_page: Open, board: Any) -> None:
    page = open_page()
    board.ticking.clear()
    page.wait_for_timeout(1500)  # a tick under way would overwrite the change
    snapshot = board.backend.snapshot()
    packer = next(m for m in snapshot["machines"] if m["id"] == "packer")
    packer |= {"state": "down", "cause": "Film torn", "reason": "Film torn"}
    board.broadcast.publish(snapshot)
    expect(tile(page, "packer").locator(".band b")).to_have_text("Down", timeout=5000)
    expect(tile(page, "packer").locator(".why")).to_have_text("Film torn", timeout=5000)


def test_silence_is_shown_never_stale_green(open_page: Open, board: Any) -> None:
    page = open_page()
    expect(page.locator("#live b")).to_have_text("Live")
    board.ticking.clear()
    expect(page.locator("#live b")).to_have_text("No data", timeout=12_000)
    expect(page.locator("#live span")).to_have_text(re.compile(r"^0:\d\d$"))
    expect(page.locator('.tile:not([data-group="unknown"])')).to_have_count(0)
    board.ticking.set()
    expect(page.locator("#live b")).to_have_text("Live")
    expect(tile(page, "rinser").locator(".band b")).to_have_text("Running")


def test_a_single_silent_machine_says_so(open_page: Open, board: Any) -> None:
    page = open_page()
    board.backend.silent.add("packer")
    expect(tile(page, "packer").locator(".band b")).to_have_text("No data")
    expect(tile(page, "packer").locator(".band time")).to_have_text(re.compile(r"^0:4\d$"))
    expect(tile(page, "rinser").locator(".band b")).to_have_text("Running")


def test_the_board_comes_back_by_itself_after_the_server_was_away(open_page: Open, board: Any) -> None:
    page = open_page(may_complain=r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED")
    board.stop()
    expect(page.locator("#live b")).to_have_text("No data", timeout=12_000)
    board.start()
    expect(page.locator("#live b")).to_have_text("Live", timeout=25_000)
    expect(tile(page, "rinser").locator(".band b")).to_have_text("Running")


def test_acknowledging_asks_who_once_and_is_kept(open_page: Open, board: Any) -> None:
    page = open_page()
    expect(page.locator(".pill")).to_have_text("2 new")
    page.get_by_role("button", name="Acknowledge Filler").click()
    page.get_by_role("button", name="Ana Silva").click()
    expect(page.locator('[data-alert="a1"]')).to_contain_text("Acknowledged · Ana Silva")
    expect(page.locator(".pill")).to_have_text("1 new")
    page.get_by_role("button", name="Acknowledge Labeller").click()
    expect(page.locator(".pill")).to_have_text("none new")
    users = {a["id"]: a["acknowledged_by"] for a in board.backend.alerts()}
    assert (users["a1"], users["a3"]) == ("ana", "ana")


def test_a_tile_opens_its_drawer_and_gives_the_focus_back(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Filler", exact=True).click()
    drawer = page.get_by_role("dialog", name="Filler")
    expect(drawer).to_contain_text("WO-10421")
    expect(drawer.locator(".strip i").first).to_be_attached()
    expect(drawer.locator(".top")).to_contain_text("No reason yet")
    assert "machine=filler" in page.url
    page.reload()
    expect(drawer).to_contain_text("WO-10421")
    page.get_by_role("button", name="Close").click()
    expect(drawer).to_have_count(0)
    page.get_by_role("button", name="Filler", exact=True).click()
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(page.get_by_role("button", name="Filler", exact=True)).to_be_focused()


def test_the_theme_is_remembered(open_page: Open) -> None:
    page = open_page()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_tv_mode_is_an_address_and_escape_leaves_it(open_page: Open) -> None:
    page = open_page("/?tv=1", theme="dark")
    expect(page.locator(".nav")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator(".nav")).to_be_visible()
    assert "tv=" not in page.url


def test_a_tv_draws_few_machines_larger_and_never_scrolls(open_page: Open, board: Any) -> None:
    page = open_page("/?tv=1")
    few = tile(page, "rinser").bounding_box()
    assert few and few["width"] > 420
    assert page.evaluate("document.documentElement.scrollHeight") == 1080
    board.ticking.clear()
    snapshot = board.backend.snapshot()
    copies = [
        {**m, "id": f"{m['id']}-{n}", "line": f"{m['line']}-{n}"}
        for n in range(3)
        for m in snapshot["machines"]
    ]
    lines = [
        {**line, "id": f"{line['id']}-{n}", "machines": [f"{m}-{n}" for m in line["machines"]]}
        for n in range(3)
        for line in snapshot["lines"]
    ]
    board.broadcast.publish({**snapshot, "machines": copies, "lines": lines, "revision": 10**6})
    expect(page.locator(".tile")).to_have_count(27)
    many = tile(page, "rinser-0").bounding_box()
    assert many and many["width"] < 330


def test_names_are_text_never_markup(open_page: Open, board: Any) -> None:
    page = open_page()
    board.ticking.clear()
    snapshot = board.backend.snapshot()
    snapshot["machines"][0] |= {"cause": "<img src=x onerror=alert(1)>"}
    snapshot["alerts"][0] = {**snapshot["alerts"][0], "title": "<b>bold</b>"}
    board.broadcast.publish(snapshot)
    expect(tile(page, "rinser").locator(".why")).to_have_text("<img src=x onerror=alert(1)>")
    expect(page.locator('[data-alert="a1"] p').first).to_have_text("<b>bold</b>")


@pytest.mark.parametrize(
    ("name", "width", "height"), [("wide", 1920, 1080), ("tablet", 1180, 820), ("phone", 390, 844)]
)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_scrolls_sideways(
    open_page: Open, artefacts: Any, name: str, width: int, height: int, theme: str
) -> None:
    page = open_page("/", width, height, theme)
    expect(page.locator(".alert").first).to_be_visible()
    page.evaluate("document.fonts.ready")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=artefacts / f"board_{name}_{theme}.png")
    if name == "wide":
        assert page.evaluate("document.documentElement.scrollHeight") <= height
