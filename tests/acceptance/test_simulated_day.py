"""A day of the simulated plant, as it comes to a server on a bad day: in batches of any size, out of order, twice, late.
What is derived live must be what is derived from the whole afterwards, to the microsecond and the part.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analytics.forecast.finish import edges
from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from infra.plantfile import load
from pipelines.derive import derive
from pipelines.fold import Fold
from pipelines.running import RunningLedger
from plant.frames import CORRECTIONS, RECODES, Window, empty

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PLANT = load(Path(__file__).parents[2] / "infra" / "demo" / "plant.toml")
START = datetime(2026, 3, 28, 20, tzinfo=UTC)
"""The clocks of the plant go forward in this night."""
DAY = timedelta(hours=24)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def day() -> pl.DataFrame:
    """All samples of the day, in the order they arrived, with column `arrived`; some of them twice."""
    sim = Simulation(5, START, period=timedelta(seconds=5))
    samples = pl.concat(list(frames(sim, START + DAY)))
    chance = Random(7)
    arrived = pl.col("time") + pl.duration(milliseconds=pl.int_range(pl.len()) * 7919 % 3000)
    for machine in samples["equipment"].unique().sort():
        for _ in range(3):  # its line is cut; the collector sends what it kept when it is back
            begin = START + chance.random() * (DAY - 65 * MINUTE)
            end = begin + chance.uniform(0.1, 60) * MINUTE
            cut = (pl.col("equipment") == machine) & pl.col("time").is_between(begin, end)
            arrived = pl.when(cut).then(pl.lit(end) + pl.duration(seconds=1)).otherwise(arrived)
    coming = samples.with_columns(arrived=arrived)
    again = coming.sample(fraction=0.02, seed=3).with_columns(pl.col("arrived") + pl.duration(minutes=2))
    return pl.concat([coming, again]).sort("arrived", maintain_order=True)


def batches(day: pl.DataFrame) -> Iterator[pl.DataFrame]:
    chance, at = Random(11), 0
    while at < day.height:
        size = int(10 ** chance.uniform(2, 4.6))
        yield day.slice(at, size)
        at += size


def test_derived_live_it_is_the_ledger_of_the_whole_day(day: pl.DataFrame) -> None:
    taken = day.drop("arrived").clear()

    def stored(machines: Sequence[str], window: Window) -> pl.DataFrame:
        inside = pl.col("time").is_between(window.start, window.end, closed="left")
        rows = taken.filter(pl.col("equipment").is_in(list(machines)), inside)
        return rows.sort("equipment", "signal", "time").unique(
            ["equipment", "signal", "time"], keep="last", maintain_order=True
        )

    fold = Fold(PLANT, stored, START)
    running = RunningLedger(PLANT, fold)
    late = asked = 0
    for batch in batches(day):
        now = batch["arrived"].max()
        assert isinstance(now, datetime)
        taken = pl.concat([taken, batch.drop("arrived")])
        late += fold.accept(batch.drop("arrived")).restated.height
        window = Window(START, now)
        rows = running.rows(window, fold.runs(now), empty(RECODES), edges(window), empty(CORRECTIONS))
        asked += 1
        if asked % 25 == 0:
            assert_frame_equal(rows, derive(taken, PLANT, window, until=now, edges=edges(window)))
    assert late > 20 and asked > 50
    window = Window(START, START + DAY)
    whole = derive(day.drop("arrived"), PLANT, window)
    assert_frame_equal(fold.ledger(window), whole)
    assert whole["good"].sum() > 10_000 and whole["category"].n_unique() >= 7
