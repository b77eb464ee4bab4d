"""A backfill stores what one derivation of everything gives, however it is cut, as often as it is repeated."""

import fcntl
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from backfilled import MACHINES, NOW, START, WINDOW, at_once, backfill, make, samples, stored
from polars.testing import assert_frame_equal

from infra.backfill import partitions, run
from infra.backfill.partitions import BackfillError
from infra.folder import DataFolder
from infra.influxdb.server import running
from infra.ledger.joined import components, joined
from infra.ledger.reported import figures
from infra.records.audit import Audit
from infra.records.corrections import Restatements
from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.stores import open_database, open_historian
from plant.frames import BAD, Window
from plant.model import Plant


@pytest.fixture
def works(tmp_path: Path) -> tuple[Plant, DataFolder]:
    return make(tmp_path, samples())


@pytest.mark.parametrize(
    ("machines", "chunk", "rows"),
    [(16, 200, 4_000_000), (1, 1, 1), (2, 7, 9_000)],
    ids=["whole", "small", "between"],
)
def test_it_stores_what_one_derivation_gives(
    works: tuple[Plant, DataFolder], monkeypatch: pytest.MonkeyPatch, machines: int, chunk: int, rows: int
) -> None:
    monkeypatch.setattr(partitions, "MOST_MACHINES", machines)
    monkeypatch.setattr(partitions, "TASK_ROWS", rows)
    monkeypatch.setattr(partitions, "READ_ROWS", rows)
    monkeypatch.setattr(run, "CHUNK", chunk)
    done = backfill(*works)
    assert_frame_equal(stored(*works), at_once(works[0], samples()))
    assert done.rows == stored(*works).height and done.machines == len(MACHINES) and done.kept == 0

    again = backfill(*works)
    assert (again.samples, again.kept, again.changed) == (0, again.partitions, [])


def test_pieces_of_time_and_machines_come_to_the_same(works: tuple[Plant, DataFolder]) -> None:
    plant, data = works
    cut = START + timedelta(days=2, hours=4)  # an edge of a shift: its rows are cut there anyway
    backfill(plant, data, Window(WINDOW.start, cut))
    with pytest.raises(BackfillError, match="--from must be earlier"):
        backfill(plant, data, Window(cut, WINDOW.end))
    assert_frame_equal(stored(*works), at_once(plant, samples(), Window(WINDOW.start, cut)))
    earlier = Window(START + timedelta(hours=5), WINDOW.start)
    done = backfill(plant, data, earlier, ["cap"])
    assert done.machines == 3, "those it is joined to are derived with it"
    backfill(plant, data, earlier, ["press", "saw"])
    assert_frame_equal(stored(plant, data, earlier), at_once(plant, samples(), earlier))


def test_some_machines_do_not_come_first(works: tuple[Plant, DataFolder]) -> None:
    with pytest.raises(BackfillError, match="without --equipment"):
        backfill(*works, equipment=["saw"])


def test_what_a_killed_one_was_writing_is_removed_and_what_another_writes_stays(
    works: tuple[Plant, DataFolder],
) -> None:
    folder = works[1].backfill
    folder.mkdir()
    writing = folder / ".tmp-1-0.parquet"
    writing.write_bytes(b"half")
    with (folder / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BackfillError, match="under way"):
            backfill(*works, equipment=["saw"])
        assert writing.exists()
    with pytest.raises(BackfillError, match="without --equipment"):
        backfill(*works, equipment=["saw"])
    assert not writing.exists(), "removed before the work, so also by one that fails"


def test_time_that_is_not_over_is_left_to_the_server(works: tuple[Plant, DataFolder]) -> None:
    now = START + timedelta(days=3, hours=2)
    done = backfill(*works, now=now)
    assert done.window.end == START + timedelta(days=2, hours=17), "the shift before ended at 18:00 in Berlin"


def test_what_changed_is_read_again_and_published_figures_are_restated(
    works: tuple[Plant, DataFolder],
) -> None:
    plant, data = works
    backfill(*works)
    database = open_database(plant, data)
    shift = Window(START + timedelta(days=2, hours=5), START + timedelta(days=2, hours=17))
    with database.begin() as connection:
        rows = LedgerRows(connection).touching(shift, ["fill", "cap", "pack"])
        ShiftClosures(connection).close("line", "day", shift.start, figures(plant, rows)["line"], NOW)
    late = (
        samples()
        .filter(
            pl.col("equipment") == "cap",
            pl.col("signal") == "state",
            pl.col("time").is_between(shift.start, shift.start + timedelta(hours=4)),
        )
        .with_columns(value=3.0 - pl.col("value"), received=pl.col("time") + timedelta(days=1))
    )
    historian = open_historian(plant, data)
    historian.write(late)

    done = backfill(*works)
    changed = pl.concat([samples(), late])
    assert_frame_equal(stored(*works), at_once(plant, changed))
    assert (
        done.partitions - done.kept == len({"fill", "cap", "pack"}) // 3 + done.partitions // 5 - 1
        or done.kept
    )
    assert {machine for machine, _ in done.changed} == {"cap"}
    assert [(r.equipment, r.shift, r.cause, r.user) for r in done.restated] == [
        ("line", "day", "backfill", "ann")
    ]
    with database.read() as connection:
        assert len(Restatements(connection).of("line", "day", shift.start)) == 1
        assert [e.action for e in Audit(connection).of("works")] == ["ledger.backfill"] * 2
    historian.close()
    database.close()
    assert backfill(*works).changed == []


