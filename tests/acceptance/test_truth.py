"""The simulated plant at high speed, over real OPC UA and Modbus, through collector process, spool, historian and live
derivation, against the log of what it really did."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.simulator.codes import PRESS
from collectors.simulator.truth import TruthLog, load_truth
from collectors.spool import Spool
from infra.deadletter import DeadLetter
from infra.folder import DataFolder
from infra.historians.parquet import ParquetHistorian
from infra.ingest import Ingest
from infra.live import Live
from infra.plantfile import load
from infra.records.database import Database, upgrade
from infra.storing import Storing
from plant.frames import Window
from plant.model import Plant
from plant.states import MachineState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PLANT = Path(__file__).parents[2] / "infra" / "demo" / "plant.toml"
SPEED = 20
LENGTH = timedelta(minutes=18)
PERIOD = timedelta(seconds=1)
PATIENCE = timedelta(minutes=5)
"""Silence after which a machine is unknown: at this speed a pause of the test machine is minutes of the plant's."""


class Run:
    """What was collected and what happened, over the span that was seen of every machine."""

    def __init__(
        self, plant: Plant, live: Live, historian: ParquetHistorian, truth: TruthLog, end: datetime
    ) -> None:
        self.plant, self.live, self.truth = plant, live, truth
        seen = historian.read(Window(end - 2 * LENGTH, end), signals=["state", "good", "reject"])
        began = seen.group_by("equipment", "signal").agg(pl.col("time").min())
        self.first = dict(began.group_by("equipment").agg(pl.col("time").max()).iter_rows())
        start = max(self.first.values())
        self.machines = sorted(seen["equipment"].unique())
        states = seen.filter(pl.col("signal") == "state").sort("equipment", "time")
        gaps = states.select("equipment", gap=pl.col("time").diff().over("equipment"))
        self.sampled_every = dict(gaps.group_by("equipment").agg(pl.col("gap").max()).iter_rows())
        """The longest time between two readings of each machine's state. OPC UA brings every change whatever the load;
        Modbus is polled and sees no more than it reads."""
        self.window = Window(start + PERIOD, end)
        self.ledger = live.ledger(self.window, end)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    root = tmp_path_factory.mktemp("truth")
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    end = start + LENGTH
    arguments = [
        "--seed",
        "5",
        "--start",
        start.isoformat(),
        "--until",
        end.isoformat(),
        "--speed",
        str(SPEED),
    ]
    plcs = subprocess.Popen(
        [sys.executable, "-m", "collectors.simulator", *arguments, "--truth", str(root / "log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    collector: subprocess.Popen[bytes] | None = None
    try:
        assert plcs.stdout is not None
        ports = json.loads(plcs.stdout.readline())
        opcua = {"url": f"opc.tcp://127.0.0.1:{ports['opcua']}/"}
        press = {"port": ports["modbus"], "poll": "10ms"}
        options = {"line-plc": opcua, "cnc-plc": opcua, "press-plc": press}
        plant = load(PLANT)
        patient = {e.id: replace(e, stale_after=PATIENCE) for e in plant.equipment.values()}
        plant = replace(plant, equipment=patient)
        with DataFolder(root / "data") as folder:
            database = Database(f"sqlite:///{folder.records}")
            upgrade(database)
            historian = ParquetHistorian(folder.historian)
            live = Live(plant, historian, database, end)
            collector = subprocess.Popen(
                [
                    *(sys.executable, "-m", "infra", "collect", str(PLANT)),
                    *("--data", str(folder.root), "--options", json.dumps(options)),
                ]
            )
            spool = Spool(folder.spool)
            ingest = Ingest(spool)
            dead = DeadLetter(folder.dead, folder.spool)
            storing = Storing(spool, historian, dead, lambda: plant, lambda: ingest.settled)
            _collect(ingest, storing, live, plant, end)
            truth = load_truth(*(path.read_bytes() for path in (root / "log").glob("*.jsonl")))
            yield Run(plant, live, historian, truth, end)
            assert storing.refused == 0
            database.close()
            historian.close()
    finally:
        for process in (collector, plcs):
            if process is not None:
                process.terminate()
                process.wait(15)


def _collect(ingest: Ingest, storing: Storing, live: Live, plant: Plant, end: datetime) -> None:
    """Until every machine's last second has arrived."""
    newest: dict[str, datetime] = {}
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        samples = ingest.take(plant, datetime.now(UTC)).samples
        ingest.settle()
        storing.once(datetime.now(UTC))
        if samples.is_empty():
            time.sleep(0.1)
            continue
        live.accept(samples)
        newest |= dict(samples.group_by("equipment").agg(pl.col("time").max()).iter_rows())
        if len(newest) == len(plant.machines()) and min(newest.values()) >= end:
            return
    pytest.fail(f"the last second never arrived; newest per machine: {newest}")


def test_every_machine_is_seen_for_most_of_the_run(run: Run) -> None:
    assert run.machines == sorted(machine.id for machine in run.plant.machines())
    assert run.window.end - run.window.start > LENGTH / 2


def test_state_seconds_agree_to_one_sample_period(run: Run) -> None:
    states = {raw: mapped.state for s in run.plant.signals.values() for raw, mapped in s.states.items()}
    true = (
        run.truth.state_intervals(run.window.start, run.window.end)
        .with_columns(state=pl.col("raw").cast(pl.String).replace_strict(states, return_dtype=pl.String))
        .group_by("equipment", "state")
        .agg(true=(pl.col("end") - pl.col("start")).sum())
    )
    derived = run.ledger.group_by("equipment", "state").agg(
        derived=pl.duration(microseconds=pl.col("duration").sum())
    )
    both = derived.join(true, on=["equipment", "state"], how="full", coalesce=True).fill_null(timedelta())
    allowed = {m: run.sampled_every[m] if m == PRESS else PERIOD for m in run.machines}
    allowed_for = pl.col("equipment").replace_strict(allowed, return_dtype=pl.Duration("us"))
    off = both.filter((pl.col("derived") - pl.col("true")).abs() > allowed_for)
    assert off.is_empty(), off
    assert both.height > len(run.machines), "the run must have seen more than one state"
    assert MachineState.UNKNOWN.value not in set(derived["state"])


def test_counts_agree_exactly(run: Run) -> None:
    expected: dict[tuple[str, str], int] = {}
    until = run.window.end + PERIOD  # the simulation's last reading is at the end itself
    for machine, first in run.first.items():  # a machine's first reading is where counting begins
        made = run.truth.counts(first + PERIOD, until).filter(pl.col("equipment") == machine)
        for kind, quantity in made.group_by("kind").agg(pl.col("quantity").sum()).iter_rows():
            expected[machine, kind] = quantity
    rows = run.live.ledger(Window(until - 2 * LENGTH, until), until)
    sums = rows.group_by("equipment").agg(pl.col("good", "reject").sum())
    derived = {
        (e, k): q for e, good, reject in sums.iter_rows() for k, q in (("good", good), ("reject", reject))
    }
    assert {key: q for key, q in derived.items() if q} == {key: q for key, q in expected.items() if q}
    assert sum(expected.values()) > 1000


def test_orders_get_the_parts_made_for_them(run: Run) -> None:
    polled = pl.col("equipment") == PRESS  # a missed poll may lie across a change of order
    true = run.truth.counts(run.window.start, run.window.end).filter(
        pl.col("kind") == "good", pl.col("order") != "", ~polled
    )
    expected = {(e, o): q for e, o, q in true.select("equipment", "order", "quantity").iter_rows() if q}
    sums = (
        run.ledger.filter(pl.col("order").is_not_null(), ~polled)
        .group_by("equipment", "order")
        .agg(pl.col("good").sum())
    )
    assert {(e, o): q for e, o, q in sums.iter_rows() if q} == expected


def test_the_ledger_from_stored_samples_is_the_live_one(run: Run) -> None:
    again = Live(run.plant, run.live._history, run.live._database, run.window.end)
    assert again.ledger(run.window, run.window.end).equals(run.ledger)
