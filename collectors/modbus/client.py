"""The Modbus collector: groups of signals, each polled on a schedule that does not drift."""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from collectors.connection import ConnectionLostError, keep_connected, up, utc_now
from collectors.held import SAME_CLOCK
from collectors.modbus.address import ByteOrder, Wanted, parse
from collectors.modbus.decode import Plan
from collectors.modbus.frame import Columns
from collectors.modbus.link import Link
from collectors.modbus.outgoing import Outgoing
from collectors.modbus.polled import Polled
from collectors.modbus.reading import Reading, Round
from collectors.ports import Emit, SourceStatus
from collectors.samples import TEXT_ROLES, no_value
from plant.frames import TIME
from plant.model import Signal

log = logging.getLogger(__name__)

RETRY_ADDRESSES = 60.0
"""Seconds until an address the device refused is asked for again."""
FIRST_CLOCK_MS = 100_000_000_000
"""A device clock before 1973 was never set."""
MOMENT = timedelta(microseconds=1)
AWAY = "nothing was polled while the device was away; Modbus keeps nothing"
SPOOL = "nothing was polled while the spool took nothing"
STOPPED = "nothing was polled while the collector was stopped"
SETTLE = 1.0
"""Seconds to wait at the end for what is on its way to disk."""


@dataclass(slots=True)
class _Group:
    """Signals polled together."""

    every: float
    indices: tuple[int, ...]
    time: datetime | None = None
    """Of its newest samples."""
    plan: Plan | None = None
    columns: Columns | None = None


