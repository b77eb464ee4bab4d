"""What an unknown Modbus device has: which registers can be read, what they did while they were watched, and which
pairs of them look like one number. Asks gently: one request at a time, with a pause after each, and a bound on all."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from collectors.connection import ConnectionLostError
from collectors.modbus.address import Area, ByteOrder, is_bits
from collectors.modbus.behaviour import Did, Pair, chosen, did, favoured, pairs, signed
from collectors.modbus.link import Framing, Link
from collectors.modbus.wire import NoAnswerError, NotGivenError, RefusedError, Request

__all__ = ["EVERYWHERE", "Did", "Progress", "Range", "Reading", "Scan", "Span", "scan"]

Range = tuple[Area, int, int]
"""Area, first address, number of addresses."""
Progress = Callable[[str, float], None]
"""Called with a sentence and the part that is done, 0 to 1."""

EVERYWHERE: tuple[Range, ...] = (
    ("holding", 0, 1000),
    ("input", 0, 1000),
    ("coil", 0, 1000),
    ("discrete", 0, 1000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Addresses of one area that can be read, without a gap."""

    unit: int
    area: Area
    start: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read one value, and what it did so."""

    unit: int
    address: str
    """As a signal in the plant file has it: "holding:100:uint16", "coil:3:bool"."""
    collect: Mapping[str, object] = field(default_factory=dict)
    """The signal's `collect` options where they differ from the scan's `options`: `unit`, `byte_order`."""
    did: Did
    series: tuple[tuple[float, float], ...]
    """Seconds since the watching began, and the value, in the order of time."""
    plausible: float
    """0 to 1: how well the watching supports that these registers are one value of this type. A single register or bit
    has 1, less what supports that it is half of something."""
    evidence: str
    """Why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a device has."""

    options: Mapping[str, object]
    """Of the `[[source]]` that reads it: host, port, unit, framing, byte_order."""
    readable: tuple[Span, ...]
    readings: tuple[Reading, ...]
    """By unit, area and address; where registers can be read in several ways the most plausible first. What was 0 all
    the time is left out."""
    requests: int
    """How many were sent."""
    notes: tuple[str, ...] = ()
    """What was left out and why: a unit that did not answer, the bound on requests."""


CHUNK, PART = 100, 20
"""Registers asked for at once, and the parts a refused chunk is looked at in; bits five times as many."""
WATCHED = 120
"""Registers read at once while they are watched."""
UNANSWERED = 2
"""A unit that does not answer so many requests in a row is not there."""


async def scan(
    host: str,
    port: int = 502,
    *,
    units: Sequence[int] = (1,),
    ranges: Sequence[Range] = EVERYWHERE,
    framing: Framing = "tcp",
    seconds: float = 10.0,
    every: float = 0.5,
    pause: float = 0.02,
    timeout: float = 1.0,
    most_requests: int = 2000,
    progress: Progress | None = None,
) -> Scan:
    """Find what can be read in `ranges` of each unit (blocks, halved where the device refuses), read all of it again
    every `every` seconds for `seconds`, and say what each register did.

    `framing`: "tcp" or "rtu" (RTU over TCP). `pause`: seconds after each request. Finding takes at most
    `most_requests`; what it did not get to is in `notes`. Nothing is ever written to the device.
    A range that is refused as a whole is looked at in parts of 20 registers, at three places of each: fewer than 20
    registers in the middle of nowhere can be missed.
    Raises collectors.connection.ConnectionLostError when nobody answers at all.
    """
    link = Link(host, port, framing, timeout)
    await link.open()
    try:
        looking = _Looking(link, pause, timeout, most_requests)
        spans: list[Span] = []
        for number, unit in enumerate(units):
            for at, (area, start, length) in enumerate(ranges):
                done = (number * len(ranges) + at) / (len(units) * len(ranges))
                _tell(progress, f"looking at {area} {start} to {start + length - 1} of unit {unit}", done / 2)
                spans += await looking.find(unit, area, start, length)
        if not looking.answered:
            raise ConnectionLostError(f"{host}:{port} takes connections, but {'; '.join(looking.notes)}")
        times, seen = await _watch(looking, spans, seconds, every, progress)
    finally:
        link.close()
    options: dict[str, object] = {"host": host, "port": port, "framing": framing}
    options["unit"] = spans[0].unit if spans else units[0]
    readings, order = _readings(times, seen, int(str(options["unit"])))
    if order is not None:
        options["byte_order"] = order
    return Scan(
        options=options,
        readable=tuple(spans),
        readings=tuple(readings),
        requests=link.requests,
        notes=tuple(looking.notes),
    )


class _Looking:
    """Asks gently."""

    def __init__(self, link: Link, pause: float, timeout: float, most_requests: int) -> None:
        self.notes: list[str] = []
        self.answered = False
        self._link, self._pause, self._timeout, self._left = link, pause, timeout, most_requests
        self._silent: dict[int, int] = defaultdict(int)
        self._without: set[tuple[int, Area]] = set()

    async def find(self, unit: int, area: Area, start: int, length: int) -> list[Span]:
        """What can be read of a range."""
        scale = 5 if is_bits(area) else 1
        can: list[tuple[int, int]] = []
        for chunk in range(start, start + length, CHUNK * scale):
            size = min(CHUNK * scale, start + length - chunk)
            if self._over(unit, area):
                break
            if await self.ask(unit, area, chunk, size) is not None:
                can.append((chunk, size))
                continue
            for part in range(chunk, chunk + size, PART * scale):
                of_it = min(PART * scale, chunk + size - part)
                goes_on = bool(can) and sum(can[-1]) == part
                can += await self._part(unit, area, part, of_it, goes_on)
        # What begins at the edge of a part may begin at the end of the one before, which was only looked at in places.
        for edge, _ in list(can):
            before = max(start, edge - PART * scale)
            known = before == edge or any(at <= edge - 1 < at + size for at, size in can)
            if not known and await self.ask(unit, area, edge - 1, 1) is not None:
                can += await self._halves(unit, area, before, edge - before)
        return _joined(unit, area, sorted(can))

    async def _part(
        self, unit: int, area: Area, start: int, length: int, goes_on: bool
    ) -> list[tuple[int, int]]:
        if self._over(unit, area):
            return []
        if await self.ask(unit, area, start, length) is not None:
            return [(start, length)]
        if not goes_on:
            places = [at for at in (start, start + 1, start + length // 2) if at < start + length]
            if not any([await self.ask(unit, area, at, 1) is not None for at in places]):
                return []
        return await self._halves(unit, area, start, length)

    async def _halves(self, unit: int, area: Area, start: int, length: int) -> list[tuple[int, int]]:
        """What can be read of a refused range of several addresses."""
        if length == 1:
            return []
        found: list[tuple[int, int]] = []
        for at, size in ((start, length // 2), (start + length // 2, length - length // 2)):
            if self._over(unit, area):
                break
            if await self.ask(unit, area, at, size) is not None:
                found.append((at, size))
            else:
                found += await self._halves(unit, area, at, size)
        return found

    def _over(self, unit: int, area: Area) -> bool:
        """Whether there is no use in asking on."""
        if self._left <= 0:
            self._note("not everything was looked at: the bound on requests was reached")
        return self._left <= 0 or self._silent[unit] >= UNANSWERED or (unit, area) in self._without

    async def ask(self, unit: int, area: Area, start: int, count: int) -> bytes | None:
        """The bytes of the values, None when the device does not give them."""
        if self._over(unit, area):
            return None
        self._left -= 1
        try:
            answer = await self._link.read(Request(unit, area, start, count), self._timeout)
        except NoAnswerError:
            self._silent[unit] += 1
            if self._silent[unit] == UNANSWERED:
                self._note(f"unit {unit} does not answer")
            return None
        except RefusedError as error:
            self.answered, self._silent[unit] = True, 0
            if error.code == 1:
                self._without.add((unit, area))
            return None
        except NotGivenError as error:
            self.answered = True
            self._silent[unit] += 1
            self._note(f"unit {unit}: {error}")
            return None
        else:
            self.answered, self._silent[unit] = True, 0
            return answer
        finally:
            await asyncio.sleep(self._pause)

    def more(self, requests: int) -> None:
        """Allow these as well."""
        self._left = max(self._left, 0) + requests

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _joined(unit: int, area: Area, can: Sequence[tuple[int, int]]) -> list[Span]:
    found: list[Span] = []
    for start, length in can:
        if found and found[-1].start + found[-1].length == start:
            length += found[-1].length
            start = found.pop().start
        found.append(Span(unit=unit, area=area, start=start, length=length))
    return found


Seen = dict[tuple[int, Area, int], NDArray[np.float64]]
"""Unit, area and address to its raw values, NaN where it was not given."""


async def _watch(
    looking: _Looking, spans: Sequence[Span], seconds: float, every: float, progress: Progress | None
) -> tuple[NDArray[np.float64], Seen]:
    """Read it all again and again. The times are of the look, in seconds since the first."""
    clock = asyncio.get_running_loop().time
    blocks = [
        Span(unit=s.unit, area=s.area, start=at, length=min(size, s.start + s.length - at))
        for s in spans
        for size in [WATCHED * (5 if is_bits(s.area) else 1)]
        for at in range(s.start, s.start + s.length, size)
    ]
    looks = max(2, round(seconds / every) + 1)
    times: list[float] = []
    raw: dict[Span, list[NDArray[np.float64]]] = {block: [] for block in blocks}
    began = clock()
    while len(times) < looks and (len(times) < 2 or clock() - began <= seconds + every):
        times.append(clock() - began)
        looking.more(len(blocks))
        for block in blocks:
            answer = await looking.ask(block.unit, block.area, block.start, block.length)
            raw[block].append(_numbers(answer, block))
        _tell(
            progress,
            f"watching {sum(b.length for b in blocks)} registers and bits",
            0.5 + 0.5 * len(times) / looks,
        )
        await asyncio.sleep(max(0.0, began + len(times) * every - clock()))
    seen: Seen = {}
    for block, looked in raw.items():
        columns = np.array(looked).T
        seen.update({(block.unit, block.area, block.start + k): columns[k] for k in range(block.length)})
    return np.array(times), seen


def _numbers(answer: bytes | None, block: Span) -> NDArray[np.float64]:
    if answer is None:
        return np.full(block.length, np.nan)
    if is_bits(block.area):
        bits = np.unpackbits(np.frombuffer(answer, np.uint8), bitorder="little")
        return bits[: block.length].astype(np.float64)
    return np.frombuffer(answer, ">u2").astype(np.float64)


def _readings(times: NDArray[np.float64], seen: Seen, unit: int) -> tuple[list[Reading], ByteOrder | None]:
    """What was seen, and the byte order most of it speaks for. `unit`: the source's."""
    whole = {place: values for place, values in seen.items() if not np.isnan(values).any()}
    found: dict[tuple[int, Area], dict[int, list[Pair]]] = defaultdict(dict)
    for (of, area, at), values in whole.items():
        after = whole.get((of, area, at + 1))
        if after is not None and not is_bits(area):
            found[of, area][at] = pairs(times, values, after)
    favourite = favoured([readings for by_address in found.values() for readings in by_address.values()])
    told = {place: chosen(by_address, favourite) for place, by_address in found.items()}
    readings: list[Reading] = []
    areas = get_args(Area)
    for of, area, at in sorted(whole, key=lambda place: (place[0], areas.index(place[1]), place[2])):
        own: dict[str, object] = {} if of == unit else {"unit": of}
        both = told.get((of, area), {})
        for pair in both.get(at, ()):
            collect = dict(own) if pair.byte_order == favourite else {**own, "byte_order": pair.byte_order}
            address = f"{area}:{at}:{pair.kind}"
            readings.append(
                _reading(
                    of,
                    address,
                    collect,
                    pair.did,
                    times,
                    pair.values,
                    pair.plausible,
                    pair.evidence,
                )
            )
        best = max((p.plausible for first in (at - 1, at) for p in both.get(first, ())), default=0.0)
        values = whole[of, area, at]
        if values.any():
            readings.append(_single(of, area, at, own, times, values, 1.0 - best))
    return readings, favourite


