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

from analytics.facts.outcomes import outcomes
from analytics.facts.readings import READINGS, shortest
from plant.frames import BAD
from plant.model import CycleKind

Numbers = NDArray[Any]


class Arrivals:
    """Reads batches of the known series."""

    def __init__(self, known: pl.DataFrame) -> None:
        """`known`: `analytics.facts.readings.SERIES`."""
        equipment, signals = (known[name].unique().sort() for name in ("equipment", "signal"))
        self._equipment, self._signals = pl.Enum(equipment), pl.Enum(signals)
        self._codes = np.full((len(equipment) + 1, len(signals)), -1)
        """By machine and signal; -1: not known, which the last row is for unknown machines."""
        places = (
            _places(known[n], kind) for n, kind in (("equipment", self._equipment), ("signal", self._signals))
        )
        self._codes[*places] = known["code"].to_numpy()
        stale = shortest(known["stale"].to_list())
        self._stale = np.iinfo(np.int64).max if stale is None else stale // timedelta(microseconds=1)
        # Numpy sorts 16-bit numbers several times faster than longer ones.
        self._known, self._tested = known, known["tests"].null_count() < known.height
        timed = known["cycle"] == CycleKind.TIME.value
        self._timed = timed.fill_null(False).to_numpy() if timed.any() else None
        """By code: of cycle times every sample tells something."""
        self._key = np.uint16 if known.height < 2**16 else np.uint32

    def readings(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Samples of known series as `READINGS`, but as they came: neither sorted nor unique."""
        rows, codes = self._find(samples)
        return outcomes(_readings(samples, rows, codes), self._known)

    def join(self, work: pl.DataFrame, samples: pl.DataFrame) -> tuple[pl.DataFrame, int] | None:
        """Work (`READINGS`) and the samples after it, less what says nothing; and how many readings were new.

        None when a reading is older than one of its series in the work, or says something else of the same
        instant. Rows that are there only to be compared with are `carried`.
        """
        rows, codes = self._find(samples)
        if self._tested and len(rows):
            samples = outcomes(_readings(samples, rows, codes), self._known)
            rows = np.arange(len(rows))
        return self._join(work, samples, rows, codes)

    def _join(
        self, work: pl.DataFrame, samples: pl.DataFrame, rows: Numbers, codes: Numbers
    ) -> tuple[pl.DataFrame, int] | None:
        if not len(rows):
            return work, 0
        code = np.concatenate([work["code"].to_numpy(), codes])
        order = np.argsort(code.astype(self._key), kind="stable")
        code = code[order]
        time, value, quality, has_text = (
            np.concatenate([of(work), of(samples)[rows]])[order]
            for of in (_times, _values, _quality, _has_text)
        )
        none = np.isnan(value)
        same = code[1:] == code[:-1]
        like = same & ((value[1:] == value[:-1]) | (none[1:] & none[:-1])) & (quality[1:] == quality[:-1])
        like &= has_text[1:] == has_text[:-1]
        worded = np.flatnonzero(like & has_text[1:])
        if len(worded):
            text = pl.concat([work["text"], samples["text"].gather(rows)])
            like[worded] = (text.gather(order[worded]) == text.gather(order[worded + 1])).to_numpy()
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
        if self._timed is not None:
            tells |= self._timed[code]
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
        carried = found["carried"].to_numpy() | ~tells[kept]
        return found.replace_column(found.get_column_index("carried"), pl.Series("carried", carried)), len(
            rows
        )

    def _find(self, samples: pl.DataFrame) -> tuple[Numbers, Numbers]:
        """Which rows are of a known series, and its code."""
        signal = _places(samples["signal"], self._signals)
        rows = np.flatnonzero(signal >= 0)
        codes = self._codes[_places(samples["equipment"].gather(rows), self._equipment), signal[rows]]
        known = codes >= 0
        return rows[known], codes[known]


def _places(names: pl.Series, among: pl.Enum) -> Numbers:
    """The number of each name; -1 where it is none of them."""
    number = pl.col(names.name).cast(among, strict=False).to_physical().cast(pl.Int64)
    return names.to_frame().select(number.fill_null(-1)).to_series().to_numpy()


def _times(rows: pl.DataFrame) -> Numbers:
    """Microseconds."""
    return rows["time"].to_numpy().view(np.int64)


def _values(rows: pl.DataFrame) -> Numbers:
    """Numbers; NaN where there is none: a sample is never NaN."""
    return rows["value"].to_numpy()


def _quality(rows: pl.DataFrame) -> Numbers:
    return rows["quality"].to_numpy()


def _has_text(rows: pl.DataFrame) -> Numbers:
    text = rows["text"]
    none = text.null_count() == text.len()
    return np.zeros(text.len(), bool) if none else text.is_not_null().to_numpy()


def _readings(samples: pl.DataFrame, rows: Numbers, codes: Numbers) -> pl.DataFrame:
    found = samples[rows]
    columns = {"code": pl.Series(codes, dtype=pl.UInt32), "carried": pl.repeat(False, len(rows), eager=True)}
    return pl.DataFrame({name: columns[name] if name in columns else found[name] for name in READINGS})
