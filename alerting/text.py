"""What a message says: machine, cause, how long, which order, and how late it will be.

Pure. Wall times are in the site's zone.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote

from alerting.alert import Alert, Kind, OrderContext, Recipient
from alerting.rules import Standing
from plant.model import Plant
from plant.states import MachineState

NO_REASON = "no reason given"

_STANDS = {
    MachineState.DOWN: "stopped",
    MachineState.STARVED: "starved",
    MachineState.BLOCKED: "blocked",
    MachineState.SETUP: "in changeover",
    MachineState.PLANNED_STOP: "in a planned stop",
    MachineState.MAINTENANCE: "in maintenance",
    MachineState.UNKNOWN: "without data",
    MachineState.RUNNING: "running",
}

OUT_OF_CONTROL = "@spc"
"""The rule about control charts: nothing stands, a process has changed."""

_ENDED = {
    Standing.STOP_ENDED: "the stop is over",
    Standing.PLANNED: "the stop was coded as planned",
    Standing.NOT_SCHEDULED: "the shift is over; the machine still stands",
    Standing.RULE_GONE: "the alert rule was removed from the plant file",
}


def duration(span: timedelta) -> str:
    """ "45 s", "12 min", "1 h 5 min", "2 d 3 h": two units at most, rounded down."""
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if hours == 0:
        return f"{minutes} min"
    if days == 0:
        return f"{hours} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{days} d" + (f" {hours % 24} h" if hours % 24 else "")


def slack(seconds: float) -> str:
    """ "12 min late", "1 h 5 min to spare", or "just on time" within a minute."""
    if abs(seconds) < 60:
        return "just on time"
    words = duration(timedelta(seconds=abs(seconds)))
    return f"{words} late" if seconds < 0 else f"{words} to spare"


def title(alert: Alert) -> str:
    """What and why in words: "Filler stopped: Bottle jam"."""
    return _line(f"{alert.equipment_name} {_state(alert)}: {alert.reason_name or NO_REASON}", 200)


def _state(alert: Alert) -> str:
    return "out of control" if alert.rule == OUT_OF_CONTROL else _STANDS[alert.machine_state]


def subject(alert: Alert, kind: Kind) -> str:
    """One line: "[HIGH] Filler stopped: Bottle jam · order 4711 12 min late"."""
    mark = "RESOLVED" if kind is Kind.RESOLVED else alert.severity.upper()
    parts = [f"[{mark}] {title(alert)}"]
    if alert.order is not None:
        late = "" if alert.order.slack is None else f" {slack(alert.order.slack)}"
        parts.append(f"order {alert.order.order}{late}")
    return _line(" · ".join(parts), 240)


def body(plant: Plant, alert: Alert, kind: Kind, told: str, late: timedelta, now: datetime, link: str) -> str:
    """The whole message as plain text.

    Args:
        told: whom this step tells, in words; "" leaves the line out.
        late: how long after its time this step runs (zero: on time).
    """

    def wall(at: datetime) -> str:
        return at.astimezone(plant.site.zone).strftime("%Y-%m-%d %H:%M %Z")

    line = plant.equipment.get(plant.line_of(alert.equipment)) if alert.equipment in plant.equipment else None
    where = f" ({line.name})" if line is not None and line.id != alert.equipment else ""
    lines = []
    if kind is Kind.RESOLVED and alert.returned is not None:
        ended = _ended(alert)
        lines.append(f"{alert.equipment_name}{where}: {ended} ({wall(alert.returned)}).")
        lines.append(
            f"Duration: {duration(alert.returned - alert.stop_start)}, since {wall(alert.stop_start)}"
        )
    else:
        state = _state(alert)
        stood = duration(now - alert.stop_start)
        lines.append(
            f"{alert.equipment_name}{where} has been {state} for {stood}, since {wall(alert.stop_start)}."
        )
    lines.append(f"Cause: {alert.reason_name or NO_REASON}")
    lines.append(_order(alert.order, wall))
    lines.append(f"Rule: {alert.rule_name}, severity {alert.severity}")
    if told:
        lines.append(f"Told: {told}")
    if late:
        lines.append(f"This message is {duration(late)} late: alerting was not running when it was due.")
    if link:
        lines.append(f"Open the alert: {link}")
    return "\n".join(_line(text, 1000) for text in lines) + "\n"


def _ended(alert: Alert) -> str:
    because = Standing(alert.returned_because or Standing.STOP_ENDED)
    if alert.rule == OUT_OF_CONTROL and because is Standing.STOP_ENDED:
        return "the newest point breaks no rule"
    unknown = alert.machine_state is MachineState.UNKNOWN and because is Standing.STOP_ENDED
    return "data is back" if unknown else _ENDED[because]


def link(base_url: str, alert: str) -> str:
    """Where a person opens the alert; "" without a base URL."""
    return f"{base_url.rstrip('/')}/alerts?alert={quote(alert, safe='')}" if base_url else ""


def details(alert: Alert, kind: Kind, step: str, recipients: Sequence[Recipient]) -> Mapping[str, object]:
    """The same for machines: plain JSON, times ISO 8601 UTC, durations in seconds, unknown is null."""
    order = alert.order
    return {
        "kind": kind.value,
        "step": step,
        "recipients": [{"id": r.id, "name": r.name, "email": r.address} for r in recipients],
        "alert": {
            "id": alert.id,
            "rule": alert.rule,
            "title": title(alert),
            "state": alert.state.value,
            "severity": alert.severity,
            "equipment": alert.equipment,
            "equipment_name": alert.equipment_name,
            "machine_state": alert.machine_state.value,
            "reason": alert.reason,
            "reason_name": alert.reason_name,
            "stop_start": _iso(alert.stop_start),
            "raised": _iso(alert.raised),
            "resolved": _iso(alert.returned),
            "resolved_because": alert.returned_because,
        },
        "order": None
        if order is None
        else {
            "id": order.order,
            "material": order.material,
            "due": _iso(order.due),
            "finish": _iso(order.finish),
            "slack": order.slack,
        },
    }


def _order(order: OrderContext | None, wall: Callable[[datetime], str]) -> str:
    if order is None:
        return "Order: none on this machine"
    due = "no due date" if order.due is None else f"due {wall(order.due)}"
    if order.slack is None:
        forecast = "no forecast yet"
    else:
        finish = "" if order.finish is None else f" (finish {wall(order.finish)})"
        forecast = f"{slack(order.slack)}{finish}"
    return f"Order: {order.order}, {order.material}, {due}: {forecast}"


def _line(text: str, limit: int) -> str:
    """One printable line: names come from files and machines, and must not break out of a header."""
    clean = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
