"""What must be remembered of samples already derived from, so that the next ones can be judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from analytics.facts.counters import COUNT_READ
from analytics.facts.readings import HAS_VALUE, READINGS
from plant.frames import TIME, empty
from plant.model import COUNTER_ROLES


def carry(readings: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The rows of each series the next sample is compared with: the last one, and the last usable one."""
    counter = known["role"].is_in([r.value for r in COUNTER_ROLES]).gather(readings["code"])
    usable = pl.when(counter).then(COUNT_READ).otherwise(HAS_VALUE)
    rows = readings.select("code", usable.alias("usable")).with_row_index("row")
    newest = (pl.col("code") != pl.col("code").shift(-1)).fill_null(True)
    keep = pl.concat([part.filter(newest)["row"] for part in (rows, rows.filter("usable"))]).unique().sort()
    return readings[keep].with_columns(carried=pl.lit(True))


def last(carried: pl.DataFrame) -> pl.DataFrame:
    """`REACHED` by these rows."""
    return carried.group_by("code").agg(last=pl.col("time").max())


REACHED: Mapping[str, pl.DataType | type[pl.DataType]] = {"code": pl.UInt32, "last": TIME}
"""Time of the newest sample of each series."""


@dataclass(frozen=True, slots=True)
class Rewind:
    """Where late series go back to."""

    base: pl.DataFrame
    """`READINGS` carried at that point. A late series without any goes back to the beginning."""
    start: pl.DataFrame
    """`REACHED`: derive again what is newer than `last` (null: everything)."""


class Checkpoints:
    """Carried rows as they were now and then, oldest first. Frames are immutable: each is its rows only."""

    def __init__(self) -> None:
        self._kept: list[pl.DataFrame] = [empty(READINGS)]

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, carried: pl.DataFrame) -> None:
        """Remember this point."""
        self._kept.append(carried)

    def floor(self) -> pl.DataFrame:
        """`REACHED`: samples up to `last` cannot be gone back to."""
        return last(self._kept[0])

    def rewind(self, late: pl.DataFrame) -> Rewind:
        """The newest point before the earliest late sample of each series (`late`: code, earliest).

        No sample may be older than the `floor`.
        """
        bases, starts = [empty(READINGS)], [empty(REACHED)]
        for kept in reversed(self._kept):
            if late.is_empty():
                break
            judged = late.join(last(kept), on="code", how="left")
            fits = pl.col("last").is_null() | (pl.col("last") < pl.col("earliest"))
            found = judged.filter(fits)
            bases.append(kept.join(found, on="code", how="semi"))
            starts.append(found.select("code", "last"))
            late = judged.filter(~fits).select("code", "earliest")
        return Rewind(pl.concat(bases), pl.concat(starts))

    def rewound(self, rewind: Rewind) -> None:
        """Points newer than where series went back to no longer hold for them: they get the older rows."""
        for index, kept in enumerate(self._kept):
            newer = (
                last(kept)
                .join(rewind.start, on="code", suffix="_base")
                .filter(pl.col("last_base").is_null() | (pl.col("last") > pl.col("last_base")))
                .select("code")
            )
            if not newer.is_empty():
                base = rewind.base.join(newer, on="code", how="semi")
                self._kept[index] = pl.concat([kept.join(newer, on="code", how="anti"), base])

    def forget(self, before: datetime) -> None:
        """Drop points that are older than the newest one that lies wholly before that time."""
        whole = [kept.select((pl.col("time") <= pl.lit(before, TIME)).all()).item() for kept in self._kept]
        if any(whole):
            del self._kept[: max(index for index, fits in enumerate(whole) if fits)]
