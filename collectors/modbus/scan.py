"""What an unknown Modbus device has: which registers can be read, what they did while they were watched, and which
pairs of them look like one number. Asks gently: one request at a time, with a pause after each, and a bound on all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from collectors.modbus.address import Area

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


class Did(StrEnum):
    """What a value did while it was watched."""

    CONSTANT = "constant"
    COUNTER = "counter"
    """It only went up, and not with every look in the same large step."""
    TOGGLED = "toggled"
    """It changed between two values."""
    FEW = "few values"
    """It changed between a few small whole numbers, like a state does."""
    VARIED = "varied"


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
    """0 to 1: how well the watching supports that these registers are one value of this type. Single registers and
    bits, which are always what they are, have 1 unless a better reading of 32 bits takes them up."""
    evidence: str
    """Why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a device has."""

    options: Mapping[str, object]
    """Of the `[[source]]` that reads it: host, port, unit, framing, byte_order."""
    readable: tuple[Span, ...]
    readings: tuple[Reading, ...]
    """By unit, area and address; where registers can be read in several ways the most plausible first. Registers that
    are always 0 are left out, except bits."""
    requests: int
    """How many were sent."""
    notes: tuple[str, ...] = ()
    """What was left out and why: a unit that did not answer, the bound on requests."""


async def scan(
    host: str,
    port: int = 502,
    *,
    units: Sequence[int] = (1,),
    ranges: Sequence[Range] = EVERYWHERE,
    framing: str = "tcp",
    seconds: float = 10.0,
    every: float = 0.5,
    pause: float = 0.02,
    timeout: float = 1.0,
    most_requests: int = 2000,
    progress: Progress | None = None,
) -> Scan:
    """Find what can be read in `ranges` of each unit (blocks, bisected where the device refuses), read all of it again
    every `every` seconds for `seconds`, and say what each register did.

    `framing`: "tcp" or "rtu" (RTU over TCP). `pause`: seconds after each request. Finding takes at most
    `most_requests`; what it did not get to is in `notes`. Nothing is ever written to the device.
    Raises collectors.connection.ConnectionLostError when nobody answers at all.
    """
    raise NotImplementedError("being written")
