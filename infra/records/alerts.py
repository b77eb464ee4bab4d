"""Alerts, their history and the outbox in the records database (`alerting.ports.AlertStore`, `Outbox`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from alerting.alert import (
    ACTIVE,
    Alert,
    AlertEvent,
    AlertState,
    FrozenStep,
    Kind,
    Notification,
    OrderContext,
    Recipient,
    delivery_event,
)
from infra.records.alert_tables import alert as alerts
from infra.records.alert_tables import alert_event as events
from infra.records.alert_tables import notification as outbox
from infra.records.database import MICROSECOND, Database, serialise
from plant.states import MachineState

_ACTIVE = [state.value for state in ACTIVE]


class SqlAlerts:
    """Thread-safe; every call is a transaction of its own, except inside `begin`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def begin(self) -> Iterator["_Transaction"]:
        """See `AlertStore`."""
        with self._database.begin() as connection:
            serialise(connection, "alerts")
            yield _Transaction(connection)

    def active(self) -> list[Alert]:
        """See `AlertStore`."""
        with self._database.read() as connection:
            return _active(connection)

    def alerts(self, include_returned: bool = False, limit: int = 500) -> list[Alert]:
        """See `AlertStore`."""
        query = select(alerts).order_by(alerts.c.raised.desc(), alerts.c.id.desc()).limit(limit)
        if not include_returned:
            query = query.where(alerts.c.state.in_(_ACTIVE))
        with self._database.read() as connection:
            return [_alert(row) for row in connection.execute(query)]

    def history(self, alert: str) -> list[AlertEvent]:
        """See `AlertStore`."""
        query = select(events).where(events.c.alert == alert).order_by(events.c.id)
        with self._database.read() as connection:
            return [
                AlertEvent(alert=r.alert, at=r.at, event=r.event, detail=r.detail, user=r.user)
                for r in connection.execute(query)
            ]

    def due(self, channel: str, now: datetime, limit: int = 20) -> list[Notification]:
        """See `Outbox`."""
        earlier = outbox.alias("earlier")
        waits = (
            select(earlier.c.id)
            .where(
                earlier.c.alert == outbox.c.alert,
                earlier.c.channel == outbox.c.channel,
                earlier.c.recipient == outbox.c.recipient,
                earlier.c.state == "pending",
                earlier.c.id < outbox.c.id,
            )
            .exists()
        )
        query = (
            select(outbox)
            .where(outbox.c.channel == channel, outbox.c.state == "pending", outbox.c.next_attempt <= now)
            .where(~waits)
            .order_by(outbox.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_notification(row) for row in connection.execute(query)]

    def waiting_channels(self) -> set[str]:
        """See `Outbox`."""
        query = select(outbox.c.channel).where(outbox.c.state == "pending").distinct()
        with self._database.read() as connection:
            return set(connection.scalars(query))

    def delivered(self, key: str, at: datetime, receipt: str) -> None:
        """See `Outbox`."""
        self._change(key, at, "delivered", receipt, {"state": "delivered", "settled": at})

    def fail(self, key: str, at: datetime, reason: str) -> None:
        """See `Outbox`."""
        self._change(key, at, "failed", reason, {"state": "failed", "settled": at})

    def postpone(self, key: str, at: datetime, until: datetime, error: str) -> None:
        """See `Outbox`."""
        values = {"attempts": outbox.c.attempts + 1, "next_attempt": until}
        self._change(key, at, "retrying", error, values)

    def _change(self, key: str, at: datetime, event: str, outcome: str, values: Mapping[str, Any]) -> None:
        with self._database.begin() as connection:
            serialise(connection, "alerts")
            pending = (outbox.c.key == key, outbox.c.state == "pending")
            row = connection.execute(select(outbox).where(*pending)).one_or_none()
            if row is None:
                return
            connection.execute(update(outbox).where(*pending).values(**values, outcome=outcome))
            # One line for a channel that is away, not one per attempt.
            if event != "retrying" or row.attempts == 0:
                _log(connection, delivery_event(_notification(row), at, event, outcome))


class _Transaction:
    """`alerting.ports.AlertTransaction` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def active(self) -> list[Alert]:
        return _active(self._connection)

    def get(self, alert: str) -> Alert | None:
        row = self._connection.execute(select(alerts).where(alerts.c.id == alert)).one_or_none()
        return None if row is None else _alert(row)

    def occurrences(self, fingerprint: str) -> int:
        query = select(func.count()).select_from(alerts).where(alerts.c.fingerprint == fingerprint)
        return int(self._connection.scalar(query) or 0)

    def add(self, alert: Alert) -> None:
        self._connection.execute(insert(alerts).values(**_columns(alert)))

    def update(self, alert: Alert) -> None:
        done = self._connection.execute(
            update(alerts).where(alerts.c.id == alert.id).values(**_columns(alert))
        )
        if done.rowcount != 1:
            raise ValueError(f"there is no alert {alert.id}")

    def log(self, event: AlertEvent) -> None:
        _log(self._connection, event)

    def enqueue(self, notification: Notification) -> bool:
        there = self._connection.scalar(select(outbox.c.id).where(outbox.c.key == notification.key))
        if there is not None:
            return False
        values = asdict(notification) | {
            "kind": notification.kind.value,
            "recipients": [asdict(r) for r in notification.recipients],
            "state": "pending",
            "next_attempt": notification.created,
        }
        self._connection.execute(insert(outbox).values(**values))
        return True

    def told(self, alert: str) -> list[Notification]:
        query = (
            select(outbox).where(outbox.c.alert == alert, outbox.c.state != "failed").order_by(outbox.c.id)
        )
        return [_notification(row) for row in self._connection.execute(query)]


def _active(connection: Connection) -> list[Alert]:
    query = select(alerts).where(alerts.c.state.in_(_ACTIVE)).order_by(alerts.c.raised, alerts.c.id)
    return [_alert(row) for row in connection.execute(query)]


def _log(connection: Connection, event: AlertEvent) -> None:
    connection.execute(insert(events).values(**asdict(event)))


_NO_ORDER = {"order_id": None, "material": None, "due": None, "finish": None, "slack": None}


def _columns(alert: Alert) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in Alert.__slots__ if name not in ("order", "policy")}
    values |= {"state": alert.state.value, "machine_state": alert.machine_state.value}
    values |= _NO_ORDER
    if alert.order is not None:
        order = asdict(alert.order)
        values |= {"order_id": order.pop("order"), **order}
    values["policy"] = [
        {"after": step.after // MICROSECOND, "channel": step.channel, "to": list(step.to), "who": step.who}
        for step in alert.policy
    ]
    return values


def _alert(row: Row[Any]) -> Alert:
    values = dict(row._mapping)
    order_id, material, due, finish, slack = (values.pop(name) for name in _NO_ORDER)
    order = None
    if order_id is not None:
        order = OrderContext(order=order_id, material=material or "", due=due, finish=finish, slack=slack)
    policy = tuple(
        FrozenStep(
            after=timedelta(microseconds=step["after"]),
            channel=step["channel"],
            to=tuple(step["to"]),
            who=step["who"],
        )
        for step in values.pop("policy")
    )
    values["state"] = AlertState(values["state"])
    values["machine_state"] = MachineState(values["machine_state"])
    return Alert(**values, order=order, policy=policy)


def _notification(row: Row[Any]) -> Notification:
    values = {name: getattr(row, name) for name in Notification.__slots__}
    values["kind"] = Kind(values["kind"])
    values["recipients"] = tuple(Recipient(**r) for r in values["recipients"])
    return Notification(**values)
