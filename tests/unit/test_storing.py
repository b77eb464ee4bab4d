"""From the spool into a historian that fails in every way it can: nothing lost, nothing in the way of the rest."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from collectors.spool import Spool
from infra import ingest
from infra.deadletter import DeadLetter
from infra.historians.memory import MemoryHistorian
from infra.ingest import Ingest
from infra.storing import BACKOFF, CONFIGURATION, Storing
from pipelines.ports import HistorianError
from plant.frames import GOOD, SAMPLES, Window
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site

AT = datetime(2026, 1, 31, 6, tzinfo=UTC)
DAY = Window(AT - timedelta(hours=1), AT + timedelta(days=1))
SIGNALS = ("v0", "v1")
PLANT = Plant(
    site=Site(id="works", name="Works", zone=ZoneInfo("UTC")),
    equipment={"m": Equipment(id="m", name="M", level=EquipmentLevel.WORK_UNIT)},
    signals={("m", s): Signal(id=s, equipment="m", role=Role.PROCESS_VALUE) for s in SIGNALS},
)


class Failing(MemoryHistorian):
    """Does what `fault` does before it stores."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[pl.DataFrame], None] = lambda samples: None
        self.writes: list[pl.DataFrame] = []

    def write(self, samples: pl.DataFrame) -> pl.DataFrame:
        self.fault(samples)
        self.writes.append(samples)
        return super().write(samples)


