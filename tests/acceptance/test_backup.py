"""A plant that has lived is backed up and restored into an empty place: what people see is the same."""

import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import text

from analytics.figures.summary import summarise
from collectors.opcua.pki import Known, Pki
from collectors.simulator.faults import demo_script
from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.simulator.orders import demo_orders
from collectors.spool import Spool
from infra.backend import PlantBackend
from infra.backup import tables
from infra.backup.archive import BackupError
from infra.backup.making import Made, backup
from infra.backup.restoring import ACTION, Restored, restore
from infra.folder import DataFolder, FolderError
from infra.historians.memory import MemoryHistorian
from infra.historians.parquet import ParquetHistorian
from infra.ledger.closing import GRACE, close_shifts
from infra.live import Live
from infra.metrics import Metrics
from infra.plantfile import files, load
from infra.records.arrivals import Arrivals
from infra.records.audit import Audit
from infra.records.database import Database
from infra.records.jobs import Watermarks
from infra.records.ledger import LedgerRows
from infra.records.status import BACKUP
from infra.runtime import Runtime
from infra.shifts import instances
from infra.stores import open_database, open_historian
from plant.frames import SAMPLES, Window
from plant.model import Plant, RecordsConfig

PLANT = Path(__file__).parents[2] / "infra" / "demo" / "plant.toml"
LENGTH = timedelta(hours=2)
EVERY = timedelta(seconds=5)


def quiet(what: str, done: int, total: int) -> None:
    """Nobody watches."""


def plain(url: str | None = None) -> Plant:
    return replace(load(PLANT), channels={}, escalations={}, records=RecordsConfig(url=url))


