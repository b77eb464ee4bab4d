"""What a Sparkplug host knows of edge nodes: births, aliases, sequence numbers, deaths. Pure: `now` is an argument."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from collectors.samples import TEXT_ROLES
from collectors.sparkplug.address import Address
from collectors.sparkplug.protobuf import (
    DATATYPES,
    FIRST_OTHER,
    TEXTS,
    WIDTHS,
    Metric,
    Payload,
    PayloadError,
    Value,
    decode,
    signed,
)
from collectors.times import LAST
from plant.frames import BAD, GOOD, UNCERTAIN
from plant.model import Signal

NodeId = tuple[str, str]
"""Group and node."""
MICROSECOND, MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)
SAME_CLOCK = timedelta(seconds=5)
"""Clocks this close are taken for one; what comes late is not a clock that is behind."""
LATE = 16
"""Messages a sequence number may be behind to be a late one or a repetition, rather than one after a hole."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = LAST * 1000
"""Milliseconds since 1970 from which on a timestamp is none."""
STALE = 500
"""Sparkplug's quality of a value whose source cannot be reached."""
FIRST_ASK, LAST_ASK = timedelta(seconds=10), timedelta(minutes=5)
"""Between two rebirth requests to one node that does not answer: doubling from the first to the last."""


@dataclass(slots=True)
class Row:
    """One value of one signal."""

    index: int
    time: datetime
    value: float | None
    text: str | None
    quality: int


@dataclass(slots=True)
class Heard:
    """What messages said, in their order."""

    born: list[Row] = field(default_factory=list)
    """Values as they stood at a birth."""
    live: list[Row] = field(default_factory=list)
    historical: list[Row] = field(default_factory=list)
    """Kept by the node while it had no connection, with their own times."""
    gone: list[tuple[int, datetime]] = field(default_factory=list)
    """Signals that have no value from then on, as their node or device went."""
    said: dict[int, str | None] = field(default_factory=dict)
    """Signal to why it has no value now; None: it has one."""
    holes: list[tuple[datetime, datetime, str, list[int]]] = field(default_factory=list)
    """Messages that were lost: between which times of the source, why, whose."""
    problems: list[str] = field(default_factory=list)
    """Messages that could not be used."""


@dataclass(slots=True)
class _Known:
    """A metric of a birth."""

    datatype: int
    indexes: tuple[int, ...]


@dataclass(slots=True)
class _Node:
    born: bool = False
    birth_sequence: int | None = None
    """bdSeq of the birth: which death belongs to it."""
    expected: int = 0
    aliases: dict[int, _Known] = field(default_factory=dict)
    metrics: dict[str, dict[str, _Known]] = field(default_factory=dict)
    """By device ("": the node's own) and name; a device that is not there has none."""
    early: dict[int, tuple[str, str, Payload, datetime]] = field(default_factory=dict)
    """By sequence number: messages that came before others that should have come first, and when."""
    last: datetime | None = None
    """The source's time of the newest message in order."""
    ahead: timedelta = timedelta(0)
    """How much its clock is ahead of ours, as far as that matters."""
    awaited: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """Devices that were there before the node was born again: when that was by its clock, and when by ours."""
    asked: datetime | None = None
    """When it was last asked for its births."""
    wait: timedelta = FIRST_ASK
    wanted: str = ""
    """Why it is to be asked for its births; "": it is not."""


