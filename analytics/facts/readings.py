"""The samples a ledger is derived from: one integer key per series, in order, each instant once.

Series and readings are what the other modules of this package work on; strings come back only where
few rows are left.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import polars as pl

from analytics.facts.outcomes import Outcomes
from plant.expressions import comparisons
from plant.frames import BAD, TIME
from plant.model import COUNTER_ROLES, Plant, Role

SERIES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "code": pl.UInt32,  # the key, ascending by (equipment, signal)
    "equipment": pl.String,
    "signal": pl.String,
    "role": pl.String,
    "stale": pl.Duration("us"),  # null: a value holds until the next sample
    "modulus": pl.Int64,  # null: never rolls over
    "min_cycle": pl.Int64,  # microseconds; null: unknown
    "assumed": pl.Boolean,  # nobody gave the min_cycle
    "cycle": pl.String,  # of cycle signals: plant.model.CycleKind
    "tells": pl.Boolean,  # its machine's state is told from it and others (`analytics.facts.telling`)
    "tests": pl.String,  # comparisons, a line each: of its values only their outcomes count; null: the values do
}
TOLD = ""
"""Signal of the series without samples that stands for the state of a machine told from several signals."""
READINGS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "code": pl.UInt32,
    "time": TIME,
    "value": pl.Float64,
    "text": pl.String,
    "quality": pl.UInt8,
    "received": TIME,
    "carried": pl.Boolean,  # already derived from; here only as the predecessor of what follows
}
"""Sorted by (code, time), unique."""

HAS_VALUE = (pl.col("quality") < BAD) & (pl.col("value").is_not_null() | pl.col("text").is_not_null())
"""The sample says something. BAD quality, or neither number nor text, says "I do not know"."""

SAME_SERIES = pl.col("code") == pl.col("code").shift().fill_null(2**32 - 1)
"""The row before belongs to the same series."""


def series(plant: Plant) -> pl.DataFrame:
    """The signals the plant's ledger is derived from (`SERIES`). A machine has one state and one order: the first."""
    rows: list[tuple[object, ...]] = []
    single: set[tuple[str, Role]] = set()
    tests = _tests(plant)
    heard = {
        (signal.equipment, signal.id)
        for machine in plant.machines()
        if machine.cycle_gaps is not None
        for signal in plant.cycling(machine.id)
    }
    for machine in plant.machines():
        if machine.states or machine.cycle_gaps is not None:
            rows.append((machine.id, TOLD, Role.STATE.value, *[None] * 5, False, None))
    for signal in plant.derived_signals():
        key = (signal.equipment, signal.id)
        if not signal.decides and (signal.equipment, signal.role) in single:
            continue
        if not signal.decides and signal.role not in COUNTER_ROLES:
            single.add((signal.equipment, signal.role))
        fastest = signal.min_cycle // timedelta(microseconds=1) if signal.min_cycle else None
        stale = plant.equipment[signal.equipment].stale_after
        kind = signal.cycle.value if signal.role is Role.CYCLE else None
        told = (kind, key in heard or key in tests, tests.get(key))
        rows.append((*key, signal.role.value, stale, signal.modulus, fastest, signal.assumed, *told))
    frame = pl.DataFrame(rows, schema={k: v for k, v in SERIES.items() if k != "code"}, orient="row")
    return frame.sort("equipment", "signal").with_row_index("code")


def _tests(plant: Plant) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], dict[str, None]] = {}
    for machine in plant.machines():
        for rule in machine.states:
            for test in comparisons(rule.condition) if rule.condition is not None else ():
                found.setdefault((machine.id, test.signal), {})[test.text] = None
    return {key: "\n".join(texts) for key, texts in found.items()}


def codes(known: pl.DataFrame, *roles: Role) -> pl.Series:
    """Codes of the series with one of these roles."""
    return known.filter(pl.col("role").is_in([r.value for r in roles]))["code"]


def readings(samples: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Samples (`plant.frames.SAMPLES`, any order, duplicates allowed) of the known series as `READINGS`."""
    key = ["equipment", "signal"]
    head = (pl.col("equipment") != pl.col("equipment").shift()) | (
        pl.col("signal") != pl.col("signal").shift()
    )
    heads = samples.select(head.fill_null(True)).to_series()
    # Look up each run of one series once: the historian returns series whole, and names are slow to compare.
    codes_of_runs = (
        samples.filter(heads)
        .select(key)
        .join(known.select(*key, "code"), on=key, how="left", maintain_order="left")
    )["code"]
    keyed = samples.select(
        codes_of_runs.gather(heads.cum_sum() - 1), *list(READINGS)[1:-1], carried=pl.lit(False)
    )
    return settle(Outcomes(known).of(keyed.filter(pl.col("code").is_not_null())))


def settle(rows: pl.DataFrame) -> pl.DataFrame:
    """Readings in order, unique by (code, time): of equal instants the row received last wins."""
    later = pl.col("time") > pl.col("time").shift()
    ordered = (pl.col("code") > pl.col("code").shift()) | ((pl.col("code") == pl.col("code").shift()) & later)
    if rows.select(ordered.fill_null(True).all()).item():
        return rows
    rows = rows.sort("code", "time", "received", "quality", "value", "text", nulls_last=True)
    replaced = (pl.col("code") == pl.col("code").shift(-1)) & (pl.col("time") == pl.col("time").shift(-1))
    return rows.filter(~replaced.fill_null(False))


def raw_text(value: pl.Expr, text: pl.Expr) -> pl.Expr:
    """A value as the plant file writes it: text as is, numbers as "3" (no ".0" behind whole ones)."""
    whole = (value == value.floor()) & (value.abs() < 2**53)
    number = (
        pl.when(whole)
        .then(value.cast(pl.Int64, strict=False).cast(pl.String))
        .otherwise(value.cast(pl.String))
    )
    return pl.when(text.is_not_null()).then(text).otherwise(number)


def shortest(stale: Iterable[timedelta | None]) -> timedelta | None:
    """The shortest of the given spans; None if there is none."""
    return min((s for s in stale if s is not None), default=None)
