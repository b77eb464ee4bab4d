"""Looking at a Modbus device: `modbus://host:502?unit=1`. Registers have no names: what they did is all there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args
from urllib.parse import parse_qs, urlsplit

from collectors.connection import ConnectionLostError
from collectors.modbus.address import Area, parse
from collectors.modbus.link import Framing
from collectors.modbus.scan import EVERYWHERE, Range, Reading, scan
from collectors.onboarding.found import (
    Access,
    Kind,
    Listener,
    Offer,
    OnboardingError,
    Series,
    Step,
    Value,
    Variable,
)

PLAUSIBLE = 0.5
"""From which a way to read registers is taken."""
SHORTEST = 2.0


async def look(
    url: str, watch: float, access: Access, listener: Listener
) -> tuple[Offer, Mapping[str, Series]]:
    """What a device answers to, and what it did in `watch` seconds, by address. Nothing is written to it.

    Raises OnboardingError.
    """
    target = _target(url)
    host = target.host
    try:
        found = await scan(
            host,
            target.port,
            units=target.units,
            ranges=target.ranges,
            framing=target.framing,
            seconds=max(watch, SHORTEST),
            progress=listener.progress,
        )
    except ConnectionLostError as error:
        raise OnboardingError(str(error)) from error
    readings = _best(found.readings)
    variables = tuple(_variable(reading, len(target.units) > 1) for reading in readings)
    offer = Offer(
        url=url,
        protocol="modbus",
        options={**found.options, **access.options},
        product=f"a Modbus device at {host}, {sum(s.length for s in found.readable)} registers and bits",
        name=f"Modbus {host}",
        variables=variables,
        notes=found.notes,
        repeats=True,  # it is polled
    )
    series = {v.address: _series(r, v.kind) for v, r in zip(variables, readings, strict=True)}
    listener.found(offer, series)
    listener.progress(f"{len(variables)} values", 1.0)
    return offer, series


@dataclass(frozen=True, slots=True)
class _Target:
    """What an address asks for."""

    host: str
    port: int
    units: list[int]
    framing: Framing
    ranges: Sequence[Range]


def _target(url: str) -> _Target:
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    areas = get_args(Area)
    try:
        port = parts.port or 502
        framing = query.pop("framing", "tcp")
        units = [int(unit) for unit in query.pop("unit", "1").split(",")]
        ranges = [_range(area, query.pop(area)) for area in areas if area in query]
        known = framing in get_args(Framing) and all(0 <= unit <= 255 for unit in units)
        if query or not known or not parts.hostname:
            raise ValueError
    except ValueError:
        raise OnboardingError(
            f"{url[:80]!r}: write it like modbus://192.168.0.10:502?unit=1, or with more of it:"
            " ?unit=1,2&framing=rtu&holding=0-199&coil=0-99"
        ) from None
    return _Target(parts.hostname, port, units, framing, ranges or EVERYWHERE)  # type: ignore[arg-type]


def _range(area: Area, text: str) -> Range:
    first, _, last = text.partition("-")
    length = int(last or first) - int(first) + 1
    if not 0 <= int(first) <= 65_535 or not 0 < length <= 65_536 - int(first):
        raise ValueError
    return area, int(first), length


def _best(readings: tuple[Reading, ...]) -> list[Reading]:
    """Of readings that share registers the most plausible one."""
    taken: set[tuple[int, str, int]] = set()
    found: list[Reading] = []
    for reading in sorted(readings, key=lambda r: (-r.plausible, r.address.startswith("input"))):
        address = parse(reading.address)
        places = {(reading.unit, address.area, address.start + k) for k in range(address.length)}
        if reading.plausible >= PLAUSIBLE and not places & taken and not _mirrored(reading, found):
            taken |= places
            found.append(reading)
    return sorted(found, key=lambda r: (r.unit, parse(r.address).area, parse(r.address).start))


def _mirrored(reading: Reading, found: Sequence[Reading]) -> bool:
    """Whether it is a holding register shown as an input register too, as many devices do."""
    unit, (area, _, rest) = reading.unit, reading.address.partition(":")
    other = next((r for r in found if (r.unit, r.address) == (unit, f"holding:{rest}")), None)
    if area != "input" or other is None:
        return False
    same = sum(a == b for (_, a), (_, b) in zip(reading.series, other.series, strict=False))
    return same >= 0.5 * len(reading.series)


def _variable(reading: Reading, several: bool) -> Variable:
    address = parse(reading.address)
    kind = Kind.INTEGER
    if address.kind == "bool":
        kind = Kind.BOOLEAN
    elif address.kind.startswith("float"):
        kind = Kind.FLOAT
    bits = {"16": 16, "32": 32, "64": 64}.get(address.kind[-2:], 0)
    series = _series(reading, kind)
    unit = (Step(name=f"Unit {reading.unit}"),) if several else ()
    return Variable(
        address=reading.address,
        path=(*unit, Step(name=f"{address.area} {address.start}")),
        data_type=address.kind,
        kind=kind,
        bits=bits if kind is Kind.INTEGER else 0,
        description=reading.evidence,
        value=series[-1][1] if series else None,
        collect=reading.collect,
    )


def _series(reading: Reading, kind: Kind) -> list[tuple[float, Value]]:
    """Changes only."""
    found: list[tuple[float, Value]] = []
    for at, number in reading.series:
        value: Value = bool(number) if kind is Kind.BOOLEAN else number if kind is Kind.FLOAT else int(number)
        if not found or found[-1][1] != value:
            found.append((at, value))
    return found
