"""The audit trail and the leader leases."""

from sqlalchemy import BigInteger, Column, Index, String, Table
from sqlalchemy.types import JSON

from infra.records.base import metadata
from infra.records.database import UtcTime
from infra.records.pipeline_tables import LONG_KEY

audit = Table(
    "audit",
    metadata,
    Column("id", LONG_KEY, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("user", String(200), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", JSON, nullable=False),
    Index("ix_audit_subject", "subject"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("expires", UtcTime, nullable=False),
    Column("token", BigInteger, nullable=False),
)
