"""A backend in another process answers as the backend itself does, over a real socket."""

import inspect
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analytics.spc.inspections import Inspection
from analytics.spc.study import Exclusion, Frozen
from dashboards.live import Broadcast
from dashboards.ports import Backend, Refused, Unavailable
from infra import remote as remote_module
from infra.remote import METHODS, BackendServer, RemoteBackend
from plant.frames import Window

Pair = tuple[Any, RemoteBackend]
NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(hours=3), NOW)

# What each method of the port is asked with; taken from the backend itself where it must exist.
ASKED: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "snapshot": lambda b: (),
    "ledger": lambda b: (WINDOW, ["filler"], [NOW - timedelta(hours=1)]),
    "summary": lambda b: (WINDOW, ["equipment"], ["oee", "mtbf", "rolled_throughput_yield"]),
    "six_big_losses": lambda b: (WINDOW, ["filler"]),
    "cycles": lambda b: (WINDOW, ["filler"]),
    "trend": lambda b: (WINDOW, timedelta(minutes=5), ["filler"], None),
    "last": lambda b: (NOW, ["filler"]),
    "samples": lambda b: (WINDOW, "filler", "temperature"),
    "spc_limits": lambda b: ("filler", "temperature", "i_mr"),
    "spc_exclusions": lambda b: ("filler", "temperature"),
    "freeze_limits": lambda b: (
        "filler",
        "temperature",
        Frozen(
            study="i_mr",
            valid_from=NOW,
            estimate={},
            window_start=NOW,
            window_end=NOW,
            at=NOW,
            user="ana",
            why="",
        ),
    ),
    "exclude_point": lambda b: (
        "filler",
        "temperature",
        Exclusion(time=NOW, excluded=True, at=NOW, user="ana", why="why"),
    ),
    "inspections": lambda b: (WINDOW, "filler"),
    "record_inspection": lambda b: (
        "filler",
        Inspection(test="visual", time=NOW, inspected=50, nonconforming=2, at=NOW, user="ana"),
        "once",
    ),
    "shifts": lambda b: (WINDOW,),
    "orders": lambda b: (),
    "alerts": lambda b: (True,),
    "alert_history": lambda b: (b.alerts()[0]["id"],),
    "acknowledge": lambda b: (b.alerts()[0]["id"], "ana"),
    "recode": lambda b: ("filler", NOW, "no-such-reason", "ana"),
    "recodes": lambda b: ("filler", NOW),
    "stop_at": lambda b: ("filler", NOW),
    "split_stop": lambda b: ("filler", NOW, NOW + timedelta(minutes=1), ("jam", ""), "ana"),
    "merge_stop": lambda b: ("filler", NOW, "", "ana"),
    "retime_stop": lambda b: ("filler", NOW, NOW - timedelta(minutes=1), None, "ana"),
    "undo_stop": lambda b: ("filler", NOW, "ana"),
    "say_state": lambda b: ("filler", WINDOW, "no-such-state", "", "ana"),
    "correct_counts": lambda b: ("filler", NOW, {"good": -(10**9)}, "why", "ana"),
    "published": lambda b: (WINDOW,),
    "start_order": lambda b: ("no-such-order", "ana"),
    "finish_order": lambda b: ("no-such-order", "ana"),
    "import_orders": lambda b: ("orders.csv", b"nothing", {}, "ana"),
    "sources": lambda b: (),
    "source": lambda b: (b.sources()[0]["id"],),
    "look_at": lambda b: ("file:///etc/passwd", 1.0),
    "looking": lambda b: ("no-such-look",),
    "section": lambda b: ("no-such-look", []),
    "add_machines": lambda b: ("no-such-look", [], "ana"),
    "health": lambda b: (),
    "metrics": lambda b: (),
    "post_samples": lambda b: (None, "Bearer x", b"{}"),
}
THEIR_OWN = {"plant", "now"}
"""Not asked over the socket each time."""


