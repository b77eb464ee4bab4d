"""What is behind a figure: its formula, what was divided by what, and the rows these amounts are the sums of."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from analytics.figures.elements import AMOUNTS, COUNTS, ELEMENTS, with_classes
from analytics.figures.reliability import WAITS, failure_events
from analytics.figures.summary import summarise
from analytics.figures.yields import yields
from analytics.kpis import Formula, Kpi, Pass
from plant.model import Convention, Plant

MOST = 200
"""Rows a side names one by one; `groups` is of all of them."""

_PARTS = {
    *COUNTS,
    *(name for name in AMOUNTS if name.endswith(("_good", "_reject", "_rework"))),
    "GQ",
    "SQ",
    "RQ",
    "PQ",
    "IP",
    "GP",
}
_PARTS -= {"ideal_good", "rated_ideal_good"}
_EVENTS = ("failures", "repairs", "repair_time")
_WAITS = ("acknowledged", "wait")
_STEPS = ("rolled_yield", "yield_steps", "entered")


@dataclass(frozen=True, slots=True)
class Side:
    """A numerator or a denominator."""

    name: str
    """numerator, denominator; of a second ratio: times, over."""
    amount: float | None
    unit: str
    """us (microseconds), parts, count, 1."""
    terms: tuple[tuple[str, float], ...]
    """What is added up: column of a summary and amount."""
    groups: pl.DataFrame
    """category, reason, amount, rows: where the amount is from, largest first. The amounts add up to `amount`, those of
    steps multiply."""
    rows: pl.DataFrame
    """equipment, start, end, category, reason, order, material, amount: the largest `MOST`, by time."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A figure with all that is behind it."""

    kpi: Kpi
    convention: Convention
    formula: str
    value: float | None
    coverage: float | None
    sides: tuple[Side, ...]
    note: str
    """Why there is no value, or what is left out; "": nothing."""


def explain(
    kpi: Kpi,
    ledger: pl.DataFrame | pl.LazyFrame,
    plant: Plant,
    convention: Convention | None = None,
    alerts: pl.DataFrame | None = None,
) -> Explanation:
    """The figure of all rows of the ledger (`plant.frames.LEDGER`), and the rows behind it."""
    convention = convention or plant.settings.convention
    table = summarise(ledger, [], plant, convention, [kpi.id, "coverage"], alerts)
    whole = table.row(0, named=True) if table.height else {}
    formula = kpi.formulas[convention]
    if formula.otherwise is not None and not _amount(formula.denominator, table):
        formula = formula.otherwise
    names = ("numerator", "denominator", "times", "over")
    expressions = (formula.numerator, formula.denominator, *(formula.times or ()))
    sources = _Sources(ledger, plant, alerts)
    sides = tuple(
        sources.side(name, expression, table) for name, expression in zip(names, expressions, strict=False)
    )
    value = whole.get(kpi.id)
    return Explanation(
        kpi,
        convention,
        formula.text,
        value,
        whole.get("coverage"),
        sides,
        _note(kpi, formula, value, table, sources),
    )


def _amount(expression: pl.Expr, table: pl.DataFrame) -> float | None:
    return table.select(expression.alias("amount")).item() if table.height else None


def _note(kpi: Kpi, formula: Formula, value: float | None, table: pl.DataFrame, sources: "_Sources") -> str:
    if table.is_empty():
        return "Nothing is known of this window."
    if Pass.FAILURES in kpi.passes:
        events = sources.failures()
        unseen = events.height - int(events["seen"].sum())
        if unseen and kpi.id == "mttr":
            return f"{unseen} of {events.height} failures go on, or their beginning or end was not seen: they are not in it."
        if value is None:
            return "There was no failure: the time between two is not known."
    if value is not None:
        return ""
    if Pass.STEPS in kpi.passes:
        return "It takes the parts of one line: choose a line or an order."
    if Pass.ALERTS in kpi.passes:
        return "Nobody acknowledged an alert, or these rows are not of one machine or line."
    if formula.where is not None and table["rated_known"].item():
        return "What ran has no ideal cycle: nobody can say how much it should have made."
    return "There is nothing to divide by."


