"""What people said to control charts: frozen limits, points that are left out, and inspections."""

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text
from sqlalchemy.types import JSON

from infra.records.base import metadata
from infra.records.database import UtcTime
from infra.records.pipeline_tables import LONG_KEY

spc_limits = Table(
    "spc_limits",
    metadata,
    Column("id", LONG_KEY, primary_key=True),
    Column("equipment", String(64), nullable=False),
    Column("signal", String(64), nullable=False),
    Column("study", Text, nullable=False),
    Column("valid_from", UtcTime, nullable=False),
    Column("estimate", JSON, nullable=False),
    Column("window_start", UtcTime, nullable=False),
    Column("window_end", UtcTime, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("user", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_spc_limits_signal", "equipment", "signal"),
)

spc_exclusions = Table(
    "spc_exclusions",
    metadata,
    Column("id", LONG_KEY, primary_key=True),
    Column("equipment", String(64), nullable=False),
    Column("signal", String(64), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("excluded", Boolean, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("user", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_spc_exclusions_signal", "equipment", "signal"),
)

inspections = Table(
    "inspections",
    metadata,
    Column("id", LONG_KEY, primary_key=True),
    Column("equipment", String(64), nullable=False),
    Column("test", String(64), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("inspected", BigInteger, nullable=False),
    Column("nonconforming", BigInteger),
    Column("defects", BigInteger),
    Column("values", JSON, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("user", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("withdraws", BigInteger),
    Index("ix_inspections_equipment_time", "equipment", "time"),
)
