"""The parts of the OPC UA collector that need no server: what is asked for, sequence numbers, what outlives the
process, what people are shown."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.opcua import COLLECT, DEFAULTS, READERS, check
from collectors.opcua.publish import NOTIFICATIONS
from collectors.opcua.sequence import LAST, after, before, between, distance
from collectors.opcua.shown import Shown
from collectors.opcua.state import Hole, Item, State, Store, Subscription
from collectors.opcua.wanted import Wanted, chunks, wanted
from collectors.options import read_collect, read_options
from collectors.ports import SourceStatus
from plant.model import Role, Signal, Source

AT = datetime(2026, 1, 31, 6, tzinfo=UTC)
SIGNAL = Signal(id="speed", equipment="m", role=Role.PROCESS_VALUE, address="ns=2;s=x")


def asked(collect: dict[str, object], **options: object) -> Wanted:
    source = Source(id="s", protocol="opcua", options={"url": "opc.tcp://x:4840/", **options})
    given, problems = read_options(source, READERS, DEFAULTS)
    signal = Signal(id="speed", equipment="m", role=Role.PROCESS_VALUE, address="ns=2;s=x", collect=collect)
    its, more = read_collect(signal, "opcua", COLLECT, dict.fromkeys(COLLECT))
    assert problems + more == []
    return wanted(signal, its, given)


def test_a_signals_own_options_come_before_the_sources() -> None:
    own = {
        "publishing_interval": "1s",
        "sampling": "10ms",
        "queue_size": 5,
        "trigger": "value",
        "deadband": 0.5,
    }
    assert asked(own) == Wanted("m.speed", "ns=2;s=x", 1.0, 0.01, 5, 0.5, "value")
    assert asked({}, sampling="2s", queue_size=7, trigger="value") == Wanted(
        "m.speed", "ns=2;s=x", 0.1, 2.0, 7, None, "value"
    )


@pytest.mark.parametrize(
    ("collect", "lifetime", "queue"),
    [
        ({}, "60s", 1000),  # 602 of the publishing interval, and never less than 1000
        ({"sampling": "10ms"}, "60s", 6020),
        ({"sampling": "10ms"}, "10min", 60_020),
        ({"sampling": "1ms"}, "24h", 100_000),
        ({"sampling": "1s"}, "2h", 7201),
    ],
)
def test_a_queue_is_long_enough_for_the_lifetime(
    collect: dict[str, object], lifetime: str, queue: int
) -> None:
    assert asked(collect, lifetime=lifetime).queue_size == queue


def test_wrong_options_are_all_named() -> None:
    options = {"url": "opc.tcp://x:4840/", "lifetime": "1s", "queue_size": 0}
    wrong = Signal(
        id="s",
        equipment="m",
        role=Role.GOOD,
        address="i=1",
        collect={"deadband": -1, "sampling": 10, "rate": 1},
    )
    found = check(Source(id="s", protocol="opcua", options=options), (wrong,))
    assert [
        word for word in ("lifetime", "queue_size", "deadband", "sampling", "rate") if word in str(found)
    ] == [
        "lifetime",
        "queue_size",
        "deadband",
        "sampling",
        "rate",
    ]
    assert len(found) == 5


def test_chunks() -> None:
    assert list(chunks(range(5), 2)) == [(0, 1), (2, 3), (4,)]
    assert list(chunks(range(3), 0)) == [(0, 1, 2)] and list(chunks([], 4)) == []


@given(st.integers(1, LAST), st.integers(0, 3000))
def test_sequence_numbers_go_round(start: int, steps: int) -> None:
    """Counted one by one, over the end too."""
    number, passed = start, []
    for _ in range(steps):
        number = after(number)
        passed.append(number)
    assert 0 not in passed and distance(start, number) == steps and distance(number, start) == -steps
    assert between(start, number, 5000) == passed[:-1]
    assert between(start, number, 10) == passed[:-1][-10:]
    assert between(number, start, 10) == []


def test_the_first_message_comes_after_none() -> None:
    assert before(1) == 0 and after(0) == 1
    assert distance(0, 1) == 1 and between(0, 4, 10) == [1, 2, 3]


def state() -> State:
    items = {n: Item(n, 10 * n, asked({"deadband": float(n)}), "kept shorter") for n in (1, 2)}
    first = Subscription(77, 0.1, 60.0, 0.1, 60.0, 1.0, False, items, 41, AT)
    second = Subscription(78, 1.0, 7200.0, 1.0, 3600.0, 10.0, True, {}, None, None)
    holes = [
        Hole(AT, None, "away", ("m.speed",)),
        Hole(AT, AT + timedelta(seconds=1), "lost", ("a.b", "c.d")),
    ]
    return State("opc.tcp://x", AT, 3, {77: first, 78: second}, holes)


def test_the_state_of_a_source_is_there_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "sources" / "s")
    assert store.load() == State()
    was = state()
    store.save(*store.written(was))
    assert Store(tmp_path / "sources" / "s").load() == was
    was.subscriptions[77].sequence, was.subscriptions[77].taken = 42, AT + timedelta(seconds=2)
    store.taken(was.subscriptions.values())  # without saving
    assert Store(tmp_path / "sources" / "s").load() == was
    del was.subscriptions[77]
    store.save(*store.written(was))
    was.subscriptions[78].sequence, was.subscriptions[78].taken = 1, AT
    store.taken(was.subscriptions.values())
    assert Store(tmp_path / "sources" / "s").load() == was
    store.close()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"url": "x"}'])
def test_a_damaged_state_is_none(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.save(*store.written(state()))
    (tmp_path / "subscriptions.json").write_text(damage)
    assert store.load() == State()
    store.close()


@given(st.integers(0, 79), st.integers(1, 255))
def test_what_a_power_cut_left_of_the_progress_counts_only_when_it_is_whole(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("state")
    store = Store(folder)
    store.save(*store.written(state()))
    path = folder / "taken.bin"
    data = bytearray(path.read_bytes())
    if place < len(data):
        data[place] ^= change
        path.write_bytes(data)
    else:
        os.truncate(path, place % len(data))
    found = store.load().subscriptions[77]
    store.close()
    assert (found.sequence, found.taken) in [(41, AT), (None, None)]


def notifications(*rows: tuple[int, float | None, str | None, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [(h, AT, AT, v, t, s) for h, v, t, s in rows], schema=dict(NOTIFICATIONS), orient="row"
    )


def test_what_is_shown_of_a_signal() -> None:
    status = SourceStatus()
    shown, signals = Shown(status), {1: SIGNAL}
    assert shown.refused({"m.speed": "BadNodeIdUnknown"}) == ["m.speed"]
    assert shown.refused({"m.speed": "BadNodeIdUnknown"}) == []  # said once
    shown.created("m.speed", "every 50 ms")
    assert status.bad == {} and status.notes == {"m.speed": "every 50 ms"} and not shown.missing

    shown.values(notifications((1, 1.0, None, 0), (1, None, None, 0x808C0000)), signals)
    assert status.bad == {"m.speed": "the server says BadSensorFailure"}
    shown.values(notifications((1, 1.0, None, 0x40900000)), signals)
    assert status.bad == {"m.speed": "the server says UncertainLastUsableValue"}
    shown.values(notifications((2, 1.0, None, 0), (1, 2.0, None, 0)), signals)
    assert status.bad == {}

    shown.values(notifications((1, None, "fast", 0)), signals)
    assert status.notes["m.speed"] == "every 50 ms; its type changed: it was a number and is text"

    assert shown.overflowed(notifications((1, 1.0, None, 0x480), (1, 1.0, None, 0x80)), signals) == {
        "m.speed"
    }
    assert status.overflows == {"m.speed": 1}
