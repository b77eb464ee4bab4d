"""Which requests read the wanted values, given what the device refused. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from collectors.modbus.address import MOST_BITS, MOST_REGISTERS, Area, Wanted, is_bits

Place = tuple[int, Area, int]
"""Unit, area, address."""


@dataclass(frozen=True, slots=True)
class Block:
    """One request, and where the values are in its answer: (index of what is wanted, offset)."""

    unit: int
    area: Area
    start: int
    length: int
    members: tuple[tuple[int, int], ...]

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.start + self.length

    @property
    def bytes(self) -> int:
        """How long its answer is, without any header."""
        return (self.length + 7) // 8 if is_bits(self.area) else 2 * self.length

    def __str__(self) -> str:
        until = f" to {self.end - 1}" if self.length > 1 else ""
        return f"{self.area} {self.start}{until} of unit {self.unit}"


@dataclass(slots=True)
class Learned:
    """What a device showed not to take."""

    refused: dict[int, str] = field(default_factory=dict)
    """Index of a wanted value to why it cannot be read, not even alone."""
    cuts: set[Place] = field(default_factory=set)
    """Both sides of such an address can be read, but not with one request."""


def most(area: Area, max_block: int) -> int:
    """The longest request in an area when `max_block` registers are the most."""
    return min(MOST_BITS, 16 * max_block) if is_bits(area) else max_block


def blocks(
    wanted: Sequence[Wanted],
    max_gap: int,
    max_block: int = MOST_REGISTERS,
    learned: Learned | None = None,
    among: Iterable[int] | None = None,
) -> list[Block]:
    """The fewest requests that read the wanted values (those `among` them: indices), each at most `max_block` registers
    long, bridging up to `max_gap` unused ones.

    A value is never split over two requests, so it is never made of two moments. What was refused is neither asked
    nor bridged.
    """
    learned = learned or Learned()
    refused = {
        (w.unit, w.address.area, at)
        for w in (wanted[index] for index in learned.refused)
        for at in range(w.address.start, w.address.start + w.address.length)
    }
    found: list[Block] = []
    asked = range(len(wanted)) if among is None else among
    for index in sorted((i for i in asked if i not in learned.refused), key=lambda i: _key(wanted[i])):
        value = wanted[index]
        unit, area, start, length = value.unit, value.address.area, value.address.start, value.address.length
        if found and _joins(found[-1], value, max_gap, most(area, max_block), refused, learned.cuts):
            last = found[-1]
            joined = max(last.end, start + length) - last.start
            member = (index, start - last.start)
            found[-1] = Block(unit, area, last.start, joined, (*last.members, member))
        else:
            found.append(Block(unit, area, start, length, ((index, 0),)))
    return found


def halves(block: Block, wanted: Sequence[Wanted]) -> tuple[Block, Block] | None:
    """Two requests for the values of one; None when it has only one value (or several in the same place)."""
    spans = sorted({(wanted[i].address.start, wanted[i].address.length) for i, _ in block.members})
    if len(spans) < 2:
        return None
    middle = spans[len(spans) // 2]
    left = [i for i, _ in block.members if _span(wanted[i]) < middle]
    right = [i for i, _ in block.members if _span(wanted[i]) >= middle]
    return _together(block, left, wanted), _together(block, right, wanted)


def _together(block: Block, indices: Sequence[int], wanted: Sequence[Wanted]) -> Block:
    start = min(wanted[i].address.start for i in indices)
    end = max(wanted[i].address.start + wanted[i].address.length for i in indices)
    members = tuple((i, wanted[i].address.start - start) for i in indices)
    return Block(block.unit, block.area, start, end - start, members)


def _joins(
    last: Block,
    value: Wanted,
    max_gap: int,
    longest: int,
    refused: Collection[Place],
    cuts: Collection[Place],
) -> bool:
    unit, area, start = value.unit, value.address.area, value.address.start
    if (last.unit, last.area) != (unit, area) or start > last.end + max_gap:
        return False
    if max(last.end, start + value.address.length) - last.start > longest:
        return False
    if refused and any((unit, area, at) in refused for at in range(last.end, start)):
        return False
    return not cuts or not any((unit, area, at) in cuts for at in range(last.start + 1, start + 1))


def _span(value: Wanted) -> tuple[int, int]:
    return value.address.start, value.address.length


def _key(value: Wanted) -> tuple[int, str, int, int]:
    return value.unit, value.address.area, value.address.start, value.address.length