class ModbusCollector:
    """Collects one device, or the units behind one gateway. Every poll gives a sample per signal; what was not polled
    is not known, and recorded as a gap.

    `options` and `collect` (one per signal) as `collectors.modbus` reads them; `folder` is the source's own.
    """

    def __init__(
        self,
        signals: tuple[Signal, ...],
        options: Mapping[str, Any],
        collect: Sequence[Mapping[str, Any]],
        folder: Path,
        retry_addresses: float = RETRY_ADDRESSES,
    ) -> None:
        self.status = SourceStatus()
        self._signals, self._options, self._retry = signals, options, retry_addresses
        self._keys = [f"{s.equipment}.{s.id}" for s in signals]
        self._wanted = _wanted(signals, options, collect)
        self._missing: dict[int, tuple[datetime | None, str]] = dict.fromkeys(range(len(signals)), (None, ""))
        """Signals without a value now: the time of the last they had in this run, and why there is none."""
        self._newest: datetime | None = None
        self._same_clock = True
        self._groups = _by_period(options["poll"], collect)
        self._outgoing = Outgoing()
        self._polled = Polled(folder)

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled."""
        if not self._polled.until:
            self._polled.load()
            for group in self._groups:
                group.time = self._polled.until.get(group.every)
                self._missing |= dict.fromkeys(group.indices, (group.time, STOPPED if group.time else ""))
        try:
            await keep_connected(self.status, lambda: self._session(emit), self._lost, emit)
        finally:
            await self._outgoing.settle(SETTLE)
            if self._polled.until:
                await asyncio.to_thread(self._polled.save)

    async def _session(self, emit: Emit) -> None:
        options = self._options
        link = Link(options["host"], options["port"], options["framing"], options["timeout"])
        await link.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                for group in self._groups:
                    tasks.create_task(self._poll(link, group, emit))
        except ExceptionGroup as failed:
            lost, others = failed.split(ConnectionLostError)
            if lost is None or others is not None:
                raise
            raise ConnectionLostError(str(lost.exceptions[0])) from failed
        finally:
            link.close()
            for group in self._groups:
                self._miss(group.indices, group.time, AWAY)

    async def _poll(self, link: Link, group: _Group, emit: Emit) -> None:
        """Poll one group for ever, at multiples of its period; a poll that would come too late is left out."""
        clock, where = asyncio.get_running_loop().time, f"{self._options['host']}:{self._options['port']}"
        reading = self._reading(link, group)
        start, done, device_time = clock(), 0, None
        while True:
            got = await reading.round()
            now = utc_now()
            if got.alive:
                up(self.status, f"polling {where}")
            elif clock() - link.answered >= self._options["timeout"]:
                why = next(iter(got.failed.values()), "no answer")
                raise ConnectionLostError(f"{where} does not answer ({why})")
            if refused := reading.learned.refused.get(len(self._signals)):
                raise ConnectionLostError(f'the device clock (option "clock") cannot be read: {refused}')
            self._say_failed(group, got, now, emit)
            self._miss(got.waiting, group.time, "")
            self.status.overruns += bool(got.waiting)
            if (found := self._decoded(got, group, now)) is not None and found[0] != device_time:
                device_time = found[0]
                self._take(group, *found, emit)
            if await self._outgoing.room():
                self._miss(group.indices, group.time, SPOOL)
            due = max(done + 1, math.ceil((clock() - start) / group.every))
            self.status.overruns += due - done - 1
            done = due
            await asyncio.sleep(start + done * group.every - clock())

    def _reading(self, link: Link, group: _Group) -> Reading:
        clock = range(len(self._signals), len(self._wanted))
        return Reading(
            link,
            self._wanted,
            (*group.indices, *clock),
            max_gap=self._options["max_gap"],
            max_block=self._options["max_block"],
            timeout=self._options["timeout"],
            every=group.every,
            retry=self._retry,
        )

    def _decoded(
        self, got: Round, group: _Group, now: datetime
    ) -> tuple[datetime, Collection[int], pl.DataFrame] | None:
        """The time of the values, the signals that have one, and their samples; None: there are none.

        Without a clock that is now: a moment nobody can know better.
        """
        assert got.plan is not None
        if group.plan is not got.plan or group.columns is None:
            group.plan, group.columns = got.plan, Columns(self._signals, got.plan.indices)
        numbers, texts = got.plan.decode(got.answers)
        clock, time = len(self._signals), now
        if self._options["clock"] is not None:
            if clock not in got.plan.indices:
                return None
            time = self._device_time(float(numbers[got.plan.indices == clock][0]))
        samples = group.columns.samples(numbers, texts, time, now)
        return (time, group.columns.indices, samples) if group.columns.indices else None

    def _device_time(self, milliseconds: float) -> datetime:
        if FIRST_CLOCK_MS <= milliseconds < 100 * FIRST_CLOCK_MS:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        raise ConnectionLostError(
            f'the device clock (option "clock") says {milliseconds:.0f}; set the device\'s time'
        )

    def _take(
        self, group: _Group, time: datetime, indices: Collection[int], samples: pl.DataFrame, emit: Emit
    ) -> None:
        """Samples of one moment go to disk, and what ended with them is recorded."""
        if self._missing:
            self._back(group, [index for index in self._missing if index in indices], time, emit)
        group.time = time
        self._newest = max(time, self._newest or time)
        self._same_clock = abs(time - utc_now()) <= SAME_CLOCK
        self._outgoing.start(self._store(group.every, time, samples, emit), samples.height)

    async def _store(self, every: float, time: datetime, samples: pl.DataFrame, emit: Emit) -> None:
        await emit(samples)
        await self._polled.stored(every, time)

    def _say_failed(self, group: _Group, got: Round, now: datetime, emit: Emit) -> None:
        """Signals without a value are said so once, and are in `status.bad` until they have one again."""
        failed, clock = got.failed, len(self._signals)
        if clock in failed:
            why = f'the device clock (option "clock") cannot be read: {failed[clock]}'
            failed = dict.fromkeys(group.indices, why)
        said = []
        for index, why in failed.items():
            key = self._keys[index]
            if key not in self.status.bad:
                said.append(index)
                log.warning("%s: %s", key, why)
            self.status.bad[key] = why
        for index in said:
            self._miss([index], group.time, self.status.bad[self._keys[index]])
        if said:
            bad = self._no_value([self._signals[index] for index in said], now)
            self._outgoing.start(emit(bad), bad.height)

    def _back(self, group: _Group, indices: Iterable[int], time: datetime, emit: Emit) -> None:
        """Signals have a value again: what they said since the last one is lost, unless it was a poll or two."""
        lost: dict[tuple[datetime, str], list[str]] = defaultdict(list)
        for index in indices:
            last, why = self._missing.pop(index, (None, ""))
            self.status.bad.pop(self._keys[index], None)
            quick = timedelta(seconds=2 * group.every) if why == STOPPED else MOMENT
            if why and last is not None and last + quick < time:
                lost[last, why].append(self._keys[index])
        for (last, why), keys in lost.items():
            self._outgoing.start(emit.gap(last + MOMENT, time - MOMENT, why, keys), 0)

    def _miss(self, indices: Iterable[int], since: datetime | None, why: str) -> None:
        """Signals have no value since then; `why` "": a poll or two, which is no gap yet."""
        for index in indices:
            if index < len(self._signals):
                began, reason = self._missing.setdefault(index, (since, why))
                self._missing[index] = (began, reason or why)

    def _lost(self, now: datetime) -> pl.DataFrame:
        return self._no_value(self._signals, now)

    def _no_value(self, signals: Sequence[Signal], now: datetime) -> pl.DataFrame:
        """BAD samples after all there ever were, on the samples' clock: where that is not ours, just after the newest."""
        time = now
        if self._newest is not None:
            time = max(now, self._newest + MOMENT) if self._same_clock else self._newest + MOMENT
        return no_value(signals, time).with_columns(pl.lit(now).cast(TIME).alias("received"))


def _wanted(
    signals: Sequence[Signal], options: Mapping[str, Any], collect: Sequence[Mapping[str, Any]]
) -> list[Wanted]:
    """What to read: the signals, then the clock if there is one."""
    order: ByteOrder = options["byte_order"] or ("CDAB" if options["word_order"] == "little" else "ABCD")
    found = [
        Wanted(
            options["unit"] if own["unit"] is None else own["unit"],
            parse(signal.address),
            own["byte_order"] or order,
            signal.role in TEXT_ROLES,
        )
        for signal, own in zip(signals, collect, strict=True)
    ]
    if options["clock"] is not None:
        found.append(Wanted(options["unit"], parse(options["clock"]), order))
    return found


def _by_period(every: float, collect: Sequence[Mapping[str, Any]]) -> list[_Group]:
    periods: dict[float, list[int]] = defaultdict(list)
    for index, own in enumerate(collect):
        periods[own["poll"] or every].append(index)
    return [_Group(period, tuple(indices)) for period, indices in sorted(periods.items())] or [
        _Group(every, ())
    ]
