"""Samples out of files people have: long-format CSV and Parquet, and SHDR recordings.

Long format has one row per sample: `time`, `equipment`, `signal`, `value`, and if they like `quality`,
`received` and `text`. A value that is a number is one, anything else is text, nothing is "no value"; values
are in the signal's unit already (scale and offset of the plant file are not applied). Orders and alarms stay
text.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from collectors.samples import TEXT_ROLES, number
from collectors.shdr.decode import decode, samples
from collectors.tables import Check, blank, headings, numbered, qualities, times, wrong_rows
from plant.frames import BAD, SAMPLES, empty
from plant.model import Plant, Source

log = logging.getLogger(__name__)

NEEDED = ("time", "equipment", "signal", "value")
KNOWN = (*NEEDED, "text", "quality", "received")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SampleFileError(Exception):
    """Files that cannot be taken; the message has every mistake found (the first 20) with file, row, column
    and fix."""


def read_samples(
    paths: Sequence[Path | str], plant: Plant, report: Callable[[str], None] = log.warning
) -> pl.DataFrame:
    """All samples of the files for this plant's signals, as `plant.frames.SAMPLES`, in file order.

    `.csv` and `.parquet` are long format, everything else (`.txt`, `.shdr`, `.log`) is SHDR, decoded with the
    plant's shdr source; with several of them write `SOURCE=PATH`, or name the file in that source's option
    `file`. Times are ISO 8601 with an offset or Z (without one: UTC), or a number since 1970, of which the
    size tells seconds, milliseconds, microseconds or nanoseconds. `received` is the time itself where the
    file does not say.

    `report` is told what was left out: rows of equipment or signals the plant does not know, SHDR lines that
    cannot be read. Raises SampleFileError: nothing has been read.
    """
    frames: list[pl.DataFrame] = [empty(SAMPLES)]
    problems: list[str] = []
    for given in paths:
        source, path = _named_source(given, plant)
        try:
            if path.suffix.lower() in (".csv", ".parquet"):
                frames.append(_long_format(path, plant, report))
            else:
                frames.append(_recording(path, source, plant, report))
        except SampleFileError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror or error})")
        except pl.exceptions.PolarsError as error:
            problems.append(
                f"{path}: is not a readable {path.suffix[1:]} file ({str(error).splitlines()[0]})"
            )
    if problems:
        raise SampleFileError("\n".join(problems))
    return pl.concat(frames)


def _named_source(given: Path | str, plant: Plant) -> tuple[Source | None, Path]:
    name, equals, rest = str(given).partition("=")
    if equals and name in plant.sources:
        return plant.sources[name], Path(rest)
    return None, Path(given)


def _recording(
    path: Path, source: Source | None, plant: Plant, report: Callable[[str], None]
) -> pl.DataFrame:
    shdr = [s for s in plant.sources.values() if s.protocol == "shdr"]
    named = [s for s in shdr if Path(str(s.options.get("file", ""))).name == path.name]
    found = [source] if source else named if len(named) == 1 else shdr
    if len(found) != 1:
        have = f"{len(found)} of them: {', '.join(s.id for s in found)}" if found else "none"
        raise SampleFileError(
            f"{path}: an SHDR recording needs the plant's shdr source, and the plant has {have}; "
            f'write SOURCE={path}, or add a [[source]] with protocol = "shdr"'
        )
    signals = [s for s in plant.signals.values() if s.source == found[0].id]
    records, problems = decode(path.read_bytes())
    if timeless := records["time"].null_count():
        report(f"{path}: {timeless} record(s) without a time left out; only a live adapter may omit it")
    for problem in problems:
        what = f"{problem.count} line(s) left out, {problem.reason}"
        report(f"{path}, line {problem.line}: {what}; {problem.text!r}")
    got = samples(records.filter(pl.col("time").is_not_null()), signals, received=_EPOCH)
    return got.with_columns(pl.col("time").alias("received"))


def _long_format(path: Path, plant: Plant, report: Callable[[str], None]) -> pl.DataFrame:
    if path.suffix.lower() == ".csv":
        rows = pl.read_csv(path, infer_schema=False, encoding="utf8-lossy")
    else:
        rows = pl.read_parquet(path)
    rows = rows.rename(headings(rows.columns))
    if missing := [c for c in NEEDED if c not in rows.columns]:
        raise SampleFileError(
            f"{path}: column {', '.join(missing)} is missing (it has {', '.join(rows.columns)}); "
            "the first line names the columns: time,equipment,signal,value and optionally quality"
        )
    # Row numbers as a spreadsheet shows them: the header is row 1.
    rows = numbered(rows.select(c for c in KNOWN if c in rows.columns), 2)
    rows = rows.with_columns(pl.col("equipment", "signal").cast(pl.String).str.strip_chars())
    parsed = rows.with_columns(
        times(rows, "time").alias("_time"),
        times(rows, "received").alias("_received"),
        qualities(rows).alias("_quality"),
    )
    if problems := wrong_rows(str(path), parsed, long_checks()):
        raise SampleFileError("\n".join(problems))
    return _known(path, parsed, plant, report)


def long_checks() -> dict[str, Check]:
    """What must be right in rows of the long format, parsed into `_time` and `_quality`."""
    return {
        "time": (
            pl.col("_time").is_null(),
            'write it like "2026-01-31T06:00:00Z", "2026-01-31T06:00:00.25+01:00", or as a number since 1970',
        ),
        "equipment": (blank("equipment"), "write the equipment's id"),
        "signal": (blank("signal"), "write the signal's id"),
        "quality": (
            pl.col("_quality").is_null(),
            "write good, uncertain or bad (0, 1, 2), or leave it empty",
        ),
    }


def _known(path: Path, parsed: pl.DataFrame, plant: Plant, report: Callable[[str], None]) -> pl.DataFrame:
    keys = [(s.equipment, s.id, s.role in TEXT_ROLES) for s in plant.signals.values()]
    known = pl.DataFrame(
        keys, schema={"equipment": pl.String, "signal": pl.String, "keep_text": pl.Boolean}, orient="row"
    )
    unknown = parsed.join(known, on=["equipment", "signal"], how="anti").group_by("equipment", "signal").len()
    for equipment, signal, rows in unknown.sort("equipment", "signal").iter_rows():
        what = (
            f'signal "{signal}" of "{equipment}"'
            if equipment in plant.equipment
            else f'equipment "{equipment}"'
        )
        report(f"{path}: {rows} row(s) left out: the plant file has no {what}")
    rows = parsed.join(known, on=["equipment", "signal"], how="inner", maintain_order="left")
    value, text = _values(rows)
    has_none = pl.col("value").is_null() & pl.col("text").is_null()
    return rows.select(
        pl.col("_time").alias("time"),
        "equipment",
        "signal",
        value.alias("value"),
        text.alias("text"),
        pl.col("_quality").alias("quality"),
        pl.coalesce("_received", "_time").alias("received"),
    ).with_columns(pl.when(has_none).then(pl.lit(BAD, pl.UInt8)).otherwise("quality").alias("quality"))


def _values(rows: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    kind = rows.schema["value"]
    if kind.is_numeric() or kind == pl.Boolean:
        given = pl.col("value").cast(pl.Float64)
        value = pl.when(given.is_finite()).then(given)
        text = pl.col("text").cast(pl.String) if "text" in rows.columns else pl.lit(None, pl.String)
        return value, text
    raw = pl.col("value").cast(pl.String)
    value = pl.when(~pl.col("keep_text")).then(number(raw))
    said = raw.str.strip_chars() != ""
    also = pl.col("text").cast(pl.String) if "text" in rows.columns else pl.lit(None, pl.String)
    text = pl.when(said & (pl.col("keep_text") | number(raw).is_null())).then(raw).otherwise(also)
    return value, text
