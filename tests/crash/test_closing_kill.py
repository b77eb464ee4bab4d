"""kill -9 while shifts are closed: each closes exactly once, with the figures of an uninterrupted run."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.runtime import Runtime
from plant.frames import Window
from tests.crash.closing_process import prepare, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
KILLS = 8


def closing(data: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("closing_process.py")), str(data)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "closing\n"
    return process


def kept(runtime: Runtime) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    with runtime.database.read() as connection:
        span = LedgerRows(connection).span()
        assert span is not None
        closures = ShiftClosures(connection).begun_in(Window(span.start, span.end))
        rows = LedgerRows(connection).touching(span)
    return [(c.equipment, c.shift, c.shift_start, c.figures) for c in closures], rows.rows()


def test_a_kill_while_shifts_are_closed(tmp_path: Path) -> None:
    rng = random.Random(3)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for data in (killed, whole):
        prepare(data)
    for _ in range(KILLS):
        process = closing(killed)
        try:
            process.wait(rng.uniform(0.0, 0.8))
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait(10) in (-9, 0)
    for data in (killed, whole):
        assert closing(data).wait(120) == 0
    with running(killed) as one, running(whole) as other:
        assert kept(one) == kept(other)
        assert len(kept(one)[0]) > 10
