"""Kill a process that starts and completes orders: what it said was done is done, and nothing is half done."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from execution.orders import OrderState
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


def test_what_was_acknowledged_survives_a_kill_and_nothing_is_half_done(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"
    upgrade(Database(url))
    said: dict[str, str] = {}
    for round_, lines in enumerate((7, 12, 3)):
        source = WORKER.replace("count()", f"count({round_ * 1000})")
        worker = subprocess.Popen([sys.executable, "-c", source, url], stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        for _ in range(lines):
            number, state = worker.stdout.readline().split()
            said[number] = state
        worker.kill()
        for line in worker.stdout:  # what it still got out before the kill
            if line.endswith("\n"):
                number, state = line.split()
                said[number] = state
        worker.wait()
        worker.stdout.close()
        database = Database(url)
        with database.begin() as connection:
            runs = {run.order: run for run in OrderRuns(connection).running(["press"])}
            for number in runs:  # so that the next worker finds the press free
                Orders(connection).set_state(number, OrderState.COMPLETED, "test", runs[number].start)
                OrderRuns(connection).close(number, runs[number].start, "test")
        assert len(runs) <= 1
        with database.read() as connection:
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
            assert len(orders) <= len(said) + round_ + 1
        database.close()
        for number in runs:
            with database.begin() as connection:
                Audit(connection).add(runs[number].start, "test", "order.complete", number)
