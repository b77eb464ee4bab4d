"""Who stopped the line, as pages and API tell it."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from analytics.ledger.firstcause import causes_now
from dashboards import figures, lineaccount
from dashboards.api import install_errors, router
from dashboards.live import Broadcast
from plant.frames import Window


@pytest.fixture
def line(board_backend: Any) -> Any:
    """The plant in memory with its bottling machines in a row."""
    plant = board_backend.plant
    row = [m.id for m in plant.machines() if plant.line_of(m.id) == "bottling"]
    fed = {b: replace(plant.equipment[b], upstream=(a,)) for a, b in pairwise(row)}
    board_backend.plant = replace(plant, equipment={**plant.equipment, **fed})
    return board_backend


def test_the_account_closes_and_the_api_gives_it(line: Any) -> None:
    app = FastAPI()
    app.include_router(router(line, Broadcast()))
    install_errors(app)
    client = TestClient(app)
    now = line.now()
    window = {"from": (now - timedelta(hours=9)).isoformat(), "to": (now - timedelta(hours=1)).isoformat()}
    found = client.get("/api/v1/line-account", params={"line": "bottling", **window}).json()
    assert sum(row["duration"] for row in found["rows"]) == 8 * 3600 * 1_000_000
    assert len({row["constraint"] for row in found["rows"]}) == 1
    refused = client.get("/api/v1/line-account", params={"line": "nowhere"})
    assert refused.status_code == 400 and "bottling" in refused.json()["error"]


def test_stops_that_waited_name_a_cause_and_others_do_not(line: Any) -> None:
    window = Window(line.now() - timedelta(hours=24), line.now())
    rows = line.ledger(window)
    stops = figures.stops(rows)
    machines = stops["equipment"].unique().to_list()
    told = lineaccount.charged_to(line.plant, lineaccount.charged(line, window, machines), stops)
    waited = stops["category"].is_in(["starved", "blocked"]).to_list()
    assert any(waited)
    assert [name != "–" for name in told] == waited


def test_a_tile_names_what_the_machine_waits_for(line: Any) -> None:
    now = line.now()
    rows = line.ledger(Window(now - timedelta(hours=2), now))
    waiting = rows.group_by("equipment").last().filter(pl.col("category").is_in(["starved", "blocked"]))
    found = causes_now(rows, line.plant)
    assert sorted(found) == sorted(waiting["equipment"])
    assert found["capper"].equipment == "filler"
    assert causes_now(rows, line.plant, ["filler"])["capper"].category == "unknown"