@dataclass(frozen=True)
class Lived:
    folder: DataFolder
    window: Window
    file: Path
    at: datetime
    made: Made


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A plant around the end of a shift, with orders, re-codings, alerts, refused samples and some that wait."""
    real = datetime.now(UTC)
    ends = [s.end for s in instances(load(PLANT), Window(real - timedelta(days=1), real))]
    now = max(end for end in ends if end + 2 * GRACE <= real) + GRACE
    start = now - LENGTH
    root = tmp_path_factory.mktemp("lived")
    with DataFolder(root) as folder:
        spool = Spool(folder.spool, "history")
        script = demo_script(now - timedelta(minutes=9))
        simulated = Simulation(3, start, orders=demo_orders(start), script=script, period=EVERY)
        batches = list(frames(simulated, now, chunk=180))
        for batch in batches:
            spool.append(batch)
        spool.append(batches[0][:3].with_columns(signal=pl.lit("unheard-of")))
        runtime = Runtime(plain(), folder, "", Metrics.unregistered())
        runtime.take_all()
        with runtime.database.begin() as connection:  # a number that was given out and is not there any more
            journal = Arrivals(connection)
            journal.append("earlier", 1, [("press-1", start, start)])
            journal.forget(journal.last())
        backend = PlantBackend(runtime)
        rows = "order;product;machine;quantity;due\nPO-9;bracket;press-1;100;2030-01-01 12:00\n"
        backend.import_orders("orders.csv", rows.encode(), {}, "mara")
        backend.start_order("PO-9", "mara")
        down = runtime.ledger(Window(start, now), now).filter(equipment="press-1", state="down")
        backend.recode("press-1", down["stop_start"][-1], "die-jam", "tomas")
        assert close_shifts(runtime, now) >= 1
        runtime.tick(now)
        active = runtime.alerts.active()
        assert active, "the press has been down for nine minutes"
        backend.acknowledge(active[0].id, "mara")
        runtime.stop()
        spool.append(batches[-1])  # waits
        pki = Pki(folder.root)
        pki.own(now, "pc")
        pki.trust(pki.identities()[0].certificate)
        pki.reject(pki.identities()[0].certificate, "plc", "opc.tcp://plc", "unknown", now)
        pki.remember("plc", Known("opc.tcp://plc", "ab", "Sign", "Basic256Sha256"))
    file = root.parent / "lived.backup"
    at = datetime.now(UTC)
    return Lived(folder, Window(start, now), file, at, made(folder, file, at))


def made(folder: DataFolder, file: Path, now: datetime, plant: Plant | None = None) -> Made:
    plant = plant or plain()
    database = open_database(plant, folder)
    try:
        return backup(plant, PLANT, database, folder, file, now, quiet)
    finally:
        database.close()


def restored(file: Path, root: Path, plant: Plant | None = None) -> tuple[DataFolder, Restored]:
    folder = DataFolder(root)
    return folder, restore(file, folder, lambda _: plant or plain(), datetime.now(UTC), "ben", quiet)


def contents(database: Database) -> dict[str, pl.DataFrame]:
    """Every row of every table, without what backing up and restoring adds."""
    with database.read() as connection:
        found = {
            t.name: pl.concat([*tables.frames(connection, t)] or [pl.DataFrame()])
            for t in tables.tables(connection)
        }
    found["audit"] = found["audit"].filter(pl.col("action") != ACTION)
    if not found["watermarks"].is_empty():
        found["watermarks"] = found["watermarks"].filter(pl.col("job") != BACKUP)
    return {name: rows for name, rows in found.items() if not rows.is_empty()}


def same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    return one.keys() == other.keys() and all(one[name].equals(other[name]) for name in one)


def figures(plant: Plant, folder: DataFolder, window: Window) -> pl.DataFrame:
    """KPIs by machine and shift, derived from stored samples and the records."""
    historian, database = open_historian(plant, folder), open_database(plant, folder)
    live = Live(plant, historian, database, datetime.now(UTC))
    found = summarise(live.ledger(window, window.end), ["equipment", "shift", "order"], plant)
    database.close()
    return found


@pytest.mark.slow
def test_what_comes_back_is_what_there_was(lived: Lived, tmp_path: Path) -> None:
    folder, done = restored(lived.file, tmp_path / "new")
    assert (done.samples, done.waiting, done.refused) == (lived.made.samples, 2, 0)
    with DataFolder(lived.folder.root) as before, DataFolder(folder.root) as after:
        old, new = open_database(plain(), before), open_database(plain(), after)
        assert same(contents(old), contents(new))
        assert {
            "orders",
            "order_runs",
            "shift_closures",
            "alert",
            "alert_event",
            "audit",
            "recodes",
            "ledger",
        } <= set(contents(new))
        ours = figures(plain(), before, lived.window)
        assert ours["good"].sum() > 1000
        assert figures(plain(), after, lived.window).equals(ours)
        samples = [ParquetHistorian(f.historian).read(lived.window) for f in (before, after)]
        assert samples[0].equals(samples[1]) and samples[0].height > 10_000
        assert (
            [e.rows for e in Spool(after.spool).pending()]
            == [e.rows for e in Spool(before.spool).pending()]
            != []
        )
        assert (
            sorted(p.name for p in after.dead.iterdir())
            == sorted(p.name for p in before.dead.iterdir())
            != []
        )
        with new.read() as connection:
            entry = Audit(connection).of(lived_digest(connection))
            assert [(e.user, e.action) for e in entry] == [("ben", ACTION)]
        with old.read() as connection:
            assert Watermarks(connection).get(BACKUP) == lived.at
        runtime = Runtime(plain(), after, "", Metrics.unregistered())
        runtime.start()
        assert runtime.health()["ok"], "the restored plant runs"
        runtime.stop()
        old.close()
        new.close()
    old_pki, new_pki = Pki(lived.folder.root), Pki(folder.root)
    assert new_pki.identities() == old_pki.identities() != []
    assert list(new_pki.trusted().values()) == list(old_pki.trusted().values()) != []
    assert new_pki.known("plc") == old_pki.known("plc") is not None
    assert new_pki.rejected() == []
    (own,) = new_pki.own_folder.iterdir()
    assert [stat.S_IMODE(p.stat().st_mode) for p in (own, own.parent, lived.file)] == [0o600, 0o700, 0o600]
    assert done.plant is not None
    assert [p.read_text() for p in files(done.plant)] == [p.read_text() for p in files(PLANT)]
    assert load(done.plant) == load(PLANT)


def lived_digest(connection: object) -> str:
    found = connection.execute(text("SELECT subject FROM audit WHERE action = :a"), {"a": ACTION})  # type: ignore[attr-defined]
    return str(found.scalar_one())


@pytest.mark.server
def test_from_sqlite_to_postgresql_and_back(
    lived: Lived, tmp_path: Path, records_url: Callable[..., str]
) -> None:
    url = records_url("postgresql", migrated=False)
    served, _ = restored(lived.file, tmp_path / "served", plain(url))
    assert not served.records.exists()
    made(served, tmp_path / "again", datetime.now(UTC), plain(url))
    back, _ = restored(tmp_path / "again", tmp_path / "back")
    databases = [open_database(plain(), lived.folder), Database(url), open_database(plain(), back)]
    old, middle, new = map(contents, databases)
    assert same(old, middle) and same(old, new)
    assert figures(plain(url), served, lived.window).equals(figures(plain(), lived.folder, lived.window))
    with databases[1].begin() as connection:  # numbering goes on after what was restored
        Audit(connection).add(datetime.now(UTC), "ben", "order.hold", "PO-9")
    with pytest.raises(BackupError, match=r"the records database postgresql.*is not empty"):
        restored(lived.file, tmp_path / "more", plain(url))
    for database in databases:
        database.close()


def test_numbers_once_given_out_are_not_given_again(lived: Lived, tmp_path: Path) -> None:
    query = text("SELECT seq FROM sqlite_sequence WHERE name = 'arrivals'")
    folder, _ = restored(lived.file, tmp_path / "new")
    databases = open_database(plain(), lived.folder), open_database(plain(), folder)
    numbers = []
    for database in databases:
        with database.read() as connection:
            numbers.append(connection.execute(query).scalar())
        database.close()
    assert numbers[0] is not None and numbers[0] > 0 and numbers[1] == numbers[0]


@pytest.mark.slow
def test_late_samples_the_records_do_not_know_yet_are_derived_after_the_restore(
    lived: Lived, tmp_path: Path
) -> None:
    source, _ = restored(lived.file, tmp_path / "source")
    plant, database = plain(), open_database(plain(), source)
    with database.read() as connection:
        before = LedgerRows(connection).touching(lived.window, ["cnc-1"])
    # Early enough that the batch which waits in the spool does not touch it.
    row = before.filter(pl.col("duration") > 60_000_000, state="running").row(0, named=True)
    late = row["start"] + timedelta(seconds=10, microseconds=500)
    began = datetime.now(UTC)
    historian = ParquetHistorian(source.historian)
    sample = historian.read(Window(row["start"], row["end"]), ["cnc-1"], ["state"])[:1].with_columns(
        time=pl.lit(late, SAMPLES["time"]), value=pl.lit(4.0), received=pl.lit(began, SAMPLES["time"])
    )
    historian.write(sample.select(SAMPLES.keys()))
    # The backup began before it was stored, so it is in history only.
    backup(plant, None, database, source, tmp_path / "during", began, quiet)
    database.close()
    after, _ = restored(tmp_path / "during", tmp_path / "after")
    with DataFolder(after.root) as folder:
        runtime = Runtime(plant, folder, "", Metrics.unregistered())
        runtime.start()
        with runtime.database.read() as connection:
            assert late in set(LedgerRows(connection).touching(lived.window, ["cnc-1"])["start"])
        runtime.stop()
    assert late not in set(before["start"])


@pytest.mark.slow
def test_what_was_stored_or_waits_when_the_backup_begins_is_in_it_whatever_happens_meanwhile(
    lived: Lived, tmp_path: Path
) -> None:
    """A writer that fills, drains and merges all the while: each batch is in history or in the spool."""
    source, _ = restored(lived.file, tmp_path / "source")
    historian, spool = ParquetHistorian(source.historian), Spool(source.spool, "busy")
    template = historian.read(lived.window, ["cnc-1"])[:1]
    base = lived.window.end + timedelta(minutes=1)
    appended: list[datetime] = []
    stop = threading.Event()

    def busy() -> None:
        number = 0
        while not stop.is_set():
            at = base + timedelta(milliseconds=number)
            spool.append(template.with_columns(time=pl.lit(at, SAMPLES["time"])))
            appended.append(at)
            number += 1
            if number % 3 == 0:
                for entry in Spool(source.spool).pending():
                    historian.write(spool.read(entry))
                    spool.remove(entry)
            if number % 10 == 0:
                historian.compact()

    writer = threading.Thread(target=busy)
    writer.start()
    try:
        for turn in range(4):
            while len(appended) < 20 * (turn + 1):
                stop.wait(0.01)
            known = list(appended)
            made(source, tmp_path / f"turn-{turn}", datetime.now(UTC))
            folder, _ = restored(tmp_path / f"turn-{turn}", tmp_path / f"restored-{turn}")
            kept = ParquetHistorian(folder.historian).read(Window(base, base + timedelta(days=1)), ["cnc-1"])
            waiting = Spool(folder.spool)
            times = set(kept["time"]).union(*(waiting.read(e)["time"] for e in waiting.pending()))
            assert set(known) <= times
    finally:
        stop.set()
        writer.join()


def test_what_the_records_may_know_already_is_in_the_backup_too(lived: Lived, tmp_path: Path) -> None:
    source, _ = restored(lived.file, tmp_path / "source")
    spool = Spool(source.spool, "meanwhile")
    sample = ParquetHistorian(source.historian).read(lived.window, ["cnc-1"])[:1]

    def arrive(what: str, done: int, total: int) -> None:
        if what == "copying records" and not (source.spool / "meanwhile").exists():
            spool.append(sample)

    database = open_database(plain(), source)
    backup(plain(), None, database, source, tmp_path / "file", datetime.now(UTC), arrive)
    database.close()
    folder, _ = restored(tmp_path / "file", tmp_path / "new")
    assert "meanwhile" in {entry.collector for entry in Spool(folder.spool).pending()}


def test_any_historian_is_exported_and_filled(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = {"one": MemoryHistorian(), "two": MemoryHistorian()}
    old = lived.window.start - timedelta(days=300)
    samples = ParquetHistorian(lived.folder.historian).read(lived.window)
    early = samples[:5].with_columns(
        time=pl.lit(old, SAMPLES["time"]), signal=pl.col("signal") + pl.Series(list("abcde"))
    )
    stores["one"].write(pl.concat([samples, early]))
    which = "one"
    for module in ("making", "restoring"):
        monkeypatch.setattr(f"infra.backup.{module}.open_historian", lambda plant, folder: stores[which])
    monkeypatch.setattr(MemoryHistorian, "close", lambda self: None)
    plant = plain()
    other = replace(plant, historian=replace(plant.historian, kind="other"))
    made(lived.folder, tmp_path / "file", datetime.now(UTC), other)
    which = "two"
    restored(tmp_path / "file", tmp_path / "filled", other)
    everything = Window(old, lived.window.end + timedelta(days=1))
    assert stores["two"].read(everything).equals(stores["one"].read(everything))
    folder, _ = restored(tmp_path / "file", tmp_path / "files")
    assert ParquetHistorian(folder.historian).read(everything).equals(stores["one"].read(everything))
    with pytest.raises(BackupError, match="the historian is not empty"):
        restored(tmp_path / "file", tmp_path / "again", other)


def test_nothing_is_overwritten(lived: Lived, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="exists already"):
        made(lived.folder, lived.file, lived.at)
    folder, _ = restored(lived.file, tmp_path / "new")
    before = sorted(folder.root.rglob("*"))
    with pytest.raises(BackupError, match="is not empty"):
        restored(lived.file, folder.root)
    assert sorted(folder.root.rglob("*")) == before
    with DataFolder(lived.folder.root), pytest.raises(FolderError, match="Another Lineside"):
        restored(lived.file, lived.folder.root)


def test_no_room_is_said_before_anything_is_changed(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(BackupError, match=r"has 1 MiB free and the backup needs \d+: make room"):
        restored(lived.file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def flipped(lived: Lived, tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    data = lived.file.read_bytes()

    def at(position: int) -> Path:
        file = tmp_path / "flipped"
        file.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        return file

    yield at


def test_a_flipped_byte_is_refused_and_nothing_is_changed(
    lived: Lived, tmp_path: Path, flipped: Callable[[int], Path]
) -> None:
    size = lived.file.stat().st_size
    for position in (0, 600, size // 3, size // 2, size * 2 // 3, size - 11_000, size - 1):
        with pytest.raises(BackupError, match="damaged"):
            restored(flipped(position), tmp_path / "new")
        assert not (tmp_path / "new").exists()
