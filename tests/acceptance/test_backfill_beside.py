"""A backfill and the live server store the same, and pages read it: closed time as stored, open time as derived."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from backfilled import LENGTH, backfill, make, samples, stored
from polars.testing import assert_frame_equal

from infra.ledger.closing import close_shifts
from infra.metrics import Metrics
from infra.records.database import upgrade
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from infra.shifts import shift_edges
from infra.stores import open_database
from pipelines.derive import derive
from plant.frames import Window

pytestmark = pytest.mark.slow


def test_beside_a_running_server(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    start = now - LENGTH
    history = samples(3, start=start).filter(pl.col("time") < now)
    plant, data = make(tmp_path, history)
    runtime = Runtime(plant, data, "", Metrics.unregistered())
    runtime.start(deliver=False)
    try:
        assert close_shifts(runtime, now) > 0
        with closing(open_database(plant, data)) as database, database.read() as connection:
            live = LedgerRows(connection).span()
        assert live is not None
        as_closed = stored(plant, data, live)
        done = backfill(plant, data, live, now=now)
        # Only what a machine was doing when the server's memory began, the server does not know as well.
        assert {window.start for _, window in done.changed} <= {live.start}
        again = stored(plant, data, live)
        known = dict(
            again.filter(pl.col("stop_start") <= live.start)
            .group_by("equipment")
            .agg(pl.col("end").max())
            .iter_rows()
        )
        later = pl.col("start") >= pl.col("equipment").replace_strict(known, default=live.start)
        assert_frame_equal(again.filter(later), as_closed.filter(later))
        assert again.filter(later).height > 50

        done = backfill(plant, data, Window(start + timedelta(days=1), now), now=now)
        assert done.window.end == live.end, "what is open is the server's"
        assert done.changed
        # The shift in which the server's memory began was closed with what it knew.
        assert {one.shift_start < live.start for one in done.restated} <= {True}
        asked = Window(start + timedelta(days=1, hours=1, seconds=7), now)
        found = runtime.ledger(asked, now)
        edges = [asked.start, *shift_edges(plant, Window(asked.start, live.end)), live.end]
        whole = derive(history, plant, asked, until=now, edges=edges)
        key = ["equipment", "start"]
        assert_frame_equal(found.sort(key), whole.sort(key))
    finally:
        runtime.stop()


def test_an_empty_database_is_made(tmp_path: Path) -> None:
    plant, data = make(tmp_path, samples(4))
    backfill(plant, data)
    with closing(open_database(plant, data)) as database:
        before, after = upgrade(database)
    assert before == after
