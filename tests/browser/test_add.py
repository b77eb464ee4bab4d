"""Adding a machine in a real browser: from the address of a server nobody has described to the plant file."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from devices.foreign import ForeignPress, press_in_a_thread
from playwright.sync_api import Browser, Page, expect

from infra.plantfile import load

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Open = Callable[..., Page]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SIZES = (("phone", 390), ("tablet", 1180), ("wide", 1920))


@pytest.fixture
def press() -> Iterator[ForeignPress]:
    with press_in_a_thread() as served:
        yield served


def accessible(page: Page, axe: str) -> None:
    page.evaluate(axe)
    found = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
    assert [(v["id"], v["help"], [n["target"] for n in v["nodes"]][:3]) for v in found["violations"]] == []


@pytest.mark.timeout(180)
def test_the_steps_are_readable_everywhere(
    open_page: Open, board: Any, press: ForeignPress, axe: str, artefacts: Any
) -> None:
    page = open_page("/add", 1180)
    accessible(page, axe)
    page.get_by_label("Address of the source").fill(press.url)
    page.get_by_role("button", name="15 s").click()
    expect(page.locator(".steps [aria-current]")).to_have_text("2 Watch")
    watched = page.locator("tr", has_text="Zähler / Gutteile")
    expect(watched).to_contain_text(re.compile("counted up .* a minute"), timeout=12_000)
    accessible(page, axe)
    page.screenshot(path=artefacts / "add_watching.png", full_page=True)
    expect(page.locator(".steps [aria-current]")).to_have_text("3 Confirm", timeout=25_000)
    for theme in ("light", "dark"):
        for device, width in SIZES:
            other = open_page(page.url.removeprefix(board.url), width, 844, theme=theme)
            other.wait_for_selector("#add-write")
            bars = other.locator(".course i").first.bounding_box()
            assert bars is not None and bars["height"] > 2, "the course of a value is drawn"
            assert other.evaluate("document.documentElement.scrollWidth") == width
            if width == 390:
                accessible(other, axe)
            other.screenshot(path=artefacts / f"add_{device}_{theme}.png", full_page=True)
            other.close()


@pytest.fixture
def lineside(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of `lineside up` on a plant file without machines, and that file."""
    plant = tmp_path / "plant.toml"
    plant.write_text('schema = 1\n[site]\nid = "s"\nname = "North works"\nzone = "Europe/Berlin"\n')
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "infra", "up", str(plant), "--data", str(tmp_path / "data")]
    with (tmp_path / "log").open("w") as log:
        up = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 40
    while True:
        assert up.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()
        try:
            with urllib.request.urlopen(f"{url}/api/v1/board", timeout=2):
                break
        except OSError:
            time.sleep(0.2)
    yield url, plant
    up.send_signal(signal.SIGTERM)
    up.wait(20)


@pytest.mark.timeout(180)
def test_from_an_empty_board_to_a_live_oee(
    chromium: Browser, lineside: tuple[str, Path], press: ForeignPress, artefacts: Any
) -> None:
    url, file = lineside
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(15_000)
    page.goto(url)
    began = time.monotonic()
    page.get_by_role("link", name="Add a machine").click()
    page.get_by_label("Address of the source").fill(press.url)
    page.get_by_role("button", name="15 s").click()
    expect(page.locator(".steps [aria-current]")).to_have_text("3 Confirm", timeout=40_000)
    page.get_by_role("button", name="Add to the plant").click()
    expect(page.locator("#add-result")).to_contain_text("Presse 3: give its ideal cycle")
    page.get_by_label("Ideal cycle").fill("0.2s")
    page.get_by_role("button", name="Show what is written").click()
    expect(page.locator("#add-result pre")).to_contain_text('role = "good"')
    assert load(file).machines() == ()
    page.get_by_label("Meaning of 7").select_option("Setup")
    page.get_by_label("Role of Störungstext").select_option("Leave out")
    page.get_by_label("Name").fill("Press three")
    page.get_by_role("button", name="Add to the plant").click()
    expect(page.get_by_role("heading", name="Press three: in the plant")).to_be_visible()
    expect(page.locator(".steps [aria-current]")).to_have_text("4 Live")
    expect(page.get_by_role("button", name="Add to the plant")).to_be_disabled()

    plant = load(file)
    (machine,) = plant.machines()
    assert (machine.id, machine.name, machine.material) == ("presse-3", "Press three", "presse-3-part")
    assert {s.id for s in plant.signals.values()} == {"state", "good", "reject", "order", "oeltemperatur"}
    states = plant.signals["presse-3", "state"].states
    assert {raw: str(m.state) for raw, m in states.items()} == {"3": "running", "7": "setup"}

    page.get_by_role("link", name="Open the board").click()
    tile = page.locator(".tile", has_text="Press three")
    expect(tile).to_contain_text("Running", timeout=30_000)
    until = time.monotonic() + 40
    while not (oee := _machine(url)["kpi"]["oee"]):
        assert time.monotonic() < until, "no OEE"
        time.sleep(0.3)
    assert 0 < oee <= 1
    expect(tile.locator(".oee")).not_to_contain_text("–")
    print(f"from the empty board to a live OEE in {time.monotonic() - began:.0f} s")
    page.screenshot(path=artefacts / "add_live.png")
    page.get_by_role("button", name="Press three", exact=True).click()
    expect(page.locator(".drawer")).to_contain_text("Press three")


def _machine(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/api/v1/board", timeout=5) as answer:
        (found,) = json.loads(answer.read())["machines"]
    return dict(found)


def test_an_address_that_does_not_do_is_told(open_page: Open) -> None:
    page = open_page("/add")
    address = page.get_by_label("Address of the source")
    address.fill("file:///etc/passwd")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_role("alert")).to_contain_text("write it like opc.tcp://192.168.0.10:4840")
    address.fill("opc.tcp://127.0.0.1:9/")
    address.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(
        "no OPC UA server at opc.tcp://127.0.0.1:9/", timeout=20_000
    )
    expect(page.get_by_label("Address of the source")).to_have_value("opc.tcp://127.0.0.1:9/")


def test_a_board_without_machines_says_how_to_add_one(open_page: Open, board: Any, artefacts: Any) -> None:
    page = open_page("/")
    before = board.backend.snapshot
    board.backend.snapshot = lambda: {**before(), "machines": [], "lines": []}
    expect(page.get_by_role("heading", name="No machines yet")).to_be_visible()
    page.screenshot(path=artefacts / "board_empty.png")
    page.get_by_role("link", name="Add a machine").click()
    expect(page.get_by_role("heading", name="Add a machine")).to_be_visible()
