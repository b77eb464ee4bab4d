"""An MTConnect agent that is cut off, restarted, overrun or broken: nothing is lost unrecorded, nothing invented."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from devices.mtconnect import Agent, Item

from collectors.mtconnect import create
from collectors.mtconnect.agent import probe
from collectors.mtconnect.client import MtconnectCollector
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal, Source

DEADLINE = 30.0
ITEMS = (
    Item("l-1", "execution"),
    Item("l-2", "parts", type="PART_COUNT"),
    Item("l-3", "system", "CONDITION", "SYSTEM"),
    Item("l-4", "load", "SAMPLE", "LOAD", "PERCENT"),
)
SIGNALS = (
    Signal(id="state", equipment="m", role=Role.STATE, source="s", address="execution"),
    Signal(id="good", equipment="m", role=Role.GOOD, source="s", address="l-2"),
    Signal(id="alarm", equipment="m", role=Role.ALARM, source="s", address="Lathe:system"),
)


class Kept:
    """An `Emit` that keeps what it acknowledged; `hold`: it acknowledges nothing."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.gaps: list[tuple[datetime, datetime, str]] = []
        self.hold = False

    async def __call__(self, samples: pl.DataFrame) -> None:
        while self.hold:
            await asyncio.sleep(0.01)
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        assert first <= last and set(signals) == {f"m.{s.id}" for s in SIGNALS}
        self.gaps.append((first, last, why))

    def stored(self, signal: str) -> list[tuple[datetime, float | None, str | None, int]]:
        """As the historian has it: per time what came last."""
        everything = pl.concat([pl.DataFrame(schema=dict(SAMPLES)), *self.frames])
        mine = everything.filter(pl.col("signal") == signal).unique("time", keep="last", maintain_order=True)
        return mine.sort("time").select("time", "value", "text", "quality").rows()

    def numbers(self) -> list[float]:
        return [value for _, value, _, _ in self.stored("good") if value is not None]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def collecting(
    agent: Agent, folder: Path, kept: Kept, kill: bool = False, **options: object
) -> AsyncIterator[MtconnectCollector]:
    """`kill`: what it would do at its end is not done."""
    given = {"url": f"http://127.0.0.1:{agent.port}", "interval": "10ms", "heartbeat": "0s"} | options
    collector = create(Source(id="s", protocol="mtconnect", options=given), SIGNALS, folder)
    task = asyncio.create_task(collector.run(kept))
    try:
        yield collector
    finally:
        if kill:
            collector._save = lambda: None  # type: ignore[method-assign]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def started(**given: Any) -> AsyncIterator[Agent]:
    agent = Agent(given.pop("items", ITEMS), **given)
    await agent.start()
    try:
        yield agent
    finally:
        await agent.stop()


