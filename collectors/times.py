"""Times in text and numbers to UTC microseconds, as column expressions. Pure."""

from datetime import UTC, datetime

import polars as pl

from plant.frames import TIME

ISO = (
    r"^\s*([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"\s*(Z|[+-][0-9]{2}:?[0-9]{2})?\s*$"
)
"""[0-9], since \\d is any digit there is in Unicode."""

FIRST, LAST = 100_000_000, 100_000_000_000
"""Seconds since 1970 that are taken for a time (1973 to 5138); the same digits times 10^3, 10^6, 10^9 are
finer."""

YEARS = (datetime(1970, 1, 1, tzinfo=UTC), datetime(5138, 1, 1, tzinfo=UTC))


def iso_time(text: pl.Expr) -> pl.Expr:
    """ISO 8601 with 0 to 9 fraction digits (cut to microseconds) and Z or an offset; without one it is UTC.

    Null where it is not such a time, or one of no measurement (before 1970, after 5138).
    """
    seconds = pl.concat_str(text.str.extract(ISO, 1), text.str.extract(ISO, 2), separator="T")
    fraction = text.str.extract(ISO, 3).fill_null("0").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)
    zone = text.str.extract(ISO, 4)
    hours = zone.str.slice(1, 2).cast(pl.Int64, strict=False)
    minutes = hours * 60 + zone.str.slice(-2).cast(pl.Int64, strict=False)
    east = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    shift = pl.when(zone.is_null() | (zone == "Z")).then(0).otherwise(east)
    local = seconds.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    time = local + pl.duration(microseconds=fraction) - pl.duration(minutes=shift)
    return plausible(time.dt.replace_time_zone("UTC"))


def plausible(time: pl.Expr) -> pl.Expr:
    """A time (UTC) from 1970 to 5138; null where it is another: such clocks were never set."""
    return pl.when(time.is_between(*YEARS, closed="left")).then(time)


def wall_time(text: pl.Expr, zone: str) -> pl.Expr:
    """The same, but without an offset it is the wall time of that zone. Null also for an hour the zone has twice (the
    clocks go back: nobody knows which) or not at all."""
    time = iso_time(text)
    local = time.dt.replace_time_zone(None).dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return pl.when(text.str.extract(ISO, 4).is_null()).then(local.dt.convert_time_zone("UTC")).otherwise(time)


def epoch_time(text: pl.Expr) -> pl.Expr:
    """A number since 1970-01-01 UTC; its size tells seconds (with decimals), ms, us or ns. Null where it is
    none."""
    whole = text.str.strip_chars().cast(pl.Int64, strict=False)
    decimal = (text.str.strip_chars().cast(pl.Float64, strict=False) * 1e6).round()
    scales = ((1, 1_000_000, 1), (1_000, 1_000, 1), (1_000_000, 1, 1), (1_000_000_000, 1, 1_000))
    micros = pl.lit(None, pl.Int64)
    for unit, times, over in scales:
        inside = whole.is_between(FIRST * unit, min(LAST * unit, 2**63 - 1), closed="left")
        micros = pl.when(inside).then(whole * times // over).otherwise(micros)
    fits = decimal.is_between(FIRST * 1e6, LAST * 1e6, closed="left")
    return (
        pl.when(whole.is_null() & fits)
        .then(decimal.cast(pl.Int64, strict=False))
        .otherwise(micros)
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
        .cast(TIME)
    )
