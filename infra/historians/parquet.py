"""The default historian: a folder of Parquet segments, one file per write, merged later."""

import errno
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import TypeVar

import polars as pl

from infra.historians.catalogue import Catalogue
from infra.historians.layout import SampleFile
from infra.historians.samples import SERIES, checked, chosen, microseconds, moment, newest, unique
from infra.historians.segments import Folder, Segment, day_of, day_start
from infra.historians.trends import thinned
from pipelines.ports import HistorianError, HistorianHealth
from plant.frames import REFUSED, SAMPLES, Window, empty

T = TypeVar("T")

MERGED_ROWS = 4_000_000
"""A merged file of about this many rows is finished and not touched again: bounds the memory of `compact`."""
BATCH_ROWS = 500_000
"""About the rows of one frame of `read_batches`."""
_LOW_SPACE = 500_000_000
_NEWS = timedelta(days=1)
_LOOK_BACK = (timedelta(minutes=5), timedelta(hours=2), timedelta(days=1))
_SHORTEST = 1_000
_RETRIES = 20


class ParquetHistorian:
    """Implements `pipelines.ports.Historian` on a local folder.

    Any number of processes may write and read it at once. Acknowledged means file and folder are fsynced. A
    batch that spans UTC days is one file per day; killed in between, the days written are kept and the
    repeated write changes nothing. Raises HistorianError when the folder cannot be used, ValueError for a
    frame that is not `SAMPLES`.
    """

    def __init__(self, root: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = Folder(root)
        self._catalogue = Catalogue(self._folder)
        self._clock = clock
        self._explained(self._folder.prepare)

    def write(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See the port: durable when it returns."""
        rows = unique(checked(samples))
        if not rows.is_empty():
            self._explained(partial(self._append, rows))
        return empty(REFUSED)

    def _append(self, rows: pl.DataFrame) -> None:
        first, last = _span(rows)
        if day_of(first) != day_of(last):
            for _, day in rows.group_by(pl.col("time").dt.date(), maintain_order=True):
                self._append(day)
            return
        self._catalogue.announce(_series(rows).iter_rows(), day_of(first))
        self._folder.publish(_encoded(rows), first, last, rows.height)

    def read(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """See the port. Opens only files whose name overlaps the window, row groups whose statistics do."""
        rows = chosen(window, equipment, signals)
        return self._collected(lambda: self._folder.list(window), rows)

    def read_batches(
        self, window: Window, equipment: Sequence[str] | None = None, signals: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """See the port: time slices, oldest first, of about BATCH_ROWS rows."""
        for day in self._explained(self._folder.days):
            start = max(microseconds(window.start), day_start(day))
            end = min(microseconds(window.end), day_start(day + timedelta(days=1)))
            if start >= end:
                continue
            segments = self._explained(partial(self._folder.list, days=[day]))
            there = _rows_in(start, end, segments)
            wanted = there
            if there > BATCH_ROWS and not (equipment is None and signals is None):
                wanted = self._count(Window(moment(start), moment(end)), equipment, signals)
            for piece in _halved(start, end, segments, BATCH_ROWS * there / max(wanted, 1)):
                rows = self.read(piece, equipment, signals)
                if not rows.is_empty():
                    yield rows

    def _count(self, window: Window, equipment: Sequence[str] | None, signals: Sequence[str] | None) -> int:
        rows = chosen(window, equipment, signals)
        answer, _ = self._asked(lambda: self._folder.list(window), lambda s: s.filter(rows).select(pl.len()))
        return int(answer.item())

    def last(self, before: datetime, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        """See the port. Walks back the days, and inside a day, and reads only the series still missing."""
        missing = self._explained(self._catalogue.read)
        if equipment is not None:
            missing = missing.filter(pl.col("equipment").is_in(list(equipment)))
        newest_day = day_of(microseconds(before) - 1)
        found = [empty(SAMPLES)]
        for day in reversed(self._explained(self._folder.days)):
            if missing.is_empty():
                break
            if day > newest_day:
                continue
            wanted = missing.filter((pl.col("first") <= day) & (pl.col("last") >= day))
            for rows in self._back(day, before, wanted):
                found.append(rows)
                missing = missing.join(rows, on=SERIES, how="anti")
        return pl.concat(found).sort(SERIES)

    def _back(self, day: date, before: datetime, wanted: pl.DataFrame) -> Iterator[pl.DataFrame]:
        start = moment(day_start(day))
        end = min(before.astimezone(UTC), start + timedelta(days=1))
        latest = end
        for back in _LOOK_BACK:
            if wanted.is_empty() or latest <= start:
                return
            window = Window(max(start, end - back), latest)
            latest = window.start
            rows = self.read(
                window, wanted["equipment"].unique().to_list(), wanted["signal"].unique().to_list()
            )
            rows = newest(rows.join(wanted, on=SERIES, how="semi", maintain_order="left"))
            wanted = wanted.join(rows, on=SERIES, how="anti")
            yield rows

    def trend(
        self,
        window: Window,
        every: timedelta,
        equipment: Sequence[str] | None = None,
        signals: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """See the port."""
        return thinned(self.read_batches(window, equipment, signals), every)

    def compact(self) -> None:
        """See the port: merges the small files of each day; sets damaged ones aside."""
        with self._explained(lambda: self._folder.housekeeping(wait=False)) as mine:
            if not mine:
                return
            self._explained(self._folder.sweep)
            for day in self._explained(self._folder.days):
                for group in _groups(self._explained(partial(self._folder.list, days=[day]))):
                    self._merge(group)

    def _merge(self, group: Sequence[Segment]) -> None:
        frames = {segment: rows for segment in group if (rows := self._sound(segment)) is not None}
        if len(frames) < 2:
            return
        rows = unique(pl.concat(frames.values()))
        publish = partial(
            self._folder.publish, _laid_out(rows), *_span(rows), rows.height, replaces=list(frames)
        )
        self._explained(publish)

    def expire(self, before: datetime) -> None:
        """See the port: days that ended at or before that time, in UTC."""
        with self._explained(lambda: self._folder.housekeeping(wait=True)):
            for day in self._explained(self._folder.days):
                if day < before.astimezone(UTC).date():
                    self._explained(partial(self._folder.expire, day))

    def health(self) -> HistorianHealth:
        """Whether the folder can be written and has room, and for a day whether files were damaged."""
        root = self._folder.root
        try:
            self._folder.replace(".probe", b"")
            free = disk_usage(root).free
            days = len(self._folder.days())
            missing = self._folder.missing()
        except OSError as error:
            return HistorianHealth(ok=False, detail=_advice(error, root))
        if free < _LOW_SPACE:
            return HistorianHealth(
                ok=False, detail=f"only {free // 1_000_000} MB free on the disk of {root}: make room"
            )
        detail = f"{root}: {days} days, {free // 1_000_000_000} GB free"
        if missing:
            rows = sum(one.rows for one in missing)
            detail += (
                f"; {len(missing)} damaged file(s) with {rows} samples set aside in {self._folder.damaged},"
            )
            detail += (
                f" such as {missing[-1].path.name}: `lineside doctor` lists what is missing and what to do"
            )
        # A lamp that is always red would hide the next fault.
        news = any(self._clock() - one.found < _NEWS for one in missing)
        return HistorianHealth(ok=not news, detail=detail)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _collected(self, listed: Callable[[], list[Segment]], rows: pl.Expr) -> pl.DataFrame:
        frame, files = self._asked(listed, lambda scan: scan.filter(rows))
        # Each file is sorted and unique in itself.
        return unique(frame) if files > 1 else frame

    def _asked(
        self, listed: Callable[[], list[Segment]], question: Callable[[pl.LazyFrame], pl.LazyFrame]
    ) -> tuple[pl.DataFrame, int]:
        """The answer of the files listed, and how many they are."""
        for _ in range(_RETRIES):
            segments = self._explained(listed)
            if not segments:
                return question(empty(SAMPLES).lazy()).collect(), 0
            try:
                return question(_scanned([s.path for s in segments])).collect(), len(segments)
            except FileNotFoundError:
                continue  # merged or expired since it was listed
            except OSError as error:
                raise HistorianError(_advice(error, self._folder.root)) from error
            except pl.exceptions.PolarsError as error:
                self._report_damage(segments, error)
                continue
        raise HistorianError(
            f"files of {self._folder.root} change faster than they can be read: is one merging in a loop?"
        )

    def _report_damage(self, segments: Sequence[Segment], error: pl.exceptions.PolarsError) -> None:
        for segment in segments:
            self._sound(segment)
        damaged = [segment.path.name for segment in segments if self._folder.aside(segment).exists()]
        if damaged:
            raise HistorianError(
                f"damaged file(s) {', '.join(damaged)}: set aside in {self._folder.damaged} with a report of"
                " what is missing; restore them from a backup, or read again without them"
            ) from error

    def _sound(self, segment: Segment) -> pl.DataFrame | None:
        """The rows of a file; None when it is gone, or was damaged and has been set aside."""
        try:
            return checked(_scanned([segment.path]).collect())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HistorianError(_advice(error, self._folder.root)) from error
        except (pl.exceptions.PolarsError, ValueError) as error:
            why = str(error).splitlines()[0]
            self._explained(partial(self._folder.set_aside, segment, why, self._clock()))
            return None

    def _explained(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise HistorianError(_advice(error, self._folder.root)) from error


def _advice(error: OSError, root: Path) -> str:
    match errno.EACCES if isinstance(error, PermissionError) else error.errno:  # polars sets no errno
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            fix = "the disk is full: make room or shorten the retention; it goes on by itself"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            fix = "this user may not write there, or not read: give it the folder or set another one"
        case errno.ENOTDIR | errno.EEXIST:
            fix = "there is a file where the folder should be: move it or set another folder"
        case errno.ENOENT:
            fix = "it is gone: mount its disk or restore it, then start again"
        case _:
            fix = "check the disk"
    name = error.filename2 or error.filename
    named = f" ({name})" if name else ""
    return f"historian folder {root}: {error.strerror or error}{named}; {fix}"


def _scanned(paths: list[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(paths, glob=False, schema=dict(SAMPLES), extra_columns="ignore")


def _encoded(rows: pl.DataFrame) -> memoryview:
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getbuffer()


def _laid_out(rows: pl.DataFrame) -> memoryview:
    buffer = io.BytesIO()
    with SampleFile(buffer) as file:
        file.append(rows)
    return buffer.getbuffer()


def _span(rows: pl.DataFrame) -> tuple[int, int]:
    times = rows["time"].to_physical()
    return int(times.min()), int(times.max())  # type: ignore[arg-type]


def _series(ordered: pl.DataFrame) -> pl.DataFrame:
    """The series of rows `unique` has sorted."""
    runs = pl.struct(SERIES).rle().struct.field("value")
    return ordered.select(runs.struct.unnest())


def _groups(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Unfinished files to merge with each other: in the order written, up to MERGED_ROWS together."""
    groups: list[list[Segment]] = [[]]
    rows = 0
    for segment in segments:
        if segment.rows >= MERGED_ROWS // 2:
            continue
        if rows + segment.rows > MERGED_ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(segment)
        rows += segment.rows
    return [group for group in groups if len(group) > 1]


def _rows_in(start: int, end: int, segments: Sequence[Segment]) -> float:
    """About how many rows lie in [start, end), judged by the file names."""
    return sum(
        s.rows * (min(end, s.last + 1) - max(start, s.first)) / (s.last + 1 - s.first)
        for s in segments
        if s.overlaps(start, end)
    )


def _halved(start: int, end: int, segments: Sequence[Segment], most: float) -> Iterator[Window]:
    """Cut [start, end) in halves until each has about `most` rows or fewer; those without any are left out."""
    inside = [s for s in segments if s.overlaps(start, end)]
    if _rows_in(start, end, inside) > most and end - start > _SHORTEST:
        middle = (start + end) // 2
        yield from _halved(start, middle, inside, most)
        yield from _halved(middle, end, inside, most)
    elif inside:
        yield Window(moment(start), moment(end))
