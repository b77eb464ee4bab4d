"""Job orders and the states they go through (ISA-95 part 4 JobOrder, cut to what one plant floor needs)."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256


class OrderState(StrEnum):
    """ISA-95 JobOrder dispatch states, lower case."""

    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class OrderAction(StrEnum):
    """What somebody wants to do with an order."""

    START = "start"
    HOLD = "hold"
    COMPLETE = "complete"
    CANCEL = "cancel"


class Refusal(StrEnum):
    """Why an order cannot do what was asked."""

    ALREADY_RUNNING = "already_running"
    NOT_STARTED = "not_started"
    ALREADY_HELD = "already_held"
    STILL_RUNNING = "still_running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    UNKNOWN_ORDER = "unknown_order"
    EQUIPMENT_BUSY = "equipment_busy"
    TOO_EARLY = "too_early"
    NOT_IN_PLANT = "not_in_plant"


class OrderError(Exception):
    """The order is left as it was; the text says why and what to do."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """What to make, where, how many and until when. Times are UTC."""

    id: str
    material: str
    equipment: str
    """A machine, or a line: then every machine below works on it."""
    quantity: int
    """Good parts wanted."""
    due: datetime | None = None
    priority: int = 0
    """Higher goes first."""
    planned_start: datetime | None = None
    planned_end: datetime | None = None
    state: OrderState = OrderState.WAITING

    @property
    def content_hash(self) -> str:
        """Of everything the planner decides (all but the state): equal hash, nothing to import."""
        planned = (self.material, self.equipment, self.quantity, self.due, self.priority)
        times = (self.planned_start, self.planned_end)
        return sha256(repr((self.id, *planned, *times)).encode()).hexdigest()


_ALLOWED = {
    (OrderState.WAITING, OrderAction.START): OrderState.RUNNING,
    (OrderState.HELD, OrderAction.START): OrderState.RUNNING,
    (OrderState.RUNNING, OrderAction.HOLD): OrderState.HELD,
    (OrderState.RUNNING, OrderAction.COMPLETE): OrderState.COMPLETED,
    (OrderState.HELD, OrderAction.COMPLETE): OrderState.COMPLETED,
    (OrderState.WAITING, OrderAction.CANCEL): OrderState.CANCELLED,
    (OrderState.HELD, OrderAction.CANCEL): OrderState.CANCELLED,
}

_COMPLETED = (Refusal.COMPLETED, "it is completed; enter a new order for what is still wanted")
_CANCELLED = (Refusal.CANCELLED, "it was cancelled; enter a new order if it is wanted after all")
_NOT_STARTED = (Refusal.NOT_STARTED, "it has not been started; start it, or cancel it if it is not wanted")

_REFUSED = {
    (OrderState.RUNNING, OrderAction.START): (Refusal.ALREADY_RUNNING, "it is running already"),
    (OrderState.RUNNING, OrderAction.CANCEL): (
        Refusal.STILL_RUNNING,
        "it is running; hold it first, or complete it with what has been made",
    ),
    (OrderState.WAITING, OrderAction.HOLD): _NOT_STARTED,
    (OrderState.WAITING, OrderAction.COMPLETE): _NOT_STARTED,
    (OrderState.HELD, OrderAction.HOLD): (Refusal.ALREADY_HELD, "it is held already; start it to go on"),
    **{(OrderState.COMPLETED, action): _COMPLETED for action in OrderAction},
    **{(OrderState.CANCELLED, action): _CANCELLED for action in OrderAction},
}


def transition(order: JobOrder, action: OrderAction) -> OrderState:
    """The state the order is in after the action.

    Raises:
        OrderError: the action makes no sense in its state.
    """
    key = (order.state, action)
    if key in _ALLOWED:
        return _ALLOWED[key]
    reason, text = _REFUSED[key]
    raise OrderError(reason, f"order {order.id!r}: cannot {action}: {text}")


def dispatch_key(order: JobOrder) -> tuple[bool, int, bool, float, str]:
    """Sorts orders into the sequence to work on: running first, then by priority, due date and id."""
    due = order.due.timestamp() if order.due else 0.0
    return (order.state is not OrderState.RUNNING, -order.priority, order.due is None, due, order.id)