@pytest.fixture
def pair(board_backend: Any, tmp_path: Path) -> Iterator[Pair]:
    board_backend.now = lambda: NOW  # whatever is asked twice is asked at the same time
    ticked = board_backend.snapshot()
    board_backend.snapshot = lambda: ticked  # as of the last tick, like a runtime's
    server = BackendServer(board_backend, tmp_path / "derive.json")
    remote = RemoteBackend(tmp_path / "derive.json", Broadcast())
    assert remote.start(lambda: None)
    yield board_backend, remote
    remote.stop()
    server.close()


def test_every_method_of_the_port_is_tried_here() -> None:
    assert set(ASKED) | THEIR_OWN == METHODS
    assert {name for name, _ in inspect.getmembers(Backend) if not name.startswith("_")} == METHODS


@pytest.mark.parametrize("name", sorted(ASKED))
def test_the_answer_is_that_of_the_backend(pair: Pair, name: str) -> None:
    backend, remote = pair
    args = ASKED[name](backend)
    if name == "snapshot":
        assert remote.snapshot()["machines"] == backend.snapshot()["machines"]
        return
    answers = [outcome(getattr(one, name), args) for one in (backend, remote)]
    assert same(*answers), answers


def outcome(method: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return method(*args)
    except (Refused, Unavailable, ValueError) as error:
        return type(error), str(error)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, pl.DataFrame):
        assert_frame_equal(one, other)  # a mean may differ in its last bits from one call to the next
        return True
    return bool(one == other)


def test_plant_and_time_are_there(pair: Pair) -> None:
    backend, remote = pair
    assert remote.plant == backend.plant
    assert abs(remote.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_what_is_not_in_the_port_is_not_answered(pair: Pair) -> None:
    with pytest.raises(AttributeError):
        _ = pair[1].secret
    with pytest.raises(ValueError, match="has no '__class__'"):
        pair[1]._call("__class__")


def test_only_who_can_read_the_data_folder_may_ask(pair: Pair, tmp_path: Path) -> None:
    address = tmp_path / "derive.json"
    assert stat.S_IMODE(address.stat().st_mode) == 0o600
    port = json.loads(address.read_text())["port"]
    with pytest.raises(AuthenticationError):
        Client(("127.0.0.1", port), authkey=b"guess")
    with socket.create_connection(("127.0.0.1", port)) as rubbish:
        rubbish.sendall(os.urandom(200))
    assert pair[1].orders() == pair[0].orders()


def test_while_nobody_answers_it_says_so_and_goes_on_by_itself(board_backend: Any, tmp_path: Path) -> None:
    address = tmp_path / "derive.json"
    server = BackendServer(board_backend, address)
    broadcast = Broadcast()
    remote = RemoteBackend(address, broadcast)
    assert remote.start(lambda: None)
    assert remote.orders()
    server.close()
    with pytest.raises(Unavailable, match="cannot be reached"):
        remote.orders()
    assert remote.health()["ok"] is False
    assert remote.snapshot()["machines"], "pages still show what was seen last"
    seen = broadcast.tick.number if broadcast.tick else 0
    server = BackendServer(board_backend, address)
    deadline = time.monotonic() + 10
    while broadcast.tick is None or broadcast.tick.number <= seen:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert remote.orders() == board_backend.orders()
    remote.stop()
    server.close()


def test_it_waits_for_the_process_that_derives(board_backend: Any, tmp_path: Path) -> None:
    address = tmp_path / "derive.json"
    remote = RemoteBackend(address, Broadcast())
    started: list[BackendServer] = []
    assert remote.start(lambda: started.append(BackendServer(board_backend, address)))
    assert len(started) == 1 and remote.orders()
    remote.stop()
    started[0].close()


def test_a_port_that_somebody_else_has_taken_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = {"port": silent.getsockname()[1], "key": "00" * 32}
        (tmp_path / "derive.json").write_text(json.dumps(address))
        with pytest.raises(Unavailable, match="cannot be reached"):
            RemoteBackend(tmp_path / "derive.json", Broadcast()).orders()
