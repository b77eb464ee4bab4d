"""What the parts of one source's collector share, over all its connections."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from collectors.held import Held
from collectors.opcua.connect import Link
from collectors.opcua.notifications import Handles, handles
from collectors.opcua.shown import Shown
from collectors.opcua.state import Hole, State, Store, Subscription
from collectors.opcua.wanted import Wanted
from collectors.ports import Emit, SourceStatus
from plant.model import Signal


@dataclass(slots=True)
class Context:
    """One source. Signals are named "equipment.signal"."""

    signals: Mapping[str, Signal]
    wants: Mapping[str, Wanted]
    options: Mapping[str, Any]
    link: Link
    store: Store
    state: State
    held: Held
    status: SourceStatus
    shown: Shown
    emit: Emit
    by_handle: dict[int, Signal] = field(default_factory=dict)
    table: Handles = field(default_factory=lambda: handles({}))
    """`by_handle` as `to_frame` takes it."""
    _saving: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def proof(self) -> float:
        """Seconds within which the server has to show that it is alive."""
        return float(self.options["heartbeat"] or 5.0)

    def know_handles(self) -> None:
        """Notifications are told apart by `by_handle` as it is now."""
        self.table = handles(self.by_handle)

    async def save(self) -> None:
        """`state` is on disk when it returns, also when it is cancelled meanwhile."""
        writing = asyncio.create_task(self._write(), name="state of a source")
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    async def _write(self) -> None:
        async with self._saving:
            await asyncio.to_thread(self.store.save, *self.store.written(self.state))
        self.store.taken(self.state.subscriptions.values())  # messages may have come meanwhile

    async def put(self, samples: pl.DataFrame) -> None:
        """On disk when it returns."""
        if not samples.is_empty():
            await self.emit(samples)

    def keys(self, subscription: Subscription) -> set[str]:
        """The signals that come with it."""
        return {item.wanted.key for item in subscription.items.values()} & self.signals.keys()

    def open_holes(self) -> set[str]:
        """Signals of which samples have been missing since a time, with no end yet."""
        return {key for hole in self.state.holes if hole.last is None for key in hole.signals}

    def give_up(self, subscription: Subscription, why: str) -> None:
        """A subscription is no more: what came since its last message is missing, until a first value comes."""
        del self.state.subscriptions[subscription.id]
        keys = tuple(sorted(self.keys(subscription) - self.open_holes()))
        if keys and subscription.taken is not None:
            self.state.holes.append(Hole(subscription.taken, None, why, keys))

    def missed(self, signals: Collection[str], first: datetime, last: datetime, why: str) -> None:
        """Samples of these signals between these times may be missing; `state` is to be saved."""
        hole = Hole(min(first, last), last, why, tuple(sorted(signals)))
        for place, other in enumerate(self.state.holes):
            same = (other.signals, other.why) == (hole.signals, why)
            if same and other.last is not None and other.first <= hole.first <= other.last:
                self.state.holes[place] = replace(other, last=max(other.last, last))
                return
        if signals:
            self.state.holes.append(hole)

    def extend(self, signal: str, first: datetime, last: datetime, why: str) -> None:
        """The same of one signal, made longer where it is noted already; `state` is to be saved."""
        for place, hole in enumerate(self.state.holes):
            if hole.signals == (signal,) and hole.why == why and hole.last is not None:
                self.state.holes[place] = replace(hole, last=max(hole.last, last))
                return
        self.missed({signal}, first, last, why)
