"""Modbus addresses, coalesced into blocks, and the decoding of a block. Pure."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SYNTAX = re.compile(r"(holding|input|coil|discrete):(\d{1,5}):([a-z0-9<>]+?)(?:\.(\d{1,2}))?")
FORMATS = {
    "int16": ("h", 1),
    "uint16": ("H", 1),
    "int32": ("i", 2),
    "uint32": ("I", 2),
    "float32": ("f", 2),
    "int64": ("q", 4),
    "uint64": ("Q", 4),
    "float64": ("d", 4),
}
MOST_REGISTERS, MOST_BITS = 125, 2000
"""Per request (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""

FIX = (
    'write it like "holding:100:uint32", "input:4:float32", "holding:7:bit.3", "holding:30:string<8>" or '
    '"coil:5:bool"; addresses count from 0; types int16 uint16 int32 uint32 int64 uint64 '
    "float32 float64 string<N> bit bool"
)

WordOrder = Literal["big", "little"]
Area = Literal["holding", "input", "coil", "discrete"]


@dataclass(frozen=True, slots=True)
class Address:
    """One value in a device: `area:start:type`, with its length in registers (or bits)."""

    area: Area
    start: int
    kind: str
    length: int
    bit: int = 0


@dataclass(frozen=True, slots=True)
class Block:
    """One request, and where the values are in its answer: (index of the address, offset)."""

    area: Area
    start: int
    length: int
    members: tuple[tuple[int, int], ...]


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


def _length(area: str, kind: str, bit: str | None) -> int:
    if area in ("coil", "discrete"):
        if kind != "bool" or bit is not None:
            raise ValueError(f"a {area} is a bool; {FIX}")
        return 1
    if kind == "bit" and bit is not None and int(bit) <= 15:
        return 1
    if bit is None and kind in FORMATS:
        return FORMATS[kind][1]
    if bit is None and kind == "bool":
        return 1
    string = re.fullmatch(r"string<(\d{1,3})>", kind)
    if bit is None and string and 1 <= int(string[1]) <= 2 * MOST_REGISTERS:
        return (int(string[1]) + 1) // 2
    raise ValueError(FIX)


def blocks(addresses: Sequence[Address], max_gap: int) -> list[Block]:
    """The fewest requests that read all addresses, bridging up to `max_gap` unused ones.

    A value is never split over two requests, so it is never made of two moments.
    """
    found: list[Block] = []
    order = sorted(range(len(addresses)), key=lambda i: (addresses[i].area, addresses[i].start))
    for index in order:
        address = addresses[index]
        most = MOST_BITS if address.area in ("coil", "discrete") else MOST_REGISTERS
        if found:
            last = found[-1]
            length = max(last.length, address.start + address.length - last.start)
            near = address.start <= last.start + last.length + max_gap
            if last.area == address.area and near and length <= most:
                member = (index, address.start - last.start)
                found[-1] = Block(last.area, last.start, length, (*last.members, member))
                continue
        found.append(Block(address.area, address.start, address.length, ((index, 0),)))
    return found


class BlockDecoder:
    """The compiled decoding of one block of registers."""

    def __init__(self, block: Block, addresses: Sequence[Address], word_order: WordOrder) -> None:
        self.block = block
        self._addresses = addresses
        self._words = struct.Struct(f">{block.length}H")
        self._readers = [
            (index, offset, _format(addresses[index]), addresses[index].length)
            for index, offset in block.members
        ]
        self._swap = word_order == "little"

    def registers(self, registers: Sequence[int]) -> list[tuple[int, float | int | str]]:
        """(index of the address, value) out of the answer's registers; raises ValueError if some are
        missing."""
        if len(registers) != self.block.length:
            raise ValueError(f"answered {len(registers)} of {self.block.length} registers")
        raw = self._words.pack(*registers)
        values: list[tuple[int, float | int | str]] = []
        for index, offset, compiled, length in self._readers:
            address = self._addresses[index]
            part = raw[2 * offset : 2 * (offset + length)]
            if compiled is None:
                values.append((index, part.rstrip(b"\0 ").split(b"\0")[0].decode("latin-1")))
            elif address.kind == "bit":
                values.append((index, registers[offset] >> address.bit & 1))
            elif address.kind == "bool":
                values.append((index, int(registers[offset] != 0)))
            else:
                if self._swap and length > 1:
                    part = b"".join(part[i : i + 2] for i in range(len(part) - 2, -1, -2))
                values.append((index, compiled.unpack(part)[0]))
        return values

    def bits(self, bits: Sequence[bool]) -> list[tuple[int, float | int | str]]:
        """The same for coils and discrete inputs; answers are padded to whole bytes."""
        if len(bits) < self.block.length:
            raise ValueError(f"answered {len(bits)} of {self.block.length} bits")
        return [(index, int(bits[offset])) for index, offset in self.block.members]


def _format(address: Address) -> struct.Struct | None:
    if address.kind.startswith("string"):
        return None
    return struct.Struct(">" + FORMATS[address.kind][0]) if address.kind in FORMATS else struct.Struct(">H")
