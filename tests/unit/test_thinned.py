"""Reading a long history piece by piece: what is kept has the facts of all of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infra.historians.memory import MemoryHistorian
from infra.historians.parquet import ParquetHistorian
from infra.ledger import thinned
from infra.ledger.thinned import thinned_samples
from pipelines.derive import facts
from plant.frames import SAMPLES, Window
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState

START = datetime(2026, 3, 1, 20, tzinfo=UTC)
MACHINES = ("a", "b", "c")
PLANT = Plant(
    site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
    equipment={
        m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, stale_after=timedelta(seconds=90))
        for m in MACHINES
    },
    signals={
        (m, s): Signal(id=s, equipment=m, role=role, states={"1": StateMapping(state=MachineState.RUNNING)})
        for m in MACHINES
        for s, role in (("st", Role.STATE), ("co", Role.GOOD), ("pv", Role.PROCESS_VALUE))
    },
)


def history() -> pl.DataFrame:
    """Ten hours over a midnight, every 20 s, with an hour without."""
    number = pl.int_range(1800, eager=True)
    at = (START + timedelta(seconds=7)).timestamp() * 1_000_000 + number * 20_000_000
    values = {"st": number // 100 % 3, "co": number // 7, "pv": number}
    frames = [
        pl.DataFrame({"time": at.cast(pl.Int64), "value": values[signal].cast(pl.Float64)}).select(
            pl.col("time").cast(SAMPLES["time"]),
            equipment=pl.lit(machine),
            signal=pl.lit(signal),
            value="value",
            text=pl.lit(None, pl.String),
            quality=pl.lit(0, pl.UInt8),
            received=pl.col("time").cast(SAMPLES["time"]),
        )
        for machine in MACHINES
        for signal in values
    ]
    gap = pl.col("time").is_between(START + timedelta(hours=5), START + timedelta(hours=6))
    return pl.concat(frames).filter(~gap)


@pytest.mark.parametrize("most", [1, 20_000])
@pytest.mark.parametrize("kind", ["parquet", "memory"])
def test_what_is_kept_has_the_facts_of_all(
    most: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thinned, "READ_ROWS", most)
    stored = history()
    store = ParquetHistorian(tmp_path) if kind == "parquet" else MemoryHistorian()
    store.write(stored)
    window, shares = Window(START + timedelta(hours=1), START + timedelta(hours=9.5)), []
    kept = thinned_samples(store, PLANT, window, shares.append)
    inside = stored.filter(pl.col("time").is_between(window.start, window.end, closed="left"))
    found, expected = (facts(frame, PLANT, window.end) for frame in (kept, inside))
    assert_frame_equal(found.intervals, expected.intervals)
    assert_frame_equal(found.increments, expected.increments)
    assert kept.height < inside.height / 2
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) >= (6 if most == 1 else 2)


def test_nothing_is_stored() -> None:
    kept = thinned_samples(MemoryHistorian(), PLANT, Window(START, START + timedelta(days=2)))
    assert kept.schema == dict(SAMPLES)
    assert kept.is_empty()
