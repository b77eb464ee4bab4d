"""Kill a process that starts and completes orders, or the database server under it: what was said to be done is
done, and nothing is half done."""

import subprocess
import sys
from collections.abc import Callable
from signal import SIGKILL, SIGQUIT, Signals

import pytest
from sqlalchemy import text

from execution.orders import OrderState
from infra.postgres.server import PostgresServer
from infra.records.audit import Audit
from infra.records.database import Database, upgrade
from infra.records.orders import OrderRuns, Orders

WORKER = """
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo
from execution.dispatching import dispatch
from execution.orders import JobOrder, OrderAction
from infra.records.database import Database
from infra.records.orders import ExecutionStores
from plant.model import Equipment, EquipmentLevel, Plant, Site

press = Equipment(id="press", name="Press", level=EquipmentLevel.WORK_UNIT)
plant = Plant(site=Site(id="s", name="S", zone=ZoneInfo("UTC")), equipment={"press": press})
database = Database(sys.argv[1])
start = datetime(2026, 3, 1, tzinfo=UTC)
for n in count():
    at = start + timedelta(seconds=n)
    job = JobOrder(id=f"A{n}", material="m", equipment="press", quantity=1)
    with database.begin() as connection:
        stores = ExecutionStores(connection)
        stores.orders.insert([job], "w", at)
        dispatch(stores, plant, job.id, OrderAction.START, "w", at)
    print(job.id, "running", flush=True)
    with database.begin() as connection:
        dispatch(ExecutionStores(connection), plant, job.id, OrderAction.COMPLETE, "w", at)
    print(job.id, "completed", flush=True)
"""


def started(url: str, first: int) -> "subprocess.Popen[str]":
    source = WORKER.replace("count()", f"count({first})")
    return subprocess.Popen(
        [sys.executable, "-c", source, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def listened(worker: "subprocess.Popen[str]", said: dict[str, str], lines: int | None = None) -> None:
    """Note what it says was done; `lines` of it, or all until it ends."""
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.endswith("\n"):
            number, state = line.split()
            said[number] = state
        if lines is not None and (lines := lines - 1) == 0:
            return


def checked(database: Database, said: dict[str, str], rounds: int) -> None:
    """Nothing lost, nothing half done; then the press is made free for the next worker."""
    with database.begin() as connection:
        runs = {run.order: run for run in OrderRuns(connection).running(["press"])}
        for number in runs:
            Orders(connection).set_state(number, OrderState.COMPLETED, "test", runs[number].start)
            OrderRuns(connection).close(number, runs[number].start, "test")
    assert len(runs) <= 1
    with database.read() as connection:
        if database.is_sqlite:
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        orders = {order.id: order for order in Orders(connection).all()}
        for number in said:
            assert orders[number].state is OrderState.COMPLETED
        for number in orders:
            assert len(OrderRuns(connection).of(number)) == 1
            actions = [entry.action for entry in Audit(connection).of(number)]
            assert actions[0] == "order.start"
            assert len(actions) == (1 if number in runs else 2)
            assert not (said.get(number) == "completed" and number in runs)
        assert len(orders) <= len(said) + rounds
    with database.begin() as connection:
        for number, run in runs.items():
            Audit(connection).add(run.start, "test", "order.complete", number)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_what_was_acknowledged_survives_a_kill_and_nothing_is_half_done(
    kind: str, records_url: Callable[..., str]
) -> None:
    url = records_url(kind)
    database = Database(url)
    upgrade(database)
    said: dict[str, str] = {}
    for round_, lines in enumerate((7, 12, 3)):
        worker = started(url, round_ * 1000)
        listened(worker, said, lines)
        worker.kill()
        listened(worker, said)  # what it still got out before the kill
        worker.wait()
        checked(database, said, round_ + 1)
    database.close()


@pytest.mark.server
def test_what_was_acknowledged_survives_a_killed_server(
    postgres: PostgresServer, records_url: Callable[..., str]
) -> None:
    url = records_url("postgresql")
    database = Database(url)
    said: dict[str, str] = {}
    kills: list[tuple[Signals, int]] = [(SIGKILL, 15), (SIGQUIT, 4), (SIGKILL, 9)]
    for round_, (how, lines) in enumerate(kills):
        worker = started(url, round_ * 1000)
        try:
            listened(worker, said, lines)
            postgres.stop(how)
            listened(worker, said)
            assert worker.wait(30) != 0, "it ends with an error, it does not go on alone"
        finally:
            worker.kill()
            worker.wait()
            postgres.start()
        checked(database, said, round_ + 1)
    database.close()
