"""A posted body to samples. Pure.

JSON: `{"samples": [{"signal": "filler/state", "time": "2026-01-31T06:00:00Z", "value": 6}, ...]}`. `time` is ISO 8601 with
a zone or a number since 1970 (s, ms, us or ns); left out, it is when the body came. `quality` is good, uncertain or bad;
a value of null is "no value", and so is an empty text but of an order, a product or an alarm: there it means none.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson
import polars as pl

from collectors.samples import number, signal_table, to_samples
from collectors.times import ISO, epoch_time, iso_time
from plant.frames import BAD, FUTURE, GOOD, TIME, UNCERTAIN
from plant.model import Signal

QUALITIES = {"good": GOOD, "uncertain": UNCERTAIN, "bad": BAD}
KEYS = ("signal", "time", "value", "quality")
MOST_PROBLEMS = 20
ROW = {
    "row": pl.Int64,
    "signal": pl.String,
    "when": pl.String,
    "value": pl.Float64,
    "text": pl.String,
    "quality": pl.UInt8,
}


class BodyError(Exception):
    """A body that cannot be taken, not in part either; the message has every mistake (the first 20) with its place and
    the fix."""


def parse(body: bytes, signals: Sequence[Signal], received: datetime) -> pl.DataFrame:
    """The samples (`plant.frames.SAMPLES`) of a body, in its order. Raises BodyError."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyError(f'the body is no JSON ({error}); send {{"samples": [...]}}') from None
    rows = said.get("samples") if isinstance(said, Mapping) else None
    if not isinstance(rows, list) or set(said) != {"samples"}:
        raise BodyError('the body must be {"samples": [{"signal": ..., "time": ..., "value": ...}]}')
    table = signal_table(signals).rename({"signal": "id", "address": "signal"})
    known = set(table["signal"])
    problems: list[str] = []
    found = []
    for index, row in enumerate(rows):
        wrong = _wrong(row, known)
        if wrong:
            problems.append(f"samples[{index}]{wrong}")
        else:
            found.append(_row(index, row))
    frame = pl.DataFrame(found, schema=ROW, orient="row")
    zoned = pl.col("when").str.extract(ISO, 4).is_not_null()
    frame = frame.with_columns(
        pl.coalesce(pl.when(zoned).then(iso_time(pl.col("when"))), epoch_time(pl.col("when")))
        .cast(TIME)
        .alias("time")
    )
    for index, when in (
        frame.filter(pl.col("time").is_null() & pl.col("when").is_not_null()).select("row", "when").rows()
    ):
        problems.append(
            f'samples[{index}].time: {when!r} is no time; write it like "2026-01-31T06:00:00.25Z" or "...+01:00", or as a '
            "number since 1970"
        )
    ahead = pl.col("time") > pl.lit(received + FUTURE)
    for index, when in frame.filter(ahead).select("row", "when").rows():
        problems.append(
            f"samples[{index}].time: {when!r} is more than 5 minutes ahead of this machine's clock; set the sender's clock"
        )
    if problems:
        more = len(problems) - MOST_PROBLEMS
        rest = [f"and {more} more"] if more > 0 else []
        raise BodyError("; ".join([*problems[:MOST_PROBLEMS], *rest]))
    joined = frame.join(table, on="signal", maintain_order="left").rename(
        {"signal": "address", "id": "signal"}
    )
    as_text = pl.coalesce("text", pl.col("value").cast(pl.String).str.replace(r"\.0$", ""))
    numeric = pl.coalesce("value", number(pl.col("text")))
    return to_samples(
        joined.with_columns(
            pl.col("time").fill_null(pl.lit(received).cast(TIME)),
            pl.when(~pl.col("keep_text")).then(numeric).alias("value"),
            pl.when(pl.col("keep_text"))
            .then(as_text)
            .when(numeric.is_null() & (pl.col("text") != ""))
            .then("text")
            .alias("text"),
        ),
        received,
    )


def _wrong(row: object, known: set[str]) -> str | None:
    if not isinstance(row, Mapping):
        return ' is no object; write {"signal": ..., "time": ..., "value": ...}'
    if unknown := [key for key in row if key not in KEYS]:
        return f": unknown key {unknown[0]!r}; it may have {', '.join(KEYS)}"
    if not isinstance(row.get("signal"), str) or row["signal"] not in known:
        have = ", ".join(sorted(known)[:5]) + (" ..." if len(known) > 5 else "")
        return f".signal: {row.get('signal')!r} is the address of no signal of this source; it has {have}"
    if "value" not in row or not isinstance(row["value"], int | float | str | None):
        return ".value: write a number, a text, true, false or null"
    if not isinstance(row.get("time"), int | float | str | None) or isinstance(row.get("time"), bool):
        return '.time: write it like "2026-01-31T06:00:00Z", or as a number since 1970'
    if not isinstance(row.get("quality", "good"), str) or row.get("quality", "good") not in QUALITIES:
        return f".quality: {row['quality']!r}; write good, uncertain or bad"
    return None


def _row(index: int, row: Mapping[str, object]) -> tuple[object, ...]:
    value, when = row["value"], row.get("time")
    quality = QUALITIES[str(row.get("quality", "good"))]
    if quality == BAD:
        value = None
    text = value.strip() and value if isinstance(value, str) else None
    numeric = float(value) if isinstance(value, int | float) else None
    return index, row["signal"], None if when is None else str(when), numeric, text, quality
