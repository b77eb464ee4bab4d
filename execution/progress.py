"""How far an order is: parts from the ledger, and what should have been made by now."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from execution.orders import JobOrder
from plant.frames import Window
from plant.model import Plant


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """Parts booked to an order so far, counted at `counted_at`. Times are UTC."""

    good: int
    reject: int
    start: datetime | None
    """Of its first ledger row on any of its machines; None: it has not run in this ledger."""
    end: datetime | None
    """Of its last ledger row."""
    counted_at: tuple[str, ...]


def counting_machines(plant: Plant, equipment: str) -> tuple[str, ...]:
    """The machines whose counts are the output of that equipment: the machine itself, or of a line those
    that feed no other machine of it (the end of the flow). Parallel ends, or machines without any
    `upstream`, all count: name the flow in the plant file to count a serial line once."""
    below = plant.below(equipment)
    inside = [machine for machine in plant.machines() if machine.id in below]
    feeding = {feeder for machine in inside for feeder in machine.upstream}
    return tuple(machine.id for machine in inside if machine.id not in feeding)


def progress(plant: Plant, ledger: pl.DataFrame, orders: Iterable[JobOrder]) -> dict[str, OrderProgress]:
    """Per order id, from ledger rows (`plant.frames.LEDGER`) that cover all of its runs.

    Good and reject of a line's order are those of its counting machines alone: its stations may count in
    other units (bottles, cases, pallets), and a part passes all of them.
    """
    sums = (
        ledger.filter(pl.col("order").is_not_null())
        .group_by("order", "equipment")
        .agg(pl.col("good", "reject").sum(), pl.col("start").min(), pl.col("end").max())
    )
    by_order: dict[str, dict[str, tuple[int, int, datetime, datetime]]] = {}
    for order, machine, good, reject, start, end in sums.iter_rows():
        by_order.setdefault(order, {})[machine] = (good, reject, start, end)
    jobs = list(orders)
    places = {job.equipment for job in jobs} & plant.equipment.keys()
    counting = {place: counting_machines(plant, place) for place in places}
    found: dict[str, OrderProgress] = {}
    for job in jobs:
        counted = counting.get(job.equipment, ())
        rows = by_order.get(job.id, {})
        found[job.id] = OrderProgress(
            good=sum(rows[machine][0] for machine in counted if machine in rows),
            reject=sum(rows[machine][1] for machine in counted if machine in rows),
            start=min((row[2] for row in rows.values()), default=None),
            end=max((row[3] for row in rows.values()), default=None),
            counted_at=counted,
        )
    return found


def calendar_length(window: Window) -> timedelta:
    """Every hour counts: the default of `expected_now`."""
    return window.end - window.start


def expected_now(
    order: JobOrder,
    start: datetime | None,
    now: datetime,
    working: Callable[[Window], timedelta] = calendar_length,
) -> int | None:
    """Good parts that should have been made by now for the order to be on time at an even pace.

    Args:
        start: when it began; its planned start is used when it has not.
        working: working time inside a window, e.g. planned busy time of the calendar.
    Returns:
        Whole parts, rounded down, between 0 and the order quantity; None without a due date or a start,
        or when there is no working time between them.
    """
    begin = start or order.planned_start
    if order.due is None or begin is None:
        return None
    if now >= order.due:
        return order.quantity
    if now <= begin:
        return 0
    total = working(Window(begin, order.due))
    if not total:
        return None
    return min(order.quantity, order.quantity * working(Window(begin, now)) // total)
