"""`lineside plan`: what another plant file changes, connections and figures, and that it changes nothing itself."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from infra.cli import app
from infra.folder import DataFolder
from infra.historians.parquet import ParquetHistorian
from infra.plantfile import load
from infra.records.database import Database, upgrade
from plant.changes import changes, connections
from plant.frames import GOOD, SAMPLES

PLANT = """schema = 1
[site]
id = "p"
name = "P"
zone = "Europe/Berlin"
[settings]
micro_stop = "2min"
[[equipment]]
id = "saw"
name = "Saw"
level = "WorkUnit"
[[equipment]]
id = "mill"
name = "Mill"
level = "WorkUnit"
[[source]]
id = "one"
protocol = "shdr"
host = "127.0.0.1"
[[source]]
id = "two"
protocol = "shdr"
host = "127.0.0.2"
[[signal]]
equipment = "saw"
id = "state"
role = "state"
source = "one"
address = "execution"
states = { "1" = "running", "2" = "down" }
[[signal]]
equipment = "mill"
id = "state"
role = "state"
source = "two"
address = "execution"
states = { "1" = "running", "2" = "down" }
"""


def edited(*pairs: tuple[str, str]) -> str:
    text = PLANT
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The plant file, another one to write, and a data folder with a day of both machines."""
    now = datetime.now(UTC)
    rows: list[tuple[Any, ...]] = []
    for machine in ("saw", "mill"):
        for minute in range(0, 24 * 60, 4):  # three minutes running, one minute down
            at = now - timedelta(days=1) + timedelta(minutes=minute)
            rows += [(at, machine, "state", 1.0, None, GOOD, at)]
            at += timedelta(minutes=3)
            rows += [(at, machine, "state", 2.0, None, GOOD, at)]
    with DataFolder(tmp_path / "data") as folder:
        historian = ParquetHistorian(folder.historian)
        historian.write(pl.DataFrame(rows, schema=dict(SAMPLES), orient="row"))
        historian.close()
        database = Database(f"sqlite:///{folder.records}")
        upgrade(database)
        database.close()
    (tmp_path / "plant.toml").write_text(PLANT)
    return tmp_path / "plant.toml", tmp_path / "new.toml", tmp_path / "data"


def plan(files: tuple[Path, Path, Path], *options: str) -> Any:
    current, other, data = files
    argv = ["plan", str(current), str(other), "--data", str(data), *options]
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in options else done.stdout


def stored(data: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in data.rglob("*.parquet")}


def test_a_meaning_that_changes_shows_in_the_figures_and_touches_no_connection(
    files: tuple[Path, Path, Path],
) -> None:
    files[1].write_text(edited(('"2" = "down"', '"2" = "setup"')))
    before = stored(files[2])
    said = plan(files, "--days", "1", "--json")
    assert before == stored(files[2])
    assert [(c["kind"], c["id"], c["what"]) for c in said["changes"]] == [("signals", "saw.state", "changed")]
    assert said["connections"] == {"one": "kept", "two": "kept"}
    saw, mill = sorted(said["figures"], key=lambda f: str(f["equipment"]), reverse=True)
    assert mill["before"] == mill["after"]
    assert saw["before"]["micro_stop"] == pytest.approx(6 * 3600, abs=300)
    assert saw["after"]["micro_stop"] == 0 and saw["after"]["availability"] < saw["before"]["availability"]
    shown = plan(files, "--days", "1")
    assert "saw.state" in shown and "1 of 2 machines differ" in shown and "connects anew" not in shown


def test_the_same_days_cut_into_days_or_not_have_the_same_figures(files: tuple[Path, Path, Path]) -> None:
    files[1].write_text(edited(('micro_stop = "2min"', 'micro_stop = "30s"')))
    said = plan(files, "--days", "2.5", "--json")
    for machine in said["figures"]:
        assert machine["before"]["micro_stop"] == pytest.approx(machine["after"]["unplanned_downtime"])
        whole = machine["before"]["running"] + machine["before"]["micro_stop"] + machine["before"]["unknown"]
        assert whole == pytest.approx(2.5 * 86400)


def test_a_source_that_changes_connects_anew_and_says_what_stays_as_it_was(
    files: tuple[Path, Path, Path],
) -> None:
    added = PLANT + '[[source]]\nid = "three"\nprotocol = "shdr"\nhost = "h"\n'
    files[1].write_text(added.replace('address = "execution"', 'address = "exec"', 1))
    said = plan(files, "--days", "0", "--json")
    assert said["connections"] == {"one": "anew", "two": "kept", "three": "new"}
    assert "stored samples stay as they are" in plan(files, "--days", "0").replace("\n", " ")


def test_the_same_file_says_so_and_a_bad_one_is_named(files: tuple[Path, Path, Path]) -> None:
    files[1].write_text(PLANT)
    assert "say the same" in plan(files, "--days", "1")
    files[1].write_text(edited(('role = "state"', 'role = "stat"')))
    done = CliRunner().invoke(app, ["plan", *map(str, files[:2]), "--data", str(files[2])])
    assert done.exit_code == 1 and "stat" in done.output


def test_every_kind_of_change_is_found(files: tuple[Path, Path, Path]) -> None:
    before = load(files[0])
    after = replace(before, equipment={"saw": replace(before.equipment["saw"], name="S")})
    assert [(c.id, c.what, [f.name for f in c.fields]) for c in changes(before, after)] == [
        ("saw", "changed", ["name"]),
        ("mill", "gone", []),
    ]
    assert [(c.id, c.what) for c in changes(after, before)] == [("saw", "changed"), ("mill", "new")]
    assert changes(before, before) == []
    assert connections(before, replace(before, sources={})) == {"one": "gone", "two": "gone"}