class Host:
    """All edge nodes of one source."""

    def __init__(self, signals: Sequence[tuple[Signal, Address]], reorder: timedelta) -> None:
        self._signals, self._reorder = tuple(signals), reorder
        self._texts = [signal.role in TEXT_ROLES for signal, _ in signals]
        self._wanted: dict[NodeId, dict[str, dict[str, list[int]]]] = {}
        for index, (_, address) in enumerate(signals):
            devices = self._wanted.setdefault((address.group, address.node), {})
            devices.setdefault(address.device, {}).setdefault(address.metric, []).append(index)
        self._nodes = {node: _Node() for node in self._wanted}
        self._newest: dict[int, datetime] = {}
        self._missing: set[int] = set()
        """Signals whose metric was not in the last birth."""

    @property
    def nodes(self) -> list[NodeId]:
        """The edge nodes signals are wanted of."""
        return list(self._wanted)

    @property
    def alive(self) -> set[int]:
        """Signals whose node and device are there."""
        found: set[int] = set()
        for node, state in self._nodes.items():
            for device in state.metrics if state.born else ():
                found.update(*self._wanted[node].get(device, {}).values())
        return found

    @property
    def unborn(self) -> list[str]:
        """Nodes that are not there, or were not heard of since the connection."""
        return [_name(node) for node, state in self._nodes.items() if not state.born]

    def connected(self) -> None:
        """A connection was made: births are to be heard anew, so every node is asked for its."""
        self._nodes = {node: _Node(wanted="we have just connected") for node in self._wanted}

    def take(self, kind: str, node: NodeId, device: str, data: bytes, now: datetime, heard: Heard) -> None:
        """One message. What it says is added to `heard`."""
        state = self._nodes.get(node)
        if state is None or kind not in ("NBIRTH", "NDEATH", "DBIRTH", "DDEATH", "NDATA", "DDATA"):
            return
        try:
            payload = decode(data)
        except PayloadError as error:
            heard.problems.append(f"{kind} of {_name(node, device)} cannot be read: {error}")
            return
        if kind == "NBIRTH":
            self._node_birth(node, state, payload, now, heard)
        elif kind == "NDEATH":
            self._node_death(node, state, payload, now, heard)
        elif not state.born:
            self._want(state, f"{kind} came before a birth")
        elif payload.seq is None:
            heard.problems.append(f"{kind} of {_name(node, device)} has no sequence number")
            self._want(state, "a message without a sequence number")
        elif self._is_late(state, payload):
            if kind in ("NDATA", "DDATA"):
                self._data(node, state, "" if kind == "NDATA" else device, payload, now, heard)
        elif payload.seq != state.expected:
            if payload.seq in state.early or len(state.early) >= 128:
                self._skip(node, state, now, heard)
            state.early[payload.seq] = (kind, device, payload, now)
        else:
            self._in_order(node, state, kind, device, payload, now, heard)
            self._catch_up(node, state, now, heard)

    def look(self, now: datetime, heard: Heard) -> list[tuple[NodeId, str]]:
        """Time has passed: messages that wait too long for earlier ones are taken. Gives the nodes to ask for their
        births now, each with the reason."""
        ask = []
        for node, state in self._nodes.items():
            if state.early and now - min(at for *_, at in state.early.values()) >= self._reorder:
                self._skip(node, state, now, heard)
            for device, (when, since) in list(state.awaited.items()):
                if now - since >= self._reorder:
                    del state.awaited[device]
                    self._end(node, device, f"{_name(node, device)} was not born again", when, heard)
            if state.wanted and (state.asked is None or now - state.asked >= state.wait):
                state.wait = FIRST_ASK if state.asked is None else min(2 * state.wait, LAST_ASK)
                state.asked = now
                ask.append((node, state.wanted))
        return ask

    def _is_late(self, state: _Node, payload: Payload) -> bool:
        assert payload.seq is not None
        behind, time = (state.expected - payload.seq) % 256, _time(payload.timestamp)
        return 0 < behind <= LATE and state.last is not None and time is not None and time <= state.last

    def _want(self, state: _Node, why: str) -> None:
        state.wanted = state.wanted or why

    def _node_birth(self, node: NodeId, state: _Node, payload: Payload, now: datetime, heard: Heard) -> None:
        if state.early:
            self._skip(node, state, now, heard)
        state.born, state.wanted, state.asked = True, "", None
        when = _time(payload.timestamp) or now
        state.last, state.ahead = when, when - now if abs(when - now) > SAME_CLOCK else timedelta(0)
        state.birth_sequence = _birth_sequence(payload)
        state.expected = ((payload.seq or 0) + 1) % 256
        state.aliases.clear()
        state.early.clear()
        before, state.metrics = state.metrics, {}
        self._birth(node, state, "", payload, now, heard)
        # Births of its devices follow at once. Those that do not come are gone since this birth.
        state.awaited |= {device: (when, now) for device in before if device}

    def _node_death(self, node: NodeId, state: _Node, payload: Payload, now: datetime, heard: Heard) -> None:
        if state.born and _birth_sequence(payload) not in (None, state.birth_sequence):
            return  # the death of an earlier connection
        state.born, state.metrics = False, {}
        state.aliases.clear()
        state.early.clear()
        state.awaited.clear()
        for device in self._wanted[node]:
            self._end(node, device, f"{_name(node)} is gone", now + state.ahead, heard)

    def _in_order(
        self,
        node: NodeId,
        state: _Node,
        kind: str,
        device: str,
        payload: Payload,
        now: datetime,
        heard: Heard,
    ) -> None:
        state.expected = (state.expected + 1) % 256
        state.last = _time(payload.timestamp) or now
        if kind == "DBIRTH":
            self._birth(node, state, device, payload, now, heard)
        elif kind == "DDEATH":
            state.metrics.pop(device, None)
            state.awaited.pop(device, None)
            self._end(node, device, f"{_name(node, device)} is gone", state.last, heard)
        else:
            self._data(node, state, "" if kind == "NDATA" else device, payload, now, heard)

    def _catch_up(self, node: NodeId, state: _Node, now: datetime, heard: Heard) -> None:
        while (early := state.early.pop(state.expected, None)) is not None:
            kind, device, payload, _ = early
            self._in_order(node, state, kind, device, payload, now, heard)

    def _skip(self, node: NodeId, state: _Node, now: datetime, heard: Heard) -> None:
        """Those before the early ones will not come."""
        while state.early:
            following = min(state.early, key=lambda seq: (seq - state.expected) % 256)
            missing = (following - state.expected) % 256
            first = state.last or now
            last = _time(state.early[following][2].timestamp) or now
            why = f"{missing} messages of {_name(node)} did not come (sequence {state.expected} to {(following - 1) % 256})"
            indexes = [i for metrics in self._wanted[node].values() for its in metrics.values() for i in its]
            heard.holes.append((min(first, last), max(first, last), why, indexes))
            self._want(state, why)
            state.expected = following
            self._catch_up(node, state, now, heard)

    def _birth(
        self, node: NodeId, state: _Node, device: str, payload: Payload, now: datetime, heard: Heard
    ) -> None:
        wanted = self._wanted[node].get(device, {})
        names: dict[str, _Known] = {}
        state.metrics[device] = names
        state.awaited.pop(device, None)
        for metric in payload.metrics:
            if metric.name is None:
                continue
            known = _Known(metric.datatype or 0, tuple(wanted.get(metric.name, ())))
            names[metric.name] = known
            if metric.alias is not None:
                state.aliases[metric.alias] = known
            self._value(metric, known, payload, now, heard.born, heard)
            born = _time(payload.timestamp)
            if born is not None and metric.timestamp and metric.timestamp < (payload.timestamp or 0):
                # Its value may be old; the birth says that it stands.
                metric.timestamp = payload.timestamp
                self._value(metric, known, payload, now, heard.born, heard)
        when = _time(payload.timestamp) or now
        for name, indexes in wanted.items():
            if name in names:
                self._missing.difference_update(indexes)
            else:
                for index in indexes:
                    if index not in self._missing:
                        self._missing.add(index)
                        heard.gone.append((index, max(when, self._newest.get(index, when) + MICROSECOND)))
                    heard.said[index] = f"{_name(node, device)} has no metric {name!r}; it has {_some(names)}"

    def _data(
        self, node: NodeId, state: _Node, device: str, payload: Payload, now: datetime, heard: Heard
    ) -> None:
        names = state.metrics.get(device)
        if names is None:
            self._want(state, f"data of {_name(node, device)} came before its birth")
            return
        for metric in payload.metrics:
            known = None
            if metric.alias is not None:
                known = state.aliases.get(metric.alias)
            if known is None and metric.name is not None:
                known = names.get(metric.name)
            if known is None:
                what = repr(metric.name) if metric.name is not None else f"alias {metric.alias}"
                self._want(state, f"{_name(node, device)} sends {what}, which its birth did not name")
            elif known.indexes:
                into = heard.historical if metric.historical else heard.live
                self._value(metric, known, payload, now, into, heard)

    def _value(
        self, metric: Metric, known: _Known, payload: Payload, now: datetime, into: list[Row], heard: Heard
    ) -> None:
        if not known.indexes:
            return
        datatype = metric.datatype or known.datatype
        time = _time(metric.timestamp) or _time(payload.timestamp) or now
        quality = _quality(metric.quality)
        value, why = (None, "its source says it has no value") if metric.null else read(metric, datatype)
        if quality == BAD:
            value, why = None, f"its quality is {metric.quality}"
        for index in known.indexes:
            number, text = _as_role(value, self._texts[index])
            nothing = number is None and text is None
            into.append(Row(index, time, number, text, BAD if nothing else quality))
            if into is not heard.historical:
                heard.said[index] = (why or "its source says it has no value") if nothing else None
            if index not in self._newest or time > self._newest[index]:
                self._newest[index] = time

    def _end(self, node: NodeId, device: str, why: str, when: datetime, heard: Heard) -> None:
        for indexes in self._wanted[node].get(device, {}).values():
            for index in indexes:
                after = self._newest.get(index, when - MICROSECOND) + MICROSECOND
                heard.gone.append((index, max(when, after)))
                heard.said[index] = why


