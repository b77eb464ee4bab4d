"""The Sparkplug collector with an edge node of another maker (Eclipse Tahu's), beside the contract of all collectors."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from devices.mqtt import Publisher
from devices.sparkplug import DEVICE, GROUP, NODE, EdgeNode, Mosquitto
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from collectors.sparkplug import create
from collectors.sparkplug.listen import listen
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal, Source

pytestmark = pytest.mark.server
DEADLINE = 20.0
TABLE = {"numOfColumns": 1, "types": ["String"], "columns": ["a"], "rows": [["x"]]}
METRICS = (
    ("state", "Int32", 0), ("total", "UInt64", 0), ("temperature", "Double", 0.0), ("on", "Boolean", False),
    ("job/order", "String", ""), ("small", "Int8", 0), ("long", "Int64", 0), ("table", "DataSet", TABLE),
    ("Properties/Version", "String", "1.0", True),
)  # fmt: skip


class Taken:
    """An `Emit` that keeps what it took."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.gaps: list[tuple[datetime, datetime, str]] = []

    async def __call__(self, samples: pl.DataFrame) -> None:
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        self.gaps.append((first, last, why))

    def of(self, signal: str) -> list[tuple[float | str | None, int]]:
        rows = pl.concat([pl.DataFrame(schema=dict(SAMPLES)), *self.frames]).filter(
            pl.col("signal") == signal
        )
        return [(v if v is not None else t, q) for v, t, q in rows.select("value", "text", "quality").rows()]

    def times(self, signal: str) -> list[datetime]:
        return pl.concat(self.frames).filter(pl.col("signal") == signal)["time"].to_list()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


def signal(name: str, role: Role = Role.PROCESS_VALUE) -> Signal:
    place = f"{GROUP}/{NODE}" if name == "Properties/Version" else f"{GROUP}/{NODE}/{DEVICE}"
    return Signal(id=name, equipment="m", role=role, source="s", address=f"{place}#{name}")


@asynccontextmanager
async def plant(
    folder: Path, *signals: Signal, **options: object
) -> AsyncIterator[tuple[Mosquitto, EdgeNode, Any, Taken]]:
    """Broker, edge node and a collector that has heard its births."""
    broker = Mosquitto()
    await asyncio.to_thread(broker.start)
    node, taken = EdgeNode(broker.port, METRICS), Taken()
    source = Source(id="s", protocol="sparkplug", options=broker.options() | {"keep_alive": "2s"} | options)
    collector = create(source, signals, folder)
    task = asyncio.create_task(collector.run(taken))
    try:
        await asyncio.to_thread(node.start)
        await until(lambda: "rebirth" in node.events or taken.of(signals[0].id) != [])
        await until(lambda: taken.of(signals[0].id)[-1:] not in ([], [(None, BAD)]))
        yield broker, node, collector, taken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if node.runs:
            node.kill()
        broker.kill()


