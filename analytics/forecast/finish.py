"""Will it be made in time: order finish with an interval, the probability of being late and why, output to the shift's end.

Rates and their variance are those of `analytics.forecast.pace`, per known planned busy time outside changeovers, so
breaks, nights, lost data and the setup already done neither slow nor speed them; finish times run on planned time only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import polars as pl

from analytics.forecast.pace import Pace, paces
from analytics.forecast.plannedtime import HORIZON, after_planned, planned_between
from analytics.ledger.attributes import ideal_cycles
from plant.calendar import shift_instances
from plant.frames import Window
from plant.model import Plant
from plant.states import BUSY_CATEGORIES, MachineState

RESOLUTION = timedelta(minutes=5)
"""How far apart `edges` are."""
AT_RISK = 0.2
"""An order that will be late with this probability or more is at risk."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""What `edges` are multiples of `RESOLUTION` from."""
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_UNTOLD = (None, None, None)


class Cause(StrEnum):
    """Why an order is at risk."""

    OVERDUE = "overdue"
    """The due time has passed."""
    TIME = "time"
    """Even at the ideal rate the planned time left is too short."""
    STOP = "stop"
    """Its machine stands still; if it ran again now, there would be no risk."""
    QUEUE = "queue"
    """It would be in time if nothing had to be made before it."""
    RATE = "rate"
    """At the rate of the last hours it takes too long."""


@dataclass(frozen=True, slots=True)
class OrderForecast:
    """When an order will be done; a field is None where it cannot be said."""

    rate: float | None = None
    """Good parts per planned second at present."""
    finish_present: datetime | None = None
    finish_early: datetime | None = None
    finish_late: datetime | None = None
    """The finish lies between them with `analytics.forecast.pace.LEVEL`. Early alone: the rate is too uncertain for a
    late end."""
    finish_ideal: datetime | None = None
    slack: timedelta | None = None
    """From finish_present to due; negative: late."""
    expected: int | None = None
    """What should have been made by now to be on time, spread evenly over planned time from start to due."""
    risk: float | None = None
    """Probability of being late."""
    cause: Cause | None = None
    """Of a risk of `AT_RISK` or more."""
    wait: timedelta = timedelta()
    """How much longer the stop that goes on now is expected to last."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is to be made on a machine before an order."""

    since: datetime | None = None
    """When it begins, if that is not now."""
    parts: int = 0
    ideal: float | None = 0.0
    """Its ideal time (seconds, of any number of parts); None where something of it has no ideal cycle."""

    def then(self, parts: int, cycle: timedelta | None) -> "Ahead":
        """And so many parts of that ideal cycle after it."""
        if self.ideal is None or (cycle is None and parts):
            return Ahead(self.since, self.parts + parts, None)
        more = parts * (cycle / _SECOND) if cycle else 0.0
        return Ahead(self.since, self.parts + parts, self.ideal + more)

    def in_parts(self, pace: Pace, cycle: timedelta | None) -> float:
        """As many parts of that ideal cycle take as long."""
        if cycle and self.ideal is not None and pace.earned is not None:
            return self.ideal / (cycle / _SECOND)
        return self.parts


_NOTHING = Ahead()


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
    spread: float | None
    """The output lies within forecast plus and minus this with `analytics.forecast.pace.LEVEL`."""


