"""Every page in a real browser: what people do there, both themes, three sizes, accessibility."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]
PAGES = (
    "/",
    "/losses",
    "/kpis?kpi=oee&of=bottling",
    "/trends",
    "/spc",
    "/improve?window=shift",
    "/alerts?alert=a1",
    "/shift",
    "/orders",
    "/docs",
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def be(page: Page, name: str) -> None:
    """Say who is acting."""
    page.locator("#who").click()
    page.get_by_role("button", name=name).click()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_no_accessibility_violation(open_page: Open, axe: str, artefacts: Any, path: str, theme: str) -> None:
    page = open_page(path, theme=theme)
    if path == "/losses":
        page.wait_for_selector("#timeline .bars")
    if path == "/trends":
        page.wait_for_selector("#trend .scatterlayer path")
    if path == "/":
        page.get_by_role("button", name="Filler", exact=True).click()
        page.wait_for_selector(".drawer .strip i", state="attached")
    page.evaluate(axe)
    found = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
    report = [(v["id"], v["help"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]]
    assert report == []
    assert len(found["passes"]) > 5
    name = path.split("?")[0].strip("/") or "drawer"
    page.screenshot(path=artefacts / f"page_{name}_{theme}.png")


@pytest.mark.parametrize("width", [390, 1180, 1920])
@pytest.mark.parametrize("path", PAGES[1:])
def test_no_page_scrolls_sideways(open_page: Open, path: str, width: int) -> None:
    page = open_page(path, width, 844)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_navigation_keeps_the_stream_and_marks_the_page(open_page: Open) -> None:
    page = open_page()
    streams: list[str] = []
    page.on("request", lambda r: streams.append(r.url) if r.url.endswith("/stream") else None)
    for title in ("Losses", "Trends", "Alerts", "Shift", "Orders", "Sources", "Board"):
        page.locator(".nav").get_by_role("link", name=title).click()
        expect(page.locator('.nav [aria-current="page"]')).to_have_text(title)
    expect(page.locator(".tile")).to_have_count(9)
    assert streams == []
    page.go_back()
    expect(page.locator("#sources .source").first).to_be_visible()


def test_a_stop_gets_its_reason_and_it_can_be_taken_back(open_page: Open, board: Any) -> None:
    page = open_page("/losses?machine=filler&window=shift")
    be(page, "Jan Novák")
    page.get_by_role("link", name="Give reason").first.click()
    ask = page.locator(".panel.ask")
    expect(ask).to_contain_text("Filler, stop of 09:57: what was it?")
    ask.get_by_role("button", name="Feeder jam").click()
    expect(page.locator(".toast")).to_have_text("Coded as Feeder jam")
    expect(ask.locator("tbody tr")).to_have_count(1)
    expect(ask.locator("tbody")).to_contain_text("Jan Novák")
    ask.get_by_role("button", name="Tool breakage").click()
    expect(ask.locator("tbody tr")).to_have_count(2)
    ask.get_by_role("button", name="Take it all back").click()
    expect(ask.locator("tbody tr")).to_have_count(3)
    expect(ask.locator("tbody tr").last).to_contain_text("Taken back")
    assert [entry["reason"] for entry in board.backend.entries] == ["jam", "tool", None, None], (
        "what comes, too"
    )


def test_a_bar_of_the_pareto_leads_to_its_stops(open_page: Open) -> None:
    page = open_page("/losses")
    bar = page.locator("#pareto .bars .point path").first
    bar.wait_for()
    bar.click(force=True)
    expect(page).to_have_url(re.compile("reason=tool"))
    expect(page.get_by_role("heading", name="Stops: Tool breakage")).to_be_visible()


def test_the_inbox_acknowledges_and_follows_the_stream(open_page: Open, board: Any) -> None:
    page = open_page("/alerts")
    page.get_by_role("button", name="Acknowledge Filler").click()
    page.get_by_role("dialog").get_by_role("button", name="Ana Silva").click()
    expect(page.locator(".toast.fading")).to_have_text("Acknowledged")
    expect(page.locator('.alert[data-state="unacknowledged"]')).to_have_count(1)
    board.backend.acknowledge("a3", "jan")
    expect(page.locator('.alert[data-state="unacknowledged"]')).to_have_count(0)


def test_orders_start_and_finish(open_page: Open, board: Any) -> None:
    page = open_page("/orders")
    be(page, "Ana Silva")
    page.get_by_role("button", name="Start WO-10440").click()
    expect(page.locator(".toast.fading")).to_have_text("WO-10440 started")
    page.get_by_role("button", name="Finish WO-10440").click()
    expect(page.locator(".toast.fading")).to_have_text("WO-10440 finished")


def panel(page: Page, title: str) -> Locator:
    return page.locator(".panel").filter(has=page.get_by_role("heading", name=title, exact=True))


@pytest.mark.parametrize("width", [390, 820, 1920])
def test_orders_at_risk_come_first_with_their_forecast_drawn(open_page: Open, width: int) -> None:
    page = open_page("/orders", width, 1180)
    expect(page.locator(".panel h2").first).to_have_text("At risk")
    first = panel(page, "At risk").locator("tbody tr").first
    expect(first).to_contain_text("12 min late")
    expect(first).to_contain_text("85 % likely to be late")
    drawn = first.get_by_role("img")
    expect(drawn).to_have_attribute("aria-label", re.compile("finish 13:15, in 8 of 10 cases .*; due 13:03"))
    inside = drawn.bounding_box()
    assert inside and inside["width"] > 200
    for mark in (".range", ".after", ".due", ".finish"):
        box = drawn.locator(mark).first.bounding_box()
        assert (
            box
            and inside["x"] - 7 <= box["x"]
            and box["x"] + box["width"] <= inside["x"] + inside["width"] + 7
        )
    due, late = (drawn.locator(mark).first.bounding_box() for mark in (".due", ".after"))
    assert due and late and late["x"] == pytest.approx(due["x"] + due["width"] / 2, abs=2)


def test_orders_follow_what_happens_and_all_stay_listed(open_page: Open, board: Any) -> None:
    orders = board.backend._orders
    for n in range(12):
        orders[f"WO-2{n:02}"] = {**orders["WO-10440"], "id": f"WO-2{n:02}"}
    page = open_page("/orders")
    waiting = panel(page, "Waiting").locator("tbody tr")
    expect(waiting).to_have_count(10)
    page.get_by_role("link", name="3 more").click()
    expect(waiting).to_have_count(13)
    orders["WO-10440"] = {**orders["WO-10440"], "state": "completed"}
    expect(panel(page, "Finished")).to_contain_text("WO-10440", timeout=20_000)
    expect(waiting).to_have_count(12)


def test_a_plant_without_orders_says_how_they_come(open_page: Open, board: Any) -> None:
    board.backend._orders.clear()
    page = open_page("/orders")
    expect(panel(page, "Orders")).to_contain_text("No orders yet: import some below.")


def test_trends_go_on(open_page: Open, board: Any) -> None:
    page = open_page("/trends?machine=filler")
    page.wait_for_selector("#trend .scatterlayer path")
    page.get_by_text("Other times").click()
    typed = page.locator("#trend-from")
    typed.fill("2026-03-04 07:00")
    before = page.locator("#trend-live h2").first.text_content()
    board.backend._began -= 120
    expect(page.locator("#trend-live h2").first).not_to_have_text(before or "", timeout=25_000)
    expect(typed).to_have_value("2026-03-04 07:00")


def test_the_crew_is_named_with_its_shift(open_page: Open, board: Any) -> None:
    page = open_page("/shift?day=2026-03-03")
    page.get_by_role("link", name="Night, crew C 22:00").click()
    expect(
        page.get_by_role("heading", name="Night, crew C, Tuesday 03 March 2026, 22:00 – 06:00")
    ).to_be_visible()
    snapshot = board.backend.snapshot
    board.backend.snapshot = lambda: {**snapshot(), "shift": {**snapshot()["shift"], "crew": "B"}}
    page = open_page("/")
    expect(page.locator("#shift small")).to_have_text(re.compile(r"^crew B · .* left$"))
    page = open_page("/", 820, 1180)
    expect(page.locator("#scope")).to_have_text(re.compile("^Early, crew B · All lines"))


def test_an_import_shows_its_row_errors_and_then_works(open_page: Open, board: Any) -> None:
    page = open_page("/orders")
    be(page, "Ana Silva")
    file = page.locator('input[type="file"]')
    file.set_input_files({"name": "o.csv", "mimeType": "text/csv", "buffer": b"id,quantity\nA,many\n"})
    expect(page.locator(".errors")).to_contain_text("row 2: quantity is not a number")
    assert board.backend.imported == []
    file.set_input_files({"name": "p.csv", "mimeType": "text/csv", "buffer": b"id,quantity\nA,5\n"})
    expect(page.locator(".toast.fading")).to_have_text("1 orders imported from p.csv")
    expect(page.locator(".errors")).to_have_count(0)


def test_the_shift_report_prints_without_the_frame(open_page: Open, artefacts: Any) -> None:
    page = open_page("/shift")
    page.emulate_media(media="print")
    expect(page.locator(".nav")).to_be_hidden()
    expect(page.get_by_role("heading", name="Early, Wednesday 04 March 2026")).to_be_visible()
    pages = page.pdf(path=artefacts / "shift.pdf", format="A4").count(b"/Type /Page\n")
    assert pages <= 1


def test_what_does_not_exist_is_said_on_the_page(open_page: Open) -> None:
    page = open_page("/losses?machine=mixer")
    expect(page.get_by_role("alert")).to_contain_text("the plant has no 'mixer'")