def _birth_sequence(payload: Payload) -> int | None:
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None


def _time(milliseconds: int | None) -> datetime | None:
    if not milliseconds or milliseconds >= LATEST:
        return None
    return EPOCH + milliseconds * MILLISECOND


def _quality(said: int | None) -> int:
    if said is None or said == 192:
        return GOOD
    return UNCERTAIN if said == STALE else BAD if said == 0 else GOOD


def read(metric: Metric, datatype: int) -> tuple[Value, str | None]:
    """The value and why there is none."""
    value = metric.value
    if metric.other or datatype >= FIRST_OTHER:
        kind = DATATYPES[datatype] if datatype < len(DATATYPES) else f"datatype {datatype}"
        return None, f"its value is {kind}, which is not collected"
    if value is None:
        return None, "its message has no value"
    if datatype in WIDTHS:
        if isinstance(value, bool) or not isinstance(value, int):
            return None, "its value is not of the type its birth says"
        return signed(datatype, value), None
    if datatype != 0 and (datatype in TEXTS) != isinstance(value, str):
        return None, "its value is not of the type its birth says"
    return value, None


def _as_role(value: Value, keep_text: bool) -> tuple[float | None, str | None]:
    if value is None:
        return None, None
    if isinstance(value, str):
        blank = "" if keep_text else None  # no order is not "nobody knows"
        return None, value if value.strip() else blank
    if not math.isfinite(value):
        return None, None
    if not keep_text:
        return float(value), None
    if isinstance(value, bool):
        return None, "true" if value else "false"
    return None, str(int(value)) if isinstance(value, int) or value.is_integer() else str(value)


def _name(node: NodeId, device: str = "") -> str:
    return "/".join((*node, device) if device else node)


def _some(names: Mapping[str, object]) -> str:
    few = sorted(name for name in names if name != "bdSeq" and not name.startswith("Node Control/"))
    return ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "") if few else "none"
