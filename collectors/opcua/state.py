"""What a collector must know after a restart: its subscriptions on the server, how far each was taken, open holes.

Two files in the source's folder. `subscriptions.json` is written durably whenever it changes. `taken.bin` has how
far each subscription was taken, changes with every message, and is written in place without waiting for the disk:
it outlives the process, and what a power cut leaves of it that is not whole counts as not known.
"""

import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from collectors.durable import make_directory, write_durably
from collectors.opcua.wanted import Wanted

log = logging.getLogger(__name__)

STRUCTURE, TAKEN = "subscriptions.json", "taken.bin"
SLOT = struct.Struct("<IIqI")
"""Subscription, sequence number, time in microseconds since 1970, checksum of the three."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Item:
    """A monitored item as the server has it."""

    handle: int
    """Our number for it; never used again for another."""
    id: int
    """The server's number for it in its subscription."""
    wanted: Wanted
    note: str = ""
    """What the server does differently from what was asked."""


@dataclass(slots=True)
class Subscription:
    """A subscription as the server has it."""

    id: int
    interval: float
    """Publishing interval asked for, seconds."""
    asked_lifetime: float
    step: float
    """Publishing interval as the server said, seconds."""
    lifetime: float
    """Seconds the server keeps it without hearing from us, as it said."""
    keep_alive: float
    """Seconds after which the server says that there is nothing new, as it said."""
    durable: bool = False
    """The server keeps it over its own restarts."""
    items: dict[int, Item] = field(default_factory=dict)
    """By handle."""
    sequence: int | None = None
    """Of the last message that is on disk; None: not known."""
    taken: datetime | None = None
    """The server's time of that message: everything before it is on disk."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A time of which samples may be missing, to be filled from the server's history or recorded as a gap."""

    first: datetime
    last: datetime | None
    """None: still open."""
    why: str
    signals: tuple[str, ...]


@dataclass(slots=True)
class State:
    """Everything of one source. `url`: the server the subscriptions are on."""

    url: str = ""
    started: datetime | None = None
    """When that server was started, where it says so."""
    next_handle: int = 1
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)


class Store:
    """The state of one source on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._slots: dict[int, int] = {}
        self._file: int | None = None
        self._lock = threading.Lock()

    def load(self) -> State:
        """The state as it was left; an empty one when there is none or nobody can read it."""
        try:
            state = _parse(json.loads((self._folder / STRUCTURE).read_bytes()))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning(
                "%s cannot be read (%s): its subscriptions are made anew", self._folder / STRUCTURE, error
            )
            return State()
        for number, sequence, taken in _slots(self._folder / TAKEN):
            if (subscription := state.subscriptions.get(number)) is not None:
                subscription.sequence, subscription.taken = sequence, taken
        return state

    def written(self, state: State) -> tuple[bytes, bytes, list[int]]:
        """The state as `save` takes it: what changes in it meanwhile is not in it."""
        said = {
            "url": state.url,
            "started": state.started and state.started.isoformat(),
            "next_handle": state.next_handle,
            "subscriptions": [
                {
                    "id": s.id,
                    "interval": s.interval,
                    "asked_lifetime": s.asked_lifetime,
                    "step": s.step,
                    "lifetime": s.lifetime,
                    "keep_alive": s.keep_alive,
                    "durable": s.durable,
                    "items": [[i.handle, i.id, asdict(i.wanted), i.note] for i in s.items.values()],
                }
                for s in state.subscriptions.values()
            ],
            "holes": [
                [h.first.isoformat(), h.last and h.last.isoformat(), h.why, h.signals] for h in state.holes
            ],
        }
        records = [_record(s.id, s.sequence, s.taken) for s in state.subscriptions.values()]
        return json.dumps(said).encode(), b"".join(records), list(state.subscriptions)

    def save(self, structure: bytes, taken: bytes, places: list[int]) -> None:
        """On disk when it returns."""
        make_directory(self._folder)
        write_durably(self._folder / STRUCTURE, structure)
        write_durably(self._folder / TAKEN, taken)
        file = os.open(self._folder / TAKEN, os.O_WRONLY)
        with self._lock:
            old, self._file = self._file, file
            self._slots = {number: place * SLOT.size for place, number in enumerate(places)}
        if old is not None:
            os.close(old)

    def taken(self, subscriptions: Iterable[Subscription]) -> None:
        """How far they were taken: there after kill -9 of this process."""
        with self._lock:
            for s in subscriptions:
                if self._file is not None and (place := self._slots.get(s.id)) is not None:
                    os.pwrite(self._file, _record(s.id, s.sequence, s.taken), place)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def _record(number: int, sequence: int | None, taken: datetime | None) -> bytes:
    if sequence is None or taken is None:
        return bytes(SLOT.size)
    microseconds = (taken - EPOCH) // timedelta(microseconds=1)
    checksum = zlib.crc32(struct.pack("<IIq", number, sequence, microseconds))
    return SLOT.pack(number, sequence, microseconds, checksum)


def _slots(path: Path) -> list[tuple[int, int, datetime]]:
    try:
        data = path.read_bytes()
    except OSError:
        return []
    found = []
    for number, sequence, microseconds, checksum in SLOT.iter_unpack(
        data[: len(data) // SLOT.size * SLOT.size]
    ):
        if number and zlib.crc32(struct.pack("<IIq", number, sequence, microseconds)) == checksum:
            found.append((number, sequence, EPOCH + timedelta(microseconds=microseconds)))
    return found


def _parse(said: dict[str, object]) -> State:
    started = said["started"]
    since = datetime.fromisoformat(str(started)) if started else None
    state = State(str(said["url"]), since, int(str(said["next_handle"])))
    for s in _list(said["subscriptions"]):
        items = {}
        for handle, number, of, note in s["items"]:
            items[int(handle)] = Item(int(handle), int(number), Wanted(**of), str(note))
        interval, asked, step, lifetime, alive = (
            float(s[name]) for name in ("interval", "asked_lifetime", "step", "lifetime", "keep_alive")
        )
        number, durable = int(s["id"]), bool(s["durable"])
        state.subscriptions[number] = Subscription(
            number, interval, asked, step, lifetime, alive, durable, items
        )
    for first, last, why, signals in _list(said["holes"]):
        ends = datetime.fromisoformat(last) if last else None
        state.holes.append(Hole(datetime.fromisoformat(first), ends, str(why), tuple(signals)))
    return state


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return value