def edges(window: Window) -> list[datetime]:
    """Instants to cut a ledger of the window at so that the present rate is of `analytics.forecast.pace.RATE_OVER` to 5
    minutes: the same ones whenever one asks, so that rows stay as they are."""
    first = window.start + (EPOCH - window.start) % RESOLUTION
    return [first + n * RESOLUTION for n in range(-((first - window.end) // RESOLUTION))]


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
    pace: Pace | None,
    plant: Plant,
    now: datetime,
    *,
    equipment: str,
    material: str | None,
    quantity: int,
    good: int,
    start: datetime | None = None,
    due: datetime | None = None,
    ahead: Ahead = _NOTHING,
) -> OrderForecast:
    """The forecast of an order that is running, or will, on a machine.

    `pace`: of that machine, for one that waits with changeovers; `good`: made so far; `start`: when it began (without it
    nothing is expected); `ahead`: what is made before it, with no more time between than the pace has. A `due` beyond
    `HORIZON` says nothing yet but the slack.
    """
    left = max(quantity - good, 0)
    cycle = cycle_at(plant, equipment, material, now)
    soon = due if due is not None and due <= now + HORIZON else None
    expected = None
    if start is not None and soon is not None:
        whole = planned_between(plant, equipment, start, soon)
        if whole:
            expected = min(quantity, int(quantity * (planned_between(plant, equipment, start, now) / whole)))
    if left == 0:
        slack = due - now if due is not None else None
        return OrderForecast(None, now, now, now, now, slack, expected)

    begin = now
    if ahead.since is not None and ahead.since > now:
        # No stop of now goes on then.
        begin, pace = ahead.since, replace(pace, wait=0.0) if pace else None

    def after(seconds: float | None) -> datetime | None:
        if seconds is None:
            return None
        return after_planned(plant, equipment, begin, min(seconds, HORIZON / _SECOND + 1) * _SECOND)

    before = ahead.in_parts(pace, cycle) if pace else 0
    present, early, late = map(after, pace.needed(before + left, cycle) or _UNTOLD if pace else _UNTOLD)
    ideal = None if cycle is None or ahead.ideal is None else ahead.ideal + left * (cycle / _SECOND)
    risk = cause = None
    if soon is not None:
        risk, cause = (1.0, Cause.OVERDUE) if soon <= now else (None, None)
        if cause is None:
            seconds = planned_between(plant, equipment, begin, soon) / _SECOND
            risk, cause = _risk(pace, left, before, cycle, ideal, seconds)
    return OrderForecast(
        rate=pace.of(cycle)[0] if pace else None,
        finish_present=present,
        finish_early=early,
        finish_late=late,
        finish_ideal=after(ideal),
        slack=due - present if due is not None and present is not None else None,
        expected=expected,
        risk=risk,
        cause=cause,
        wait=pace.wait * _SECOND if pace else timedelta(),
    )


def _risk(
    pace: Pace | None,
    left: int,
    before: float,
    cycle: timedelta | None,
    ideal: float | None,
    seconds: float,
) -> tuple[float | None, Cause | None]:
    """Probability that `left` parts of an order, made after `before`, take longer than planned `seconds`, and why if it is
    high. `ideal`: seconds both take at best."""
    if cycle and left * (cycle / _SECOND) > seconds:
        return 1.0, Cause.TIME
    if ideal and ideal > seconds:
        return 1.0, Cause.QUEUE
    risk = pace.late(before + left, seconds, cycle) if pace else None
    if pace is None or risk is None or risk < AT_RISK:
        return risk, None

    def otherwise(pace: Pace, parts: float) -> bool:
        """Whether it would be in time then."""
        found = pace.late(parts, seconds, cycle)
        return found is not None and found < AT_RISK

    if pace.wait and otherwise(replace(pace, wait=0.0), before + left):
        return risk, Cause.STOP
    return risk, Cause.QUEUE if before and otherwise(pace, left) else Cause.RATE


def forecast_shifts(
    ledger: pl.DataFrame, plant: Plant, now: datetime, equipment: Iterable[str]
) -> dict[str, ShiftForecast]:
    """Output, target and forecast of the shift each machine is in, by machine; one outside its shifts is absent.

    `ledger`: the machines' rows from the shift's start to now, or longer, see `analytics.forecast.pace.paces`. Planned
    time without an order is rated with the material before it, or else the one after.
    """
    rates = paces(ledger, now, changeovers=True)
    cycles = ideal_cycles(plant).select("equipment", "material", "cycle", since="start").sort("since")
    found: dict[str, ShiftForecast] = {}
    # Machines of one calendar are in the same shift.
    for _, machines in plant.by_calendar(equipment):
        current = shift_at(plant, machines[0], now)
        if current is None:
            continue
        left = planned_between(plant, machines[0], now, current[2])
        made = _made(ledger, cycles, machines, current[1], now)
        for machine in machines:
            good, expected, cycle = made.get(machine, (0, None, None))
            pace = rates.get(machine)
            more, spread = pace.output(left / _SECOND) if pace else (None, None)
            target = None if expected is None or cycle is None else expected + left / _MICROSECOND / cycle
            found[machine] = ShiftForecast(
                *current,
                good=good,
                target=None if target is None else int(target),
                expected=None if expected is None else int(expected),
                forecast=None if more is None else good + int(more),
                spread=spread,
            )
    return found


def _made(
    ledger: pl.DataFrame, cycles: pl.DataFrame, machines: Sequence[str], start: datetime, now: datetime
) -> dict[str, tuple[int, float | None, int | None]]:
    """By machine with rows in the span: good parts, parts at the ideal cycle, the cycle last used (microseconds)."""
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
    good = rows.group_by("equipment").agg(pl.col("good").sum())
    joined = good.join(ideal, on="equipment", how="left")
    return {machine: tuple(figures) for machine, *figures in joined.iter_rows()}


def shift_at(plant: Plant, equipment: str, now: datetime) -> tuple[str | None, datetime, datetime] | None:
    """Id, start and end of the shift a machine is in; the local day, without id, if it has no calendar."""
    calendar = plant.calendar_of(equipment)
    if calendar is None:
        midnight = now.astimezone(plant.site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        following = (midnight + timedelta(days=1, hours=12)).replace(hour=0)
        return None, midnight.astimezone(UTC), following.astimezone(UTC)
    window = Window(now, now + timedelta(microseconds=1))
    for instance in shift_instances(calendar, plant.site.zone, window):
        return instance.shift.id, instance.start, instance.end
    return None
