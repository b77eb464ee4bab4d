"""The historian's part of a backup: Parquet segments of whole UTC days, whatever historian they come from or go to."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from infra.backup.archive import Archive, ArchiveWriter, BackupError, Progress
from infra.historians.parquet import ParquetHistorian
from infra.historians.samples import microseconds
from infra.historians.segments import Folder, Segment
from pipelines.ports import Historian
from plant.frames import REFUSED, TIME, Window, empty

FOLDER = "history"
AHEAD = timedelta(days=1)
"""How far a source's clock may be ahead of ours for its samples to be in a backup."""
WAITED = timedelta(hours=1)
"""How long a sample may have waited outside the spool between being received and being stored."""
WRITE_ROWS = 50_000
"""Rows written to another historian at once."""
SPANS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "equipment": pl.String,
    "earliest": TIME,
    "latest": TIME,
}
"""Time of a machine in which samples were stored while the backup was being made."""


def copy_segments(writer: ArchiveWriter, root: Path, since: datetime, progress: Progress) -> pl.DataFrame:
    """Put the files of a Parquet historian into a backup. The spans (`SPANS`) of what was written after `since`."""
    folder, copied, spans = Folder(root), set[str](), [empty(SPANS)]
    if not root.is_dir():
        return spans[0]
    folder.prepare()
    while left := [s for s in folder.list() if _name(s) not in copied]:
        total = len(copied) + len(left)
        for segment in left:
            progress("copying history", len(copied), total)
            copied.add(_name(segment))
            try:
                if segment.sequence >= microseconds(since) * 1000:
                    spans.append(
                        _spans(pl.read_parquet(segment.path, columns=["equipment", "time"], glob=False))
                    )
                writer.add_file(f"{FOLDER}/{_name(segment)}", segment.path, segment.rows)
            except FileNotFoundError:
                continue  # merged away: what took its place is listed next time round; or expired
            except pl.exceptions.PolarsError as error:
                raise BackupError(
                    f"the history file {segment.path} is damaged: restore it from an earlier backup, or have it set "
                    "aside (the historian does so when it merges), and make the backup again"
                ) from error
    return _joined(spans)


def export(
    writer: ArchiveWriter,
    historian: Historian,
    scratch: Path,
    since: datetime,
    now: datetime,
    progress: Progress,
) -> pl.DataFrame:
    """Put all samples of any historian into a backup, the newest day first, a day at a time through a folder below
    `scratch`. The spans (`SPANS`) of what was received after `since`. Raises HistorianError."""
    spans = [empty(SPANS)]
    for number, day in enumerate(_days(historian, now + AHEAD)):
        progress(f"reading history, {day.start:%Y-%m-%d}", number, 0)
        with TemporaryDirectory(dir=scratch, prefix=".backup-") as temporary:
            segments = ParquetHistorian(Path(temporary))
            for rows in historian.read_batches(day):
                segments.write(rows)
                spans.append(_spans(rows.filter(pl.col("received") > since - WAITED)))
            segments.compact()
            for segment in Folder(Path(temporary)).list():
                writer.add_file(f"{FOLDER}/{_name(segment)}", segment.path, segment.rows)
    return _joined(spans)


def is_empty(historian: Historian, now: datetime) -> bool:
    """Whether there is no sample at all. Raises HistorianError."""
    return historian.last(now + AHEAD).is_empty()


def write(
    archive: Archive, historian: Historian, progress: Progress, refused: Callable[[pl.DataFrame], None]
) -> None:
    """Write the history of a backup into any historian; what it has already is overwritten by the same.

    Args:
        refused: given samples (`plant.frames.REFUSED`) which that historian cannot hold.
    Raises:
        HistorianError: it cannot be written now.
    """
    members = archive.below(FOLDER)
    total, done = sum(member.rows or 0 for member in members), 0
    for _, file in archive.contents(members):
        samples = pl.read_parquet(file.read())
        for rows in samples.iter_slices(WRITE_ROWS):
            not_taken = historian.write(rows)
            if not_taken.height:
                refused(not_taken.select(REFUSED.keys()))
            done += rows.height
            progress("writing history", done, total)


def _days(historian: Historian, before: datetime) -> Iterator[Window]:
    """UTC days with samples, newest first; long spans without any are jumped over."""
    newest = _newest(historian, before)
    while newest is not None:
        start = datetime.combine(newest.date(), time(), UTC)
        yield Window(start, start + timedelta(days=1))
        newest = _newest(historian, start)


def _newest(historian: Historian, before: datetime) -> datetime | None:
    newest = historian.last(before)["time"].max()
    return newest.astimezone(UTC) if isinstance(newest, datetime) else None


def _name(segment: Segment) -> str:
    return f"{segment.path.parent.name}/{segment.path.name}"


def _spans(rows: pl.DataFrame) -> pl.DataFrame:
    grouped = rows.group_by("equipment").agg(earliest=pl.col("time").min(), latest=pl.col("time").max())
    return grouped.select(SPANS.keys())


def _joined(spans: list[pl.DataFrame]) -> pl.DataFrame:
    joined = pl.concat(spans).group_by("equipment").agg(pl.col("earliest").min(), pl.col("latest").max())
    return joined.select(SPANS.keys()).sort("equipment")
