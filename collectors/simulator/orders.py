"""The production orders the simulated plant works on, and their CSV form."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TextIO

from collectors.simulator.codes import LINE, MACHINES, MATERIALS, PRESS, STATIONS

COLUMNS = ("id", "material", "equipment", "quantity", "due", "priority", "start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order: `quantity` good pieces of `material` on `equipment` (a machine or the bottling line)."""

    id: str
    material: str
    equipment: str
    quantity: int
    due: datetime
    priority: int
    start: datetime
    """Planned start; a machine works its orders in this sequence, as soon as it is free."""

    def __post_init__(self) -> None:
        if self.material not in MATERIALS:
            raise ValueError(
                f"order {self.id}: no material {self.material!r}; there are {', '.join(MATERIALS)}"
            )
        needed = STATIONS if self.equipment == LINE else (self.equipment,)
        if self.equipment in STATIONS or not set(needed) <= set(MATERIALS[self.material].cycles):
            raise ValueError(f"order {self.id}: {self.equipment!r} cannot make {self.material}")
        if self.quantity < 1:
            raise ValueError(f"order {self.id}: quantity {self.quantity}, at least 1 is needed")
        if len(self.id.encode()) > 32 or not self.id.isascii():
            raise ValueError(f"order {self.id!r}: an id has at most 32 ASCII characters")


@dataclass(frozen=True, slots=True)
class _Plan:
    """The repeating programme of a machine or line: (material, quantity, allowance over the planned time)."""

    equipment: str
    pace: str
    """The machine whose ideal cycle the planner counts with."""
    reserve: float
    """Planned time over ideal time."""
    runs: tuple[tuple[str, int, float], ...]


_PLANS = (
    _Plan(
        LINE,
        "filler",
        1.42,
        (
            ("water-05l", 7200, 1.25),
            ("juice-1l", 3600, 1.0),
            ("water-05l", 9600, 1.3),
            ("juice-1l", 4800, 1.2),
        ),
    ),
    _Plan("cnc-1", "cnc-1", 1.3, (("shaft-18", 80, 1.3), ("flange-40", 45, 1.05), ("shaft-18", 120, 1.2))),
    _Plan("cnc-2", "cnc-2", 1.3, (("flange-40", 50, 1.2), ("shaft-18", 90, 1.3), ("flange-40", 60, 0.95))),
    _Plan(PRESS, PRESS, 1.2, (("bracket", 1500, 1.1), ("bracket", 2200, 1.03), ("bracket", 1000, 1.2))),
)
_PLANNED_SETUP = timedelta(minutes=8)


def demo_orders(start: datetime, hours: float = 36) -> list[dict[str, object]]:
    """Orders that keep every machine of the demo busy for `hours` from `start`; columns as in COLUMNS.

    Due times leave a little room over the planned time, some too little: those orders end late.
    More hours add orders at the end of each machine's, the others stay the same.
    """
    orders: list[Order] = []
    for series, plan in enumerate(_PLANS, 1):
        begin, turn = start, 0
        while begin < start + timedelta(hours=hours):
            material, quantity, allowance = plan.runs[turn % len(plan.runs)]
            cycle = timedelta(microseconds=MATERIALS[material].cycles[plan.pace])
            planned = _PLANNED_SETUP + quantity * cycle * plan.reserve
            orders.append(
                Order(
                    id=f"PO-{1000 * series + turn + 1}",
                    material=material,
                    equipment=plan.equipment,
                    quantity=quantity,
                    due=_minute(begin + planned * allowance),
                    priority=1 + turn % 3,
                    start=_minute(begin),
                )
            )
            begin, turn = begin + planned, turn + 1
    return [asdict(order) for order in orders]


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def parse_orders(rows: Iterable[Mapping[str, object]]) -> tuple[Order, ...]:
    """Orders from rows with the columns COLUMNS; text (from CSV) and typed values are both taken.

    Raises ValueError naming the row and the fault.
    """
    orders = []
    for number, row in enumerate(rows, 1):
        missing = [column for column in COLUMNS if row.get(column) in (None, "")]
        if missing:
            raise ValueError(f"orders: row {number} has no {', '.join(missing)}")
        try:
            orders.append(
                Order(
                    id=str(row["id"]),
                    material=str(row["material"]),
                    equipment=str(row["equipment"]),
                    quantity=int(str(row["quantity"])),
                    due=datetime.fromisoformat(str(row["due"])),
                    priority=int(str(row["priority"])),
                    start=datetime.fromisoformat(str(row["start"])),
                )
            )
        except ValueError as error:
            raise ValueError(f"orders: row {number}: {error}") from error
    return tuple(orders)


def load_orders(file: TextIO) -> list[dict[str, object]]:
    """The rows of a CSV file as `write_orders` makes it, still text; `parse_orders` checks them."""
    return [dict(row) for row in csv.DictReader(file)]


def write_orders(rows: Iterable[Mapping[str, object]], file: TextIO) -> None:
    """Write orders as CSV, times as ISO 8601."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        cells = (row[column] for column in COLUMNS)
        writer.writerow([c.isoformat() if isinstance(c, datetime) else c for c in cells])


def programme(orders: Sequence[Order], machine: str) -> tuple[Order, ...]:
    """The orders of one machine in the sequence it works them: those of its line for a station."""
    if machine not in MACHINES:
        raise ValueError(f"no machine {machine!r}; there are {', '.join(MACHINES)}")
    equipment = LINE if machine in STATIONS else machine
    return tuple(
        sorted((o for o in orders if o.equipment == equipment), key=lambda o: (o.start, o.priority, o.id))
    )
