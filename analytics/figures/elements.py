"""Time elements and quantities: sums of ledger rows, and nothing else, that every KPI is made of.

*Known* time is planned busy time less unknown time. *Rated* is what can be compared with an ideal cycle (`with_classes`).
Parts made outside known planned busy time count, but are in no ratio.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import polars as pl

from plant.model import Plant
from plant.states import BUSY_CATEGORIES, MachineState, TimeCategory

RATED = "rated"
"""Boolean column: the row can be compared with an ideal cycle."""
ORDERED = "ordered"
"""Boolean column: an order or a product is on the machine."""
MAINTAINED = "maintained"
"""Boolean column: the machine's state is maintenance."""
CLASS = "class"
"""Column: `CLASSES` as one number (`class_code`)."""
STARTUP_IDEAL = "startup_ideal"
"""Column: the ideal time of start-up rejects (microseconds)."""
CLASSES = ("category", RATED, ORDERED, MAINTAINED)
"""All that decides, beside its amounts, what a row adds to which sum."""

COUNTS = ("good", "reject", "rework", "startup", "unrated", "flagged")
"""Parts, and counter readings with a flag."""
ADDED = ("duration", *COUNTS, "ideal", "ideal_good")
"""The amounts of a ledger row."""

Rows = TypeVar("Rows", pl.DataFrame, pl.LazyFrame)

_CATEGORIES = pl.Enum([c.value for c in TimeCategory])
_category = pl.col("category")
_unknown = _category == TimeCategory.UNKNOWN.value
_is_busy = _category.is_in([c.value for c in BUSY_CATEGORIES])
_is_known = _is_busy & ~_unknown
_rated = pl.col(RATED)
_delayed = _category.is_in(
    [
        TimeCategory.UNPLANNED_DOWNTIME.value,
        TimeCategory.MICRO_STOP.value,
        TimeCategory.STARVED.value,
        TimeCategory.BLOCKED.value,
    ]
)
_MADE = ("good", "reject", "rework")


def _where(condition: pl.Expr, amount: str = "duration") -> pl.Expr:
    return pl.when(condition).then(pl.col(amount)).otherwise(0)


def _is(category: TimeCategory) -> pl.Expr:
    return _category == category.value


AMOUNTS: Mapping[str, pl.Expr] = {
    "duration": pl.col("duration"),  # calendar time
    **{c.value: _where(_is(c)) for c in TimeCategory},
    "busy": _where(_is_busy),  # planned busy time (PBT)
    "known": _where(_is_known),
    **{name: pl.col(name) for name in (*COUNTS, "ideal", "ideal_good")},
    **{f"known_{name}": _where(_is_known, name) for name in _MADE},
    "rated_calendar": _where(_rated & ~_unknown),
    "rated_operations": _where(_rated & (_is_known | _is(TimeCategory.PLANNED_DOWNTIME))),
    "rated_known": _where(_rated & _is_known),
    "rated_running": _where(_rated & _is(TimeCategory.RUNNING)),
    "rated_changeover": _where(_rated & _is(TimeCategory.CHANGEOVER)),
    "rated_micro_stop": _where(_rated & _is(TimeCategory.MICRO_STOP)),
    "rated_ideal": _where(_rated & _is_known, "ideal"),
    "rated_ideal_good": _where(_rated & _is_known, "ideal_good"),
    "delay": _where(_delayed & pl.col(ORDERED)),
    "no_order": _where(_delayed & ~pl.col(ORDERED)),
    "order_execution": _where(pl.col(ORDERED) & ~_unknown),
    "order_running": _where(pl.col(ORDERED) & _is(TimeCategory.RUNNING)),
    "order_busy": _where(pl.col(ORDERED) & _is_known),
    **{f"order_{name}": _where(pl.col(ORDERED) & ~_unknown, name) for name in _MADE},
    "corrective_maintenance": _where(pl.col(MAINTAINED) & _is_known),
    "preventive_maintenance": _where(pl.col(MAINTAINED) & ~_is_busy),
}
"""What a row with `CLASSES` adds to each sum. Times in microseconds, integers."""

SUMS: Mapping[str, pl.Expr] = {name: amount.sum() for name, amount in AMOUNTS.items()}
"""Columns of a summary; they add up over any rows."""


@dataclass(frozen=True, slots=True)
class Element:
    """A time element or quantity of ISO 22400-2, in sums."""

    name: str
    rule: str
    """Which ledger rows it is made of."""
    amount: pl.Expr
    """Of columns of `SUMS`."""


_col = pl.col
ELEMENTS: Mapping[str, Element] = {
    "PBT": Element("planned busy time", "all rows but not scheduled and planned downtime", _col("busy")),
    "PDOT": Element("planned down time", "planned downtime", _col("planned_downtime")),
    "APT": Element("actual production time", "running", _col("running")),
    "AUST": Element("actual unit setup time", "changeover", _col("changeover")),
    "AUPT": Element("actual unit processing time", "APT + AUST", _col("running") + _col("changeover")),
    "ADET": Element(
        "actual unit delay time",
        "unplanned downtime, micro-stops, starved and blocked while an order or product is on the machine",
        _col("delay"),
    ),
    "AUBT": Element(
        "actual unit busy time", "AUPT + ADET", _col("running") + _col("changeover") + _col("delay")
    ),
    "ADOT": Element("actual unit down time", "the same stops while none is", _col("no_order")),
    "AOET": Element(
        "actual order execution time",
        "all rows with an order or product, breaks and nights included, less unknown",
        _col("order_execution"),
    ),
    "CMT": Element(
        "corrective maintenance time",
        "state maintenance in planned busy time",
        _col("corrective_maintenance"),
    ),
    "PMT": Element(
        "preventive maintenance time",
        "state maintenance in planned downtime and outside the shifts",
        _col("preventive_maintenance"),
    ),
    "GQ": Element("good quantity", "good parts made in known planned busy time", _col("known_good")),
    "SQ": Element("scrap quantity", "rejects made in it", _col("known_reject")),
    "RQ": Element("rework quantity", "parts to be reworked made in it", _col("known_rework")),
    "PQ": Element(
        "produced quantity", "GQ + SQ + RQ", _col("known_good") + _col("known_reject") + _col("known_rework")
    ),
    "IP": Element(
        "inspected parts",
        "PQ: every part counted is judged once",
        _col("known_good") + _col("known_reject") + _col("known_rework"),
    ),
    "GP": Element("good parts, first time", "GQ: a part to be reworked is not good", _col("known_good")),
}
"""The elements of ISO 22400-2 by their names there. PBT = AUBT + ADOT + unknown."""


