"""What the pipelines keep: the ledger, re-codings, corrections, the arrivals journal, positions, closed shifts."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, UniqueConstraint
from sqlalchemy.types import JSON

from infra.records.base import metadata
from infra.records.database import UtcTime

LONG_KEY = BigInteger().with_variant(Integer, "sqlite")
"""64 bit on both: SQLite only numbers rows by itself in a column declared INTEGER."""

ledger = Table(
    "ledger",
    metadata,
    Column("equipment", String(64), primary_key=True),
    Column("start", UtcTime, primary_key=True),
    Column("end", UtcTime, nullable=False),
    Column("line", String(64)),
    Column("shift", String(64)),
    Column("shift_start", UtcTime),
    Column("order", String(64)),
    Column("material", String(64)),
    Column("raw", String),
    Column("state", String(32), nullable=False),
    Column("reason", String(64)),
    Column("stop_start", UtcTime),
    Column("category", String(32), nullable=False),
    Column("duration", BigInteger, nullable=False),
    Column("good", BigInteger, nullable=False),
    Column("reject", BigInteger, nullable=False),
    Column("rework", BigInteger, nullable=False),
    Column("startup", BigInteger, nullable=False, server_default="0"),
    Column("ideal", BigInteger, nullable=False),
    Column("ideal_good", BigInteger, nullable=False),
    Column("unrated", BigInteger, nullable=False),
    Column("flagged", BigInteger, nullable=False),
    Index("ix_ledger_end", "end"),
    Index("ix_ledger_order", "order"),
    sqlite_with_rowid=False,
)

ledger_days = Table(
    "ledger_days",
    metadata,
    Column("day", UtcTime, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

recodes = Table(
    "recodes",
    metadata,
    Column("id", LONG_KEY, primary_key=True),
    Column("equipment", String(64), nullable=False),
    Column("start", UtcTime, nullable=False),
    Column("end", UtcTime),
    Column("reason", String(64)),
    Column("user", String(200), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("state", String(32)),
    Column("note", Text),
    Index("ix_recodes_equipment_start", "equipment", "start"),
)

count_corrections = Table(
    "count_corrections",
    metadata,
    Column("id", LONG_KEY, primary_key=True),
    Column("equipment", String(64), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("user", String(200), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_count_corrections_equipment_time", "equipment", "time"),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("seq", LONG_KEY, primary_key=True),
    Column("collector", String(64), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("equipment", String(64), nullable=False),
    Column("earliest", UtcTime, nullable=False),
    Column("latest", UtcTime, nullable=False),
    UniqueConstraint("collector", "sequence", "equipment"),
    sqlite_autoincrement=True,
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("position", BigInteger, nullable=False),
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("job", String(64), primary_key=True),
    Column("scope", String(200), primary_key=True),
    Column("done_until", UtcTime, nullable=False),
)

shift_closures = Table(
    "shift_closures",
    metadata,
    Column("equipment", String(64), primary_key=True),
    Column("shift", String(64), primary_key=True),
    Column("shift_start", UtcTime, primary_key=True),
    Column("closed_at", UtcTime, nullable=False),
    Column("figures", JSON, nullable=False),
    Index("ix_shift_closures_shift_start", "shift_start"),
)

restatements = Table(
    "restatements",
    metadata,
    Column("id", LONG_KEY, primary_key=True),
    Column("equipment", String(64), nullable=False),
    Column("shift", String(64), nullable=False),
    Column("shift_start", UtcTime, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("user", String(200), nullable=False),
    Column("cause", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("figures", JSON, nullable=False),
    Index("ix_restatements_shift_start", "shift_start"),
)
