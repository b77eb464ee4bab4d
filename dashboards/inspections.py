"""Inspections people record: what a machine is inspected for, an entry that makes sense, and taking one back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from analytics.spc.inspections import Inspection, standing
from dashboards.ports import Refused
from plant.frames import Window
from plant.model import ChartKind, Plant, Role, Signal

BACK = timedelta(days=400)
"""How far back an inspection may lie, and what a machine is inspected for is looked up."""
AHEAD = timedelta(minutes=1)
"""How far a sender's clock may be ahead."""
LONGEST_NAME = 50
MOST_UNITS = 1_000_000_000
_LARGEST = {ChartKind.I_MR: 1, ChartKind.XBAR_R: 25}
_LARGEST_OTHERS = 1000


class Source(Protocol):
    """What is asked; the Backend has it."""

    @property
    def plant(self) -> Plant: ...

    def now(self) -> datetime: ...

    def inspections(self, window: Window, equipment: str) -> list[Inspection]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What somebody found: units counted, or values measured."""

    inspected: int | None = None
    nonconforming: int | None = None
    defects: int | None = None
    values: Sequence[float] = ()


def by_hand(plant: Plant, machine: str) -> tuple[Signal, ...]:
    """The process values no source brings: people measure them."""
    return tuple(s for s in plant.signals_of(machine, Role.PROCESS_VALUE) if s.source is None)


def specifications(source: Source, machine: str) -> list[str]:
    """What units of the machine were counted under, in the order of the alphabet."""
    measured = {signal.id for signal in source.plant.signals_of(machine, Role.PROCESS_VALUE)}
    return sorted({one.test for one in standing(_all(source, machine)) if one.test not in measured})


def sizes(signal: Signal) -> tuple[int, int, int]:
    """How many values an inspection may have by the signal's chart, at least and at most, and how many are usual."""
    kind = signal.spc.chart
    least = 2 if kind in (ChartKind.XBAR_R, ChartKind.XBAR_S) else 1
    most = _LARGEST.get(kind, _LARGEST_OTHERS)
    return least, most, max(least, signal.spc.size or min(5, most))


def recording(
    source: Source, machine: str, test: str, time: datetime, found: Found, user: str, note: str
) -> Inspection:
    """An inspection to keep.

    Raises:
        Refused: it makes no sense, or is there already.
    """
    now = source.now()
    test = " ".join(test.split())
    if not 0 < len(test) <= LONGEST_NAME or not test.isprintable():
        raise Refused(
            f"test: say what was inspected, such as Visual check, in {LONGEST_NAME} letters at most"
        )
    signal = source.plant.signals.get((machine, test))
    before = standing(_all(source, machine))
    if signal is not None and signal.role is Role.PROCESS_VALUE:
        inspected = _measured(signal, found)
    else:
        inspected = _counted(source.plant, machine, test, found)
        test = next((one.test for one in before if one.test.casefold() == test.casefold()), test)
    if time > now + AHEAD:
        raise Refused(f"time: {_wall(source, time)} is still to come; leave it empty for now")
    if time < now - BACK:
        raise Refused(f"time: {_wall(source, time)} is more than {BACK.days} days ago")
    if any(one.test == test and one.time == time for one in before):
        raise Refused(
            f"time: {test} of {_wall(source, time)} is recorded already; take that back first if it was wrong"
        )
    return Inspection(
        test=test,
        time=time,
        inspected=inspected,
        nonconforming=found.nonconforming,
        defects=found.defects,
        values=tuple(float(value) for value in found.values),
        at=now,
        user=user,
        note=note.strip(),
    )


def withdrawing(source: Source, machine: str, number: int, user: str, why: str) -> Inspection:
    """The entry that takes an inspection back.

    Raises:
        Refused: there is none of that number, or it is taken back already.
    """
    found = next((one for one in standing(_all(source, machine)) if one.number == number), None)
    if found is None:
        raise Refused(f"number: {machine} has no inspection {number} that counts; reload the page")
    return replace(found, number=0, at=source.now(), user=user, note=why.strip(), withdraws=number)


def _all(source: Source, machine: str) -> list[Inspection]:
    now = source.now()
    return source.inspections(Window(now - BACK, now + AHEAD), machine)


def _measured(signal: Signal, found: Found) -> int:
    if signal.source is not None:
        raise Refused(
            f"test: {signal.id} is read from {signal.source}; people record process values without a source"
        )
    if found.inspected is not None or found.nonconforming is not None or found.defects is not None:
        raise Refused(f"values: {signal.id} is measured; give values alone, without counts")
    least, most, _ = sizes(signal)
    given = len(found.values)
    if not least <= given <= most:
        span = f"{least}" if least == most else f"{least} to {most}"
        raise Refused(f"values: a {signal.spc.chart} chart takes {span} of an inspection, not {given}")
    if not all(math.isfinite(value) for value in found.values):
        raise Refused("values: each must be a number")
    return given


def _counted(plant: Plant, machine: str, test: str, found: Found) -> int:
    if found.values:
        known = ", ".join(s.id for s in by_hand(plant, machine)) or "none"
        raise Refused(
            f"values: {test} is no process value of {machine} that people measure (it has {known}); count units"
        )
    if found.inspected is None or not 0 < found.inspected <= MOST_UNITS:
        raise Refused("inspected: say how many units were inspected, 1 at least")
    if found.nonconforming is None and found.defects is None:
        raise Refused("nonconforming: say how many units were nonconforming, or how many defects there were")
    for name, count in (("nonconforming", found.nonconforming), ("defects", found.defects)):
        if count is not None and not 0 <= count <= MOST_UNITS:
            raise Refused(f"{name}: {count} is no count; write 0 or more")
    bad = found.nonconforming or 0
    if bad > found.inspected:
        raise Refused(f"nonconforming: {bad} are more than the {found.inspected} inspected")
    if found.defects is not None and found.defects < bad:
        raise Refused(
            f"defects: {found.defects} are fewer than the {bad} nonconforming units, which have one each at least"
        )
    return found.inspected


def _wall(source: Source, time: datetime) -> str:
    return f"{time.astimezone(source.plant.site.zone):%Y-%m-%d %H:%M}"
