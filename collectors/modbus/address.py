"""Modbus addresses: what one value in a device is. Pure."""

import re
from dataclasses import dataclass
from typing import Literal

SYNTAX = re.compile(r"(holding|input|coil|discrete):(\d{1,5}):([a-z0-9<>]+?)(?:\.(\d{1,2}))?")
REGISTERS = {
    "int16": 1,
    "uint16": 1,
    "int32": 2,
    "uint32": 2,
    "float32": 2,
    "int64": 4,
    "uint64": 4,
    "float64": 4,
    "bcd16": 1,
    "bcd32": 2,
    "bool": 1,
}
"""Types of fixed length, in registers."""
MOST_REGISTERS, MOST_BITS = 125, 2000
"""Per request (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""

FIX = (
    'write it like "holding:100:uint32", "input:4:float32", "holding:7:bit.3", "holding:30:string<8>" or '
    '"coil:5:bool"; addresses count from 0; types int16 uint16 int32 uint32 int64 uint64 '
    "float32 float64 bcd16 bcd32 string<N> bit bool"
)

Area = Literal["holding", "input", "coil", "discrete"]
ByteOrder = Literal["ABCD", "CDAB", "BADC", "DCBA"]
"""Where the bytes of a 32 bit number stand, A the most significant: CDAB has the low word first, BADC swaps the bytes
within each word, DCBA both. 64 bits alike."""
BYTE_ORDERS: tuple[ByteOrder, ...] = ("ABCD", "CDAB", "BADC", "DCBA")


@dataclass(frozen=True, slots=True)
class Address:
    """One value in a device: `area:start:type`, with its length in registers (or bits)."""

    area: Area
    start: int
    kind: str
    length: int
    bit: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One value of one unit."""

    unit: int
    address: Address
    byte_order: ByteOrder = "ABCD"
    text: bool = False
    """Numbers are wanted as text, too: an order number."""


def is_bits(area: Area) -> bool:
    """Whether the area holds bits, not registers."""
    return area in ("coil", "discrete")


def parse(text: str) -> Address:
    """An address; string<N> is N characters, two per register. Raises ValueError with what is allowed."""
    match = SYNTAX.fullmatch(text)
    if match is None:
        raise ValueError(FIX)
    area, start, kind, bit = match[1], int(match[2]), match[3], match[4]
    length = _length(area, kind, bit)
    if start + length > 65536:
        raise ValueError(f"it ends at {start + length - 1}, and the last address is 65535")
    return Address(area, start, kind, length, int(bit or 0))  # type: ignore[arg-type]


def characters(kind: str) -> int:
    """How many characters a string<N> has; 0 for every other type."""
    found = re.fullmatch(r"string<(\d{1,3})>", kind)
    return int(found[1]) if found else 0


def _length(area: str, kind: str, bit: str | None) -> int:
    if area in ("coil", "discrete"):
        if kind != "bool" or bit is not None:
            raise ValueError(f"a {area} is a bool; {FIX}")
        return 1
    if kind == "bit" and bit is not None and int(bit) <= 15:
        return 1
    if bit is None and kind in REGISTERS:
        return REGISTERS[kind]
    if bit is None and 1 <= characters(kind) <= 2 * MOST_REGISTERS:
        return (characters(kind) + 1) // 2
    raise ValueError(FIX)
