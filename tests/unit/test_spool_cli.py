"""`lineside spool` and what doctor says of it, on real folders, with and without anything to say."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from collectors.spool import Spool, SpoolDamagedError
from infra.cli import app
from infra.cli.doctor import run as doctor
from infra.deadletter import DeadLetter
from plant.frames import GOOD, SAMPLES

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)
PROBLEM = "the plant file has no such signal [x]"


def batch(*values: float) -> pl.DataFrame:
    return pl.DataFrame(
        [(NOW + timedelta(seconds=v), "press-1", "good", v, None, GOOD, NOW) for v in values],
        schema=dict(SAMPLES),
        orient="row",
    )


def lineside(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["spool", *map(str, words)], env={"COLUMNS": "200"})
    return done.exit_code, done.output


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two batches wait, one was damaged, one waited too long, and 26 samples of two batches were refused."""
    spool = Spool(tmp_path / "spool", "collect")
    for value in range(4):
        spool.append(batch(value, value + 0.5))
    damaged, old, *_ = spool.pending()
    damaged.path.write_bytes(b"")
    with pytest.raises(SpoolDamagedError):
        spool.read(damaged)
    os.utime(old.path, (1e9, 1e9))
    spool.drop_older(NOW - timedelta(days=30))
    dead = DeadLetter(tmp_path / "dead", tmp_path / "spool")
    dead.keep("collect", 1, batch(*range(25)).with_columns(problem=pl.lit(PROBLEM)))
    dead.keep("collect", 2, batch(0).with_columns(problem=pl.lit("too long")))
    return tmp_path


def test_without_a_plant_it_says_what_to_do(tmp_path: Path) -> None:
    for words in (("status",), ("dead",), ("retry", "--all")):
        code, said = lineside(*words, "--data", tmp_path / "nowhere")
        assert code == 1 and "lineside up" in said and "--data" in said


def test_empty_is_said(tmp_path: Path) -> None:
    Spool(tmp_path / "spool", "collect")
    (tmp_path / "spool").mkdir()
    code, said = lineside("status", "--data", tmp_path)
    assert (
        code == 0
        and said == "Nothing waits: the historian has taken everything. Room for 4.0 GB and 30 days.\n"
    )
    assert lineside("dead", "--data", tmp_path) == (0, "No samples were refused.\n")
    code, said = lineside("retry", "--all", "--data", tmp_path)
    assert code == 0 and "nothing to put back" in said


def test_status_tells_what_waits_what_was_lost_and_what_was_refused(data: Path) -> None:
    code, said = lineside("status", "--data", data)
    assert code == 0
    assert "collect          2        4" in said and "of 4.0 GB" in said
    assert "Lost for good: 4 samples in 2 gaps" in said and "is damaged" in said and "max_age" in said
    assert "26 samples were refused: see `lineside spool dead`" in said
    code, said = lineside("status", "--json", "--data", data)
    told = json.loads(said)
    assert code == 0 and told["collectors"]["collect"]["rows"] == 4 and told["refused"] == 26
    assert [gap["rows"] for gap in told["gaps"]] == [2, 2] and len(told["damaged"]) == 1


def test_status_has_the_alarm_of_the_bounds_the_collectors_were_given(data: Path) -> None:
    size = Spool(data / "spool").waiting().bytes
    limits = {"max_bytes": int(size / 0.9), "max_age": 3600.0}
    (data / "collectors").mkdir()
    said = {"time": "2026-01-31T06:00:00+00:00", "pid": 1, "spool": limits, "sources": {}}
    (data / "collectors" / "collect.json").write_text(json.dumps(said))
    code, said = lineside("status", "--data", data)
    assert code == 1 and "collect: the spool is 90% full" in said
    code, said = lineside("status", "--json", "--data", data)
    assert code == 1 and "90% full" in json.loads(said)["collectors"]["collect"]["alarm"]


PLANT = """schema = 1
[site]
id = "p"
name = "P"
zone = "Europe/Berlin"
[spool]
max_size = "10MB"
max_age = "2h"
"""


def test_collectors_keep_to_the_bounds_of_the_plant_file(tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text(PLANT)
    status, deadline = tmp_path / "data" / "collectors" / "collect.json", time.monotonic() + 40
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "infra",
            "collect",
            str(tmp_path / "plant.toml"),
            "--data",
            str(tmp_path / "data"),
        ],
        cwd=ROOT,
    )
    try:
        while not status.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(20)
    told = json.loads(status.read_text())["spool"]
    assert (told["max_bytes"], told["max_age"]) == (10_000_000, 7200.0)
    Spool(tmp_path / "data" / "spool", "collect").append(batch(1))
    said = lineside("status", "--data", tmp_path / "data")[1]
    assert "of 10.0 MB" in said


def test_dead_lists_files_and_shows_one(data: Path) -> None:
    code, said = lineside("dead", "--data", data)
    assert code == 0 and PROBLEM in said and "too long" in said and "lineside spool retry --all" in said
    many, _ = (file["name"] for file in json.loads(lineside("dead", "--json", "--data", data)[1]))
    assert many.removesuffix(".parquet") in said
    code, said = lineside("dead", many, "--data", data)
    assert code == 0 and f"Refused because: {PROBLEM}" in said and "The first 20 of 25" in said
    assert said.count("press-1") == 20
    assert len(json.loads(lineside("dead", many, "--json", "--data", data)[1])) == 25
    code, said = lineside("dead", "collect-7", "--data", data)
    assert code == 1 and "'collect-7'" in said


def test_retry_puts_back_what_is_named_or_all(data: Path) -> None:
    _, one = (file["name"] for file in json.loads(lineside("dead", "--json", "--data", data)[1]))
    for words in ((), (one, "--all")):
        code, said = lineside("retry", *words, "--data", data)
        assert code == 1 and "--all" in said
    code, said = lineside("retry", "collect-7", one, "--data", data)
    assert code == 1 and "1 sample is back" in said and "'collect-7'" in said
    holder = Spool(data / "spool", "retry")
    holder.append(batch(99))
    code, said = lineside("retry", "--all", "--data", data)
    assert code == 1 and "another process collects" in said
    holder.close()
    code, said = lineside("retry", "--all", "--data", data)
    assert code == 0 and "25 samples are back" in said
    reader = Spool(data / "spool")
    back = [reader.read(e) for e in reader.pending() if e.collector == "retry"]
    assert sorted(frame.height for frame in back) == [1, 1, 25]
    assert lineside("dead", "--data", data) == (0, "No samples were refused.\n")


def test_doctor_says_what_the_spool_needs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told() -> dict[str, tuple[bool, str]]:
        doctor(None, data, 1, True)
        return {f["what"]: (f["ok"], f["detail"]) for f in json.loads(capsys.readouterr().out)}

    found = told()
    ok, said = found["spool"]
    assert ok and said.startswith("2 batches (4 samples, ") and said.endswith(" wait")
    ok, said = found["gaps"]
    assert not ok and "4 samples" in said and "`lineside spool status`" in said
    ok, said = found["refused samples"]
    assert not ok and "26" in said and "`lineside spool dead`" in said
    entry = Spool(data / "spool").pending()[0]
    month_ago = time.time() - 26 * 86_400
    os.utime(entry.path, (month_ago, month_ago))
    ok, said = told()["spool"]
    assert not ok and "dropped in 4 days" in said
