"""Job orders and their runs in the records database (`execution.ports`)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from execution.orders import JobOrder, OrderError, OrderState, Refusal
from execution.ports import OrderRun
from infra.records.audit import Audit
from infra.records.database import serialise
from infra.records.order_tables import order_runs, orders
from plant.frames import Window

_CHUNK = 500
"""Ids per IN list, well under every database's limit on bound values."""


class Orders:
    """Job orders, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, order: str) -> JobOrder | None:
        """The order of that id, if there is one."""
        return self.find([order]).get(order)

    def find(self, wanted: Collection[str]) -> dict[str, JobOrder]:
        """Those of the given ids that exist, by id."""
        ids = sorted(wanted)
        found: dict[str, JobOrder] = {}
        for first in range(0, len(ids), _CHUNK):
            query = select(orders).where(orders.c.id.in_(ids[first : first + _CHUNK]))
            found |= {row.id: _job_order(row) for row in self._connection.execute(query)}
        return found

    def all(self, *states: OrderState) -> list[JobOrder]:
        """Orders in those states (in any state when none is given), by id."""
        query = select(orders).order_by(orders.c.id)
        if states:
            query = query.where(orders.c.state.in_(states))
        return [_job_order(row) for row in self._connection.execute(query)]

    def insert(self, new: Sequence[JobOrder], user: str, at: datetime) -> None:
        """Add orders; their ids must not exist yet."""
        if new:
            made = {"created_at": at, "created_by": user, "changed_at": at, "changed_by": user}
            rows = [_planned(o) | {"id": o.id, "state": o.state} | made for o in new]
            self._connection.execute(insert(orders), rows)

    def replan(self, changed: Sequence[JobOrder], user: str, at: datetime) -> None:
        """Overwrite what the planner decides; the state stays."""
        for order in changed:
            values = _planned(order) | {"changed_at": at, "changed_by": user}
            self._connection.execute(update(orders).where(orders.c.id == order.id).values(values))

    def set_state(self, order: str, state: OrderState, user: str, at: datetime) -> None:
        """Note the new state, who changed it and when."""
        values = {"state": state, "changed_at": at, "changed_by": user}
        self._connection.execute(update(orders).where(orders.c.id == order).values(values))


class OrderRuns:
    """Order runs, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def running(self, equipment: Collection[str]) -> list[OrderRun]:
        """Open runs of any of this equipment, oldest first."""
        open_runs = order_runs.c.end.is_(None), order_runs.c.equipment.in_(equipment)
        query = select(order_runs).where(*open_runs).order_by(order_runs.c.start)
        return [_order_run(row) for row in self._connection.execute(query)]

    def touching(self, window: Window, before: bool = False) -> list[OrderRun]:
        """Runs that overlap the window, oldest first: what `execution.running.machine_runs` wants. `before`: and of each
        equipment the last one begun before it, from which changeovers are told."""
        wanted = or_(order_runs.c.end.is_(None), order_runs.c.end > window.start)
        if before:
            begun = select(order_runs.c.equipment, func.max(order_runs.c.start))
            begun = begun.where(order_runs.c.start < window.start).group_by(order_runs.c.equipment)
            wanted = or_(wanted, tuple_(order_runs.c.equipment, order_runs.c.start).in_(begun))
        query = select(order_runs).where(order_runs.c.start < window.end, wanted)
        return [_order_run(row) for row in self._connection.execute(query.order_by(order_runs.c.start))]

    def of(self, order: str) -> list[OrderRun]:
        """The runs of one order, oldest first."""
        query = select(order_runs).where(order_runs.c.order == order).order_by(order_runs.c.start)
        return [_order_run(row) for row in self._connection.execute(query)]

    def last_end(self, equipment: Collection[str]) -> datetime | None:
        """When the latest closed run of any of this equipment ended."""
        query = select(func.max(order_runs.c.end)).where(order_runs.c.equipment.in_(equipment))
        ended: datetime | None = self._connection.execute(query).scalar()
        return ended

    def open(self, run: OrderRun, user: str) -> None:
        """Begin a run.

        Raises:
            OrderError: EQUIPMENT_BUSY, the database refused a second open run of that equipment.
        """
        values = {
            "order": run.order,
            "material": run.material,
            "equipment": run.equipment,
            "start": run.start,
            "end": run.end,
            "source": run.source,
            "started_by": user,
        }
        if run.end is None and self.running([run.equipment]):
            raise _busy(run)
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(order_runs).values(values))
        except IntegrityError as error:
            raise _busy(run) from error

    def close(self, order: str, end: datetime, user: str) -> None:
        """End the open run of that order, if it has one."""
        open_run = order_runs.c.order == order, order_runs.c.end.is_(None)
        self._connection.execute(update(order_runs).where(*open_run).values(end=end, ended_by=user))


class ExecutionStores:
    """`execution.ports.ExecutionRecords` on the write transaction of that connection."""

    def __init__(self, connection: Connection) -> None:
        """From here to the end of the transaction nobody else changes orders."""
        serialise(connection, "orders")
        self.orders = Orders(connection)
        self.runs = OrderRuns(connection)
        self.audit = Audit(connection)


def _busy(run: OrderRun) -> OrderError:
    return OrderError(
        Refusal.EQUIPMENT_BUSY,
        f"order {run.order!r}: another order is running on {run.equipment!r}; complete or hold it first",
    )


def _planned(order: JobOrder) -> dict[str, Any]:
    return {
        "material": order.material,
        "equipment": order.equipment,
        "quantity": order.quantity,
        "due": order.due,
        "priority": order.priority,
        "planned_start": order.planned_start,
        "planned_end": order.planned_end,
        "content_hash": order.content_hash,
    }


def _job_order(row: Row[Any]) -> JobOrder:
    return JobOrder(
        id=row.id,
        material=row.material,
        equipment=row.equipment,
        quantity=row.quantity,
        due=row.due,
        priority=row.priority,
        planned_start=row.planned_start,
        planned_end=row.planned_end,
        state=OrderState(row.state),
    )


def _order_run(row: Row[Any]) -> OrderRun:
    return OrderRun(
        order=row.order,
        material=row.material,
        equipment=row.equipment,
        start=row.start,
        end=row.end,
        source=row.source,
    )
