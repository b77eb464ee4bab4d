"""What of a batch goes on to the rules."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from analytics.facts.readings import series
from pipelines.arrivals import Arrivals
from plant.frames import SAMPLES
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
PLANT = Plant(
    site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
    equipment={
        m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, stale_after=timedelta(seconds=60))
        for m in "ab"
    },
    signals={
        (m, s): Signal(id=s, equipment=m, role=role)
        for m in "ab"
        for s, role in (("good", Role.GOOD), ("state", Role.STATE), ("pv", Role.PROCESS_VALUE))
    },
)


def batch(*points: tuple[int, str, str, float | str]) -> pl.DataFrame:
    rows = [
        (at, m, s, None if isinstance(v, str) else v, v if isinstance(v, str) else None, 0, at)
        for second, m, s, v in points
        for at in (START + timedelta(seconds=second),)
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def arrivals() -> Arrivals:
    return Arrivals(series(PLANT), PLANT.signals)


def taken(found: tuple[pl.DataFrame, int] | None) -> tuple[list[tuple[int, int, bool]], int]:
    """Code, second and whether it is carried of each; and how many there were."""
    assert found is not None
    rows, new = found
    seconds = (rows["time"] - START).dt.total_seconds()
    return list(zip(rows["code"], seconds, rows["carried"], strict=True)), new


def test_changes_go_on_behind_their_predecessor_and_the_last_of_each_series() -> None:
    reader = arrivals()
    points = [(t, "a", "good", 1.0 if t < 4 else 2.0) for t in range(8)]
    found = reader.take(batch(*points, (0, "b", "pv", 3.0), (0, "x", "good", 3.0)))
    assert taken(found) == ([(0, 0, False), (0, 3, True), (0, 4, False), (0, 7, True)], 8)
    assert taken(reader.take(batch((8, "a", "good", 2.0)))) == ([(0, 8, True)], 1)
    assert taken(reader.take(batch((99, "a", "good", 2.0)))) == ([(0, 99, False)], 1)  # it had been silent


def test_texts_are_compared_with_those_of_earlier_batches() -> None:
    reader = arrivals()
    reader.take(batch((0, "a", "state", "AUTO"), (0, "b", "state", "HOLD")))
    found = reader.take(
        batch((1, "a", "state", "AUTO"), (1, "b", "state", "AUTO"), (2, "b", "state", "AUTO"))
    )
    assert taken(found) == ([(1, 1, True), (3, 1, False), (3, 2, True)], 3)


def test_what_is_sent_again_is_not_new() -> None:
    reader = arrivals()
    samples = batch((0, "a", "good", 1.0), (1, "a", "good", 2.0))
    reader.take(samples)
    assert taken(reader.take(samples[1:])) == ([], 0)


def test_what_is_late_or_contradicts_is_not_taken() -> None:
    reader = arrivals()
    reader.take(batch((5, "a", "good", 1.0)))
    assert reader.take(batch((5, "a", "good", 2.0))) is None
    assert reader.take(batch((6, "a", "good", 2.0), (6, "a", "good", 3.0))) is None
    assert reader.take(batch((4, "a", "good", 1.0))) is None
    assert taken(reader.take(batch((6, "a", "good", 1.0)))) == ([(0, 6, True)], 1)


def test_it_goes_on_from_what_it_is_told() -> None:
    reader = arrivals()
    reader.take(batch((5, "a", "good", 1.0), (5, "b", "good", 1.0)))
    other = arrivals().take(batch((2, "a", "good", 1.0)))
    assert other is not None
    reader.resume(other[0])
    assert taken(reader.take(batch((3, "a", "good", 1.0), (3, "b", "good", 1.0)))) == (
        [(0, 3, True), (2, 3, False)],
        2,
    )
