"""Where samples and records are kept, and what may wait for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorianConfig:
    """Where samples are kept. A text option may be {env = "NAME"}: the value of that variable."""

    kind: str = "parquet"
    """parquet: segments in the data folder. influxdb: a server, 1.8+, 2.x or 3.x."""
    keep: timedelta | None = timedelta(days=400)
    """Older samples are forgotten; None: never."""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsConfig:
    """Where orders, ledger, alerts and audit are kept."""

    url: object = None
    """postgresql://user@host/name, or {env = "NAME"}; None: SQLite in the data folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """How much may wait between collectors and historian."""

    max_bytes: int = 4_000_000_000
    """Of one collector process. At the limit nothing more is acknowledged: sources that can, wait."""
    max_age: timedelta = timedelta(days=30)
    """Batches that have waited longer are dropped, and recorded as a gap."""
