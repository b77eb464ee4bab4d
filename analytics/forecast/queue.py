"""When the orders that wait for a machine will be done: each after what goes first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush

from analytics.forecast.finish import Ahead, OrderForecast, cycle_at, forecast_order
from analytics.forecast.pace import Pace
from plant.model import Plant

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An order that has not begun."""

    id: str
    material: str
    quantity: int
    due: datetime | None = None
    earliest: datetime | None = None
    """It begins no sooner; None: as soon as the machine is free."""


def forecast_queue(
    pace: Pace | None,
    plant: Plant,
    now: datetime,
    equipment: str,
    running: Iterable[tuple[str, int]],
    waiting: Sequence[Waiting],
) -> dict[str, OrderForecast]:
    """Forecasts of the orders that wait for a machine, by their ids.

    `pace`: with changeovers; `running`: material and parts left of what is made there now; `waiting`: in the order of
    dispatch. When the machine is expected to be free, the first of those that may begin then does, or else the one that
    may begin next. Without a rate nobody can say when that is: they follow one another as they are given.
    """

    def told(material: str, quantity: int, due: datetime | None = None) -> OrderForecast:
        return forecast_order(
            pace,
            plant,
            now,
            equipment=equipment,
            material=material,
            quantity=quantity,
            good=0,
            due=due,
            ahead=ahead,
        )

    ahead, free = Ahead(), now if pace else None
    for material, left in running:
        free = told(material, left).finish_present
        ahead = ahead.then(left, cycle_at(plant, equipment, material, now))
    later = sorted(((w.earliest or _EVER, place) for place, w in enumerate(waiting)), reverse=True)
    ready: list[int] = []
    found: dict[str, OrderForecast] = {}
    while later or ready:
        while later and (free is None or later[-1][0] <= free):
            heappush(ready, later.pop()[1])
        if not ready:
            free = later[-1][0]
            ahead = Ahead(since=free)
            continue
        one = waiting[heappop(ready)]
        found[one.id] = told(one.material, one.quantity, one.due)
        free = found[one.id].finish_present
        ahead = ahead.then(one.quantity, cycle_at(plant, equipment, one.material, now))
    return found
