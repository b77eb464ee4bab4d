"""The MTConnect collector: follows one agent from sequence number to sequence number."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from collectors.connection import ConnectionLostError, keep_connected, up, utc_now
from collectors.held import Held
from collectors.mtconnect.agent import Agent, RefusedError, SilentError, UnreadableError
from collectors.mtconnect.document import DataItem, Header, Observation, Streams
from collectors.mtconnect.observed import Conditions, find_items, item_table, to_samples
from collectors.mtconnect.position import Position, load, save
from collectors.ports import Emit, SourceStatus
from collectors.samples import no_value
from plant.frames import BAD
from plant.model import Signal, Source

log = logging.getLogger(__name__)

MOST = 10_000
"""Observations asked for at a time."""
SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT = 0.1, 10.0
SAVE_EVERY = 1.0
"""Seconds between two notes of the position; what came after the last is taken again, with the same keys."""
TRIES = 3
"""So often the same documents are asked for when they cannot be read, before they are given up as a gap."""
UNAVAILABLE = "the agent says UNAVAILABLE"
SERIES = "a time series: the last value of each is taken"


class MtconnectCollector:
    """Collects one agent. What it has taken it remembers in the source's folder, after it is on disk."""

    def __init__(
        self, source: Source, signals: tuple[Signal, ...], options: Mapping[str, Any], folder: Path
    ) -> None:
        self.status = SourceStatus()
        self._source, self._signals, self._options = source, signals, options
        self._folder = folder / "sources" / source.id
        self._held = Held(signals, timedelta(seconds=options["heartbeat"]))
        self._position: Position | None = None
        self._saved: Position | None = None
        self._stream = bool(options["stream"])
        self._failed = 0
        """So often in a row what comes next was refused or could not be read."""
        self._refused: set[str] = set()
        self._untimed = 0

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled."""
        self._position = self._saved = load(self._folder, self._options["url"])
        try:
            await keep_connected(self.status, lambda: self._session(emit), self._held.lost, emit)
        finally:
            self._save()

    async def _session(self, emit: Emit) -> None:
        async with Agent(self._options["url"], self._options["device"]) as agent:
            session = _Session(self, agent, emit)
            try:
                await session.follow()
            except SilentError:
                self._stream = False  # something on the way keeps the answer back until it is whole
                raise
            except (RefusedError, UnreadableError):
                self._failed += session.asking
                raise
            finally:
                await asyncio.to_thread(self._save)

    def _save(self) -> None:
        if self._position is None or self._position == self._saved:
            return
        try:
            save(self._folder, self._position)
        except OSError as error:
            log.error("source %s: its position cannot be kept: %s", self._source.id, error)
        else:
            self._saved = self._position


class _Session:
    """One connection's work. A part of `MtconnectCollector`, which outlives it."""

    def __init__(self, owner: MtconnectCollector, agent: Agent, emit: Emit) -> None:
        self._owner, self._agent, self._emit = owner, agent, emit
        self._held, self._status = owner._held, owner.status
        self._conditions = Conditions()
        self._found: dict[str, list[Signal]] = {}
        self._table = item_table({})
        self._next = 0
        self._instance = 0
        self._settled = False
        self._save_at = 0.0
        self.asking = False
        """It has got as far as asking for what comes next."""

    async def follow(self) -> None:
        """Until the connection ends, by an exception."""
        devices = await self._agent.probe()
        await self._assign(devices.items)
        now = await self._agent.current()
        await self._begin(now)
        await asyncio.to_thread(self._owner._save)
        self.asking = True
        # An agent refuses more than its buffer has; 100 is what it takes when nothing is said.
        count = min(MOST, now.header.buffer or 100)
        about = f"agent {now.header.version}, instance {now.header.instance}"
        if self._owner._stream:
            heartbeat = self._owner._options["heartbeat"] or LONGEST_HEARTBEAT
            heartbeat = min(max(heartbeat, SHORTEST_HEARTBEAT), LONGEST_HEARTBEAT)
            interval = self._owner._options["interval"]
            async with self._agent.stream(self._next, count, interval, heartbeat, self._found) as parts:
                if parts is not None:
                    up(self._status, f"connected to {self._agent.url}, {about}")
                    await self._take_all(parts)
        self._owner._stream = False
        up(self._status, f"connected to {self._agent.url}, {about}; it is polled, as it does not stream")
        await self._take_all(self._polled(count))

    async def _polled(self, count: int) -> AsyncIterator[Streams]:
        while True:
            found = await self._agent.sample(self._next, count, self._found)
            yield found
            if found.header.next > found.header.last:
                await asyncio.sleep(self._owner._options["interval"])

    async def _assign(self, items: Sequence[DataItem]) -> None:
        """Find the signals' data items; those that have none are said to have no value, once."""
        found, refused = find_items(self._owner._signals, items)
        self._found, self._table = found, item_table(found)
        known = self._owner._refused
        news = [s for s in self._owner._signals if _key(s) in refused and _key(s) not in known]
        for key in known - refused.keys():
            self._status.bad.pop(key, None)
        self._status.bad |= refused
        self._owner._refused = set(refused)
        if news:
            await self._emit(no_value(news, utc_now()))

    async def _begin(self, now: Streams) -> None:
        """Go on where the last connection ended; where that cannot be, from the oldest the agent has."""
        header, position = now.header, self._owner._position
        created = _time(header.created) or utc_now()
        self._held.resumed()
        self._instance = header.instance
        if position is None:
            self._next, since = header.next, created
        elif reason := self._broken(header, position):
            self._next = header.next if self._owner._failed >= TRIES else header.first
            since = await self._oldest(header, created) if self._next < header.next else created
            # Clocks of agent and adapters may differ; a header's time is often cut to the second.
            latest = max(created, position.time) + timedelta(seconds=1)
            since = since if position.time <= since <= latest else latest
            log.warning("source %s: %s", self._owner._source.id, reason)
            await self._emit.gap(position.time, since, reason, [_key(s) for s in self._owner._signals])
            self._held.unrecovered()
            position = None
        else:
            self._next, since = position.next, position.time
        before = [o for o in now.observations if o.sequence < self._next and o.item in self._found]
        stood = self._samples(before)
        if position is not None:
            taken = pl.concat_str("equipment", "signal", separator=".").is_in(self._still(position))
            self._held.fill(stood.filter(taken))
            stood = stood.filter(~taken)
        await self._put(self._held.update(stood, created, initial=True))
        self._taken(self._next, since)

    def _still(self, position: Position) -> list[str]:
        """The signals that were taken from the same data items before."""
        return [key for key, item in self._assigned().items() if position.items.get(key) == item]

    def _assigned(self) -> dict[str, str]:
        return {_key(signal): item for item, signals in self._found.items() for signal in signals}

    def _broken(self, header: Header, position: Position) -> str:
        """Why it cannot go on at that position; empty when it can."""
        if header.instance != position.instance:
            return "the agent was started anew meanwhile; what it had kept is gone"
        if position.next > header.next:
            return "the agent counts from the beginning again; what it had kept is gone"
        if position.next < header.first:
            missing = header.first - position.next
            return f"{missing} observations had left the agent's buffer of {header.buffer} when it was asked again"
        if self._owner._failed >= TRIES:
            return f"what the agent has next could not be read {TRIES} times ({self._status.detail})"
        return ""

    async def _oldest(self, header: Header, otherwise: datetime) -> datetime:
        """The time of the oldest observation in the buffer."""
        try:
            found = await self._agent.sample(header.first, 1, None)
        except (RefusedError, UnreadableError):
            return otherwise
        times = [time for o in found.observations if (time := _time(o.time)) is not None]
        return min(times, default=otherwise)

    async def _take_all(self, parts: AsyncIterator[Streams]) -> None:
        async for part in parts:
            await self._take(part)

    async def _take(self, part: Streams) -> None:
        header = part.header
        if header.instance != self._instance or header.next < self._next or header.first > self._next:
            raise ConnectionLostError(f"{self._agent.url}: the agent does not go on where it was")
        created = _time(header.created) or utc_now()
        batch = self._samples([o for o in part.observations if o.sequence >= self._next])
        caught_up = header.next > header.last
        await self._put(self._held.update(batch, created, initial=not self._settled))
        self._taken(header.next, created)
        self._owner._failed = 0
        if (clock := asyncio.get_running_loop().time()) >= self._save_at:
            self._save_at = clock + SAVE_EVERY
            await asyncio.to_thread(self._owner._save)
        if not caught_up:
            return
        if not self._settled:
            self._settled = True
            # Nothing was missed over a loss that was said: what stood before it still stood.
            await self._put(self._held.recovered(utc_now()))
        await self._put(self._held.beat(created, utc_now()))

    def _taken(self, next_: int, time: datetime) -> None:
        """Everything before that sequence number is on disk."""
        self._next = next_
        self._owner._position = Position(self._agent.url, self._instance, next_, time, self._assigned())

    def _samples(self, observations: Sequence[Observation]) -> pl.DataFrame:
        batch, untimed = to_samples(observations, self._table, self._conditions, utc_now())
        if untimed:
            if not self._owner._untimed:
                log.warning("source %s: observations without a readable time", self._owner._source.id)
            self._owner._untimed += untimed
        self._show(observations, batch)
        return batch

    def _show(self, observations: Sequence[Observation], batch: pl.DataFrame) -> None:
        latest = batch.group_by(pl.concat_str("equipment", "signal", separator=".").alias("key")).agg(
            pl.col("value", "text", "quality").last()
        )
        for key, value, text, quality in latest.iter_rows():
            if value is None and text is None:
                self._status.bad[key] = UNAVAILABLE
            elif quality == BAD:
                self._status.bad[key] = "the agent says its value is invalid"
            else:
                self._status.bad.pop(key, None)
        for item in {o.item for o in observations if o.series}:
            self._status.notes |= dict.fromkeys((_key(s) for s in self._found[item]), SERIES)

    async def _put(self, batch: pl.DataFrame) -> None:
        if not batch.is_empty():
            await self._emit(batch)


def _key(signal: Signal) -> str:
    return f"{signal.equipment}.{signal.id}"


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
