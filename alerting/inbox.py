"""Alerts as people see them in the inbox."""

from dataclasses import dataclass
from datetime import datetime

from alerting.alert import ACTIVE, Alert
from alerting.escalation import next_step
from alerting.text import title


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One line of the inbox. Times are UTC, slack is in seconds (negative: the order will be late)."""

    id: str
    rule: str
    title: str
    equipment: str
    equipment_name: str
    state: str
    """unacknowledged, acknowledged, or resolved (returned to normal, acknowledged or not)"""
    severity: str
    raised: datetime
    acknowledged: datetime | None
    acknowledged_by: str | None
    resolved: datetime | None
    reason: str | None
    """Name of the reason."""
    order: str | None
    slack: float | None
    steps_done: int
    next_step: datetime | None
    next_to: str | None


def row(alert: Alert) -> AlertRow:
    """The inbox line of an alert. `next_step` comes from the function that runs the steps."""
    coming = next_step(alert)
    return AlertRow(
        id=alert.id,
        rule=alert.rule,
        title=title(alert),
        equipment=alert.equipment,
        equipment_name=alert.equipment_name,
        state=alert.state.value if alert.state in ACTIVE else "resolved",
        severity=alert.severity,
        raised=alert.raised,
        acknowledged=alert.acknowledged,
        acknowledged_by=alert.acknowledged_by,
        resolved=alert.returned,
        reason=alert.reason_name,
        order=alert.order.order if alert.order is not None else None,
        slack=alert.order.slack if alert.order is not None else None,
        steps_done=alert.steps_done,
        next_step=coming.at if coming is not None else None,
        next_to=coming.step.who if coming is not None else None,
    )
