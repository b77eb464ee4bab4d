"""Tables of alerts, their history, and the outbox of messages about them."""

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from infra.records.base import metadata
from infra.records.database import UtcTime

_IS_ACTIVE = text("state IN ('unacknowledged', 'acknowledged')")

alert = Table(
    "alert",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("fingerprint", String(200), nullable=False, index=True),
    Column("rule", String(80), nullable=False),
    Column("rule_name", Text, nullable=False),
    Column("equipment", String(80), nullable=False),
    Column("equipment_name", Text, nullable=False),
    Column("severity", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("machine_state", String(20), nullable=False),
    Column("stop_start", UtcTime, nullable=False),
    Column("raised", UtcTime, nullable=False, index=True),
    Column("confirmed", UtcTime, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("reason", String(80)),
    Column("reason_name", Text),
    Column("order_id", String(80)),
    Column("material", Text),
    Column("due", UtcTime),
    Column("finish", UtcTime),
    Column("slack", Float),
    Column("policy", JSON, nullable=False),
    Column("steps_done", Integer, nullable=False),
    Column("acknowledged", UtcTime),
    Column("acknowledged_by", Text),
    Column("returned", UtcTime),
    Column("returned_because", String(20)),
    # The database itself refuses a second active alert of one rule on one machine.
    Index(
        "ux_alert_active",
        "rule",
        "equipment",
        unique=True,
        sqlite_where=_IS_ACTIVE,
        postgresql_where=_IS_ACTIVE,
    ),
)
"""One row per alert (`alerting.alert.Alert`); `slack` is in seconds."""

alert_event = Table(
    "alert_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("alert", ForeignKey("alert.id"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("event", String(30), nullable=False),
    Column("detail", Text, nullable=False),
    Column("user", Text, nullable=False),
)
"""What happened to an alert; append-only."""

notification = Table(
    "notification",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(400), nullable=False, unique=True),
    Column("alert", ForeignKey("alert.id"), nullable=False, index=True),
    Column("step", String(20), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("channel", String(80), nullable=False),
    Column("recipient", String(80), nullable=False),
    Column("recipients", JSON, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("link", Text, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt", UtcTime, nullable=False),
    Column("settled", UtcTime),
    Column("outcome", Text),
    Index("ix_notification_due", "channel", "state", "next_attempt"),
)
"""The outbox: `state` is pending, delivered or failed; `outcome` the receipt or the last error."""
