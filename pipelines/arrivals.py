"""What is new in a batch, found in a few passes over plain arrays.

Most samples are process values, and most others repeat the one before. The ledger's rules judge a sample by
its predecessors; one that repeats its predecessor, and soon, tells them nothing. So only those that differ go
on, each with its predecessor, and the rules themselves meet few rows.
"""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analytics.readings import READINGS, shortest
from plant.frames import BAD

Numbers = NDArray[Any]


class Arrivals:
    """Reads batches of the known series."""

    def __init__(self, known: pl.DataFrame) -> None:
        """`known`: `analytics.readings.SERIES`."""
        equipment, signals = (known[name].unique().sort() for name in ("equipment", "signal"))
        self._equipment, self._signals = pl.Enum(equipment), pl.Enum(signals)
        codes = [None] * (len(equipment) * len(signals))
        signal = known["signal"].cast(self._signals).to_physical()
        self._codes = pl.Series(codes, dtype=pl.UInt32).scatter(
            self._place(known["equipment"], signal), known["code"]
        )
        stale = shortest(known["stale"].to_list())
        self._stale = np.iinfo(np.int64).max if stale is None else stale // timedelta(microseconds=1)
        # Numpy sorts 16-bit numbers several times faster than longer ones.
        self._key = np.uint16 if known.height < 2**16 else np.uint32

    def readings(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Samples of known series as `READINGS`, but as they came: neither sorted nor unique."""
        rows, codes = self._find(samples)
        return _readings(samples, rows, codes)

    def join(self, work: pl.DataFrame, samples: pl.DataFrame) -> tuple[pl.DataFrame, int] | None:
        """Work (`READINGS`) and the samples after it, less what says nothing; and how many readings were new.

        None when a reading is older than one of its series in the work, or says something else of the same
        instant. Rows that are there only to be compared with are `carried`.
        """
        return self._join(work, samples, *self._find(samples))

    def _join(
        self, work: pl.DataFrame, samples: pl.DataFrame, rows: Numbers, codes: Numbers
    ) -> tuple[pl.DataFrame, int] | None:
        if not len(rows):
            return work, 0
        code = np.concatenate([work["code"].to_numpy(), codes])
        order = np.argsort(code.astype(self._key), kind="stable")
        code = code[order]
        time, value, quality = (
            np.concatenate([_array(work[name]), _array(samples[name])[rows]])[order]
            for name in ("time", "value", "quality")
        )
        none = np.isnan(value)  # null; a sample is never NaN
        same = code[1:] == code[:-1]
        like = same & ((value[1:] == value[:-1]) | (none[1:] & none[:-1])) & (quality[1:] == quality[:-1])
        if work["text"].null_count() < work.height or samples["text"].null_count() < samples.height:
            text = pl.concat([work["text"], samples["text"].gather(rows)]).gather(order)
            like &= text.eq_missing(text.shift()).to_numpy()[1:]
        step = np.diff(time)
        again = like & (step == 0)
        if again.any():
            once = np.ones(len(order), bool)
            once[order[1:][again]] = False
            once = once[work.height :]
            return self._join(work, samples, rows[once], codes[once])
        if (same & (step <= 0)).any():
            return None
        whole = (value >= 0) & (value == np.floor(value)) & (value < 2**53)
        tells = (quality < BAD) & ~none & ~whole  # no count: each such reading is flagged
        tells[0] = True
        tells[1:] |= ~like | (step > self._stale)
        kept = tells.copy()
        kept[:-1] |= tells[1:]
        kept[-1] = True
        places = order[kept]
        new = places >= work.height
        fresh = places[new] - work.height
        # The kept rows of both, and then where each of them belongs.
        found = pl.concat([work[places[~new]], _readings(samples, rows[fresh], codes[fresh])])
        back = np.empty(len(places), np.int64)
        back[np.concatenate([np.flatnonzero(~new), np.flatnonzero(new)])] = np.arange(len(places))
        found = found[back]
        return found.with_columns(found["carried"] | pl.Series(~tells[kept])), len(rows)

    def _find(self, samples: pl.DataFrame) -> tuple[Numbers, Numbers]:
        """Which rows are of a known series, and its code."""
        signal = samples["signal"].cast(self._signals, strict=False).to_physical()
        rows = signal.is_not_null().arg_true()
        codes = self._codes.gather(self._place(samples["equipment"].gather(rows), signal.gather(rows)))
        known = codes.is_not_null()
        if codes.null_count():
            rows, codes = rows.filter(known), codes.filter(known)
        return rows.to_numpy(), codes.to_numpy()

    def _place(self, equipment: pl.Series, signal: pl.Series) -> pl.Series:
        """Where the code of a series stands, from its machine and the number of its signal."""
        machine = equipment.cast(self._equipment, strict=False).to_physical()
        return machine.cast(pl.UInt32) * len(self._signals.categories) + signal


def _array(column: pl.Series) -> Numbers:
    """The numbers of a column; null as NaN."""
    return column.to_physical().to_numpy()


def _readings(samples: pl.DataFrame, rows: Numbers, codes: Numbers) -> pl.DataFrame:
    found = samples.select(list(READINGS)[1:-1])[rows]
    return found.select(pl.Series("code", codes, pl.UInt32), *list(READINGS)[1:-1], carried=pl.lit(False))
