"""The records execution works on; infra binds them to one transaction, which its caller commits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from execution.orders import JobOrder, OrderState


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRun:
    """An order on its equipment (the machine or the line it is for), from start to end. Times are UTC."""

    order: str
    material: str
    equipment: str
    start: datetime
    end: datetime | None
    """None: still running."""
    source: str = "operator"
    """operator: somebody started it; machine: a signal said so; schedule: only planned."""


class OrderStore(Protocol):
    """Job orders by id."""

    def get(self, order: str) -> JobOrder | None: ...

    def find(self, orders: Collection[str]) -> dict[str, JobOrder]:
        """Those of the given ids that exist."""

    def insert(self, orders: Sequence[JobOrder], user: str, at: datetime) -> None: ...

    def replan(self, orders: Sequence[JobOrder], user: str, at: datetime) -> None:
        """Overwrite what the planner decides; the state stays."""

    def set_state(self, order: str, state: OrderState, user: str, at: datetime) -> None: ...


class RunStore(Protocol):
    """Order runs. The store itself never holds two open runs of one equipment."""

    def running(self, equipment: Collection[str]) -> list[OrderRun]:
        """Open runs of any of this equipment."""

    def last_end(self, equipment: Collection[str]) -> datetime | None:
        """When the latest closed run of any of this equipment ended."""

    def open(self, run: OrderRun, user: str) -> None:
        """Raises OrderError(EQUIPMENT_BUSY) when another run of that equipment is open."""

    def close(self, order: str, end: datetime, user: str) -> None: ...


class AuditTrail(Protocol):
    """Who did what and when; append-only."""

    def add(
        self, at: datetime, user: str, action: str, subject: str, detail: Mapping[str, object] | None = None
    ) -> None: ...


class ExecutionRecords(Protocol):
    """The stores of one transaction, in which nobody else changes orders."""

    @property
    def orders(self) -> OrderStore: ...

    @property
    def runs(self) -> RunStore: ...

    @property
    def audit(self) -> AuditTrail: ...
