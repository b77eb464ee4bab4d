"""Rows derived so far, in two parts: those of a while ago, which are only asked for when something old is, and the
recent ones, from which the present follows."""

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

_PIECES = 64
_EVER = datetime(1, 1, 1, tzinfo=UTC)


class Kept:
    """Rows with `code` (of a series) and `time`, in any order.

    With a `label`, a row says that from its time on the series has that label: the row since which it has
    held counts as recent, however old it is.
    """

    def __init__(
        self, schema: Mapping[str, pl.DataType | type[pl.DataType]], label: str | None = None
    ) -> None:
        self._label = label
        self._past: list[pl.DataFrame] = []
        self._recent = pl.DataFrame(schema=dict(schema))
        self._retired: datetime | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows."""
        if not rows.is_empty():
            both = pl.concat([self._recent, rows])
            # In few enough pieces that later passes stay fast.
            self._recent = both.rechunk() if both.n_chunks() > _PIECES else both

    def all(self) -> pl.DataFrame:
        """Every row."""
        return pl.concat([*self._past, self._recent])

    def since(self, starts: pl.DataFrame) -> pl.DataFrame:
        """At least the rows that say something of time from a series' start on; none of other series
        (`starts`: code, start)."""
        pieces = [self._of(self._recent, starts)]
        if self._retired is not None:
            older = starts.filter(pl.col("start") <= self._retired)
            if not older.is_empty():
                pieces += [self._of(piece, older) for piece in self._past]
        return pl.concat(pieces)

    def _of(self, rows: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
        if self._label is not None:
            return rows.join(starts, on="code", how="semi")
        if starts.is_empty():
            return rows.clear()
        oldest = starts["start"].min()
        newer = rows.filter(pl.col("time") >= oldest).join(starts, on="code", maintain_order="left")
        return newer.filter(pl.col("time") >= pl.col("start")).select(rows.columns)

    def retire(self, before: datetime) -> None:
        """Count rows older than that as past."""
        if self._retired is not None and before <= self._retired:
            return
        old, self._recent = self._split(self._recent, before)
        if not old.is_empty():
            self._past.append(old)
        self._retired = before

    def cut(self, starts: pl.DataFrame) -> None:
        """Drop rows of these series newer than `last` (`pipelines.carry.REACHED`; null: all of them)."""
        retired = self._retired
        if retired is not None and starts.select((pl.col("last").fill_null(_EVER) < retired).any()).item():
            self._recent, self._past, self._retired = self.all(), [], None
        back = starts.select("code", "last", back=pl.lit(True))
        keep = pl.col("back").is_null() | (pl.col("time") <= pl.col("last"))
        self._recent = self._recent.join(back, on="code", how="left").filter(keep).drop("back", "last")
        # What comes in its place is not there yet, so it is retired again only when the time comes.

    def forget(self, before: datetime) -> None:
        """Drop rows older than that."""
        retired, self._retired = self._retired, None
        self._recent, self._past = self._split(self.all(), before)[1], []
        if retired is not None:
            self.retire(retired)

    def _split(self, rows: pl.DataFrame, before: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows older than that, and the others."""
        if self._label is None:
            newer = rows.select(pl.col("time") >= before).to_series()
            return rows.filter(~newer), rows.filter(newer)
        label = pl.col(self._label)
        rows = rows.sort("code", "time")
        begun = (pl.col("code") != pl.col("code").shift()) | label.ne_missing(label.shift())
        held = rows.filter(begun.fill_null(True), pl.col("time") <= before)
        held = held.group_by("code").agg(held=pl.col("time").max())
        rows = rows.join(held, on="code", how="left", maintain_order="left").with_columns(
            newer=pl.col("held").is_null() | (pl.col("time") >= pl.col("held"))
        )
        return (
            rows.filter(~pl.col("newer")).drop("held", "newer"),
            rows.filter("newer").drop("held", "newer"),
        )
