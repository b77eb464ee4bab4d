"""[historian], [records] and [spool]: where things are kept, how long, and how much may wait."""

from datetime import timedelta

from plant.model import HistorianConfig, RecordsConfig, SpoolConfig
from plant.parsing.reader import Table
from plant.parsing.values import CENTURY

FOREVER = "forever"

_SHORTEST_KEPT = timedelta(days=1)
_SHORTEST_WAIT = timedelta(hours=1)
_SMALLEST = 10_000_000


def read_historian(table: Table | None) -> HistorianConfig:
    """[historian]: all but kind and keep are options for the historian of that kind."""
    given = HistorianConfig()
    if table is None:
        return given
    kind = table.identifier("kind") if "kind" in table.data else given.kind
    return HistorianConfig(kind=kind, keep=_read_keep(table, given.keep), options=table.options())


def _read_keep(table: Table, otherwise: timedelta | None) -> timedelta | None:
    if table.data.get("keep") == FOREVER:
        return None
    keep = table.duration("keep", longest=CENTURY)
    if keep is None:
        return otherwise
    if keep < _SHORTEST_KEPT:
        table.error("keep", "less than a day is not enough to derive from", 'Write "400d", or "forever"')
    return keep


def read_records(table: Table | None) -> RecordsConfig:
    """[records]"""
    return RecordsConfig(url=None if table is None else table.secret("url"))


def read_spool(table: Table | None) -> SpoolConfig:
    """[spool]; the defaults of `SpoolConfig` where nothing is said."""
    given = SpoolConfig()
    if table is None:
        return given
    max_bytes = table.size("max_size")
    if max_bytes is not None and max_bytes < _SMALLEST:
        table.error("max_size", "too small for a plant to wait in", 'Write at least "10MB"; "4GB" is usual')
    max_age = table.duration("max_age")
    if max_age is not None and max_age < _SHORTEST_WAIT:
        table.error("max_age", "too short: samples would be dropped", 'Write at least "1h"; "30d" is usual')
    return SpoolConfig(
        max_bytes=given.max_bytes if max_bytes is None else max_bytes,
        max_age=given.max_age if max_age is None else max_age,
    )
