"""When a machine is changed over from one product to another: because it says so, or because the product changes while
it is stopped (`plant.model.ChangeoverRule`)."""

from collections.abc import Iterable

import polars as pl

from plant.frames import TIME
from plant.model import ChangeoverRule, Plant, StateMapping
from plant.states import MachineState

_TICK = pl.duration(microseconds=1)


def changeovers(stops: pl.DataFrame, runs: pl.DataFrame, parts: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """equipment, start, end of changeovers, without overlap, sorted.

    `stops`: of `analytics.ledger.attributes.state_runs`. `runs`: `plant.frames.ORDER_RUNS`. `parts` (equipment, time,
    good): what was counted. A stop in which the product changes is one from its begin to its end, or until the first
    good part of the new product is counted.
    """
    counts = [m for m, rule in rules(plant).items() if rule is not ChangeoverRule.OFF]
    whole = stops.filter(
        pl.col("equipment").is_in(counts),
        pl.col("state").is_in([MachineState.SETUP.value, MachineState.DOWN.value]),
    ).select("equipment", "state", start="stop_start", end=pl.col("stop_start") + pl.col("stop_length"))
    whole = whole.unique()
    said = whole.filter(pl.col("state") == MachineState.SETUP.value).select("equipment", "start", "end")
    found = whole.filter(
        pl.col("state") == MachineState.DOWN.value, pl.col("equipment").is_in(detecting(plant))
    )
    return pl.concat([said, _changed(found, runs, parts, plant)]).sort("equipment", "start")


def rules(plant: Plant) -> dict[str, ChangeoverRule]:
    """The rule of each machine."""
    return {m.id: m.changeover or plant.settings.changeover for m in plant.machines()}


def detecting(plant: Plant) -> list[str]:
    """The machines whose changeovers are told by their product."""
    return [
        m for m, rule in rules(plant).items() if rule is ChangeoverRule.DETECT and not _has_setup(plant, m)
    ]


def _has_setup(plant: Plant, machine: str) -> bool:
    return any(means.state is MachineState.SETUP for means in _meanings(plant, machine))


def _meanings(plant: Plant, machine: str) -> Iterable[StateMapping]:
    for signal in plant.signals_of(machine):
        yield from signal.states.values()
        yield from (span.means for span in signal.ranges)
        yield from (bit.means for bit in signal.bits)
        if signal.otherwise is not None:
            yield signal.otherwise
    yield from (rule.means for rule in plant.equipment[machine].states)


def _changed(stops: pl.DataFrame, runs: pl.DataFrame, parts: pl.DataFrame, plant: Plant) -> pl.DataFrame:
    """equipment, start, end: of the stops (equipment, start, end), those in which the product changes."""
    if stops.is_empty() or runs.is_empty():
        return stops.select("equipment", "start", "end").clear()
    usual = {m.id: m.material for m in plant.machines() if m.material is not None}
    rows = _made(stops.with_columns(at=pl.col("start") - _TICK), runs, usual, "before")
    rows = _made(rows.with_columns(at="end"), runs, usual, "after")
    products = pl.col("material_before").is_not_null() & pl.col("material_after").is_not_null()
    other = (
        pl.when(products)
        .then(pl.col("material_before") != pl.col("material_after"))
        .otherwise(pl.col("order_before") != pl.col("order_after"))
    )
    rows = rows.filter(other.fill_null(False)).with_columns(changed=pl.max_horizontal("since_after", "start"))
    good = parts.filter(pl.col("good") > 0).select("equipment", "time", part="time").sort("time")
    first = rows.sort("changed").join_asof(
        good,
        left_on="changed",
        right_on="time",
        by="equipment",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return first.select("equipment", "start", end=pl.min_horizontal("end", "part"))


def _made(rows: pl.DataFrame, runs: pl.DataFrame, usual: dict[str, str], name: str) -> pl.DataFrame:
    """Add order_, material_ and since_ of what was made `at` the time of each row: of the order that runs, else what the
    machine makes without one, else of the last order."""
    found = rows.sort("at").join_asof(
        runs.select("equipment", "order", "material", since="start", until="end").sort("since"),
        left_on="at",
        right_on="since",
        by="equipment",
        strategy="backward",
        check_sortedness=False,
    )
    makes = pl.col("equipment").replace_strict(usual, default=None, return_dtype=pl.String)
    idle = makes.is_not_null() & (pl.col("since").is_null() | (pl.col("until") <= pl.col("at")))
    return found.with_columns(
        pl.when(~idle.fill_null(False)).then("order").alias(f"order_{name}"),
        pl.when(idle.fill_null(False))
        .then(makes)
        .otherwise(pl.coalesce("material", makes))
        .alias(f"material_{name}"),
        pl.when(idle.fill_null(False)).then("until").otherwise("since").cast(TIME).alias(f"since_{name}"),
    ).drop("order", "material", "since", "until", "at")
