"""Will it be made in time: order finish at the present and at the ideal rate, and output to the shift's end.

Rates are parts per known planned busy second outside changeovers, so breaks, nights, lost data and the setup
already done neither slow nor speed them;
finish times run on planned time only.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import polars as pl

from analytics.attributes import ideal_cycles
from plant.calendar import SHIFT, segments, shift_instances
from plant.frames import Window
from plant.model import Plant
from plant.states import BUSY_CATEGORIES, MachineState, TimeCategory

RATE_OVER = timedelta(minutes=30)
"""Planned time the present rate looks back over."""

SETTLED = timedelta(minutes=15)
"""Rated time after which an order has a rate of its own; before, the machine's rate whatever it made is the better
guess."""

HORIZON = timedelta(days=60)
"""No finish is forecast beyond it."""

RESOLUTION = timedelta(minutes=5)
"""How far apart `edges` are."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""What `edges` are multiples of `RESOLUTION` from."""
_SECOND = timedelta(seconds=1)
_RATED = [c.value for c in BUSY_CATEGORIES if c not in (TimeCategory.UNKNOWN, TimeCategory.CHANGEOVER)]
"""A changeover is over when its order runs: it says nothing about the rate of what is left."""


@dataclass(frozen=True, slots=True)
class OrderForecast:
    """When an order will be done; a field is None where it cannot be said."""

    rate: float | None
    """Good parts per planned second at present."""
    finish_present: datetime | None
    finish_ideal: datetime | None
    slack: timedelta | None
    """From finish_present to due; negative: late."""
    expected: int | None
    """What should have been made by now to be on time, spread evenly over planned time from start to due."""


@dataclass(frozen=True, slots=True)
class ShiftForecast:
    """A machine's output against its shift (the local day where it has no calendar)."""

    shift: str | None
    start: datetime
    end: datetime
    good: int
    target: int | None
    """Parts at the ideal cycle over the planned time of the shift, from when the machine is first known in it."""
    expected: int | None
    """Of that, due by now."""
    forecast: int | None
    """Good parts at the shift's end at the present rate."""


