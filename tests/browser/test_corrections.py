"""Correcting what the signals and counters said, in a real browser: stops split, merged and undone, counts put right."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
expect.set_options(timeout=20_000)
WIDE, TABLET, PHONE = (1920, 1080), (1180, 820), (390, 844)


def be(page: Page, name: str) -> None:
    page.locator("#who").click()
    page.get_by_role("button", name=name).click()


def long_stop(board: Any) -> str:
    """A stop of nine minutes that is over, as it stands in the address."""
    rows = board.backend.stops("filler", timedelta(minutes=9))
    return f"filler|{rows[-1].isoformat().replace('+00:00', 'Z')}"


def opened(open_page: Open, board: Any, **options: Any) -> Page:
    return open_page(f"/losses?machine=filler&window=today&stop={long_stop(board)}", **options)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, TABLET, PHONE], ids=["wide", "tablet", "phone"])
def test_the_stop_and_the_shift_are_accessible_at_every_size(
    open_page: Open, board: Any, axe: str, artefacts: Any, size: tuple[int, int], theme: str
) -> None:
    name = {WIDE: "wide", TABLET: "tablet", PHONE: "phone"}[size]
    page = opened(open_page, board, width=size[0], height=size[1], theme=theme)
    page.get_by_role("link", name="Split it in two").click()
    expect(page.locator(".ask .cut")).to_have_count(1)
    page.screenshot(path=artefacts / f"stop_{name}_{theme}.png", full_page=True)
    start = quote(board.backend.closed_shift())
    shift = open_page(f"/shift?start={start}&correct=press-1", width=size[0], height=size[1], theme=theme)
    expect(shift.locator(".restated")).to_contain_text("Ana Silva re-coded 12 min of PRESS-1")
    shift.screenshot(path=artefacts / f"restated_{name}_{theme}.png", full_page=True)
    for shown in (page, shift):
        assert shown.evaluate("document.documentElement.scrollWidth") == size[0]
        shown.evaluate(axe)
        found = shown.evaluate("tags => axe.run({runOnly: tags})", RULES)
        assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]] == []


def test_a_stop_is_split_undone_and_merged(open_page: Open, board: Any) -> None:
    page = opened(open_page, board)
    be(page, "Jan Novák")
    ask = page.locator(".panel.ask")
    ask.get_by_role("link", name="Split it in two").click()
    ask.get_by_role("link", name="1 min earlier").click()
    expect(ask.locator("#split-at")).to_have_value("04:21:30")
    for label, reason in (("Until then it was", "Feeder jam"), ("From then on it was", "Tool breakage")):
        ask.get_by_label(label).get_by_text(reason).click()
        expect(ask.get_by_label(label).locator(".chosen")).to_have_text(reason)
    ask.locator("#stop-note").fill("drive tripped")
    ask.get_by_role("button", name=re.compile("Split at")).click()
    expect(page.locator(".toast")).to_have_text("Split in two")
    expect(ask.locator("tbody tr")).to_have_count(1)
    expect(ask.locator("tbody")).to_contain_text("drive tripped")
    expect(ask).to_contain_text("for 4 min")
    assert [(e["state"], e["reason"]) for e in board.backend.entries] == [(None, "jam"), ("down", "tool")]
    ask.get_by_role("button", name=re.compile("Merge with the next")).click()
    expect(page.locator(".toast")).to_have_text("Merged with the next")
    expect(ask).to_contain_text("for 9 min")
    ask.get_by_role("button", name="Undo the last change").click()
    expect(page.locator(".toast")).to_have_text("Undone")
    expect(ask).to_contain_text("for 4 min")


def test_who_comes_second_sees_that_the_stop_changed(open_page: Open, board: Any) -> None:
    one, two = opened(open_page, board), opened(open_page, board)
    for page, name in ((one, "Ana Silva"), (two, "Jan Novák")):
        be(page, name)
    one.locator(".ask").get_by_role("button", name="Feeder jam").click()
    expect(one.locator(".toast")).to_have_text("Coded as Feeder jam")
    two.locator(".ask").get_by_role("button", name="Tool breakage").click()
    expect(two.locator(".toast")).to_contain_text("Ana Silva changed this stop meanwhile")
    expect(two.locator(".ask tbody")).to_contain_text("Feeder jam")
    assert [e["reason"] for e in board.backend.entries] == ["jam"]


def test_a_double_click_says_it_once(open_page: Open, board: Any) -> None:
    page = opened(open_page, board)
    be(page, "Ana Silva")
    page.locator(".ask").get_by_role("button", name="Feeder jam").dblclick()
    expect(page.locator(".ask tbody tr")).to_have_count(1)
    page.wait_for_timeout(500)
    assert [e["reason"] for e in board.backend.entries] == ["jam"]


def test_counts_are_corrected_with_a_reason_or_refused(open_page: Open, board: Any) -> None:
    page = open_page("/shift")
    be(page, "Ana Silva")
    page.get_by_text("Correct counted parts").click()
    page.get_by_label("Machine").get_by_text("PRESS-1").click()
    expect(page.get_by_label("Machine").locator(".chosen")).to_have_text("PRESS-1")
    page.locator("#correct-good").fill("-999999")
    page.locator("#correct-why").fill("wrong bin")
    page.get_by_role("button", name="Correct", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("cannot be taken away")
    page.locator("#correct-good").fill("-12")
    page.locator("#correct-reject").fill("12")
    page.get_by_role("button", name="Correct", exact=True).dblclick()
    expect(page.locator(".toast").last).to_contain_text("Corrected")
    page.wait_for_timeout(500)
    assert [(c[2], c[3]) for c in board.backend.corrections if c[3]] == [("good", -12), ("reject", 12)]


def test_a_stop_begins_earlier_and_it_can_be_undone(open_page: Open, board: Any) -> None:
    page = opened(open_page, board)
    be(page, "Jan Novák")
    ask = page.locator(".panel.ask")
    ask.get_by_role("link", name="Change when it began or ended").click()
    begin = ask.locator("#stop-begin")
    shown = begin.input_value()
    begin.fill("quarter past")
    ask.get_by_role("button", name="Move it").click()
    expect(page.locator(".toast")).to_contain_text("It began: 'quarter past' is no time")
    assert board.backend.entries == []
    earlier = datetime.fromisoformat(shown) - timedelta(minutes=5)
    begin.fill(f"{earlier:%Y-%m-%d %H:%M:%S}")
    ask.get_by_role("button", name="Move it").click()
    expect(page.locator(".toast").last).to_have_text("Moved")
    expect(page.get_by_role("heading", name=f"stop of {earlier:%H:%M}")).to_be_visible()
    expect(ask).to_contain_text("for 14 min")
    ask.get_by_role("button", name="Undo the last change").click()
    expect(ask).to_contain_text("for 9 min")


@pytest.mark.parametrize("size", [WIDE, TABLET, PHONE], ids=["wide", "tablet", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_stop_was_none_and_that_is_taken_back(
    open_page: Open, board: Any, axe: str, artefacts: Any, size: tuple[int, int], theme: str
) -> None:
    page = opened(open_page, board, width=size[0], height=size[1], theme=theme)
    be(page, "Ana Silva")
    page.get_by_role("link", name="The machine did something else").click()
    expect(page.get_by_role("heading", name="Filler: what did it do?")).to_be_visible()
    until = page.locator("#say-to").input_value()
    page.locator("#say-to").fill("2026-03-03 01:00:00")
    page.get_by_role("button", name="It ran").click()
    expect(page.locator(".toast")).to_contain_text("the time ends after it begins")
    page.locator("#say-to").fill(until)
    page.get_by_role("button", name="It ran").click()
    expect(page.locator(".toast").last).to_have_text("It ran: said")
    expect(page.locator(".ask tbody")).to_contain_text("Ana Silva")
    page.screenshot(path=artefacts / f"say_{size[0]}_{theme}.png", full_page=True)
    accessible(page, axe, size[0])
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator(".ask tbody tr")).to_have_count(2)
    assert [entry["state"] for entry in board.backend.entries] == ["running", None]


@pytest.mark.parametrize("size", [WIDE, TABLET, PHONE], ids=["wide", "tablet", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "path",
    [
        "/losses?measure=cost&step=speed",
        "/losses?step=starved&sort=longest",
        "/shift?day=2026-03-03",
        "/orders",
    ],
)
def test_losses_and_shifts_are_accessible_at_every_size(
    open_page: Open, axe: str, path: str, size: tuple[int, int], theme: str
) -> None:
    page = open_page(path, width=size[0], height=size[1], theme=theme)
    accessible(page, axe, size[0])


def accessible(page: Page, axe: str, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate(axe)
    found = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]] == []


def test_every_step_of_the_waterfall_leads_to_what_is_in_it(open_page: Open) -> None:
    page = open_page("/losses")
    page.locator("a.fall", has_text="Changeover").click()
    expect(page.get_by_role("heading", name="Stops: Changeover")).to_be_visible()
    page.locator("a.fall", has_text="Speed loss").click()
    expect(page.get_by_role("heading", name="Speed loss")).to_be_visible()
    page.get_by_label("Measured in").get_by_text("Stops").click()
    expect(page.locator(".panel.wide .note")).to_contain_text("of all stops")
    page.get_by_role("link", name="Show all stops").click()
    page.get_by_label("More stops").get_by_role("link", name="Next").click()
    expect(page.get_by_label("More stops")).to_contain_text("11 to")


def test_any_day_is_picked_and_the_shifts_follow_one_another(open_page: Open) -> None:
    # Dash asks a date field for a selection, which it has none of: it is told so, and goes on.
    page = open_page("/shift", may_complain="setSelectionRange")
    page.locator("#shift-day").fill("2026-03-03")
    expect(page.get_by_role("heading", name="Early, Tuesday 03 March 2026")).to_be_visible()
    page.get_by_role("link", name="Next shift").click()
    expect(page.get_by_role("heading", name="Late, Tuesday 03 March 2026")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Late, Tuesday 03 March 2026")).to_be_visible()
    page.get_by_role("link", name="Previous shift").click()
    expect(page.get_by_role("heading", name="Early, Tuesday 03 March 2026")).to_be_visible()
