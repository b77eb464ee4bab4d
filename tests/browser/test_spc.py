"""Control charts in a real browser: limits frozen and let go, points left out, inspections recorded and taken back."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from analytics.spc.inspections import Inspection
from plant.model import ChartKind, ControlChart, Role, Signal, Subgrouping

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
expect.set_options(timeout=20_000)
SIZES = {"wide": (1920, 1080), "tablet": (1180, 820), "phone": (390, 844)}
COUNTED = "/spc?machine=filler&signal=%40inspection%3A"
MEASURED = "/spc?machine=filler&signal=torque"


def be(page: Page, name: str) -> None:
    page.locator("#who").click()
    page.get_by_role("button", name=name).click()


def by_hand(board: Any) -> None:
    """A process value people measure, and what they found so far."""
    plan = ControlChart(chart=ChartKind.XBAR_R, by=Subgrouping.INSPECTION, size=3)
    signal = Signal(
        id="torque", equipment="filler", role=Role.PROCESS_VALUE, unit="Nm", lower=1.2, upper=2.4, spc=plan
    )
    plant = board.backend.plant
    board.backend.plant = replace(plant, signals={**plant.signals, ("filler", "torque"): signal})
    now = board.backend.now()
    for i in range(22):
        at = now - timedelta(hours=6 * i + 1)
        values = (1.7 + i % 3 / 10, 1.8, 1.9 - i % 4 / 20)
        more = {"time": at, "at": at, "user": "ana"}
        board.backend.record_inspection(
            "filler", Inspection(test="torque", inspected=3, values=values, **more)
        )
        count = 14 if i == 7 else i % 4
        found = Inspection(test="Visual check", inspected=60 + 10 * (i % 3), nonconforming=count, **more)
        board.backend.record_inspection("filler", found)


def drawn(page: Page) -> None:
    expect(page.locator("#spc-chart .main-svg").first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_charts_are_accessible_at_every_size(
    open_page: Open, board: Any, axe: str, artefacts: Any, size: str, theme: str
) -> None:
    by_hand(board)
    width, height = SIZES[size]
    for name, path in (
        ("measured", MEASURED),
        ("counted", f"{COUNTED}Visual%20check"),
        ("rejects", "/spc?machine=filler&signal=%40rejects"),
    ):
        page = open_page(path, width=width, height=height, theme=theme)
        drawn(page)
        page.screenshot(path=artefacts / f"spc_{name}_{size}_{theme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate(axe)
        found = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
        assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]] == []


def test_limits_are_frozen_and_let_go_again(open_page: Open, board: Any) -> None:
    page = open_page("/spc?machine=filler&signal=temperature")
    expect(page.locator("#spc-live")).to_contain_text("Phase 1: the limits are estimated")
    drawn(page)
    page.locator("#spc-why").fill("first good week")
    page.get_by_role("button", name="Freeze limits").click()
    page.get_by_role("button", name="Ana Silva").click()
    expect(page.locator(".toast").last).to_have_text("Limits frozen")
    (about, frozen), *others = board.backend.frozen
    assert (about, frozen.user, frozen.why, others) == (
        ("filler", "temperature"),
        "ana",
        "first good week",
        [],
    )
    page.locator("#spc-why").fill("")
    page.get_by_role("button", name="Back to phase 1").click()
    expect(page.locator(".toast").last).to_contain_text("Say why the limits do not hold any more")
    page.locator("#spc-why").fill("new nozzle")
    page.get_by_role("button", name="Back to phase 1").click()
    expect(page.locator("#spc-live")).to_contain_text("Back in phase 1 since")
    expect(page.locator("#spc-live")).to_contain_text("by Ana Silva: new nozzle")
    assert [bool(limits.estimate) for _, limits in board.backend.frozen] == [True, False]


def test_a_point_is_left_out_for_a_reason_and_taken_in_again(open_page: Open, board: Any) -> None:
    by_hand(board)
    page = open_page(f"{COUNTED}Visual%20check")
    drawn(page)
    be(page, "Jan Novák")
    broken = page.get_by_role("region", name="Table").filter(has_text="Rules it breaks").locator("tbody tr")
    expect(broken.first.locator(".state").first).to_have_text("1")
    expect(page.locator(".rules")).to_contain_text("more than three sigma")
    before = broken.count()
    page.get_by_role("button", name=re.compile("^Leave out")).first.click()
    expect(page.locator(".toast")).to_contain_text("Say why the point is left out")
    page.locator("#spc-why").fill("wrong lamp")
    page.get_by_role("button", name=re.compile("^Leave out")).first.click()
    expect(page.locator(".toast").last).to_have_text("Left out")
    out = page.locator(".panel").filter(has=page.get_by_role("heading", name="Points left out"))
    expect(out).to_contain_text("wrong lamp")
    out.get_by_role("button", name="Take in again").click()
    expect(page.locator(".toast").last).to_have_text("Taken in again")
    expect(broken).to_have_count(before)
    assert [(e.excluded, e.user, e.why) for _, e in board.backend.excluded] == [
        (True, "jan", "wrong lamp"),
        (False, "jan", ""),
    ]


def test_what_has_not_changed_stays_as_it_is_and_a_new_point_leaves_the_zoom(
    open_page: Open, board: Any
) -> None:
    by_hand(board)
    page = open_page(MEASURED)
    drawn(page)
    box = page.locator("#spc-chart .nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_timeout(500)
    shown = "String(document.querySelector('#spc-chart .js-plotly-plot')?.layout?.xaxis.range)"
    zoomed = page.evaluate(shown)
    page.evaluate("document.querySelector('#spc-chart').dataset.seen = '1'")
    back = page.get_by_role("button", name=re.compile("^Take back")).first
    back.focus()
    with page.expect_response(lambda r: "_dash-update-component" in r.url, timeout=20_000):
        pass
    page.wait_for_timeout(500)
    expect(back).to_be_focused()
    expect(page.locator("#spc-chart")).to_have_attribute("data-seen", "1")
    at = board.backend.now()
    more = Inspection(test="torque", inspected=3, values=(1.9, 1.8, 1.7), time=at, at=at, user="jan")
    board.backend.record_inspection("filler", more)
    expect(page.locator("#spc-rows")).to_contain_text("Jan Novák")
    expect(page.locator("#spc-chart")).not_to_have_attribute("data-seen", "1")
    page.wait_for_function(f"zoomed => {shown} === zoomed", arg=zoomed)


def test_an_inspection_is_recorded_by_count_and_taken_back(open_page: Open, board: Any) -> None:
    page = open_page(COUNTED)
    expect(page.locator("#spc-live")).to_contain_text("Record one below")
    be(page, "Ana Silva")
    page.get_by_label("Inspected for").fill("Visual check")
    page.get_by_label("Inspected", exact=True).fill("50")
    page.get_by_role("textbox", name="Nonconforming").fill("60")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("60 are more than the 50 inspected")
    expect(page.get_by_label("Inspected", exact=True)).to_have_value("50")
    page.get_by_role("textbox", name="Nonconforming").fill("2")
    page.get_by_role("button", name="Record", exact=True).dblclick()
    expect(page.locator(".toast").last).to_contain_text("Recorded")
    expect(page).to_have_url(re.compile("Visual"))
    expect(page.locator("#spc-rows")).to_contain_text("2 nonconforming of 50")
    expect(page.get_by_role("textbox", name="Nonconforming")).to_have_value("")
    expect(page.locator("#spc-live")).to_contain_text("No limits yet: 1 lots is too few")
    page.get_by_role("button", name=re.compile("^Take back")).click()
    expect(page.locator("#spc-rows")).to_contain_text("Taken back by Ana Silva")
    made = [one for _, one in board.backend.inspected]
    assert [(one.nonconforming, one.withdraws) for one in made] == [(2, None), (2, 1)]


def test_an_inspection_is_recorded_by_its_values(open_page: Open, board: Any) -> None:
    by_hand(board)
    page = open_page(MEASURED)
    be(page, "Ana Silva")
    for label, value in (("Value 1", "1,81"), ("Value 2", "1.79"), ("Value 3", "x")):
        page.get_by_label(label).fill(value)
    page.get_by_label("Taken at").fill("09:30")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("'x' is no number")
    page.get_by_label("Value 3").fill("1.8")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.locator(".toast").last).to_contain_text("Recorded")
    made = board.backend.inspected[-1][1]
    assert made.values == (1.81, 1.79, 1.8) and made.time.isoformat() == "2026-03-04T08:30:00+00:00"
    expect(page.locator("#spc-rows")).to_contain_text("1.81, 1.79, 1.8")
