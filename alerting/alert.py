"""The records of alerting: an alert, what happened to it, and the messages about it.

All times are UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from plant.states import MachineState


class AlertState(StrEnum):
    """ISA-18.2 alarm states: is the condition still there, and has anybody said "I have it"?"""

    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    """Returned to normal before anybody acknowledged (RTN unacknowledged)."""
    RESOLVED = "resolved"
    """Returned to normal and acknowledged: nothing left to do."""


ACTIVE = (AlertState.UNACKNOWLEDGED, AlertState.ACKNOWLEDGED)
"""States in which the condition is still there."""


class Kind(StrEnum):
    """Why a message is sent."""

    RAISED = "raised"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContext:
    """The production order a machine works on, and whether it will make its due date."""

    order: str
    material: str
    """Name of the material."""
    due: datetime | None = None
    finish: datetime | None = None
    """Forecast at the present rate."""
    slack: float | None = None
    """Seconds from `finish` to `due`; negative: the order will be that late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenStep:
    """An escalation step as it was when the alert was raised; later edits of the plant file do not matter."""

    after: timedelta
    channel: str
    to: tuple[str, ...]
    who: str
    """`to` in words, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. Its id is made from the stop that raised it, so the same stop is not raised twice."""

    id: str
    fingerprint: str
    """rule:equipment:stop start. Equal for every alert of one stop (it may be alerted again next shift)."""
    rule: str
    rule_name: str
    equipment: str
    equipment_name: str
    severity: str
    state: AlertState
    machine_state: MachineState
    stop_start: datetime
    raised: datetime
    confirmed: datetime
    """When the stop was last found to be on: a stop said to have begun before that is still this one."""
    held: bool = False
    """There is no data from the machine: nobody knows whether it still stands."""
    reason: str | None = None
    """Reason id."""
    reason_name: str | None = None
    order: OrderContext | None = None
    policy: tuple[FrozenStep, ...] = ()
    """In the order they are due."""
    steps_done: int = 0
    acknowledged: datetime | None = None
    acknowledged_by: str | None = None
    returned: datetime | None = None
    returned_because: str | None = None
    """A `rules.Standing`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """A line of an alert's history. Only ever added."""

    alert: str
    at: datetime
    event: str
    """raised, escalated, acknowledged, no_data, data_back, reason, returned, escalation_stopped; and of its
    messages: delivered, retrying, failed."""
    detail: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A person a message is for; `address` is where an addressed channel (mail) sends it."""

    id: str
    name: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A message for one channel. Delivered at least once; every attempt carries the same key."""

    key: str
    """alert:step:channel:recipient, unique."""
    alert: str
    step: str
    """Number of the escalation step, or "resolved"."""
    kind: Kind
    channel: str
    recipient: str
    """Recipient part of the key: a user id, or "" when the channel itself is the recipient."""
    recipients: tuple[Recipient, ...]
    subject: str
    text: str
    details: Mapping[str, object]
    """The same as JSON, for machines."""
    link: str
    created: datetime
    attempts: int = 0
    """Attempts that failed so far."""


def notification_key(alert: str, step: str, channel: str, recipient: str) -> str:
    """The idempotency key of a message."""
    return f"{alert}:{step}:{channel}:{recipient}"


def delivery_event(message: Notification, at: datetime, event: str, detail: str) -> AlertEvent:
    """The history line of what became of a message: "resolved by hook: 200 OK"."""
    step = message.step if message.step == "resolved" else f"step {message.step}"
    to = f" to {message.recipient}" if message.recipient else ""
    return AlertEvent(
        alert=message.alert, at=at, event=event, detail=f"{step} by {message.channel}{to}: {detail}"
    )
