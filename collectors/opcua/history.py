"""Filling holes from a server's history; what it does not have is recorded as a gap."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from asyncua import ua

from collectors.connection import utc_now
from collectors.opcua.address import resolve
from collectors.opcua.context import Context
from collectors.opcua.items import Limits
from collectors.opcua.notifications import Handles, handles, to_frame, utc
from collectors.opcua.publish import NOTIFICATIONS
from collectors.opcua.state import Hole
from collectors.opcua.wanted import chunks
from plant.frames import SAMPLES, empty

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks at what is to be filled."""
NODES, VALUES = 10, 500
"""Asked for at once: decoding them keeps everything else waiting for some 50 ms."""
IN_VAIN = 20
"""Answers without anything newer after which a history has no end; servers may give empty ones in between."""
READABLE = 0x04
"""The bit of a node's access level that says it has history (OPC 10000-3, 8.57)."""
LOOK_BACK, LOOK_BACK_FARTHEST = timedelta(seconds=10), timedelta(days=12)
"""How far before a hole's begin the value is looked for that stood then, at first and at last."""
NO_BOUND = ("BadBoundNotFound", "BadNoData", "BadNoDataAvailable")


@dataclass(slots=True)
class Found:
    """What the history has of one signal."""

    first: datetime | None = None
    """Time of its first value; at or before the hole's begin when there is no hole before it."""
    newest_before: datetime | None = None
    """Time of its last value from before the server's start."""
    problem: str = ""
    """Why it cannot be read; empty: it was."""
    newest: datetime | None = None
    """Time of its last value."""
    in_vain: int = 0
    """Answers one after the other that brought nothing newer."""

    def reaches(self, time: datetime) -> bool:
        """It has a value of that time or before, so nothing is missing from there on."""
        return self.first is not None and self.first <= time


