"""What registers did while they were watched, and which pairs of them look like one number. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from collectors.modbus.address import BYTE_ORDERS, ByteOrder

Numbers = NDArray[np.float64]

SMALL = 255
"""States are whole numbers up to about this."""
FEW = 8
"""Values a state takes in a short while, at most."""
JUMP = 6_000
"""The lower word of a measured float32 moves by more than this when the value moves by a thousandth."""
LEAST, MOST = 1e-3, 1e7
"""Between these a measured value lies, or it is 0."""
WORTH = 0.3
"""Readings less plausible than this are not told."""
RATES = {1.0: "seconds", 10.0: "tenths of a second", 100.0: "hundredths of a second", 1000.0: "milliseconds"}


class Did(StrEnum):
    """What a value did while it was watched."""

    CONSTANT = "constant"
    COUNTER = "counter"
    """It only went up, in whole steps, and not with the time itself."""
    CLOCK = "clock"
    """It went up with the time itself."""
    TOGGLED = "toggled"
    """It changed between two values."""
    FEW = "few values"
    """It changed between a few small whole numbers, like a state does."""
    VARIED = "varied"


def did(seconds: Numbers, values: Numbers, modulus: float = 0.0) -> Did:
    """What a series did. `modulus`: after so many values it may start at 0 again, still going up."""
    steps = np.diff(values)
    if modulus:
        steps = np.where(steps < -modulus / 2, steps + modulus, steps)
    moved = steps[steps != 0]
    if not len(moved):
        return Did.CONSTANT
    if (moved > 0).all() and _rate(seconds, np.concatenate(([0.0], np.cumsum(steps)))):
        return Did.CLOCK
    distinct = np.unique(values)
    small = (values == np.round(values)).all() and distinct[0] >= 0 and distinct[-1] <= SMALL
    whole_steps = (moved == np.round(moved)).all()
    if (moved > 0).all() and whole_steps and (len(moved) > 1 or not small):
        return Did.COUNTER
    if len(distinct) == 2:
        return Did.TOGGLED
    return Did.FEW if small and len(distinct) <= FEW else Did.VARIED


def _rate(seconds: Numbers, values: Numbers) -> str:
    """The unit of time in which the values went up, "" when it is none."""
    passed = seconds[-1] - seconds[0]
    if passed <= 0 or len(values) < 4:
        return ""
    for rate, name in RATES.items():
        if (
            values[-1] >= 3
            and (np.abs(values - rate * (seconds - seconds[0])) <= 0.03 * rate * passed + 1).all()
        ):
            return name
    return ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two registers as one value."""

    kind: str
    byte_order: ByteOrder
    values: Numbers
    did: Did
    plausible: float
    evidence: str


def pairs(seconds: Numbers, first: Numbers, second: Numbers) -> list[Pair]:
    """The readings of two neighbouring registers as one number that are worth telling, the most plausible first."""
    found = []
    for order in BYTE_ORDERS:
        a, b = (first, second) if order in ("ABCD", "BADC") else (second, first)
        if order in ("BADC", "DCBA"):
            a, b = _swapped(a), _swapped(b)
        found += [_float(seconds, a, b, order), _integer(seconds, a, b, order)]
    worth = [pair for pair in found if pair is not None and pair.plausible >= WORTH]
    return sorted(worth, key=lambda pair: -pair.plausible)


def _swapped(words: Numbers) -> Numbers:
    swapped: Numbers = words.astype(np.uint16).byteswap().astype(np.float64)
    return swapped


