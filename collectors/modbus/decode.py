"""From the bytes of answers to values: a plan compiled once, then a few array operations per poll. Pure."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collectors.modbus.address import Wanted, characters, is_bits
from collectors.modbus.blocks import Block

DTYPES = {
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "int64": "<i8",
    "uint64": "<u8",
    "float32": "<f4",
    "float64": "<f8",
    "bool": "<u2",
}
DIGITS = {"bcd16": 4, "bcd32": 8}


def places(offset: int, length: int, byte_order: str) -> list[int]:
    """Where the bytes of a number of `length` registers stand in an answer, the least significant first, when its first
    register stands at byte `offset`."""
    word_swap, byte_swap = byte_order in ("CDAB", "DCBA"), byte_order in ("BADC", "DCBA")
    words = range(length) if word_swap else range(length - 1, -1, -1)
    return [offset + 2 * word + byte for word in words for byte in ((0, 1) if byte_swap else (1, 0))]


class Plan:
    """How all values of some requests come out of their answers.

    `indices`: which of `wanted` are read, in the order of the values that `decode` gives.
    """

    def __init__(self, blocks: Sequence[Block], wanted: Sequence[Wanted]) -> None:
        self.blocks = tuple(blocks)
        self.bytes = sum(block.bytes for block in blocks)
        members = self._members()
        self.indices = np.array([index for index, _, _ in members], dtype=np.intp)
        self._numbers = self._gathers(members, wanted)
        self._bits = self._bit_places(members, wanted)
        self._strings = [
            (position, _string_places(wanted[index], at))
            for position, (index, at, _) in enumerate(members)
            if characters(wanted[index].address.kind)
        ]
        self._bit_texts = [
            position
            for position, (index, _, bit) in enumerate(members)
            if wanted[index].text and (bit is not None or wanted[index].address.kind == "bit")
        ]

    def decode(self, answers: Sequence[bytes]) -> tuple[NDArray[np.float64], dict[int, str]]:
        """The answers' bytes, one per request, to numbers and texts, in the order of `indices`.

        NaN: a text, or no number (digits of a BCD value above 9). The texts are by position, of strings and of numbers
        wanted as text. Raises ValueError when the answers have the wrong length.
        """
        raw = np.frombuffer(b"".join(answers), np.uint8)
        if len(raw) != self.bytes:
            raise ValueError(f"answered {len(raw)} bytes where {self.bytes} were asked for")
        numbers = np.full(len(self.indices), np.nan)
        texts: dict[int, str] = {}
        for kind, to, take, as_text in self._numbers:
            column = _typed(kind, raw[take])
            with np.errstate(invalid="ignore"):  # a signalling NaN is one
                numbers[to] = column
            for k, position in as_text:
                value = column[k].item()
                if value == value:
                    texts[position] = str(int(value) if kind in DIGITS else value)
        if self._bits is not None:
            to, byte, shift = self._bits
            numbers[to] = raw[byte] >> shift & 1
        for position in self._bit_texts:
            texts[position] = str(int(numbers[position]))
        for position, part in self._strings:
            texts[position] = _text(raw[part].tobytes())
        return numbers, texts

    def _members(self) -> list[tuple[int, int, int | None]]:
        """(index, its first byte in the joined answers, its bit there or None for registers)."""
        found: list[tuple[int, int, int | None]] = []
        base = 0
        for block in self.blocks:
            for index, offset in block.members:
                if is_bits(block.area):
                    found.append((index, base + offset // 8, offset % 8))
                else:
                    found.append((index, base + 2 * offset, None))
            base += block.bytes
        return found

    @staticmethod
    def _gathers(
        members: Sequence[tuple[int, int, int | None]], wanted: Sequence[Wanted]
    ) -> list[tuple[str, NDArray[np.intp], NDArray[np.intp], list[tuple[int, int]]]]:
        """Per type: positions of the values, their bytes, and (row, position) of those wanted as text."""
        found: dict[str, list[tuple[int, list[int], bool]]] = defaultdict(list)
        for position, (index, at, bit) in enumerate(members):
            value = wanted[index]
            kind = value.address.kind
            if bit is None and (kind in DTYPES or kind in DIGITS):
                take = places(at, value.address.length, value.byte_order)
                found[kind].append((position, take, value.text))
        return [
            (
                kind,
                np.array([position for position, _, _ in rows], dtype=np.intp),
                np.array([take for _, take, _ in rows], dtype=np.intp),
                [(k, position) for k, (position, _, as_text) in enumerate(rows) if as_text],
            )
            for kind, rows in found.items()
        ]

    @staticmethod
    def _bit_places(
        members: Sequence[tuple[int, int, int | None]], wanted: Sequence[Wanted]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8]] | None:
        """Of coils, discrete inputs and bits of registers: positions, bytes, bits within them."""
        found: list[tuple[int, int, int]] = []
        for position, (index, at, bit) in enumerate(members):
            address = wanted[index].address
            if bit is not None:
                found.append((position, at, bit))
            elif address.kind == "bit":
                low_first = places(at, 1, wanted[index].byte_order)
                found.append((position, low_first[address.bit // 8], address.bit % 8))
        if not found:
            return None
        to, byte, shift = zip(*found, strict=True)
        return np.array(to, np.intp), np.array(byte, np.intp), np.array(shift, np.uint8)


def _typed(kind: str, data: NDArray[np.uint8]) -> NDArray[np.generic]:
    """One row of bytes per value, the least significant first, to one value each."""
    if kind in DIGITS:
        low, high = data & 15, data >> 4
        pairs = high * 10.0 + low
        pairs[(low > 9) | (high > 9)] = np.nan
        number: NDArray[np.float64] = pairs @ 100.0 ** np.arange(data.shape[1])
        return number
    column = data.view(DTYPES[kind])[:, 0]
    return (column != 0).astype(np.int64) if kind == "bool" else column


def _string_places(value: Wanted, at: int) -> NDArray[np.intp]:
    """The bytes of a text in reading order: words stand in order in every byte order."""
    length, swap = characters(value.address.kind), value.byte_order in ("BADC", "DCBA")
    return np.array([at + (k ^ 1 if swap else k) for k in range(length)], dtype=np.intp)


def _text(part: bytes) -> str:
    return part.split(b"\0")[0].rstrip(b" ").decode("latin-1")
