"""The running plant on PostgreSQL: the same ledger and closed shifts as on SQLite, and on its own again after an outage."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL

import polars as pl
import pytest
from fastapi.testclient import TestClient

from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.simulator.orders import demo_orders
from collectors.spool import Spool
from dashboards.app import create_app
from infra.backend import PlantBackend
from infra.folder import DataFolder
from infra.ledger.closing import GRACE, close_shifts
from infra.metrics import Metrics
from infra.plantfile import load
from infra.postgres.server import PostgresServer
from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from infra.shifts import instances
from plant.frames import Window
from plant.model import Plant, RecordsConfig

pytestmark = pytest.mark.server
PLANT = Path(__file__).parents[2] / "infra" / "demo" / "plant.toml"
BASE = "http://127.0.0.1:8000"
ORDERS = "order;product;machine;quantity;due\nPO-9;bracket;press-1;100;2030-01-01 12:00\n"


def plant_on(url: str) -> Plant:
    return replace(load(PLANT), channels={}, escalations={}, records=RecordsConfig(url=url))


def test_a_plant_on_either_database_has_the_same_ledger_and_the_same_closed_shifts(
    tmp_path: Path, records_url: Callable[..., str]
) -> None:
    real = datetime.now(UTC)
    ends = [s.end for s in instances(load(PLANT), Window(real - timedelta(days=1), real))]
    now = max(end for end in ends if end + 2 * GRACE <= real) + GRACE
    start = now - timedelta(hours=2)
    batches = list(frames(Simulation(5, start, orders=demo_orders(start)), now, chunk=600))
    found = []
    for kind in ("sqlite", "postgresql"):
        with DataFolder(tmp_path / kind) as folder:
            spool = Spool(folder.spool, "history")
            for batch in batches:
                spool.append(batch)
            runtime = Runtime(plant_on(records_url(kind)), folder, "", Metrics.unregistered())
            runtime.take_all()
            backend = PlantBackend(runtime)
            assert backend.import_orders("orders.csv", ORDERS.encode(), {}, "mara") == 1
            assert close_shifts(runtime, now) >= 1
            runtime.tick(now)
            with runtime.database.read() as connection:
                closures = [
                    (c.equipment, c.shift, c.shift_start, dict(c.figures))
                    for c in ShiftClosures(connection).begun_in(Window(start - timedelta(hours=8), now))
                ]
                closed = LedgerRows(connection).touching(Window(start, now)).filter(pl.col("start") >= start)
            ledger = runtime.ledger(Window(start, now), now)
            found.append((closures, closed, ledger, [o["id"] for o in backend.orders()]))
            runtime.stop()
    (closures, closed, ledger, orders), again = found
    assert closures and not closed.is_empty() and not ledger.is_empty()
    assert again[0] == closures
    assert again[1].equals(closed)
    assert again[2].equals(ledger)
    assert again[3] == orders == ["PO-9"]


def test_when_the_database_was_away_the_plant_goes_on_by_itself(
    tmp_path: Path, postgres: PostgresServer, records_url: Callable[..., str]
) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
    batches = list(frames(Simulation(5, start), start + timedelta(minutes=9), chunk=60))
    half = len(batches) // 2
    with DataFolder(tmp_path) as folder:
        spool = Spool(folder.spool, "history")
        for batch in batches[:half]:
            spool.append(batch)
        runtime = Runtime(plant_on(records_url("postgresql")), folder, "", Metrics.unregistered())
        runtime.start()
        try:
            until(lambda: not spool.pending())
            postgres.stop(SIGKILL)
            for batch in batches[half:]:
                spool.append(batch)
            until(lambda: not runtime.health()["ok"])
            said = str(runtime.health()["pipeline"])
            assert "start the server or correct host and port" in said and "\\n" not in said
            answer = TestClient(create_app(PlantBackend(runtime), runtime.broadcast), base_url=BASE).get(
                "/api/v1/alerts"
            )
            assert answer.status_code == 503 and "start the server or correct" in answer.json()["error"]
            postgres.start()
            until(lambda: bool(runtime.health()["ok"]) and not spool.pending())
            revision = runtime.snapshot()["revision"]
            until(lambda: runtime.snapshot()["revision"] > revision)
            window = Window(start, start + timedelta(minutes=9))
            lived = runtime.ledger(window, window.end)
        finally:
            postgres.start()
            runtime.stop()
        again = Runtime(runtime.plant, folder, "", Metrics.unregistered())
        assert again.ledger(window, window.end).equals(lived), "live knows all that is stored"
        again.stop()


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