def now() -> datetime:
    said = datetime.now(UTC)
    return said.replace(microsecond=said.microsecond // 1000 * 1000)


def test_types_as_another_maker_writes_them(tmp_path: Path) -> None:
    names = [str(name) for name, *_ in METRICS if name != "table"]
    roles = {"job/order": Role.ORDER, "state": Role.STATE}
    values = {"state": -7, "total": 2**33, "temperature": -1.25, "on": True, "job/order": "0042 ä", "small": -128,
              "long": -(2**40)}  # fmt: skip

    async def main() -> None:
        signals = [signal(name, roles.get(name, Role.PROCESS_VALUE)) for name in names]
        async with plant(tmp_path, *signals, signal("table")) as (_, node, collector, taken):
            at = now()
            await asyncio.to_thread(node.put, at, values)
            await asyncio.to_thread(node.put, at + timedelta(seconds=1), {"total": 5}, compress=True)
            await until(lambda: (5.0, GOOD) in taken.of("total"))
            for name, value in values.items():
                assert (float(value) if not isinstance(value, str) else value, GOOD) in taken.of(name)
                assert at in taken.times(name)
            assert taken.of("Properties/Version")[0] == ("1.0", GOOD)
            assert "DataSet" in collector.status.bad["m.table"] and list(collector.status.bad) == ["m.table"]

    asyncio.run(main())


def test_deaths_and_births_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with plant(tmp_path, signal("state", Role.STATE), heartbeat="200ms") as (
            _,
            node,
            collector,
            taken,
        ):
            await asyncio.to_thread(node.put, now(), {"state": 6})
            await until(lambda: taken.of("state").count((6.0, GOOD)) >= 3)
            await asyncio.to_thread(node.tell, death="device")
            await until(lambda: taken.of("state")[-1] == (None, BAD))
            assert "is gone" in collector.status.bad["m.state"]
            await asyncio.sleep(0.5)
            assert taken.of("state")[-1] == (None, BAD)  # nothing is said again of what is gone
            await asyncio.to_thread(node.tell, birth=True)
            await until(lambda: taken.of("state")[-1] == (6.0, GOOD))
            assert collector.status.bad == {}
            await asyncio.to_thread(node.kill)
            await until(lambda: taken.of("state")[-1] == (None, BAD))
            assert f"not there: {GROUP}/{NODE}" in collector.status.detail
            await asyncio.to_thread(node.start)
            await until(lambda: taken.of("state")[-1] == (0.0, GOOD))

    asyncio.run(main())


def test_a_lost_message_is_a_gap_and_a_rebirth(tmp_path: Path) -> None:
    async def main() -> None:
        async with plant(tmp_path, signal("state", Role.STATE), reorder_timeout="300ms") as (
            _,
            node,
            _,
            taken,
        ):
            await asyncio.to_thread(node.put, now(), {"state": 6})
            await until(lambda: (6.0, GOOD) in taken.of("state"))
            asked = node.events.count("rebirth")
            await asyncio.to_thread(node.tell, skip=2)
            await asyncio.to_thread(node.put, now(), {"state": 7})
            await until(lambda: (7.0, GOOD) in taken.of("state") and len(taken.gaps) == 1)
            assert "2 messages" in taken.gaps[0][2]
            await until(lambda: node.events.count("rebirth") == asked + 1)
            await asyncio.to_thread(node.put, now(), {"state": 8})
            await until(lambda: (8.0, GOOD) in taken.of("state"))
            assert len(taken.gaps) == 1

    asyncio.run(main())


def test_historical_values_arrive_late_with_their_own_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with plant(tmp_path, signal("state", Role.STATE), heartbeat="200ms") as (_, node, _, taken):
            await asyncio.to_thread(node.put, now(), {"state": 6})
            old = now() - timedelta(hours=3)
            await asyncio.to_thread(node.put, old, {"state": 3}, historical=True)
            await until(lambda: (3.0, GOOD) in taken.of("state"))
            assert taken.times("state")[taken.of("state").index((3.0, GOOD))] == old
            assert (
                taken.of("state").count((3.0, GOOD)) == 1
            )  # and nothing that was said since is changed by it
            seen = len(taken.of("state"))
            await until(lambda: len(taken.of("state")) >= seen + 3)
            assert {value for value, _ in taken.of("state")[seen:]} == {6.0}

    asyncio.run(main())


def test_payloads_of_noise_disturb_nothing(tmp_path: Path) -> None:
    chance = random.Random(1)

    async def main() -> None:
        async with plant(tmp_path, signal("state", Role.STATE)) as (_, node, collector, taken):
            for _ in range(200):
                await asyncio.to_thread(node.raw, chance.randbytes(chance.randrange(60)), "DDATA")
            await asyncio.to_thread(node.put, now(), {"state": 9})
            await until(lambda: (9.0, GOOD) in taken.of("state"))
            assert collector.status.connected and "could not be read" in collector.status.detail

    asyncio.run(main())


def test_nodes_see_whether_their_primary_host_is_there(tmp_path: Path) -> None:
    said: list[dict[str, object]] = []

    def note(_c: object, _u: object, message: Any) -> None:
        said.append(json.loads(message.payload))

    async def main() -> None:
        options = {"host_id": "lineside"}
        async with plant(tmp_path, signal("state", Role.STATE), **options) as (broker, _, collector, taken):
            watcher = Client(CallbackAPIVersion.VERSION2)
            watcher.username_pw_set("tester", "a-password-of-the-tests")
            watcher.on_message = note
            watcher.connect("127.0.0.1", broker.port)
            watcher.subscribe("spBv1.0/STATE/lineside", 1)
            watcher.loop_start()
            await until(lambda: len(said) == 1)
            assert said[0]["online"] is True and isinstance(said[0]["timestamp"], int)
            other = Publisher(broker.port)  # a will of an earlier connection comes late
            await asyncio.to_thread(other.start)
            late = '{"online": false, "timestamp": 1}'
            await asyncio.to_thread(other.put, "spBv1.0/STATE/lineside", late, 1, True)
            await until(lambda: said[-1]["online"] is True and len(said) >= 3)
            await asyncio.to_thread(other.stop)
            assert taken.gaps == [] and collector.status.connected
            watcher.loop_stop()
            watcher.loop_start()
            seen = len(said)
            collector_task = next(
                t for t in asyncio.all_tasks() if "SparkplugCollector.run" in repr(t.get_coro())
            )
            collector_task.cancel()
            await until(lambda: len(said) > seen)
            assert said[-1]["online"] is False
            watcher.disconnect()
            watcher.loop_stop()

    asyncio.run(main())


def test_listening_shows_nodes_devices_and_metrics(tmp_path: Path) -> None:
    async def main() -> None:
        async with plant(tmp_path, signal("state", Role.STATE)) as (broker, node, _, _):
            listening = asyncio.create_task(listen(broker.options(), seconds=2.0))
            await asyncio.sleep(0.5)
            await asyncio.to_thread(node.put, now(), {"state": 4})
            found = {metric.address: metric for metric in await listening}
            state = found[f"{GROUP}/{NODE}/{DEVICE}#state"]
            assert state.datatype == "Int32" and [value for _, value in state.values][-1] == 4
            assert f"{GROUP}/{NODE}#Properties/Version" in found
            assert found[f"{GROUP}/{NODE}/{DEVICE}#table"].datatype == "DataSet"

    asyncio.run(main())
