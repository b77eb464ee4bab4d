"""Which series a segment folder holds, and on which days: `last` looks only where there is something."""

import fcntl
import io
import threading
from collections.abc import Iterable
from datetime import date

import polars as pl

from infra.historians.segments import Folder

SCHEMA = {"equipment": pl.String, "signal": pl.String, "first": pl.Date, "last": pl.Date}
_NAME = "series.parquet"


class Catalogue:
    """`ROOT/series.parquet`: (equipment, signal, first day, last day).

    Written before the samples it announces, so it always covers what is stored; it may cover more
    (expired days, a writer killed in between), which costs a look and nothing else.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._path = folder.root / _NAME
        self._known: dict[tuple[str, str], tuple[date, date]] = {}
        self._lock = threading.Lock()

    def announce(self, series: Iterable[tuple[str, str]], day: date) -> None:
        """Record durably that these series will have samples on that day. Cheap when nothing is new.

        Raises OSError.
        """
        with self._lock:
            new = [key for key in series if not self._covers(key, day)]
            if not new:
                return
            with self._path.with_name(".series-lock").open("wb") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                added = pl.DataFrame([(*key, day, day) for key in new], schema=SCHEMA, orient="row")
                merged = _merged(pl.concat([self.read(), added]))
                buffer = io.BytesIO()
                merged.write_parquet(buffer)
                self._folder.replace(_NAME, buffer.getbuffer())
            self._known = {(e, s): (first, last) for e, s, first, last in merged.iter_rows()}

    def _covers(self, key: tuple[str, str], day: date) -> bool:
        known = self._known.get(key)
        return known is not None and known[0] <= day <= known[1]

    def read(self) -> pl.DataFrame:
        """All series with their first and last day. Rebuilt from the segments when the file is gone."""
        try:
            return pl.read_parquet(self._path, glob=False, schema=SCHEMA)
        except FileNotFoundError:
            if not self._folder.days():
                return pl.DataFrame(schema=SCHEMA)
        except (pl.exceptions.PolarsError, OSError):
            pass
        return self._rebuilt()

    def _rebuilt(self) -> pl.DataFrame:
        frames = [pl.DataFrame(schema=SCHEMA)]
        for segment in self._folder.list():
            day = date.fromisoformat(segment.path.parent.name)
            series = pl.scan_parquet(segment.path, glob=False).select("equipment", "signal").unique()
            try:
                frames.append(series.with_columns(first=pl.lit(day), last=pl.lit(day)).collect())
            except FileNotFoundError:  # merged since it was listed
                return self._rebuilt()
            except pl.exceptions.PolarsError:  # damaged: whoever reads its samples says so
                continue
        return _merged(pl.concat(frames))


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    return (
        rows.group_by("equipment", "signal")
        .agg(pl.col("first").min(), pl.col("last").max())
        .sort("equipment", "signal")
    )
