"""Alerts and outbox in memory: for a run that leaves nothing behind, such as a replay."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import RLock

from alerting.alert import ACTIVE, Alert, AlertEvent, Notification, delivery_event


@dataclass(slots=True)
class _Message:
    notification: Notification
    next_attempt: datetime
    state: str = "pending"
    outcome: str = ""


@dataclass(slots=True)
class _State:
    alerts: dict[str, Alert] = field(default_factory=dict)
    events: list[AlertEvent] = field(default_factory=list)
    messages: dict[str, _Message] = field(default_factory=dict)

    def copy(self) -> "_State":
        messages = {k: replace(m) for k, m in self.messages.items()}
        return _State(dict(self.alerts), list(self.events), messages)

    def active(self) -> list[Alert]:
        return sorted((a for a in self.alerts.values() if a.state in ACTIVE), key=lambda a: (a.raised, a.id))


class MemoryAlerts:
    """`alerting.ports.AlertStore` and `Outbox`. Thread-safe."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._state = _State()

    @contextmanager
    def begin(self) -> Iterator["_Transaction"]:
        """Work on a copy; it replaces the state when the block ends without an error."""
        with self._lock:
            draft = self._state.copy()
            yield _Transaction(draft)
            self._state = draft

    def active(self) -> list[Alert]:
        """See `AlertStore`."""
        with self._lock:
            return self._state.active()

    def alerts(self, include_returned: bool = False, limit: int = 500) -> list[Alert]:
        """See `AlertStore`."""
        with self._lock:
            found = [a for a in self._state.alerts.values() if include_returned or a.state in ACTIVE]
        return sorted(found, key=lambda a: (a.raised, a.id), reverse=True)[:limit]

    def history(self, alert: str) -> list[AlertEvent]:
        """See `AlertStore`."""
        with self._lock:
            return [e for e in self._state.events if e.alert == alert]

    def due(self, channel: str, now: datetime, limit: int = 20) -> list[Notification]:
        """See `Outbox`."""
        with self._lock:
            found: list[Notification] = []
            ahead: set[tuple[str, str]] = set()
            for message in self._state.messages.values():
                n = message.notification
                if n.channel != channel or message.state != "pending":
                    continue
                if (n.alert, n.recipient) not in ahead and message.next_attempt <= now:
                    found.append(n)
                ahead.add((n.alert, n.recipient))
            return found[:limit]

    def waiting_channels(self) -> set[str]:
        """See `Outbox`."""
        with self._lock:
            return {m.notification.channel for m in self._state.messages.values() if m.state == "pending"}

    def delivered(self, key: str, at: datetime, receipt: str) -> None:
        """See `Outbox`."""
        self._settle(key, at, "delivered", receipt)

    def fail(self, key: str, at: datetime, reason: str) -> None:
        """See `Outbox`."""
        self._settle(key, at, "failed", reason)

    def postpone(self, key: str, at: datetime, until: datetime, error: str) -> None:
        """See `Outbox`."""
        with self._lock:
            message = self._state.messages[key]
            if message.state != "pending":
                return
            first = message.notification.attempts == 0
            message.notification = replace(message.notification, attempts=message.notification.attempts + 1)
            message.next_attempt, message.outcome = until, error
            if first:
                self._log(message.notification, at, "retrying", error)

    def _settle(self, key: str, at: datetime, state: str, outcome: str) -> None:
        with self._lock:
            message = self._state.messages[key]
            if message.state == "pending":
                message.state, message.outcome = state, outcome
                self._log(message.notification, at, state, outcome)

    def _log(self, message: Notification, at: datetime, event: str, detail: str) -> None:
        self._state.events.append(delivery_event(message, at, event, detail))


class _Transaction:
    """`alerting.ports.AlertTransaction` over a draft of the state."""

    def __init__(self, state: _State) -> None:
        self._state = state

    def active(self) -> list[Alert]:
        return self._state.active()

    def get(self, alert: str) -> Alert | None:
        return self._state.alerts.get(alert)

    def occurrences(self, fingerprint: str) -> int:
        return sum(a.fingerprint == fingerprint for a in self._state.alerts.values())

    def add(self, alert: Alert) -> None:
        if alert.id in self._state.alerts:
            raise ValueError(f"alert {alert.id} is there already")
        if any((a.rule, a.equipment) == (alert.rule, alert.equipment) for a in self._state.active()):
            raise ValueError(f"an alert of rule {alert.rule} is active on {alert.equipment} already")
        self._state.alerts[alert.id] = alert

    def update(self, alert: Alert) -> None:
        if alert.id not in self._state.alerts:
            raise ValueError(f"there is no alert {alert.id}")
        self._state.alerts[alert.id] = alert

    def log(self, event: AlertEvent) -> None:
        self._state.events.append(event)

    def enqueue(self, notification: Notification) -> bool:
        if notification.key in self._state.messages:
            return False
        self._state.messages[notification.key] = _Message(notification, notification.created)
        return True

    def told(self, alert: str) -> list[Notification]:
        messages = self._state.messages.values()
        return [m.notification for m in messages if m.notification.alert == alert and m.state != "failed"]
