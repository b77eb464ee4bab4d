"""What operators of a real plant reported, as entries over machines nobody hears: 388 reports of five machines of the 4TU
production log (credit: data/README.md), which overlap, touch and repeat each other.

The minutes, quantities and breakdowns expected were counted by an independent script from the whole log.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics.figures.summary import summarise
from pipelines.derive import derive
from plant.frames import BAD, CORRECTIONS, RECODES, SAMPLES, TIME, Window
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site
from plant.states import MachineState

FILE = Path(__file__).parent / "data" / "production_orders_4tu.csv"
WINDOW = Window(datetime(2012, 1, 1, tzinfo=UTC), datetime(2012, 4, 2, tzinfo=UTC))
STATES = {"S": MachineState.SETUP, "D": MachineState.RUNNING, "B": MachineState.DOWN}
UNION_MINUTES = {"m8": 47_333, "m12": 15_135, "m13": 7_046, "m15": 11_879, "m19": 810}
"""Minutes of each machine with a report, overlaps once."""
BREAKDOWN_MINUTES = {"m8": 2_998, "m12": 78, "m13": 150, "m15": 639, "m19": 15}


@pytest.fixture(scope="module")
def reports() -> pl.DataFrame:
    clock = pl.col("start", "complete").str.to_datetime("%Y-%m-%d %H:%M").cast(pl.Datetime("us"))
    return pl.read_csv(FILE).with_columns(clock.dt.replace_time_zone("UTC").cast(TIME)).with_row_index("row")


def plant() -> Plant:
    machines = sorted(UNION_MINUTES)
    signals = [
        Signal(id=role.value, equipment=m, role=role)
        for m in machines
        for role in (Role.STATE, Role.GOOD, Role.REJECT)
    ]
    return Plant(
        site=Site(id="shop", name="Shop", zone=ZoneInfo("UTC")),
        equipment={m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT) for m in machines},
        signals={(s.equipment, s.id): s for s in signals},
    )


def entries(reports: pl.DataFrame) -> pl.DataFrame:
    """Each report of some length as what people said the machine did, breakdowns last: they are why it was reported."""
    ranked = reports.filter(pl.col("start") < pl.col("complete")).sort(pl.col("type") == "B", "row")
    states = {kind: state.value for kind, state in STATES.items()}
    return ranked.select(
        equipment="machine",
        start="start",
        end="complete",
        reason=pl.lit(None, pl.String),
        user=pl.lit("operator"),
        at=pl.lit(WINDOW.end),
        state=pl.col("type").replace_strict(states, return_dtype=pl.String),
        note=pl.lit(None, pl.String),
    ).select(pl.col(name).cast(kind) for name, kind in RECODES.items())


def counted(reports: pl.DataFrame) -> pl.DataFrame:
    kinds = (("good", pl.col("completed")), ("reject", pl.col("rejected") + pl.col("mrb")))
    return pl.concat(
        reports.select(
            equipment="machine",
            time=pl.col("complete"),
            kind=pl.lit(kind),
            quantity=quantity,
            user=pl.lit("operator"),
            at=pl.lit(WINDOW.end),
            why=pl.lit("work report"),
        ).filter(pl.col("quantity") != 0)
        for kind, quantity in kinds
    ).select(pl.col(name).cast(kind) for name, kind in CORRECTIONS.items())


@pytest.fixture(scope="module")
def ledger(reports: pl.DataFrame) -> pl.DataFrame:
    silent = [
        (WINDOW.start, m, "state", None, None, BAD, WINDOW.start + timedelta(seconds=1))
        for m in UNION_MINUTES
    ]
    samples = pl.DataFrame(silent, schema=dict(SAMPLES), orient="row")
    return derive(samples, plant(), WINDOW, recodes=entries(reports), corrections=counted(reports))


def test_every_reported_minute_is_in_the_ledger_once(ledger: pl.DataFrame) -> None:
    table = summarise(ledger, ["equipment"], plant())
    said = table.select("equipment", minutes=(pl.col("duration") - pl.col("unknown")) / 60e6).rows()
    assert dict(said) == UNION_MINUTES


def test_breakdowns_are_as_long_as_they_were_reported(ledger: pl.DataFrame, reports: pl.DataFrame) -> None:
    down = ledger.filter(pl.col("state") == "down").group_by("equipment").agg(pl.col("duration").sum() / 60e6)
    assert dict(down.rows()) == BREAKDOWN_MINUTES
    assert reports.filter(pl.col("type") == "B").height == 26


def test_each_minute_is_of_the_report_that_was_made_last(ledger: pl.DataFrame, reports: pl.DataFrame) -> None:
    painted: dict[tuple[str, datetime], str] = {}
    for row in entries(reports).iter_rows(named=True):
        at = row["start"]
        while at < row["end"]:
            painted[row["equipment"], at] = row["state"]
            at += timedelta(minutes=1)
    found = {
        (machine, start + timedelta(minutes=n)): state
        for machine, start, end, state in ledger.select("equipment", "start", "end", "state").rows()
        if state != "unknown"
        for n in range((end - start) // timedelta(minutes=1))
    }
    assert found == painted


def test_every_part_is_counted_once(ledger: pl.DataFrame, reports: pl.DataFrame) -> None:
    made = ledger.group_by("equipment").agg(pl.col("good", "reject").sum())
    told = reports.group_by("machine").agg(
        pl.col("completed").sum(), (pl.col("rejected") + pl.col("mrb")).sum()
    )
    assert sorted(made.rows()) == sorted(told.rows())