def _float(seconds: Numbers, high: Numbers, low: Numbers, order: ByteOrder) -> Pair | None:
    raw = (high.astype(np.uint32) << 16) | low.astype(np.uint32)
    with np.errstate(all="ignore"):
        values: Numbers = raw.view(np.float32).astype(np.float64)
    size = np.abs(values[values != 0])
    if not np.isfinite(values).all() or not len(size) or size.min() < LEAST or size.max() > MOST:
        return None
    what = did(seconds, values)
    if what is Did.CONSTANT:
        digits = len(
            np.format_float_scientific(np.float32(values[0])).split("e")[0].replace(".", "").strip("-0")
        )
        if digits > 5:
            return None
        plausible = 0.55 if digits <= 3 else 0.4
        return Pair("float32", order, values, what, plausible, f"as float32 it is {values[0]:g} all the time")
    jumps, lower_moves = np.abs(np.diff(low)).max(), np.count_nonzero(np.diff(low))
    upper_range, spread = np.ptp(high), np.ptp(values) / size.max()
    calm = values.min() * values.max() >= 0 and spread <= 0.8
    if lower_moves >= 3 and jumps > JUMP and calm:
        steady = "did not move" if upper_range == 0 else f"moved by {upper_range:.0f}"
        evidence = (
            f"as float32 it stayed between {values.min():.6g} and {values.max():.6g}, while the lower word "
            f"jumped by up to {jumps:.0f} and the upper word {steady}"
        )
        return Pair("float32", order, values, what, (0.95 if upper_range else 0.8) - 0.3 * spread, evidence)
    if np.count_nonzero(np.diff(values)) >= 2 and calm and jumps > 255:
        return Pair(
            "float32",
            order,
            values,
            what,
            0.5,
            f"as float32 it moved between {values.min():.6g} and {values.max():.6g}",
        )
    return None


def _integer(seconds: Numbers, high: Numbers, low: Numbers, order: ByteOrder) -> Pair | None:
    values = high * 65536 + low
    what = did(seconds, values, 2.0**32)
    if what not in (Did.COUNTER, Did.CLOCK):
        return None
    carried = np.flatnonzero((np.diff(high) == 1) & (np.diff(low) < 0))
    steps = np.diff(values)
    if len(carried) and np.count_nonzero(np.diff(high)) == len(carried):
        evidence = f"the lower word passed 65535 {len(carried)} times, and the upper word went up each time"
        return Pair("uint32", order, values, what, 0.98, evidence)
    if np.ptp(high) or np.count_nonzero(steps) < 2:
        return None
    tail = f"the lower word went up by {steps.sum():.0f} in steps of up to {steps.max():.0f}"
    if steps.max() > JUMP:
        return None
    if high[0] == 0:
        return Pair("uint32", order, values, what, 0.5, f"the upper word is 0 all the time, {tail}")
    return Pair("uint32", order, values, what, 0.45, f"the upper word is {high[0]:.0f} all the time, {tail}")


def signed(values: Numbers) -> bool:
    """Whether unsigned 16 bit values look like signed ones around 0."""
    return bool(
        (values >= 60_000).any() and (values[values < 32_768] < 5_000).all() and (values >= 60_000).mean() < 1
    )


def favoured(found: Sequence[Sequence[Pair]]) -> ByteOrder | None:
    """The byte order for which most was seen; None when nothing speaks for one. One device rarely mixes them."""
    votes: dict[ByteOrder, float] = dict.fromkeys(BYTE_ORDERS, 0.0)
    for readings in found:
        for pair in readings:
            votes[pair.byte_order] += pair.plausible**3
    best = max(votes, key=lambda order: votes[order])
    return best if votes[best] > 0 else None


def chosen(found: Mapping[int, Sequence[Pair]], favourite: ByteOrder | None) -> dict[int, list[Pair]]:
    """By address of the first register: the pairs to tell, none sharing a register with a better one. Readings in
    another byte order than the device's favourite count half."""

    def worth(pair: Pair) -> float:
        return pair.plausible * (1.0 if pair.byte_order == favourite else 0.5)

    best = sorted(
        ((max(map(worth, readings)), at) for at, readings in found.items() if readings),
        key=lambda b: (-b[0], b[1]),
    )
    taken: set[int] = set()
    told: dict[int, list[Pair]] = {}
    for score, at in best:
        if score >= WORTH and not taken & {at, at + 1}:
            taken |= {at, at + 1}
            told[at] = sorted((p for p in found[at] if worth(p) >= WORTH), key=worth, reverse=True)
    return told