class Backfill:
    """Works off the holes of one source over one connection."""

    def __init__(
        self, context: Context, limits: Limits, started: datetime | None, namespaces: Sequence[str]
    ) -> None:
        self._context, self._limits, self._started, self._namespaces = context, limits, started, namespaces

    async def run(self) -> None:
        """Fill or record whatever hole is closed, for ever."""
        holes = self._context.state.holes
        while True:
            for hole in [h for h in holes if h.last is not None]:
                await self._work_off(hole)
                if hole in holes:  # it may have become longer meanwhile
                    holes.remove(hole)
                    await self._context.save()
                if not holes:
                    self._context.held.unrecovered()
            await asyncio.sleep(EVERY)

    async def _work_off(self, hole: Hole) -> None:
        context = self._context
        assert hole.last is not None
        found = await self._fill(hole, hole.last)
        gaps: dict[tuple[datetime, datetime, str], list[str]] = defaultdict(list)
        for key in hole.signals:
            its = found[key]
            if its.problem:
                gaps[hole.first, hole.last, f"{hole.why}; {its.problem}"].append(key)
                continue
            if not its.reaches(hole.first):
                until = min(its.first or hole.last, hole.last)
                gaps[hole.first, until, f"{hole.why}; its history begins later"].append(key)
            if self._started is not None and hole.first < self._started < hole.last:
                since = max(its.newest_before or hole.first, hole.first)
                gaps[since, self._started, f"{hole.why}; it was down"].append(key)
        for (first, last, why), keys in gaps.items():
            await context.emit.gap(first, last, why, keys)
            log.warning("%s: samples are missing of %s: %s", context.link.url, ", ".join(keys), why)
        missing = {key for keys in gaps.values() for key in keys}
        context.held.unrecovered(missing)
        await context.put(context.held.recovered(utc_now(), set(hole.signals) - missing))

    async def _fill(self, hole: Hole, last: datetime) -> dict[str, Found]:
        """Put on disk what the history has; of each signal of the hole what was found."""
        found = {key: Found() for key in hole.signals}
        nodes: dict[str, Any] = {}
        for key in hole.signals:
            try:
                nodes[key] = ua.NodeId.from_string(
                    resolve(self._context.signals[key].address, self._namespaces)
                )
            except (KeyError, ValueError, ua.UaError) as error:
                found[key].problem = f"its history cannot be read ({error})"
        readable = await self._readable(nodes)
        for key in nodes.keys() - readable:
            found[key].problem = "the server has no history of it"
        for chunk in chunks(sorted(readable), min(NODES, self._limits.history_reads or NODES)):
            await self._read({key: nodes[key] for key in chunk}, hole.first, last, found)
            unbound = {key for key in chunk if not found[key].problem and not found[key].reaches(hole.first)}
            await self._look_back({key: nodes[key] for key in unbound}, hole.first, found)
        return found

    async def _readable(self, nodes: dict[str, Any]) -> set[str]:
        readable = set()
        for chunk in chunks(nodes.items(), min(1000, self._limits.reads or 1000)):
            levels = await self._context.link.session.read_attributes(
                [node for _, node in chunk], ua.AttributeIds.UserAccessLevel
            )
            for (key, _), level in zip(chunk, levels, strict=True):
                given = level.Value.Value if level.Value is not None and level.StatusCode.is_good() else 0
                if isinstance(given, int) and given & READABLE:
                    readable.add(key)
        return readable

    async def _read(
        self, nodes: dict[str, Any], first: datetime, last: datetime, found: dict[str, Found]
    ) -> None:
        """Read until no node has more. OPC 10000-11, 6.5.3."""
        details = ua.ReadRawModifiedDetails(
            IsReadModified=False, StartTime=first, EndTime=last, NumValuesPerNode=VALUES, ReturnBounds=True
        )
        points: dict[str, bytes | None] = dict.fromkeys(nodes)
        while points:
            keys = list(points)
            parameters = ua.HistoryReadParameters(
                HistoryReadDetails=details,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ReleaseContinuationPoints=False,
                NodesToRead=[
                    ua.HistoryReadValueId(NodeId=nodes[key], ContinuationPoint=points[key]) for key in keys
                ],
            )
            results = await self._context.link.session.history_read(parameters)
            frames = []
            for key, result in zip(keys, results, strict=True):
                point, points[key] = points[key], result.ContinuationPoint
                if not result.StatusCode.is_good():
                    found[
                        key
                    ].problem = f"the server says {result.StatusCode.name} when asked for its history"
                    del points[key]
                    continue
                values = getattr(result.HistoryData, "DataValues", None) or ()
                frames.append(self._frame(key, values, found[key]))
                if not points[key]:
                    del points[key]
                elif points[key] == point or found[key].in_vain >= IN_VAIN:
                    found[key].problem = "the server does not come to the end of its history"
                    del points[key]
            await self._keep(frames)

    async def _keep(self, frames: Sequence[pl.DataFrame]) -> None:
        batch = pl.concat([empty(SAMPLES), *frames])
        if not batch.is_empty():
            self._context.held.fill(batch)
            await self._context.put(batch)

    async def _look_back(self, nodes: dict[str, Any], first: datetime, found: dict[str, Found]) -> None:
        """What stood when the hole began, of servers that give no bounds. They are asked for ever longer times before
        it: what they make of reading backwards differs too much."""
        far = LOOK_BACK
        while nodes and far <= LOOK_BACK_FARTHEST:
            before = {key: Found() for key in nodes}
            await self._read(nodes, first - far, first, before)
            for key, its in before.items():
                if its.problem or its.first is not None:
                    del nodes[key]
                    found[key].first = min((t for t in (its.first, found[key].first) if t), default=None)
            far *= 10

    def _frame(self, key: str, values: Sequence[Any], found: Found) -> pl.DataFrame:
        rows = [
            _row(value)
            for value in values
            if value.StatusCode is None or value.StatusCode.name not in NO_BOUND
        ]
        items = pl.DataFrame(
            [(0, *row) for row in rows if row[0] or row[1]], schema=dict(NOTIFICATIONS), orient="row"
        )
        newest = max((time for row in rows if (time := row[0] or row[1]) is not None), default=None)
        later = newest is not None and (found.newest is None or newest > found.newest)
        found.in_vain = 0 if later else found.in_vain + 1
        found.newest = newest if later else found.newest
        now = utc_now()
        batch = to_frame(items, handles_of(self._context, key), now, now)
        if not batch.is_empty():
            earliest = batch["time"].min()
            assert isinstance(earliest, datetime)
            found.first = min(found.first or earliest, earliest)
            if self._started is not None:
                old = batch.filter(pl.col("time") < self._started)["time"].max()
                if isinstance(old, datetime):
                    found.newest_before = max(found.newest_before or old, old)
        return batch


def handles_of(context: Context, key: str) -> Handles:
    """One signal, with handle 0."""
    return handles({0: context.signals[key]})


def _row(data: Any) -> tuple[datetime | None, datetime | None, float | None, str | None, int]:
    """As in NOTIFICATIONS, without the handle."""
    status = data.StatusCode.value if data.StatusCode is not None else 0
    number: float | None = None
    text: str | None = None
    given = data.Value.Value if data.Value is not None and status < 2**31 else None
    if isinstance(given, bool | int | float):
        number = float(given)
    elif isinstance(given, str):
        text = given
    elif isinstance(said := getattr(given, "Text", None), str):  # LocalizedText
        text = said
    elif isinstance(given, datetime):
        text = utc(given).isoformat()
    source, server = (t and utc(t) for t in (data.SourceTimestamp, data.ServerTimestamp))
    return source, server, number, text, status
