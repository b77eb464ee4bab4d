"""A historian and the spool before it, read as one: whatever has been stored so far, the answer is the same."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest

from collectors.spool import Entry, Spool
from infra.historians.memory import MemoryHistorian
from infra.historians.samples import unique
from infra.historians.waiting import WithWaiting
from plant.frames import GOOD, SAMPLES, Window

AT = datetime(2026, 1, 31, 6, tzinfo=UTC)


def samples(rng: Random, start: float, count: int = 20) -> pl.DataFrame:
    rows = []
    for n in range(count):
        time = AT + timedelta(seconds=round(start + rng.uniform(0, 60)))
        received = AT + timedelta(seconds=start, microseconds=n)
        machine, signal = rng.choice(["a", "b"]), rng.choice(["s", "t"])
        rows.append((time, machine, signal, rng.random(), None, GOOD, received))
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


class Stored(MemoryHistorian):
    """Stores a batch of the spool in the middle of being read."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: list[tuple[Spool, Entry]] = []

    def _move(self) -> None:
        for spool, entry in self.moves:
            self.write(spool.read(entry))
            spool.remove(entry)
        self.moves.clear()

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame:
        found = super().read(window, equipment, signals)
        self._move()
        return found

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        yield super().read(window, equipment, signals)
        self._move()


@pytest.mark.parametrize("stored", [0, 3, 6])
@pytest.mark.parametrize("moving", [False, True])
def test_the_answer_does_not_depend_on_how_much_is_stored(tmp_path: Path, stored: int, moving: bool) -> None:
    rng = Random(stored)
    batches = [samples(rng, 40 * n) for n in range(6)]
    everything = MemoryHistorian()
    for batch in batches:
        everything.write(batch)
    for first, last in ((0, 300), (70, 130), (100, 101), (500, 600)):
        window = Window(AT + timedelta(seconds=first), AT + timedelta(seconds=last))
        for only in ({}, {"equipment": ["a"]}, {"equipment": ["b"], "signals": ["t"]}):
            spool = Spool(tmp_path / f"{first}-{last}-{len(only)}", "line")
            historian = Stored()
            for batch in batches[:stored]:
                historian.write(batch)
            for batch in batches[stored:]:
                spool.append(batch)
            history = WithWaiting(historian, spool, lambda batch: batch)
            waiting = [(spool, entry) for entry in spool.pending()]
            expected = everything.read(window, **only)
            assert history.last(window.start).equals(everything.last(window.start))
            historian.moves = waiting[:2] if moving else []
            in_batches = unique(pl.concat(list(history.read_batches(window, **only))))
            assert in_batches.equals(expected)
            historian.moves = [w for w in waiting if w[1].path.exists()] if moving else []
            assert history.read(window, **only).equals(expected)


def test_only_batches_of_that_time_are_opened_and_only_what_the_plant_accepts_is_seen(tmp_path: Path) -> None:
    rng = Random(1)
    spool = Spool(tmp_path, "line")
    for n in range(10):
        spool.append(samples(rng, 1000 * n))
    opened: list[datetime] = []

    def accepted(batch: pl.DataFrame) -> pl.DataFrame:
        opened.append(batch["time"].min())  # type: ignore[arg-type]
        return batch.filter(pl.col("signal") == "s")

    history = WithWaiting(MemoryHistorian(), spool, accepted)
    found = history.read(Window(AT + timedelta(seconds=3000), AT + timedelta(seconds=3100)))
    assert len(opened) == 1 and set(found["signal"]) == {"s"}


def test_a_damaged_batch_does_not_hide_the_others(tmp_path: Path) -> None:
    rng = Random(2)
    spool = Spool(tmp_path, "line")
    for n in range(3):
        spool.append(samples(rng, 100 * n))
    spool.pending()[1].path.write_bytes(b"rubbish")
    history = WithWaiting(MemoryHistorian(), spool, lambda batch: batch)
    found = history.read(Window(AT, AT + timedelta(hours=1)))
    assert found["time"].max() > AT + timedelta(seconds=200)  # type: ignore[operator]