def with_classes(ledger: Rows, plant: Plant) -> Rows:
    """The ledger with `RATED`, `ORDERED` and `MAINTAINED`.

    Rated is the time of a machine that has a good or total counter while the product on it has an ideal cycle. Without a
    product, its stops are rated too: whatever it would have made, it did not. Running and micro-stops are not: nobody can
    say how much it should have made. Enum columns are the fastest; String and Categorical do as well.
    """
    types = ledger.lazy().collect_schema()
    moving = _category.is_in([TimeCategory.RUNNING.value, TimeCategory.MICRO_STOP.value])
    product = pl.col("material").is_not_null()
    cycles = {pair: _microseconds(since) for pair, since in plant.first_cycles.items()}
    machines = list(dict.fromkeys(machine for machine, _ in cycles))
    machine = _code("equipment", types["equipment"], machines)
    rated = pl.lit(False)
    if machines:
        materials = list(dict.fromkeys(material for _, material in cycles))
        firsts = [cycles.get((m, p), _NEVER) for m in machines for p in materials]
        pair = machine.cast(pl.UInt32) * len(materials) + _code("material", types["material"], materials)
        if set(firsts) <= {_EVER, _NEVER}:
            known = pl.lit(pl.Series([first == _EVER for first in firsts])).gather(pair)
        else:
            known = pl.lit(pl.Series(firsts, dtype=pl.Int64)).gather(pair) <= pl.col("start").dt.epoch("us")
        rated = pl.when(product).then(known).otherwise(machine.is_not_null() & ~moving).fill_null(False)
    return ledger.with_columns(
        rated.alias(RATED),
        (product | pl.col("order").is_not_null()).alias(ORDERED),
        (pl.col("state") == MachineState.MAINTENANCE.value).fill_null(False).alias(MAINTAINED),
    )


_EVER, _NEVER = -(1 << 62), 1 << 62


def _microseconds(at: datetime | None) -> int:
    return _EVER if at is None else pl.Series([at]).dt.epoch("us").item()


def _code(column: str, kind: pl.DataType, names: list[str]) -> pl.Expr:
    """The place in `names` of what the column says; null where it is not there."""
    if isinstance(kind, pl.Enum):
        places = {name: place for place, name in enumerate(names)}
        table = pl.Series([places.get(name) for name in kind.categories], dtype=pl.UInt32)
        return pl.lit(table).gather(pl.col(column).to_physical())
    if isinstance(kind, pl.Categorical):
        codes = {code: place for place, code in enumerate(pl.Series(names, dtype=kind).to_physical())}
        table = pl.Series(map(codes.get, range(max(codes, default=-1) + 1)), dtype=pl.UInt32)
        code = pl.col(column).to_physical()
        return pl.lit(table).gather(pl.when(code < table.len()).then(code))
    return pl.col(column).cast(pl.String).cast(pl.Enum(names), strict=False).to_physical().cast(pl.UInt32)


def with_class(ledger: Rows, plant: Plant) -> Rows:
    """The ledger with `CLASS` and `STARTUP_IDEAL`; as it is where it has them."""
    if CLASS in ledger.lazy().collect_schema():
        return ledger
    return with_classes(ledger, plant).with_columns(
        class_code().alias(CLASS), startup_ideal().alias(STARTUP_IDEAL)
    )


def startup_ideal() -> pl.Expr:
    """`STARTUP_IDEAL` of a row with `CLASSES`: all parts of a row have one ideal cycle. Where the total counter shows its
    rejects in another row, those tell it."""
    bad = pl.col("reject") + pl.col("rework")
    made = pl.col("good") + bad
    ideal, good = AMOUNTS["rated_ideal"], AMOUNTS["rated_ideal_good"]
    cycle = pl.when(made != 0).then(ideal // made).when(bad != 0).then((ideal - good) // bad).otherwise(0)
    return pl.col("startup") * cycle


def class_code() -> pl.Expr:
    """`CLASSES` of a row as one number: grouping by one column is faster than by four."""
    place = _category.cast(_CATEGORIES).to_physical().cast(pl.UInt8) * 8
    return place + sum(pl.col(name).cast(pl.UInt8) * (4 >> n) for n, name in enumerate(CLASSES[1:]))


def from_code() -> list[pl.Expr]:
    """`CLASSES` out of `CLASS`."""
    number = pl.col(CLASS)
    names = pl.lit(pl.Series([c.value for c in TimeCategory]))
    return [
        names.gather(number // 8).alias("category"),
        *((number & (4 >> n) != 0).alias(name) for n, name in enumerate(CLASSES[1:])),
    ]
