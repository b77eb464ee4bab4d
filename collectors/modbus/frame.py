"""From the values of a poll to `plant.frames.SAMPLES`, in columns. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collectors.samples import TEXT_ROLES
from plant.frames import BAD, GOOD, TIME
from plant.model import Signal

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class Columns:
    """What is the same in every poll: whose values they are. `order`: which signal each value is of; numbers beyond the
    last signal are none's."""

    def __init__(self, signals: Sequence[Signal], order: NDArray[np.intp]) -> None:
        self._keep = np.flatnonzero(order < len(signals))
        indices = [int(index) for index in order[self._keep]]
        self.indices = frozenset(indices)
        """Of the signals there are samples of."""
        its = [signals[index] for index in indices]
        self._equipment = pl.Series("equipment", [s.equipment for s in its], dtype=pl.String)
        self._signal = pl.Series("signal", [s.id for s in its], dtype=pl.String)
        self._scale = np.array([s.scale for s in its], dtype=np.float64)
        self._offset = np.array([s.offset for s in its], dtype=np.float64)
        self._as_text = np.array([s.role in TEXT_ROLES for s in its], dtype=bool)
        self._no_texts = pl.Series("text", [None] * len(its), dtype=pl.String)
        self._row = {int(position): row for row, position in enumerate(self._keep)}

    def samples(
        self, numbers: NDArray[np.float64], texts: Mapping[int, str], time: datetime, received: datetime
    ) -> pl.DataFrame:
        """SAMPLES of one moment. `numbers` as read (NaN: none), `texts` by position.

        A number is scaled to the signal's unit; one that is not finite, before or after, is no value and BAD. Signals
        that are texts have no number.
        """
        with np.errstate(all="ignore"):
            values = numbers[self._keep] * self._scale + self._offset
        none = ~np.isfinite(values) | self._as_text
        values[none] = np.nan
        quality = np.where(none, BAD, GOOD).astype(np.uint8)
        text = self._no_texts
        if texts:
            all_texts: list[str | None] = [None] * len(values)
            for position, word in texts.items():
                row = self._row[position]
                all_texts[row], quality[row] = word, GOOD
            text = pl.Series("text", all_texts, dtype=pl.String)
        return pl.DataFrame(
            [
                _moments("time", time, len(values)),
                self._equipment,
                self._signal,
                pl.Series("value", values, nan_to_null=True),
                text,
                pl.Series("quality", quality),
                _moments("received", received, len(values)),
            ]
        )


def _moments(name: str, moment: datetime, count: int) -> pl.Series:
    """The same time over and over; an expression would cost more than all values of a poll."""
    return pl.Series(name, np.full(count, (moment - EPOCH) // MICROSECOND)).cast(TIME)
