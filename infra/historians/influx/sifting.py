"""Storing what can be stored of samples the server refuses as a whole, and finding those it cannot."""

import re
from collections import Counter
from collections.abc import Callable

import polars as pl

from infra.historians.influx.lines import META_SUFFIX, TEXT_SUFFIX, Batch, decoded
from infra.historians.influx.posting import RefusedError
from plant.frames import REFUSED, empty

PATIENCE, LEAST_PATIENCE = 32, 4
"""So many samples of a series are refused in a row, for one kind of reason, before its others are not tried.
The more series were given up for that kind, the fewer; one while nothing at all was stored."""

_CONFLICT = re.compile(r'input field "([^"]*)" on measurement|column type for column \'(.*?)\', expected')
_DROPPED = re.compile(r"dropped=(\d+)")
_PARTICULARS = re.compile(r"'.*'|\".*\"|\d+", re.DOTALL)
_SERIES = pl.col("equipment").cast(pl.UInt64) * 2**32 + pl.col("signal")


class Sieve:
    """Stores the batches of one write.

    A batch that is refused is halved until every refused sample is alone. Posting some of it again is
    harmless: equal keys overwrite. A line carries many signals, so signals are told apart before times.
    """

    def __init__(self, post: Callable[[Batch], None]) -> None:
        """`post` raises RefusedError; anything else it raises ends the sifting."""
        self._post = post
        self._refused: list[pl.DataFrame] = []
        self._conflicts: dict[str, str] = {}
        self._given_up: dict[int, str] = {}
        self._in_a_row: Counter[tuple[int, str]] = Counter()
        self._ends: Counter[str] = Counter()
        self.anything_stored = False

    def refused(self) -> pl.DataFrame:
        """`plant.frames.REFUSED` of all batches so far."""
        return pl.concat([empty(REFUSED), *self._refused])

    def store(self, batch: Batch) -> None:
        """Post it, in pieces if need be."""
        batch = self.untried(batch)
        if not len(batch):
            return
        try:
            self._post(batch)
        except RefusedError as refusal:
            self.sift(batch, refusal)
            return
        self.anything_stored = True
        if self._in_a_row:
            stored = set(batch.rows.select(_SERIES).to_series().unique())
            self._in_a_row = Counter({k: n for k, n in self._in_a_row.items() if k[0] not in stored})

    def untried(self, batch: Batch) -> Batch:
        """What is worth posting after what was learnt; the others are refused."""
        for field, reason in self._conflicts.items():
            batch = self._refuse(batch, _has(field, batch), pl.lit(reason))
        if self._given_up:
            hopeless = _SERIES.is_in(list(self._given_up))
            batch = self._refuse(batch, hopeless, _SERIES.replace_strict(self._given_up, default=None))
        return batch

    def sift(self, batch: Batch, refusal: RefusedError) -> None:
        """Store what can be stored of a batch the server refused."""
        rest = self._blamed(batch, refusal)
        if len(batch) == len(rest) == 1:
            self._refuse(batch, pl.lit(True), pl.lit(str(refusal)))
            self._count(batch, refusal)
            return
        if self._patience(refusal) == 1 and rest.rows.select(_SERIES.n_unique()).item() == 1:
            parts = [rest.part(rest.rows[:1]), rest.part(rest.rows[1:])]
        else:
            parts = _halves(rest, by_time=refusal.too_long or _of_retention(refusal))
        for part in parts:
            self.store(part)

    def _blamed(self, batch: Batch, refusal: RefusedError) -> Batch:
        """The batch without the samples the reason names."""
        for found in _CONFLICT.finditer(refusal.reason):
            field, reason = found[1] or found[2], pl.lit(str(refusal))
            before, batch = len(batch), self._refuse(batch, _has(field, batch), reason)
            if len(batch) < before:
                self._conflicts[field] = str(refusal)
        dropped = _DROPPED.search(refusal.reason)
        if _of_retention(refusal) and dropped and int(dropped[1]) == batch.lines():
            batch = self._refuse(batch, pl.lit(True), pl.lit(str(refusal)))
        return batch

    def _refuse(self, batch: Batch, which: pl.Expr, reason: pl.Expr) -> Batch:
        """Refuse some samples; the others."""
        chosen = batch.rows.with_columns(which.alias("refused"), reason.alias("problem"))
        bad = chosen.filter("refused")
        if bad.is_empty():
            return batch
        self._refused.append(batch.part(bad).samples().with_columns(bad["problem"]))
        return batch.part(chosen.filter(~pl.col("refused")).drop("refused", "problem"))

    def _count(self, batch: Batch, refusal: RefusedError) -> None:
        series, kind = batch.rows.select(_SERIES).item(), _kind(refusal)
        self._in_a_row[series, kind] += 1
        refused = self._in_a_row[series, kind]
        if refused >= self._patience(refusal):
            self._ends[kind] += 1
            self._given_up[series] = f"not tried, after {refused} in a row were refused: {refusal}"

    def _patience(self, refusal: RefusedError) -> int:
        least = LEAST_PATIENCE if self.anything_stored else 1
        return max(least, PATIENCE // (1 + self._ends[_kind(refusal)]))


def _kind(refusal: RefusedError) -> str:
    return _PARTICULARS.sub("", refusal.reason)


def _of_retention(refusal: RefusedError) -> bool:
    return "retention policy" in refusal.reason.lower()


def _has(field: str, batch: Batch) -> pl.Expr:
    """Whether the sample writes that field."""
    name, mark, kind = field.partition(":")
    of_signal = pl.col("signal") == pl.lit(batch.signals.index_of(decoded(name)), pl.UInt32)
    match mark + kind:
        case "":
            return of_signal.fill_null(False) & pl.col("value").is_not_null()
        case suffix if suffix == TEXT_SUFFIX:
            return of_signal.fill_null(False) & pl.col("text").is_not_null()
        case suffix if suffix == META_SUFFIX:
            return of_signal.fill_null(False)
    return pl.lit(False)


def _halves(batch: Batch, *, by_time: bool) -> list[Batch]:
    """Two parts that differ in one column; of a single sample, itself."""
    for column in ("time", "signal", "equipment") if by_time else ("signal", "equipment", "time"):
        values = batch.rows[column].unique().sort()
        if values.len() > 1:
            upper = pl.col(column) >= values[values.len() // 2]
            return [batch.part(batch.rows.filter(~upper)), batch.part(batch.rows.filter(upper))]
    return [batch]
