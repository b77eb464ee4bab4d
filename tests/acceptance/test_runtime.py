"""A running plant without its processes: the simulated plant's samples through the spool, and what people do with it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.simulator.faults import demo_script
from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.simulator.orders import demo_orders
from collectors.spool import Spool
from dashboards.ports import Refused
from infra.backend import PlantBackend
from infra.folder import DataFolder
from infra.ledger.closing import GRACE, close_shifts
from infra.metrics import Metrics
from infra.plantfile import PlantWatch, load
from infra.records.arrivals import Arrivals
from infra.records.audit import Audit
from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from infra.shifts import instances, shift_edges
from plant.frames import SAMPLES, Window
from plant.model import Plant
from plant.parse import PlantErrors
from plant.states import MachineState

PLANT = Path(__file__).parents[2] / "infra" / "demo" / "plant.toml"
HISTORY = timedelta(hours=9)
EVERY = timedelta(seconds=5)
ORDERS = "order;product;machine;quantity;due\nPO-9;bracket;press-1;100;{due}\n"


class Running:
    """The runtime ticked once at `now`, over a history that holds a whole shift."""

    def __init__(self, runtime: Runtime, folder: DataFolder, now: datetime) -> None:
        self.runtime, self.folder, self.now = runtime, folder, now
        self.backend = PlantBackend(runtime)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    now = datetime.now(UTC).replace(microsecond=0)
    start = now - HISTORY
    plant = replace(load(PLANT), channels={}, escalations={})
    with DataFolder(tmp_path_factory.mktemp("plant")) as folder:
        spool = Spool(folder.spool, "history")
        script = demo_script(now - timedelta(minutes=9))
        simulated = Simulation(3, start, orders=demo_orders(start), script=script, period=EVERY)
        for batch in frames(simulated, now):
            spool.append(batch)
        spool.close()
        runtime = Runtime(plant, folder, "http://127.0.0.1:1", Metrics.unregistered())
        runtime.start()
        yield Running(runtime, folder, now)
        runtime.stop()


def stop_of_press(running: Running) -> datetime:
    rows = running.backend.ledger(Window(running.now - timedelta(hours=1), running.now), ["press-1"])
    start = rows.filter(pl.col("state") == MachineState.DOWN.value)["stop_start"].max()
    assert isinstance(start, datetime)
    return start


def test_the_history_arrives_and_the_spool_is_empty(running: Running) -> None:
    health = running.backend.health()
    assert health["ok"], health
    rows = running.backend.ledger(Window(running.now - timedelta(hours=2), running.now))
    assert set(rows["equipment"]) == {m.id for m in running.backend.plant.machines()}
    assert MachineState.UNKNOWN.value not in set(rows["state"])


def test_a_recoded_stop_is_kept_with_who_and_when_and_can_be_taken_back(running: Running) -> None:
    start = stop_of_press(running)

    def reason() -> str | None:
        rows = running.backend.ledger(Window(start, datetime.now(UTC)), ["press-1"])
        return str(rows.filter(pl.col("stop_start") == start)["reason"][0])

    assert reason() == "hydraulic-pressure"
    running.backend.recode("press-1", start, "die-jam", "mara")
    assert reason() == "die-jam"
    running.backend.recode("press-1", start, "", "tomas")
    assert reason() == "hydraulic-pressure"
    said = running.backend.recodes("press-1", start)
    assert [(entry["reason"], entry["user"]) for entry in said] == [("die-jam", "mara"), ("", "tomas")]
    with running.runtime.database.read() as connection:
        noted = Audit(connection).of(f"press-1 {start.isoformat()}")
    assert [entry.user for entry in noted] == ["mara", "tomas"]


@pytest.mark.parametrize(
    ("equipment", "reason", "message"),
    [("press-1", "no-such-reason", "has no reason"), ("rinser", "die-jam", "did not stop at")],
)
def test_a_recode_that_makes_no_sense_is_refused(
    running: Running, equipment: str, reason: str, message: str
) -> None:
    with pytest.raises(Refused, match=message):
        running.backend.recode(equipment, stop_of_press(running), reason, "mara")


def test_a_shift_closes_once_and_its_rows_are_those_derived(running: Running) -> None:
    plant, database = running.runtime.plant, running.runtime.database
    now = datetime.now(UTC)
    ended = [s for s in instances(plant, Window(now - HISTORY, now)) if s.end + GRACE <= now]
    assert ended, "nine hours hold the end of a shift"
    first = close_shifts(running.runtime, now)
    assert first >= 1
    assert close_shifts(running.runtime, now) == 0
    last = ended[-1]
    with database.read() as connection:
        closure = ShiftClosures(connection).get("bottling", last.shift.id, last.start)
        stored = LedgerRows(connection).touching(Window(last.start, last.end))
    assert closure is not None and closure.figures["convention"] == "nakajima"
    columns = ["equipment", "start", "end", "category", "good", "reject", "ideal"]
    window = Window(stored["start"].min(), last.end)  # type: ignore[arg-type]
    derived = running.runtime.ledger(window, now, shift_edges(plant, window))
    assert stored.select(columns).equals(
        derived.filter(pl.col("start") >= stored["start"].min()).select(columns)
    )


def test_what_a_restore_put_into_the_historian_reaches_the_closed_shift(running: Running) -> None:
    runtime, now = running.runtime, datetime.now(UTC)
    close_shifts(runtime, now)
    with runtime.database.read() as connection:
        rows = LedgerRows(connection)
        span = rows.span()
        assert span is not None
        before = rows.touching(span, ["cnc-1"])
    row = before.filter(pl.col("duration") > 60_000_000).row(-1, named=True)
    late = row["start"] + timedelta(seconds=10, microseconds=500)
    sample = runtime.historian.read(Window(row["start"], row["end"]), ["cnc-1"], ["state"])[:1]
    stored = sample.with_columns(
        pl.lit(late, SAMPLES["time"]).alias("time"), value=pl.lit(4.0), received=pl.lit(now)
    )
    runtime.historian.write(stored.select(pl.col(name).cast(kind) for name, kind in SAMPLES.items()))
    with runtime.database.begin() as connection:
        Arrivals(connection).append("restore", 1, [("cnc-1", late, late)])
    again = Runtime(runtime.plant, running.folder, "", Metrics.unregistered())
    again.catch_up(now)
    with again.database.read() as connection:
        after = LedgerRows(connection).touching(span, ["cnc-1"])
        assert Arrivals(connection).last() == 0
    again.database.close()
    assert late in set(after["start"]) and late not in set(before["start"])
    assert after["duration"].sum() == before["duration"].sum()


def test_orders_are_imported_all_or_none_and_started_once(running: Running) -> None:
    good = ORDERS.format(due="2030-01-01 12:00").encode()
    bad = good + b"PO-10;nothing;press-1;5;2030-01-01\n"
    with pytest.raises(Refused, match="nothing"):
        running.backend.import_orders("orders.csv", bad, {}, "mara")
    assert not [o for o in running.runtime._live.orders() if o.id == "PO-9"]
    assert running.backend.import_orders("orders.csv", good, {}, "mara") == 1
    assert running.backend.import_orders("orders.csv", good, {}, "mara") == 0
    running.backend.start_order("PO-9", "mara")
    with pytest.raises(Refused, match="running already"):
        running.backend.start_order("PO-9", "tomas")
    running.runtime.tick(datetime.now(UTC))
    view = next(o for o in running.backend.orders() if o["id"] == "PO-9")
    assert (view["state"], view["quantity"]) == ("running", 100)
    running.backend.finish_order("PO-9", "mara")


def test_a_changed_plant_file_is_followed_and_a_broken_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "plant.toml"
    good = PLANT.with_name("plant.toml").parents[1] / "examples" / "nist-mazak" / "plant.toml"
    file.write_text(good.read_text())
    watch = PlantWatch(file)
    assert watch.look() is None
    file.write_text(good.read_text() + "\n[[user]]\nid = 'mara'\nname = 'Mara'\n")
    changed = watch.look()
    assert isinstance(changed, Plant) and "mara" in changed.users
    file.write_text("schema = 2\n")
    assert isinstance(watch.look(), PlantErrors)
    assert watch.look() is None, "said once"