def test_samples_that_wait_in_the_spool_are_in_it(works: tuple[Plant, DataFolder]) -> None:
    from collectors.spool import Spool

    plant, data = works
    at = WINDOW.start + timedelta(hours=30)
    late = (
        samples()
        .filter(pl.col("equipment") == "saw", pl.col("signal") == "state")[:1]
        .with_columns(
            time=pl.lit(at, samples().schema["time"]),
            value=pl.lit(2.0),
            received=pl.lit(NOW, samples().schema["time"]),
        )
    )
    spool = Spool(data.spool, "late")
    spool.append(late)
    spool.close()
    backfill(*works)
    assert_frame_equal(stored(*works), at_once(plant, pl.concat([samples(), late])))


def test_a_counter_goes_on_from_its_last_reading_however_long_ago(tmp_path: Path) -> None:
    away = pl.col("time").is_between(START + timedelta(hours=1), WINDOW.start + timedelta(hours=2))
    useless = samples().with_columns(
        quality=pl.when(pl.col("signal") == "good", away)
        .then(pl.lit(BAD))
        .otherwise("quality")
        .cast(pl.UInt8)
    )
    plant, data = make(tmp_path, useless)
    backfill(plant, data)
    assert_frame_equal(stored(plant, data), at_once(plant, useless))


def test_two_processes_give_the_same(works: tuple[Plant, DataFolder]) -> None:
    backfill(*works, workers=2)
    assert_frame_equal(stored(*works), at_once(works[0], samples()))


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_site_with_influxdb_and_postgresql_gives_the_same(
    workers: int, tmp_path: Path, records_url: Callable[..., str]
) -> None:
    with running(tmp_path / "influx") as server:
        kept_in = f"""
[historian]
kind = "influxdb"
url = "{server.url}"
bucket = "{server.bucket}"
token = "{server.token}"
user = "{server.user}"
password = "{server.password}"
[records]
url = "{records_url("postgresql")}"
"""
        works = make(tmp_path, samples(), kept_in)
        done = backfill(*works, workers=workers)
        assert_frame_equal(stored(*works), at_once(works[0], samples()))
        assert (done.machines, done.kept) == (len(MACHINES), 0)
        again = backfill(*works, workers=workers)
        assert (again.samples, again.changed) == (done.samples, []), "it does not tell whether they changed"


def test_a_worker_that_does_not_see_the_data_says_so(works: tuple[Plant, DataFolder]) -> None:
    plant, data = works
    task = partitions.tasks(plant, data.root / "elsewhere", partitions.days(["saw"], WINDOW), 1000)[0]
    with pytest.raises(BackfillError, match=r"does not see .* mount the data folder"):
        partitions.thin_out(task)


def test_the_reading_a_counter_goes_on_from_may_be_of_days_before_what_is_read(tmp_path: Path) -> None:
    window = Window(START + timedelta(days=3), START + timedelta(days=4))
    away = pl.col("time").is_between(START + timedelta(hours=1), window.start + timedelta(hours=2))
    gone = samples(machines=("saw",)).filter(~((pl.col("signal") == "good") & away))
    plant, data = make(tmp_path, gone)
    backfill(plant, data, window)
    assert_frame_equal(stored(plant, data, window), at_once(plant, gone, window))


def test_a_day_that_was_not_over_is_read_again(works: tuple[Plant, DataFolder]) -> None:
    plant, data = works
    window = Window(WINDOW.start, START + timedelta(days=1, hours=17))
    backfill(plant, data, window, now=window.end + timedelta(minutes=5))
    again = backfill(plant, data, window)
    assert again.partitions - again.kept == 1, "the last day, of which an hour more is looked at now"
    assert_frame_equal(stored(plant, data, window), at_once(plant, samples(), window))


def test_what_another_plant_file_needs_is_read_again(works: tuple[Plant, DataFolder]) -> None:
    plant, data = works
    backfill(plant, data)
    machines = {
        e.id: replace(e, stale_after=timedelta(minutes=2)) if e.stale_after else e
        for e in plant.equipment.values()
    }
    sooner = replace(plant, equipment=machines)
    assert backfill(sooner, data).kept == 0, "what was kept was thinned out for 20 minutes"
    assert_frame_equal(stored(*works), at_once(sooner, samples()))


def test_machines_are_joined_over_what_is_no_machine(works: tuple[Plant, DataFolder]) -> None:
    plant, _ = works
    saw = replace(plant.equipment["saw"], upstream=("line",))
    line = replace(plant.equipment["line"], upstream=("press",))
    fed = replace(plant, equipment={**plant.equipment, "saw": saw, "line": line})
    assert components(plant) == [["cap", "fill", "pack"], ["press"], ["saw"]]
    assert components(fed) == [["cap", "fill", "pack"], ["press", "saw"]]
    assert joined(fed, ["saw", "line"]) == {"press", "saw"}
