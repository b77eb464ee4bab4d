"""Looks at sources for the pages: bounded, remembered, and never half written."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.onboarding.found import Kind, Offer, Step, Variable
from dashboards.onboarding import Confirmed
from dashboards.ports import Refused
from infra.onboarding import looks as looks_module
from infra.onboarding.looks import AT_ONCE, Looks
from infra.plantfile import load

NODE = "nsu=urn:m;s="
OFFER = Offer(
    url="opc.tcp://h:4840",
    protocol="opcua",
    options={"url": "opc.tcp://h:4840"},
    product="p",
    name="PLC",
    variables=tuple(
        Variable(
            address=NODE + name,
            path=(Step(name="Press"), Step(name=name)),
            data_type="Int32",
            kind=Kind.INTEGER,
            value=3,
        )
        for name in ("State", "Good", "x7")
    ),
)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"opc.tcp://127.0.0.1:{server.getsockname()[1]}/"


@pytest.fixture
def looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Looks, str]:
    """A look that has found OFFER."""

    async def look(url: str, watch: float, access: object, listener: Any) -> object:
        series = {v.address: [(0.0, 3)] for v in OFFER.variables}
        listener.found(OFFER, series)
        return OFFER, series

    monkeypatch.setattr(looks_module, "look", look)
    looks = Looks(tmp_path / "plant.toml", tmp_path)
    job = looks.look_at("opc.tcp://h", 0)
    until = time.monotonic() + 5
    while looks.looking(job)["state"] != "done":
        assert time.monotonic() < until
        time.sleep(0.01)
    return looks, job


def press(**more: object) -> Confirmed:
    given = {"id": "press", "name": "Press", "cycle": "2s", "roles": {}, "states": {}} | more
    return Confirmed(**given)  # type: ignore[typeddict-item]


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "plant.toml", tmp_path)
    with pytest.raises(Refused, match="write it like"):
        looks.look_at("file:///etc/passwd", 10)
    for seconds in (-1, 1e9, float("nan")):
        with pytest.raises(Refused, match="between 0 and"):
            looks.look_at("opc.tcp://h", seconds)
    for ask in (looks.looking, lambda job: looks.section(job, [press()])):
        with pytest.raises(Refused, match="not known any more"):
            ask("nothing")


def test_a_few_looks_at_a_time_and_none_is_settled_before_its_end(tmp_path: Path, silent: str) -> None:
    looks = Looks(tmp_path / "plant.toml", tmp_path)
    jobs = [looks.look_at(silent, 0) for _ in range(AT_ONCE)]
    with pytest.raises(Refused, match="wait until one is done"):
        looks.look_at(silent, 0)
    found = looks.looking(jobs[0])
    assert (found["state"], found["machines"], found["url"]) == ("looking", [], silent)
    with pytest.raises(Refused, match="not done yet"):
        looks.add_machines(jobs[0], [press()], "ana")


def test_a_source_that_is_not_there_is_a_failed_look(tmp_path: Path) -> None:
    looks = Looks(tmp_path / "plant.toml", tmp_path)
    job = looks.look_at("opc.tcp://127.0.0.1:9", 0)
    until = time.monotonic() + 20
    while looks.looking(job)["state"] == "looking":
        assert time.monotonic() < until
        time.sleep(0.05)
    found = looks.looking(job)
    assert (found["state"], "no OPC UA server at opc.tcp://127.0.0.1:9" in found["said"]) == ("failed", True)
    with pytest.raises(Refused, match="not done yet"):
        looks.section(job, [press()])


def test_it_is_written_once_as_confirmed(looked: tuple[Looks, str], tmp_path: Path) -> None:
    looks, job = looked
    (machine,) = looks.looking(job)["machines"]
    assert [(s["name"], s["role"]) for s in machine["signals"]] == [
        ("State", "state"),
        ("Good", "good"),
        ("x7", None),
    ]
    shown = looks.section(job, [press()])
    assert not (tmp_path / "plant.toml").exists() and 'id = "press"' in shown["text"]
    changes = press(
        name=" P 1 ", roles={NODE + "Good": None, NODE + "x7": "total"}, states={"3": "running", "9": "setup"}
    )
    added = looks.add_machines(job, [changes], "ana")
    assert (added["file"], added["machines"]) == (str(tmp_path / "plant.toml"), ["press"])
    plant = load(tmp_path / "plant.toml")
    assert plant.equipment["press"].name == "P 1"
    assert {s.id: s.address for s in plant.signals.values()} == {
        "state": NODE + "State",
        "total": NODE + "x7",
    }
    assert {raw: str(m.state) for raw, m in plant.signals["press", "state"].states.items()} == {
        "3": "running",
        "9": "setup",
    }
    with pytest.raises(Refused, match="written already"):
        looks.add_machines(job, [press()], "ana")


WRONG = [
    (press(cycle="fast"), "no ideal cycle"),
    (press(roles={NODE + "State": None}), "needs a state signal"),
    (press(roles={NODE + "x7": "boss"}), "boss"),
    (press(states={"3": "dancing"}), "dancing"),
    (press(id="other"), "no machine 'other'"),
]


@pytest.mark.parametrize(("confirmed", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_confirmation_that_does_not_do_changes_nothing(
    looked: tuple[Looks, str], tmp_path: Path, confirmed: Confirmed, says: str
) -> None:
    looks, job = looked
    for ask in (lambda: looks.section(job, [confirmed]), lambda: looks.add_machines(job, [confirmed], "ana")):
        with pytest.raises(Refused, match=says):
            ask()
    with pytest.raises(Refused, match="No machine is chosen"):
        looks.add_machines(job, [], "ana")
    assert not list(tmp_path.glob("*.toml"))


def test_a_look_is_forgotten_after_a_while(
    looked: tuple[Looks, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, job = looked
    monkeypatch.setattr(looks_module, "KEPT", -1.0)
    looks.look_at("opc.tcp://h", 0)
    with pytest.raises(Refused, match="not known any more"):
        looks.looking(job)