class Clock:
    """Times that never repeat, as an adapter stamps them."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        self.now = max(self.now + timedelta(microseconds=1), datetime.now(UTC))
        return self.now


def count(agent: Agent, clock: Clock, first: int, last: int) -> None:
    for number in range(first, last + 1):
        agent.put("l-2", str(number), clock())


@pytest.mark.parametrize("streams", [True, False], ids=["streamed", "polled"])
def test_everything_arrives_once_and_in_order(tmp_path: Path, streams: bool) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        given = {"streams": streams, "size": 200, "piece": 37}
        async with started(**given) as agent, collecting(agent, tmp_path, kept) as collector:
            await until(lambda: collector.status.connected)
            for first in range(1, 401, 100):
                count(agent, clock, first, first + 99)
                await until(lambda: kept.numbers()[-1:] == [first + 99.0])  # noqa: B023
            assert ("polled" in collector.status.detail) is not streams
            assert collector.status.bad == {
                "m.state": "the agent says UNAVAILABLE",
                "m.alarm": "the agent says UNAVAILABLE",
            }
        assert kept.numbers() == [float(n) for n in range(1, 401)] and kept.gaps == []

    asyncio.run(main())


def test_an_outage_shorter_than_the_buffer_loses_nothing_and_what_stood_is_known_to_have_stood(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        async with started() as agent, collecting(agent, tmp_path, kept) as collector:
            await until(lambda: collector.status.connected)
            agent.put("l-1", "ACTIVE", clock())
            count(agent, clock, 1, 10)
            await until(lambda: len(kept.numbers()) == 10)
            await agent.stop()
            await until(lambda: kept.stored("state")[-1][3] == BAD)
            assert collector.status.detail
            count(agent, clock, 11, 60)
            await agent.start()
            await until(lambda: kept.numbers()[-1:] == [60.0])
            await until(lambda: kept.stored("state")[-1][2:] == ("ACTIVE", GOOD))
        assert list(dict.fromkeys(kept.numbers())) == [float(n) for n in range(1, 61)]
        assert kept.gaps == []

    asyncio.run(main())


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_restart_of_the_collector_loses_nothing(tmp_path: Path, kill: bool) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        async with started() as agent:
            async with collecting(agent, tmp_path, kept, kill):
                await until(lambda: (tmp_path / "sources" / "s" / "position.json").exists())
                count(agent, clock, 1, 5)
                await until(lambda: kept.numbers()[-1:] == [5.0])
                kept.hold = True  # what comes now is never acknowledged
                count(agent, clock, 6, 9)
                await asyncio.sleep(0.2)
            kept.hold = False
            count(agent, clock, 10, 20)
            async with collecting(agent, tmp_path, kept):
                await until(lambda: kept.numbers()[-1:] == [20.0])
        assert kept.numbers() == [float(n) for n in range(1, 21)] and kept.gaps == []

    asyncio.run(main())


def test_an_outage_longer_than_the_buffer_is_a_gap_and_the_rest_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        async with started(size=20) as agent:
            async with collecting(agent, tmp_path, kept) as collector:
                await until(lambda: collector.status.connected)
                count(agent, clock, 1, 5)
                await until(lambda: kept.numbers()[-1:] == [5.0])
            count(agent, clock, 6, 100)
            async with collecting(agent, tmp_path, kept):
                await until(lambda: kept.numbers()[-1:] == [100.0])
        assert kept.numbers() == [1, 2, 3, 4, 5, *range(81, 101)]
        ((_, last, why),) = kept.gaps
        assert "75 observations" in why and last >= kept.stored("good")[5][0]

    asyncio.run(main())


@pytest.mark.parametrize("further", [0, 40], ids=["fewer", "more observations than before"])
def test_an_agent_started_anew_is_a_gap_and_its_new_buffer_is_read_whole(
    tmp_path: Path, further: int
) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        async with started() as agent, collecting(agent, tmp_path, kept) as collector:
            await until(lambda: collector.status.connected)
            count(agent, clock, 1, 20)
            await until(lambda: kept.numbers()[-1:] == [20.0])
            await agent.stop()
            agent.boot()
            count(agent, clock, 21, 30 + further)
            await agent.start()
            await until(lambda: kept.numbers()[-1:] == [30.0 + further])
        assert kept.numbers() == [float(n) for n in range(1, 31 + further)]
        ((_, _, why),) = kept.gaps
        assert "started anew" in why

    asyncio.run(main())


def test_a_new_signal_gets_its_standing_value_and_the_others_are_not_said_again(tmp_path: Path) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        async with started() as agent:
            agent.put("l-1", "ACTIVE", clock())
            agent.put("l-4", "33", clock())
            async with collecting(agent, tmp_path, kept) as collector:
                await until(lambda: collector.status.connected)
            said = len(kept.frames)
            more = Signal(id="load", equipment="m", role=Role.PROCESS_VALUE, source="s", address="load")
            options = {"url": f"http://127.0.0.1:{agent.port}", "heartbeat": "0s"}
            source = Source(id="s", protocol="mtconnect", options=options)
            task = asyncio.create_task(create(source, (*SIGNALS, more), tmp_path).run(kept))
            await until(lambda: kept.stored("load"))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        again = pl.concat(kept.frames[said:])
        assert again.select("signal", "value").rows() == [("load", 33.0)]

    asyncio.run(main())


def test_what_cannot_be_read_is_a_gap_after_three_tries_and_then_it_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        async with started() as agent, collecting(agent, tmp_path, kept) as collector:
            await until(lambda: collector.status.connected)
            count(agent, clock, 1, 3)
            await until(lambda: kept.numbers()[-1:] == [3.0])
            agent.put("l-4", "", clock(), inner="<unclosed>")
            agent.put("l-4", "5", clock())
            await until(lambda: kept.gaps)
            await until(lambda: collector.status.connected)
            count(agent, clock, 4, 6)
            await until(lambda: kept.numbers()[-1:] == [6.0])
        assert kept.numbers() == [float(n) for n in range(1, 7)]
        ((_, _, why),) = kept.gaps
        assert "could not be read 3 times" in why and "no readable XML" in why

    asyncio.run(main())


def test_an_alarm_has_its_words_and_a_wrong_position_file_starts_with_the_newest(tmp_path: Path) -> None:
    async def main() -> None:
        clock, kept = Clock(), Kept()
        file = tmp_path / "sources" / "s" / "position.json"
        file.parent.mkdir(parents=True)
        file.write_text("{nonsense")
        async with started() as agent:
            agent.put("l-3", "FAULT", clock(), text="coolant low", nativeCode="E1")
            async with collecting(agent, tmp_path, kept):
                await until(lambda: kept.stored("alarm"))
                await until(lambda: file.read_text() != "{nonsense")
            assert kept.stored("alarm")[-1][2] == "FAULT E1 coolant low" and kept.gaps == []
            assert json.loads(file.read_text())["instance"] == agent.instance
            items = await probe(f"http://127.0.0.1:{agent.port}/")
            assert [(i.id, i.type, i.category, i.units) for i in items][-1] == (
                "l-4",
                "LOAD",
                "SAMPLE",
                "PERCENT",
            )

    asyncio.run(main())


def test_a_proxy_that_holds_the_stream_back_is_polled_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(
        self: Agent, writer: asyncio.StreamWriter, asked: dict[str, str], only: str | None
    ) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed;boundary=x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await asyncio.sleep(3600)

    monkeypatch.setattr(Agent, "_stream", silent)
    monkeypatch.setattr("collectors.mtconnect.agent.SILENCE", 0.2)

    async def main() -> None:
        clock, kept = Clock(), Kept()
        async with started() as agent, collecting(agent, tmp_path, kept, heartbeat="100ms") as collector:
            await until(lambda: any("sample" in r for r in agent.requests))
            count(agent, clock, 1, 5)
            await until(lambda: kept.numbers()[-1:] == [5.0])
            assert "polled" in collector.status.detail
        assert kept.gaps == []

    asyncio.run(main())


RECORDING = Path(__file__).parents[1] / "unit" / "data" / "nist_mazak_excerpt.txt"


def test_a_recorded_machine_gives_the_same_samples_as_its_adapter_lines(tmp_path: Path) -> None:
    """NIST's Mazak, replayed through the agent: what arrives is what the SHDR lines say."""
    from collectors.shdr import decode, samples

    lines = RECORDING.read_bytes()
    records, _ = decode(lines)
    names = sorted({name for name in records["item"].unique() if re.fullmatch(r"\w+", name)})
    made = [Item(f"id-{name}", name, "SAMPLE", "LOAD") for name in names]
    signals = tuple(
        Signal(id=name, equipment="m", role=Role.PROCESS_VALUE, source="s", address=name) for name in names
    )
    good = records.filter(pl.col("item").is_in(names) & pl.col("detail").is_null())

    async def main() -> pl.DataFrame:
        kept = Kept()
        async with started(items=made, size=100_000) as agent:
            options = {"url": f"http://127.0.0.1:{agent.port}", "heartbeat": "0s", "interval": "10ms"}
            collector = create(Source(id="s", protocol="mtconnect", options=options), signals, tmp_path)
            task = asyncio.create_task(collector.run(kept))
            await until(lambda: collector.status.connected)
            begun = len(kept.frames)
            for time, item, value in good.select("time", "item", "value").iter_rows():
                agent.put(f"id-{item}", "UNAVAILABLE" if value is None else value, time)
            await until(lambda: sum(f.height for f in kept.frames[begun:]) >= good.height)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return pl.concat(kept.frames[begun:])

    key = ["signal", "time", "value", "text", "quality"]
    expected = samples(good, signals, datetime.now(UTC))
    assert good.height >= 9 and good["value"].null_count()
    assert asyncio.run(main()).select(key).rows() == expected.select(key).rows()