def edges(window: Window) -> list[datetime]:
    """Instants to cut a ledger of the window at so that the present rate is of `RATE_OVER` to 5 minutes: the
    same ones whenever one asks, so that rows stay as they are."""
    first = window.start + (EPOCH - window.start) % RESOLUTION
    return [first + n * RESOLUTION for n in range(-((first - window.end) // RESOLUTION))]


def present_rate(
    ledger: pl.DataFrame, equipment: str, order: str | None = None, over: timedelta = RATE_OVER
) -> float | None:
    """Good parts per second of the last `over` of known planned time outside changeovers in the ledger (of that order,
    if given).

    Looks back by whole rows: pass a ledger made with `edges`. None where there is no such time.
    """
    rows = _rated_rows(ledger, equipment, order)
    newer = pl.col("duration").cum_sum(reverse=True) - pl.col("duration")
    rows = rows.sort("start").filter(newer < over // timedelta(microseconds=1))
    good, duration = rows.select(pl.col("good").sum(), pl.col("duration").sum()).row(0)
    return good * 1e6 / duration if duration else None


def _rated_rows(ledger: pl.DataFrame, equipment: str, order: str | None) -> pl.DataFrame:
    rows = ledger.filter(pl.col("equipment") == equipment, pl.col("category").is_in(_RATED))
    return rows if order is None else rows.filter(pl.col("order") == order)


def _rated_time(ledger: pl.DataFrame, equipment: str, order: str) -> timedelta:
    return timedelta(microseconds=int(_rated_rows(ledger, equipment, order)["duration"].sum()))


def planned_between(plant: Plant, equipment: str, start: datetime, end: datetime) -> timedelta:
    """Shift time less breaks of a machine's calendar between two instants."""
    if end <= start:
        return timedelta()
    spans = _planned(plant, equipment, Window(start, end))
    return spans.select((pl.col("end") - pl.col("start")).sum()).item() or timedelta()


def after_planned(plant: Plant, equipment: str, start: datetime, needed: timedelta) -> datetime | None:
    """When that much planned time will have passed since `start`; None beyond `HORIZON`."""
    if needed <= timedelta():
        return start
    if needed > HORIZON:
        return None
    spans = _planned(plant, equipment, Window(start, start + HORIZON))
    for begin, end in spans.select("start", "end").iter_rows():
        if needed <= end - begin:
            finish: datetime = begin + needed
            return finish
        needed -= end - begin
    return None


def cycle_at(plant: Plant, equipment: str, material: str | None, now: datetime) -> timedelta | None:
    """The ideal cycle of a material on a machine, as of that time."""
    if material is None or material not in plant.materials:
        return None
    found = [
        c
        for c in plant.materials[material].ideal_cycles
        if c.equipment == equipment and (c.valid_from is None or c.valid_from <= now)
    ]
    oldest = datetime(1, 1, 1, tzinfo=UTC)
    return max(found, key=lambda c: c.valid_from or oldest).cycle if found else None


def forecast_order(
    ledger: pl.DataFrame,
    plant: Plant,
    now: datetime,
    *,
    equipment: str,
    order: str,
    material: str | None,
    quantity: int,
    good: int,
    start: datetime | None = None,
    due: datetime | None = None,
) -> OrderForecast:
    """The forecast of an order running on a machine. `ledger`: its recent rows, see `present_rate`;
    `good`: made so far; `start`: when it began (without it nothing is expected)."""
    left = max(quantity - good, 0)
    young = _rated_time(ledger, equipment, order) < SETTLED
    rate = present_rate(ledger, equipment, None if young else order)
    cycle = cycle_at(plant, equipment, material, now)
    present = ideal = None
    if left == 0:
        present = ideal = now
    else:
        if rate:
            present = after_planned(plant, equipment, now, min(left / rate, HORIZON / _SECOND + 1) * _SECOND)
        if cycle:
            ideal = after_planned(plant, equipment, now, left * cycle)
    expected = None
    if start is not None and due is not None:
        whole = planned_between(plant, equipment, start, due)
        if whole:
            expected = min(quantity, int(quantity * (planned_between(plant, equipment, start, now) / whole)))
    slack = due - present if due is not None and present is not None else None
    return OrderForecast(rate, present, ideal, slack, expected)


def forecast_shifts(
    ledger: pl.DataFrame, plant: Plant, now: datetime, equipment: Iterable[str]
) -> dict[str, ShiftForecast]:
    """Output, target and forecast of the shift each machine is in, by machine; one outside its shifts is absent.

    `ledger`: the machines' rows from the shift's start to now, see `present_rate`. Planned time without an
    order is rated with the material before it, or else the one after.
    """
    cycles = ideal_cycles(plant).select("equipment", "material", "cycle", since="start").sort("since")
    found: dict[str, ShiftForecast] = {}
    calendar = _calendar_of(plant)
    # Machines of one calendar are in the same shift.
    for _, group in groupby(sorted(equipment, key=calendar), key=calendar):
        machines = list(group)
        current = shift_at(plant, machines[0], now)
        if current is None:
            continue
        left = planned_between(plant, machines[0], now, current[2])
        made = _made(ledger, cycles, machines, current[1], now)
        for machine in machines:
            good, expected, cycle, rate = made.get(machine, (0, None, None, None))
            target = (
                None
                if expected is None or cycle is None
                else expected + left / timedelta(microseconds=1) / cycle
            )
            found[machine] = ShiftForecast(
                *current,
                good=good,
                target=None if target is None else int(target),
                expected=None if expected is None else int(expected),
                forecast=None if rate is None else good + int(rate * (left / _SECOND)),
            )
    return found


def _calendar_of(plant: Plant) -> Callable[[str], str]:
    return lambda machine: plant.equipment[machine].calendar or ""


def _made(
    ledger: pl.DataFrame, cycles: pl.DataFrame, machines: Sequence[str], start: datetime, now: datetime
) -> dict[str, tuple[int, float | None, int | None, float | None]]:
    """By machine with rows in the span: good parts, parts at the ideal cycle, the cycle last used (microseconds), and the
    present rate (parts per second)."""
    rows = ledger.filter(
        pl.col("equipment").is_in(machines), pl.col("start") >= start, pl.col("start") < now
    ).sort("equipment", "start")
    known_since = (pl.col("state") != MachineState.UNKNOWN.value).cast(pl.Int8).cum_max().over("equipment")
    busy = rows.filter(pl.col("category").is_in([c.value for c in BUSY_CATEGORIES]), known_since == 1)
    rated = busy.with_columns(pl.col("material").forward_fill().backward_fill().over("equipment")).join_asof(
        cycles, left_on="start", right_on="since", by=["equipment", "material"], check_sortedness=False
    )
    known = rated.drop_nulls("cycle").group_by("equipment", maintain_order=True)
    ideal = known.agg(expected=(pl.col("duration") / pl.col("cycle")).sum(), cycle=pl.col("cycle").last())
    by_machine = pl.col("duration").cum_sum(reverse=True).over("equipment") - pl.col("duration")
    recent = (
        rows.filter(pl.col("category").is_in(_RATED))
        .filter(by_machine < RATE_OVER // timedelta(microseconds=1))
        .group_by("equipment")
        .agg(pl.col("good").sum(), pl.col("duration").sum())
        .select(
            "equipment", rate=pl.when(pl.col("duration") > 0).then(pl.col("good") * 1e6 / pl.col("duration"))
        )
    )
    good = rows.group_by("equipment").agg(pl.col("good").sum())
    joined = good.join(ideal, on="equipment", how="left").join(recent, on="equipment", how="left")
    return {machine: tuple(figures) for machine, *figures in joined.iter_rows()}


def shift_at(plant: Plant, equipment: str, now: datetime) -> tuple[str | None, datetime, datetime] | None:
    """Id, start and end of the shift a machine is in; the local day, without id, if it has no calendar."""
    name = plant.equipment[equipment].calendar
    if name is None:
        midnight = now.astimezone(plant.site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        following = (midnight + timedelta(days=1, hours=12)).replace(hour=0)
        return None, midnight.astimezone(UTC), following.astimezone(UTC)
    window = Window(now, now + timedelta(microseconds=1))
    for instance in shift_instances(plant.calendars[name], plant.site.zone, window):
        return instance.shift.id, instance.start, instance.end
    return None


def _planned(plant: Plant, equipment: str, window: Window) -> pl.DataFrame:
    name = plant.equipment[equipment].calendar
    spans = segments(plant.calendars[name] if name else None, plant.site.zone, window)
    return spans.filter(pl.col("kind") == SHIFT)
