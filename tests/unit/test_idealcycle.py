"""The ideal-cycle auditor: standards that cannot be right, and what they should be from when."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics.improvement.idealcycle import audit, rated_cycles, shape
from plant.frames import CYCLES, ORDER_RUNS, empty
from plant.model import Equipment, EquipmentLevel, IdealCycle, Material, Plant, Role, Signal, Site

ZONE = ZoneInfo("Europe/Berlin")
DAY = datetime(2026, 3, 1, 23, tzinfo=UTC)  # midnight in Berlin


def plant(ideal: float | None = 10, usual: str | None = "p") -> Plant:
    cycle = (
        ()
        if ideal is None
        else (
            IdealCycle(equipment="m", cycle=timedelta(seconds=99)),
            IdealCycle(equipment="m", cycle=timedelta(seconds=ideal), valid_from=DAY - timedelta(days=1)),
        )
    )
    return Plant(
        site=Site(id="s", name="s", zone=ZONE),
        equipment={"m": Equipment(id="m", name="m", level=EquipmentLevel.WORK_UNIT, material=usual)},
        signals={("m", "state"): Signal(id="state", equipment="m", role=Role.STATE)},
        materials={"p": Material(id="p", name="p", ideal_cycles=cycle)},
    )


def cycles(*spans: tuple[float, int, float]) -> pl.DataFrame:
    """Day, parts and seconds per part; parts are made one after the other from the day's 06:00 on."""
    rows = []
    for day, parts, seconds in spans:
        begin = DAY + timedelta(days=day, hours=6)
        for n in range(parts):
            # Fifty parts of every hundred and fifty are slower, as on a real machine.
            took = seconds * (1.3 if n // 50 % 3 == 0 else 1.0)
            rows.append(("m", begin + timedelta(seconds=10 * n), round(took * 1e6), 1))
    return pl.DataFrame(rows, schema=dict(CYCLES), orient="row")


def judged(frame: pl.DataFrame, of: Plant) -> dict[str, object]:
    (row,) = audit(rated_cycles(frame, empty(ORDER_RUNS), of), ZONE).rows(named=True)
    return row


@pytest.mark.parametrize(
    ("seconds", "verdict", "proposal"),
    [
        (10, "right", None),
        (8, "too_slow", 8_000_000),
        (12, "never_reached", 12_000_000),
    ],
)
def test_the_best_demonstrated_cycle_judges_the_standard(
    seconds: float, verdict: str, proposal: int | None
) -> None:
    found = judged(cycles((0, 300, seconds)), plant())
    assert (found["verdict"], found["proposal"]) == (verdict, proposal)
    assert found["valid_from"] == (DAY if proposal else None)
    assert found["ideal"] == 10_000_000 and found["parts"] == 300


def test_a_missing_standard_gets_a_proposal_and_few_parts_get_none() -> None:
    assert judged(cycles((0, 300, 8)), plant(None))["verdict"] == "missing"
    few = judged(cycles((0, 50, 8)), plant())
    assert (few["verdict"], few["proposal"]) == ("too_few", None)


def test_a_change_in_the_middle_is_dated_and_not_smeared() -> None:
    found = judged(cycles((0, 300, 10), (1, 300, 10), (2, 300, 8), (3, 300, 8)), plant())
    assert (found["verdict"], found["proposal"]) == ("too_slow", 8_000_000)
    assert found["valid_from"] == DAY + timedelta(days=2)


def test_performance_is_ideal_time_over_time_taken() -> None:
    found = judged(cycles((0, 300, 10)), plant())
    took = 100 * 13 + 200 * 10
    assert found["performance"] == pytest.approx(3000 / took)


def test_the_order_that_runs_says_what_is_made_and_a_reading_of_many_counts_as_many() -> None:
    frame = pl.DataFrame(
        [("m", DAY + timedelta(hours=1), 5_000_000, 90), ("m", DAY + timedelta(hours=3), 9_000_000, 8)],
        schema=dict(CYCLES),
        orient="row",
    )
    run = pl.DataFrame(
        [("m", DAY, DAY + timedelta(hours=2), "o", "q")], schema=dict(ORDER_RUNS), orient="row"
    )
    rated = rated_cycles(frame, run, plant())
    assert rated.sort("time").select("material", "ideal").rows() == [("q", None), ("p", 10_000_000)]
    alone = rated_cycles(frame, empty(ORDER_RUNS), plant())
    (row,) = audit(alone, ZONE).rows(named=True)
    assert row["parts"] == 98 and row["best"] < row["median"] + 1 < 6_000_000
    assert rated_cycles(frame, empty(ORDER_RUNS), plant(usual=None))["material"].null_count() == 2


def test_a_counter_read_once_a_second_is_not_faster_than_its_machine() -> None:
    read = [(n, 1_000_000 if n % 18 < 11 else 500_000, 1 if n % 18 < 11 else 2) for n in range(1800)]
    frame = pl.DataFrame(
        [("m", DAY + timedelta(hours=6, seconds=n), cycle, parts) for n, cycle, parts in read],
        schema=dict(CYCLES),
        orient="row",
    )
    assert judged(frame, plant(0.72))["verdict"] == "right"


def test_the_shape_holds_every_part_once() -> None:
    rated = rated_cycles(cycles((0, 300, 10), (1, 3, 100)), empty(ORDER_RUNS), plant())
    found = shape(rated)
    assert found["parts"].sum() == 303
    assert found.filter(pl.col("to").is_null())["parts"].sum() == 3
    edges = found.filter(pl.col("to").is_not_null()).select("from", "to").rows()
    assert all(low < high for low, high in edges)


def test_fast_parts_are_shaped_by_what_they_take_together() -> None:
    """A counter read twice a second, of a machine that takes 0.75 s a part: readings of 0.5 and of 1 s."""
    rows = [
        ("m", DAY + timedelta(hours=6, seconds=0.75 * n), 500_000 if n % 2 else 1_000_000, 1)
        for n in range(400)
    ]
    frame = pl.DataFrame(rows, schema=dict(CYCLES), orient="row")
    found = shape(rated_cycles(frame, empty(ORDER_RUNS), plant()))
    assert found["parts"].sum() == 400
    near = found.filter(pl.col("to") > 700_000, pl.col("from") < 800_000)
    assert near["parts"].sum() == 400


def test_slow_parts_are_shaped_one_by_one() -> None:
    rows = [
        ("m", DAY + timedelta(hours=6, seconds=5 * n), 4_000_000 + 2_000_000 * (n % 2), 1) for n in range(40)
    ]
    frame = pl.DataFrame(rows, schema=dict(CYCLES), orient="row")
    assert shape(rated_cycles(frame, empty(ORDER_RUNS), plant()))["parts"].to_list() == [20, 20]
