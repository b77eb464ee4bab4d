"""What is new in a batch, found in a few passes over plain arrays.

Most samples are process values, and most others repeat the one before. The ledger's rules judge a sample by
its predecessors; one that repeats its predecessor, and soon, tells them nothing. So only those that differ go
on, each with its predecessor, and the rules themselves meet few rows. Of what came before, the newest sample of
each series is all that a batch is compared with: what that costs does not grow with what waits to be derived from.

Queries are avoided here: what one takes to be planned and handed to the threads is more than the work itself.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from analytics.facts.outcomes import Outcomes
from analytics.facts.readings import READINGS, shortest
from pipelines.names import Names, Numbers
from plant.frames import BAD
from plant.model import CycleKind

_NEVER, _NOTHING = -(1 << 62), 255
"""Time and quality of the newest sample of a series that has none."""


class Arrivals:
    """Reads batches of the known series, and remembers the newest sample of each."""

    def __init__(self, known: pl.DataFrame, others: Collection[tuple[str, str]] = ()) -> None:
        """`known`: `analytics.facts.readings.SERIES`. `others`: equipment and signal of samples to pass over."""
        self._names = Names(list(known.select("equipment", "signal").iter_rows()), others)
        stale = shortest(known["stale"].to_list())
        self._stale = np.iinfo(np.int64).max if stale is None else stale // timedelta(microseconds=1)
        self._tested, self._outcomes = known["tests"].null_count() < known.height, Outcomes(known)
        timed = known["cycle"] == CycleKind.TIME.value
        self._timed = timed.fill_null(False).to_numpy() if timed.any() else None
        """By code: of cycle times every sample tells something."""
        # Numpy sorts 16-bit numbers several times faster than longer ones.
        self._key = np.uint16 if known.height < 2**16 else np.uint32
        self._newest = _Columns(
            np.full(known.height, _NEVER),
            np.full(known.height, np.nan),
            np.full(known.height, _NOTHING, np.uint8),
            np.zeros(known.height, bool),
        )
        self._texts = pl.Series([None] * known.height, dtype=pl.String)

    def readings(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Samples of known series as `READINGS`, but as they came: neither sorted nor unique."""
        rows, codes = self._names.find(samples)
        carried = np.zeros(len(rows), bool)
        return self._outcomes.of(_readings(samples, rows, codes, carried))

    def resume(self, carried: pl.DataFrame) -> None:
        """These `READINGS`, in order, are what was taken: the newest of each series is the last here."""
        code = carried["code"].to_numpy()
        last = np.flatnonzero(np.append(code[1:] != code[:-1], True)[: len(code)])
        self._newest.time.fill(_NEVER)
        self._newest.quality.fill(_NOTHING)
        self._remember(code[last], _columns(carried).at(last), carried["text"][last])

    def take(self, samples: pl.DataFrame) -> tuple[pl.DataFrame, int] | None:
        """What the samples say that is new (`READINGS`), and how many of them there were.

        That are those unlike the one before, each behind that one if it is among the samples, and the last of each
        series. Those that are there only to be compared with are `carried`. None, and nothing taken, when one is older
        than the newest of its series, or says something else of the same instant.
        """
        rows, codes = self._names.find(samples)
        if self._tested and len(rows):
            samples = self._outcomes.of(_readings(samples, rows, codes, np.zeros(len(rows), bool)))
            rows = np.arange(len(rows))
        return self._take(samples, rows, codes)

    def _take(self, samples: pl.DataFrame, rows: Numbers, codes: Numbers) -> tuple[pl.DataFrame, int] | None:
        order = np.argsort(codes.astype(self._key), kind="stable")
        code, rows = codes[order], rows[order]
        begins = np.ones(len(code), bool)
        begins[1:] = code[1:] != code[:-1]
        first = np.flatnonzero(begins)
        now = _columns(samples).at(rows)
        before = _Columns(
            *(
                _before(column, first, newest[code[first]])
                for column, newest in zip(now, self._newest, strict=True)
            )
        )
        none = np.isnan(now.value)
        like = ((now.value == before.value) | (none & np.isnan(before.value))) & (
            now.quality == before.quality
        )
        like &= now.worded == before.worded
        worded = np.flatnonzero(like & now.worded)
        if len(worded):
            texts = pl.concat([samples["text"], self._texts])
            place = np.where(begins[worded], samples.height + code[worded], rows[worded - 1])
            like[worded] = (texts[rows[worded]] == texts[place]).to_numpy()
        step = now.time - before.time
        again = like & (step == 0)
        if again.any():
            return self._take(samples, rows[~again], code[~again])
        if (step <= 0).any():
            return None
        whole = (now.value >= 0) & (now.value == np.floor(now.value)) & (now.value < 2**53)
        tells = (now.quality < BAD) & ~none & ~whole  # no count: each such reading is flagged
        tells |= ~like | (step > self._stale)
        if self._timed is not None:
            tells |= self._timed[code]
        last = np.append(first[1:], len(code))[: len(first)] - 1
        kept = tells.copy()
        kept[:-1] |= tells[1:] & ~begins[1:]
        kept[last] = True
        self._remember(code[last], now.at(last), samples["text"][rows[last]])
        return _readings(samples, rows[kept], code[kept], ~tells[kept]), len(rows)

    def _remember(self, codes: Numbers, columns: "_Columns", texts: pl.Series) -> None:
        for newest, column in zip(self._newest, columns, strict=True):
            newest[codes] = column
        if columns.worded.any():
            self._texts = self._texts.scatter(codes, texts)


class _Columns(NamedTuple):
    """What samples are compared by."""

    time: Numbers
    """Microseconds."""
    value: Numbers
    """NaN where there is none: a sample is never NaN."""
    quality: Numbers
    worded: Numbers
    """Whether there is a text."""

    def at(self, rows: Numbers) -> "_Columns":
        return _Columns(*(column[rows] for column in self))


def _columns(rows: pl.DataFrame) -> _Columns:
    text = rows["text"]
    none = text.null_count() == text.len()
    return _Columns(
        rows["time"].to_numpy().view(np.int64),
        rows["value"].to_numpy(),
        rows["quality"].to_numpy(),
        np.zeros(text.len(), bool) if none else text.is_not_null().to_numpy(),
    )


def _before(column: Numbers, first: Numbers, newest: Numbers) -> Numbers:
    """What stood before each row: of the first of a series what was the newest of it."""
    before = np.empty_like(column)
    before[1:] = column[:-1]
    before[first] = newest
    return before


def _readings(samples: pl.DataFrame, rows: Numbers, codes: Numbers, carried: Numbers) -> pl.DataFrame:
    found = samples[rows]
    columns = {"code": pl.Series(codes, dtype=pl.UInt32), "carried": pl.Series(carried)}
    return pl.DataFrame({name: columns[name] if name in columns else found[name] for name in READINGS})


def by_series(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """`READINGS` in order, of pieces that are each in order and of which none has anything older than those before it."""
    rows = pl.concat(pieces)
    return rows[np.argsort(rows["code"].to_numpy(), kind="stable")]
