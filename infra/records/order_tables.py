"""Job orders and their runs."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, text

from execution.orders import OrderState
from infra.records.base import metadata
from infra.records.database import UtcTime

_STATES = ", ".join(f"'{state}'" for state in OrderState)

orders = Table(
    "orders",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("material", String(64), nullable=False),
    Column("equipment", String(64), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("due", UtcTime),
    Column("priority", Integer, nullable=False),
    Column("planned_start", UtcTime),
    Column("planned_end", UtcTime),
    Column("state", String(16), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("changed_at", UtcTime, nullable=False),
    Column("changed_by", String(200), nullable=False),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint("quantity > 0", name="quantity"),
    Index("ix_orders_state_equipment", "state", "equipment"),
)

order_runs = Table(
    "order_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("order", String(64), ForeignKey("orders.id"), nullable=False),
    Column("material", String(64), nullable=False),
    Column("equipment", String(64), nullable=False),
    Column("start", UtcTime, nullable=False),
    Column("end", UtcTime),
    Column("source", String(16), nullable=False),
    Column("started_by", String(200), nullable=False),
    Column("ended_by", String(200)),
    CheckConstraint("source IN ('operator', 'machine', 'schedule')", name="source"),
    Index("ix_order_runs_equipment_start", "equipment", "start"),
    Index("ix_order_runs_order", "order"),
    Index(
        "uq_order_runs_one_running",
        "equipment",
        unique=True,
        sqlite_where=text('"end" IS NULL'),
        postgresql_where=text('"end" IS NULL'),
    ),
)