class Line:
    """A spool, what stores it, and where it goes."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder / "spool", "line")
        self.ingest = Ingest(self.spool)
        self.dead = DeadLetter(folder / "dead", folder / "spool")
        self.historian = Failing()
        self.storing = Storing(
            self.spool, self.historian, self.dead, lambda: PLANT, lambda: self.ingest.settled, Random(1)
        )

    def collect(self, *values: float, signal: str = "v0") -> None:
        rows = [(AT + timedelta(seconds=v), "m", signal, v, None, GOOD, AT) for v in values]
        self.spool.append(pl.DataFrame(rows, schema=dict(SAMPLES), orient="row"))

    def take(self) -> list[float]:
        taken = self.ingest.take(PLANT, AT).samples["value"].to_list()
        self.ingest.settle()
        return taken

    def stored(self) -> list[float]:
        return self.historian.read(DAY)["value"].to_list()

    def refused(self) -> list[tuple[float, str]]:
        return [
            row
            for file in self.dead.files()
            for row in self.dead.rows(file.name).select("value", "problem").iter_rows()
        ]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def away(samples: pl.DataFrame) -> None:
    raise HistorianError("the historian is away")


def test_only_what_was_taken_and_settled_leaves_the_spool(line: Line) -> None:
    line.collect(1, 2)
    assert line.storing.attempt(AT) == 0 and line.stored() == []
    assert line.ingest.take(PLANT, AT).samples["value"].to_list() == [1, 2]
    assert line.storing.attempt(AT) == 0, "it has not had its effect yet"
    line.ingest.settle()
    line.collect(3)
    assert line.storing.attempt(AT) == 1
    assert line.stored() == [1, 2] and len(line.spool.pending()) == 1


def test_many_batches_make_one_write_in_their_order(line: Line) -> None:
    for value in (3, 1, 2):
        line.collect(value)
    line.take()
    assert line.storing.attempt(AT) == 3
    assert [w["value"].to_list() for w in line.historian.writes] == [[3, 1, 2]]
    assert line.spool.pending() == [] and line.storing.stored == 3


def test_while_the_historian_is_away_the_live_path_goes_on_and_everything_is_there_after(line: Line) -> None:
    line.historian.fault = away
    waits = []
    now = AT
    for value in range(8):
        line.collect(value)
        assert line.take() == [value], "live, at once"
        assert line.storing.attempt(now) == 0
        trouble = line.storing.trouble
        assert trouble is not None and trouble.since == AT and "away" in trouble.problem
        waits.append(trouble.next_try - now)
        now = trouble.next_try
    for tries, wait in enumerate(waits):
        whole = min(BACKOFF.first * 2**tries, BACKOFF.longest)
        assert whole / 2 <= wait <= whole, "doubling, jittered, bounded"
    assert len({wait / min(BACKOFF.first * 2**n, BACKOFF.longest) for n, wait in enumerate(waits)}) > 4
    line.historian.fault = lambda samples: None
    assert line.storing.attempt(now) == 8
    assert line.storing.trouble is None
    assert line.stored() == list(range(8)) and line.spool.pending() == []


def test_a_store_that_asks_for_time_gets_it_and_a_wrong_setting_is_tried_rarely(line: Line) -> None:
    def busy(samples: pl.DataFrame) -> None:
        raise HistorianError("busy", retry_after=20)

    def sign_in(samples: pl.DataFrame) -> None:
        raise HistorianError("the password is wrong", configuration=True)

    line.collect(1)
    line.take()
    for fault, least in ((busy, timedelta(seconds=20)), (sign_in, CONFIGURATION)):
        line.historian.fault = fault
        line.storing.attempt(AT)
        assert line.storing.trouble is not None
        assert line.storing.trouble.next_try - AT >= least
    assert line.storing.trouble.problem == "the password is wrong"


def test_what_the_plant_does_not_know_goes_to_the_dead_letter(line: Line) -> None:
    line.collect(1)
    line.collect(2, signal="strange")
    assert line.take() == [1]
    assert line.storing.attempt(AT) == 2
    assert line.stored() == [1]
    assert line.refused() == [(2, "the plant file has no such signal")]
    assert line.storing.refused == 1


@pytest.mark.parametrize(
    "error",
    [ValueError("not storable"), ArithmeticError("bad luck"), pl.exceptions.PanicException("it panicked")],
)
def test_a_poisonous_batch_is_set_aside_with_the_reason_and_those_beside_it_are_stored(
    line: Line, error: BaseException
) -> None:
    def poison(samples: pl.DataFrame) -> None:
        if (samples["value"] == 2).any():
            raise error

    line.historian.fault = poison
    for value in (1, 2, 3):
        line.collect(value)
    line.take()
    assert line.storing.attempt(AT) == 3
    assert line.storing.trouble is None
    assert line.stored() == [1, 3] and line.spool.pending() == []
    ((value, problem),) = line.refused()
    assert value == 2 and str(error) in problem


def test_if_no_batch_can_be_stored_none_is_to_blame(line: Line) -> None:
    def broken(samples: pl.DataFrame) -> None:
        raise ArithmeticError("broken")

    line.historian.fault = broken
    line.collect(1)
    line.collect(2)
    line.take()
    assert line.storing.attempt(AT) == 0
    assert line.storing.trouble is not None and line.storing.trouble.problem == "ArithmeticError: broken"
    assert line.refused() == [] and len(line.spool.pending()) == 2


def test_a_large_batch_alone_in_its_write_is_judged_beside_the_next(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(samples: pl.DataFrame) -> None:
        if (samples["value"] == 1).any():
            raise ArithmeticError("poison")

    monkeypatch.setattr("infra.storing.MOST_ROWS", 1)
    line.historian.fault = poison
    line.collect(1)
    line.collect(2)
    line.take()
    assert line.storing.attempt(AT) == 0 and line.storing.trouble is not None
    assert line.storing.attempt(AT) == 2
    assert line.stored() == [2] and [value for value, _ in line.refused()] == [1]


def test_a_batch_that_panics_on_its_way_to_the_board_does_not_take_the_others_with_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.accept import accept

    def panics(batch: pl.DataFrame, *rest: object) -> object:
        if (batch["value"] == 2).any():
            raise pl.exceptions.PanicException("it panicked")
        return accept(batch, *rest)  # type: ignore[arg-type]

    for value in (1, 2, 3):
        line.collect(value)
    monkeypatch.setattr("infra.ingest.accept", panics)
    assert line.take() == [1, 3]
    assert line.take() == []


def test_a_damaged_file_is_not_in_the_way(line: Line) -> None:
    for value in (1, 2, 3):
        line.collect(value)
    line.take()
    line.spool.pending()[1].path.write_bytes(b"rubbish")
    assert line.storing.attempt(AT) == 3
    assert line.stored() == [1, 3]


def test_what_cannot_be_put_in_the_dead_letter_stays_in_the_spool(line: Line, tmp_path: Path) -> None:
    (tmp_path / "dead").write_text("a file where the folder should be")
    line.collect(1, signal="strange")
    line.take()
    assert line.storing.attempt(AT) == 0
    assert line.storing.trouble is not None and "dead letter" in line.storing.trouble.problem
    assert len(line.spool.pending()) == 1
    (tmp_path / "dead").unlink()
    assert line.storing.attempt(AT) == 1
    assert [value for value, _ in line.refused()] == [1]


def test_trouble_ends_when_the_store_answers_though_nothing_waits(line: Line) -> None:
    line.historian.fault = away
    line.collect(1)
    line.take()
    line.storing.attempt(AT)
    line.spool.remove(line.spool.pending()[0])
    line.storing.attempt(AT)
    assert line.storing.trouble is None


def test_a_long_backlog_of_one_collector_does_not_keep_another_waiting(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MOST_ROWS", 4)
    for value in range(10):
        line.collect(value)
    line.spool.close()
    other = Spool(tmp_path / "spool", "other")
    late = [(AT + timedelta(minutes=1), "m", "v1", 77.0, None, GOOD, AT)]
    other.append(pl.DataFrame(late, schema=dict(SAMPLES), orient="row"))
    first = line.ingest.take(PLANT, AT)
    assert first.samples["value"].to_list() == [0, 77, 1, 2] and first.more
    rest = [line.take(), line.take()]
    assert rest == [[3, 4, 5, 6], [7, 8, 9]]
    assert line.ingest.take(PLANT, AT).entries == ()
