"""Rows of a table to samples: times, qualities and what is wrong with them, each with row, column and fix. Pure."""

from collections.abc import Mapping

import polars as pl

from collectors.times import epoch_time, iso_time, plausible, wall_time
from plant.frames import BAD, GOOD, TIME, UNCERTAIN

QUALITIES = {"good": GOOD, "uncertain": UNCERTAIN, "bad": BAD, "0": GOOD, "1": UNCERTAIN, "2": BAD, "": GOOD}
MOST_PROBLEMS = 20
Check = tuple[pl.Expr, str]
"""Where a row is wrong, and the fix."""


def headings(names: list[str]) -> dict[str, str]:
    """Columns as a file has them to their names: without blanks and a byte order mark, in small letters."""
    return {c: c.strip().lstrip("\ufeff").lower() for c in names}


def numbered(rows: pl.DataFrame, first: int) -> pl.DataFrame:
    """With column `row`, the number a spreadsheet shows (`first`: of the first row), without rows in which there is
    nothing at all."""
    return rows.with_row_index("row", offset=first).filter(~pl.all_horizontal(pl.exclude("row").is_null()))


def times(rows: pl.DataFrame, column: str, zone: str = "UTC") -> pl.Expr:
    """A column of ISO 8601 texts, numbers since 1970 or datetimes as UTC; null where it is none. `zone`: of those
    without an offset; an hour that zone has twice or not at all is no time."""
    if column not in rows.columns:
        return pl.lit(None, TIME)
    given, kind = pl.col(column), rows.schema[column]
    if isinstance(kind, pl.Datetime):
        if kind.time_zone is None:
            given = given.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
        return plausible(given.dt.convert_time_zone("UTC").cast(TIME))
    text = given.cast(pl.String)
    iso = iso_time(text) if zone == "UTC" else wall_time(text, zone)
    return pl.coalesce(iso, epoch_time(text)).cast(TIME)


def qualities(rows: pl.DataFrame) -> pl.Expr:
    """Column `quality` as the numbers of `plant.frames`; null where it is no quality, GOOD where there is no column."""
    if "quality" not in rows.columns:
        return pl.lit(GOOD, pl.UInt8)
    word = pl.col("quality").cast(pl.String).fill_null("").str.strip_chars().str.to_lowercase()
    return word.replace_strict(QUALITIES, default=None, return_dtype=pl.UInt8)


def blank(column: str) -> pl.Expr:
    """Where there is nothing in it."""
    return pl.col(column).is_null() | (pl.col(column) == "")


def wrong_rows(name: str, parsed: pl.DataFrame, checks: Mapping[str, Check]) -> list[str]:
    """What is wrong in `name`, of each column the first rows (column `row` numbers them): "place: value; fix"."""
    problems: list[str] = []
    for column, (wrong, fix) in checks.items():
        bad = parsed.filter(wrong)
        if bad.is_empty():
            continue
        for row, value in bad.head(MOST_PROBLEMS - len(problems)).select("row", column).iter_rows():
            problems.append(
                f"{name}, row {row}, column {column}: {'nothing' if value is None else repr(value)}; {fix}"
            )
        if bad.height > len(problems):
            problems.append(f"{name}, column {column}: {bad.height} rows are like that")
    return problems
