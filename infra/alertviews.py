"""Alerts as people see them."""

from alerting.alert import Alert, AlertState
from alerting.escalation import next_step
from alerting.text import title
from dashboards.view import AlertView
from infra.blindalert import about
from infra.spcwatch import machine_of

_SHOWN = {AlertState.RETURNED: AlertState.RESOLVED.value}
"""On the pages an alert whose stop is over is resolved, acknowledged or not; `acknowledged` tells which."""


def alert_view(alert: Alert) -> AlertView:
    """The view of one alert."""
    step = next_step(alert)
    order = alert.order
    return AlertView(
        id=alert.id,
        rule=alert.rule,
        title=title(alert),
        equipment=machine_of(about(alert.equipment)),
        equipment_name=alert.equipment_name,
        state=_SHOWN.get(alert.state, alert.state.value),
        severity=alert.severity,
        raised=alert.raised.isoformat(),
        acknowledged=alert.acknowledged.isoformat() if alert.acknowledged else None,
        acknowledged_by=alert.acknowledged_by,
        resolved=alert.returned.isoformat() if alert.returned else None,
        reason=alert.reason_name,
        order=order.order if order else None,
        slack=order.slack if order else None,
        steps_done=alert.steps_done,
        next_step=step.at.isoformat() if step else None,
        next_to=step.step.who if step else None,
    )