class _Sources:
    """Rows with what each adds to the sums a formula may name."""

    def __init__(
        self, ledger: pl.DataFrame | pl.LazyFrame, plant: Plant, alerts: pl.DataFrame | None
    ) -> None:
        self._ledger, self._plant, self._alerts = ledger, plant, alerts
        self._failures: pl.DataFrame | None = None

    def side(self, name: str, expression: pl.Expr, table: pl.DataFrame) -> Side:
        columns = expression.meta.root_names()
        terms = tuple((column, table[column].item()) for column in columns) if table.height else ()
        rows = self._rows(columns).with_columns(amount=expression)
        shown = [c for c in _SHOWN if c in rows.collect_schema()]
        rows = rows.select(*shown, "amount")
        if _unit_of(columns) != "1":  # a step that yields nothing is all there is to say
            rows = rows.filter(pl.col("amount") != 0)
        keys = [c for c in ("category", "reason", "step") if c in shown]
        sums = [pl.col("amount").sum(), pl.len().cast(pl.Int64).alias("rows")]
        groups = (
            rows.group_by(keys)
            .agg(sums)
            .sort("amount", *keys, descending=[True, *[False] * len(keys)], nulls_last=True)
        )
        largest = rows.top_k(MOST, by="amount")
        groups_found, rows_found = pl.collect_all([groups, largest])
        by = [c for c in ("start", "equipment") if c in shown]
        return Side(
            name,
            _amount(expression, table),
            _unit_of(columns),
            terms,
            groups_found,
            rows_found.sort(by) if by else rows_found,
        )

    def failures(self) -> pl.DataFrame:
        if self._failures is None:
            keys = ["category", "reason", "order", "material"]
            self._failures = failure_events(self._ledger, keys)
        return self._failures

    def _rows(self, columns: Sequence[str]) -> pl.LazyFrame:
        if set(columns) <= set(_EVENTS):
            whole = pl.col("seen").cast(pl.Int64)
            return (
                self.failures()
                .lazy()
                .with_columns(
                    failures=pl.lit(1, pl.Int64), repairs=whole, repair_time=pl.col("duration") * whole
                )
            )
        if set(columns) <= set(_STEPS):
            each = yields(self._ledger, [], self._plant).lazy()
            return each.with_columns(
                rolled_yield=pl.col("good") / pl.col("made"),
                yield_steps=pl.lit(1, pl.Int64),
                entered=pl.when("first").then("made").otherwise(0),
            )
        if set(columns) <= set(_WAITS):
            waits = self._alerts if self._alerts is not None else pl.DataFrame(schema=dict(WAITS))
            length = (pl.col("acknowledged") - pl.col("raised")).dt.total_microseconds()
            return (
                waits.lazy()
                .filter(pl.col("acknowledged").is_not_null())
                .select(
                    "equipment",
                    start="raised",
                    end="acknowledged",
                    wait=length,
                    acknowledged=pl.lit(1, pl.Int64),
                )
            )
        rows = with_classes(self._ledger.lazy(), self._plant).with_columns(
            a.alias(n) for n, a in AMOUNTS.items()
        )
        return rows.with_columns(element.amount.alias(name) for name, element in ELEMENTS.items())


_SHOWN = ("equipment", "start", "end", "step", "category", "reason", "order", "material", "good", "made")


def unit(expression: pl.Expr) -> str:
    """Of an amount of a `Formula`: us (microseconds), parts, count or 1."""
    return _unit_of(expression.meta.root_names())


def _unit_of(columns: Sequence[str]) -> str:
    if set(columns) & {"rolled_yield", "yield_steps"}:
        return "1"
    if set(columns) & {"failures", "repairs", "acknowledged"}:
        return "count"
    return "parts" if set(columns) & {*_PARTS, "entered"} else "us"
