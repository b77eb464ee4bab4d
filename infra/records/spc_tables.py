"""What people decided about control charts: frozen limits and points that are left out."""

from sqlalchemy import Boolean, Column, Index, String, Table, Text
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
