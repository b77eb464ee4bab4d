"""The ledger in columns says what the records database says. Runs over each database."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infra.ledger.cache import LedgerCache
from infra.records.database import Database, forget_schema, migrate, upgrade
from infra.records.ledger import LedgerRows
from plant.frames import LEDGER, Window

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]
DAY = timedelta(days=1)
ZONE = ZoneInfo("UTC")
T0 = datetime(2026, 3, 2, tzinfo=UTC)
ALL = Window(T0, T0 + 4 * DAY)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, records_url: Callable[..., str]) -> Iterator[Database]:
    opened = Database(records_url(request.param))
    upgrade(opened)
    yield opened
    opened.close()


def rows(machine: str, hours: list[float], reason: str | None = None) -> pl.DataFrame:
    """Rows between these hours since T0."""
    edges = [T0 + timedelta(hours=hour) for hour in hours]
    values: dict[str, object] = dict.fromkeys(LEDGER)
    values |= {name: 7 for name, kind in LEDGER.items() if kind == pl.Int64}
    values |= {"equipment": machine, "state": "down", "category": "unplanned_downtime", "reason": reason}
    made = [
        values | {"start": start, "end": end, "duration": (end - start) // timedelta(microseconds=1)}
        for start, end in pairwise(edges)
    ]
    return pl.DataFrame(made, schema=dict(LEDGER), orient="row")


def keep(database: Database, of: pl.DataFrame) -> None:
    with database.begin() as connection:
        window = Window(of["start"].min(), of["end"].max())  # type: ignore[arg-type]
        LedgerRows(connection).replace(of["equipment"][0], window, of)


def assert_as_stored(cache: LedgerCache, database: Database) -> None:
    for hours in ((0, 96), (30, 50), (48, 49), (47.9, 48), (24, 48), (95, 200)):
        window = Window(*(T0 + timedelta(hours=hour) for hour in hours))
        with database.read() as connection:
            stored = LedgerRows(connection).touching(window)
        assert_frame_equal(cache.rows(window).collect().sort("equipment", "start"), stored)


def test_it_says_what_is_stored(database: Database, tmp_path: Path) -> None:
    cache = LedgerCache(database, tmp_path / "ledger", ZONE)
    assert cache.rows(ALL).collect().is_empty()
    keep(database, rows("a", [0, 5, 23.5, 24, 49, 72]))
    keep(database, rows("b", [1, 90]))
    assert_as_stored(cache, database)
    found = cache.rows(ALL, ["b"]).collect()
    assert found["equipment"].to_list() == ["b"]
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "ledger").iterdir()}

    keep(database, rows("a", [24, 49, 72], "jam"))
    assert_as_stored(cache, database)
    left = {path.name[:10] for path in (tmp_path / "ledger").iterdir() if path in made}
    assert left == {"2026-03-02", "2026-03-05"}, "only days that changed are made again"


def test_another_database_is_not_mistaken_for_this_one(
    database: Database, tmp_path: Path, records_url: Callable[..., str]
) -> None:
    keep(database, rows("a", [0, 24]))
    assert LedgerCache(database, tmp_path / "ledger", ZONE).rows(ALL).collect().height == 1
    other = Database(records_url("sqlite"))
    upgrade(other)
    keep(other, rows("a", [0, 12, 24]))
    assert LedgerCache(other, tmp_path / "ledger", ZONE).rows(ALL).collect().height == 2
    other.close()


def test_files_may_be_removed_at_any_time(database: Database, tmp_path: Path) -> None:
    cache = LedgerCache(database, tmp_path / "ledger", ZONE)
    keep(database, rows("a", [0, 5, 30]))
    for part in ("over", "begun"):
        assert_as_stored(cache, database)
        for path in (tmp_path / "ledger").glob(f"*.{part}.parquet"):
            path.unlink()
    (tmp_path / "ledger" / ".tmp-1-left").write_bytes(b"")
    assert_as_stored(cache, database)


def test_an_upgraded_ledger_is_there(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        forget_schema(connection)
        migrate(connection, "test", "0002")
    with database.begin() as connection:
        connection.exec_driver_sql(
            'INSERT INTO ledger (equipment, start, "end", state, category, duration, good, reject, rework, ideal,'
            f" ideal_good, unrated, flagged) VALUES ('a', {int(T0.timestamp()) * 10**6},"
            f" {int((T0 + 2 * DAY).timestamp()) * 10**6}, 'down', 'unplanned_downtime', 1, 0, 0, 0, 0, 0, 0, 0)"
        )
    upgrade(database)
    assert_as_stored(LedgerCache(database, tmp_path / "ledger", ZONE), database)
