"""The fan-out of the live board: differences, late viewers, closing."""

import asyncio
import gzip
import threading
from typing import Any

import orjson
import pytest

from dashboards.live import Broadcast, difference


def board(revision: int, **changes: Any) -> Any:
    machines = [{"id": "a", "good": 1}, {"id": "b", "good": 2}]
    return {
        "revision": revision,
        "time": f"t{revision}",
        "good": 3,
        "machines": machines,
        "alerts": [],
    } | changes


def apply(old: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """What assets/stream.js does with a delta."""
    new = {**old, **{k: v for k, v in delta.items() if k != "base"}}
    for key in ("machines", "alerts"):
        items = {item["id"]: item for item in old[key]}
        for item in delta.get(key, {"changed": []})["changed"]:
            items[item["id"]] = items.get(item["id"], {}) | item
        new[key] = [items[i] for i in delta.get(key, {}).get("order", list(items))]
    return new


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"good": 4},
        {"machines": [{"id": "a", "good": 1}, {"id": "b", "good": 5}]},
        {"machines": [{"id": "b", "good": 2}]},
        {"machines": [{"id": "b", "good": 2}, {"id": "c", "good": 0}, {"id": "a", "good": 1}]},
        {"alerts": [{"id": "x", "state": "unacknowledged"}]},
    ],
)
def test_a_difference_turns_the_old_board_into_the_new(changes: dict[str, Any]) -> None:
    old, new = board(1), board(2, **changes)
    assert apply(old, difference(old, new)) == new


def test_a_quiet_tick_is_small() -> None:
    assert difference(board(1), board(2)) == {"base": 1, "revision": 2, "time": "t2"}


def test_of_a_machine_only_what_changed_is_sent() -> None:
    new = board(2, machines=[{"id": "a", "good": 1}, {"id": "b", "good": 5, "name": "B"}])
    old = board(1, machines=[{"id": "a", "good": 1}, {"id": "b", "good": 4, "name": "B"}])
    assert difference(old, new)["machines"] == {"changed": [{"id": "b", "good": 5}]}


async def _events(stream: Any, count: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    async for chunk in stream:
        if chunk.startswith(b"event: "):
            name, data = chunk.decode().split("\n")[:2]
            found.append((name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
        if len(found) == count:
            break
    return found


def test_a_viewer_gets_the_whole_then_differences() -> None:
    async def run() -> list[tuple[str, Any]]:
        broadcast = Broadcast()
        broadcast.publish(board(1))
        stream = broadcast.stream()
        first = await _events(stream, 1)
        threading.Thread(target=broadcast.publish, args=(board(2, good=9),)).start()
        return first + await asyncio.wait_for(_events(stream, 1), 5)

    whole, delta = asyncio.run(run())
    assert whole == ("full", board(1))
    assert delta[0] == "delta"
    assert delta[1]["good"] == 9 and "machines" not in delta[1]


def test_a_viewer_that_missed_ticks_gets_the_whole() -> None:
    async def run() -> tuple[str, Any]:
        broadcast = Broadcast()
        broadcast.publish(board(1))
        stream = broadcast.stream()
        await _events(stream, 1)
        broadcast.publish(board(2))
        broadcast.publish(board(3))
        return (await _events(stream, 1))[0]

    assert asyncio.run(run()) == ("full", board(3))


def test_closing_ends_streams_and_forgets_viewers() -> None:
    async def run() -> int:
        broadcast = Broadcast()

        async def watch() -> None:
            async for _ in broadcast.stream():
                pass

        viewer = asyncio.create_task(watch())
        while not broadcast.viewers:
            await asyncio.sleep(0)
        broadcast.close()
        await asyncio.wait_for(viewer, 5)
        return broadcast.viewers

    assert asyncio.run(run()) == 0


def test_silence_is_filled_with_comments() -> None:
    async def run() -> list[bytes]:
        found: list[bytes] = []
        async for chunk in Broadcast().stream(keepalive=0.01):
            found.append(chunk)
            if len(found) == 2:
                break
        return found

    assert asyncio.run(run())[1].startswith(b":")


def test_etag_follows_the_content() -> None:
    broadcast = Broadcast()
    broadcast.publish(board(1))
    first = broadcast.tick
    broadcast.publish(board(1))
    second = broadcast.tick
    broadcast.publish(board(2))
    assert first and second and broadcast.tick
    assert first.etag == second.etag != broadcast.tick.etag
    assert orjson.loads(gzip.decompress(first.packed)) == board(1)