def _single(
    unit: int,
    area: Area,
    at: int,
    collect: Mapping[str, object],
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    plausible: float,
) -> Reading:
    kind, modulus = ("bool", 0.0) if is_bits(area) else ("uint16", 65536.0)
    if not is_bits(area) and signed(values):
        kind, modulus = "int16", 0.0
        values = np.where(values >= 32768, values - 65536, values)
    what = did(times, values, modulus)
    changes = np.count_nonzero(np.diff(values))
    evidence = (
        f"{values[0]:g} all the time"
        if not changes
        else (f"{changes} changes between {values.min():g} and {values.max():g} in {times[-1]:.0f} s")
    )
    return _reading(unit, f"{area}:{at}:{kind}", collect, what, times, values, plausible, evidence)


def _reading(
    unit: int,
    address: str,
    collect: Mapping[str, object],
    what: Did,
    times: NDArray[np.float64],
    values: NDArray[np.float64],
    plausible: float,
    evidence: str,
) -> Reading:
    series = tuple(zip(times.tolist(), values.tolist(), strict=True))
    return Reading(
        unit=unit,
        address=address,
        collect=collect,
        did=what,
        series=series,
        plausible=round(plausible, 2),
        evidence=evidence,
    )


def _tell(progress: Progress | None, sentence: str, done: float) -> None:
    if progress is not None:
        progress(sentence, min(done, 1.0))
