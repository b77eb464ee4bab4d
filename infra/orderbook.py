"""Orders as people see them: progress from the ledger, forecast, and the state machines report."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import polars as pl

from alerting.alert import OrderContext
from analytics.forecast.finish import OrderForecast, forecast_order
from analytics.forecast.pace import Pace, paces
from analytics.forecast.queue import Waiting, forecast_queue
from dashboards.view import OrderView
from dashboards.words import at_risk
from execution.orders import JobOrder, OrderState, dispatch_key
from execution.progress import OrderProgress, progress
from plant.model import Plant

_NOTHING = OrderForecast()


class OrderBook:
    """All orders at one instant."""

    def __init__(self, plant: Plant, orders: Iterable[JobOrder], ledger: pl.DataFrame, now: datetime) -> None:
        """`ledger`: rows (`plant.frames.LEDGER`) that hold all work on the orders, up to now."""
        self._plant, self._now = plant, now
        self._paces = paces(ledger, now)
        self._orders = sorted(orders, key=dispatch_key)
        self._progress = progress(plant, ledger, self._orders)
        last = ledger.filter(pl.col("order").is_not_null()).group_by("equipment").last()
        newest = last.filter(pl.col("end") >= now)
        self._running = dict(newest.select("equipment", "order").iter_rows())
        reported = set(self._running.values())
        self._states = {o.id: _state(o, self._progress[o.id], o.id in reported) for o in self._orders}
        self._waiting = self._of_waiting(paces(ledger, now, changeovers=True))
        self.views = [self._view(order) for order in self._orders]
        self._by_id = {view["id"]: view for view in self.views}

    def of_machines(self) -> dict[str, OrderView]:
        """The order each machine works on now."""
        return {m: self._by_id[order] for m, order in self._running.items() if order in self._by_id}

    def contexts(self) -> Mapping[str, OrderContext]:
        """The same for the alerts."""
        return {
            machine: OrderContext(
                order=view["id"],
                material=view["material_name"],
                due=_time(view["due"]),
                finish=_time(view["finish_present"]),
                slack=view["slack"],
            )
            for machine, view in self.of_machines().items()
        }

    def _view(self, order: JobOrder) -> OrderView:
        done = self._progress[order.id]
        state = self._states[order.id]
        material = self._plant.materials.get(order.material)
        live = state == OrderState.RUNNING.value
        finish = self._waiting.get(order.id, _NOTHING)
        if live and done.counted_at:
            finish = self._forecast(order, done)
        slack = finish.slack
        if live and slack is None and finish.finish_ideal and order.due:
            slack = order.due - finish.finish_ideal  # it stands still: it will be at least that late
        return OrderView(
            id=order.id,
            material=order.material,
            material_name=material.name if material else order.material,
            equipment=order.equipment,
            state=state,
            quantity=order.quantity,
            good=done.good,
            reject=done.reject,
            start=done.start.isoformat() if done.start else None,
            end=done.end.isoformat() if done.end and not live else None,
            due=order.due.isoformat() if order.due else None,
            finish_present=_to_second(finish.finish_present),
            finish_early=_to_minute(finish.finish_early),
            finish_late=_to_minute(finish.finish_late),
            finish_ideal=_to_second(finish.finish_ideal),
            slack=float(round(slack.total_seconds())) if slack is not None else None,
            expected=finish.expected,
            risk=None if finish.risk is None else round(finish.risk, 2),
            why=at_risk(finish.cause, finish.wait) if finish.cause else None,
            priority=order.priority,
        )

    def _of_waiting(self, pace: Mapping[str, Pace]) -> dict[str, OrderForecast]:
        """Forecasts of the orders that wait; `pace`: of time that more than one order is made in, of each machine."""
        machines: dict[str, tuple[list[tuple[str, int]], list[Waiting]]] = {}
        for order in self._orders:
            done, state = self._progress[order.id], self._states[order.id]
            if not done.counted_at or state not in (OrderState.RUNNING.value, OrderState.WAITING.value):
                continue
            running, waiting = machines.setdefault(done.counted_at[0], ([], []))
            if state == OrderState.RUNNING.value:
                running.append((order.material, max(order.quantity - done.good, 0)))
            else:
                waiting.append(
                    Waiting(order.id, order.material, order.quantity, order.due, order.planned_start)
                )
        found: dict[str, OrderForecast] = {}
        for machine, (running, waiting) in machines.items():
            found |= forecast_queue(pace.get(machine), self._plant, self._now, machine, running, waiting)
        return found

    def _forecast(self, order: JobOrder, done: OrderProgress) -> OrderForecast:
        """Of the machine whose counts are the order's output; of several, of the first."""
        return forecast_order(
            self._paces.get(done.counted_at[0]),
            self._plant,
            self._now,
            equipment=done.counted_at[0],
            material=order.material,
            quantity=order.quantity,
            good=done.good,
            start=done.start,
            due=order.due,
        )


def _state(order: JobOrder, done: OrderProgress, reported: bool) -> str:
    """What somebody booked; where nobody did, what the machines say. `reported`: one works on it now."""
    if order.state is not OrderState.WAITING:
        return order.state.value
    if reported:
        return OrderState.RUNNING.value
    if done.start is None:
        return OrderState.WAITING.value
    return (OrderState.COMPLETED if done.good >= order.quantity else OrderState.HELD).value


def _to_second(at: datetime | None) -> str | None:
    return at.replace(microsecond=0).isoformat() if at else None


def _to_minute(at: datetime | None) -> str | None:
    return at.replace(second=0, microsecond=0).isoformat() if at else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
