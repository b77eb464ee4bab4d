"""InfluxQL: the statements the historian asks, and answers as frames.

Answers are read as chunked JSON because the CSV form hides errors: a query that fails half way is then a
clean, short file with status 200.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson
import polars as pl

from infra.historians.influx.lines import MEASUREMENT, NUMBER, TEXT, decoded, encoded
from plant.frames import SAMPLES, TIME

Series = Mapping[str, Any]
"""One series object of an answer: tags, columns, values."""
FRAME_ROWS = 100_000
_FIELDS = ("value", "text", "holds", "quality", "received")
_RAW: Mapping[str, Any] = {
    "time": pl.Int64,
    "value": pl.Float64,
    "text": pl.String,
    "holds": pl.Int64,
    "quality": pl.Int64,
    "received": pl.Int64,
}
# What a signed 64 bit number of nanoseconds can say, in microseconds.
_EARLIEST, _LATEST = -9_223_372_036_854_775, 9_223_372_036_854_775


class AnswerError(Exception):
    """The server reported an error, or its answer ended early."""


def rows_between(start: int, end: int, equipment: Sequence[str] | None, signals: Sequence[str] | None) -> str:
    """Samples in [start, end) microseconds, one series after the other."""
    return _select(", ".join(_quoted(f) for f in _FIELDS), _where(start, end, equipment, signals))


def last_before(end: int, equipment: Sequence[str] | None) -> str:
    """The newest sample of each series before that time in microseconds."""
    fields = ", ".join(_quoted(f) for f in _FIELDS if f != "received")
    return _select(f'LAST("received") AS "received", {fields}', _where(None, end, equipment, None))


def delete_before(end: int) -> str:
    """Forget what is older."""
    return f"DELETE FROM {_quoted(MEASUREMENT)} WHERE time < {_bounded(end)}u"


def documents(chunks: Iterable[bytes]) -> Iterator[Series]:
    """The series objects of a chunked answer, in the order sent. Raises AnswerError rather than end early."""
    complete = False
    for line in _lines(chunks):
        document = orjson.loads(line)
        results = document.get("results", [])
        for error in (document.get("error"), *(r.get("error") for r in results)):
            if error:
                raise AnswerError(error)
        for result in results:
            yield from result.get("series", ())
            complete = not result.get("partial", False)
    if not complete:
        raise AnswerError("the answer ended before it was complete")


def frames(series: Iterable[Series]) -> Iterator[pl.DataFrame]:
    """Answers to `rows_between` and `last_before` as `SAMPLES` frames of about FRAME_ROWS rows."""
    held: list[pl.DataFrame] = []
    rows = 0
    for one in series:
        held.append(_frame(one))
        rows += held[-1].height
        if rows >= FRAME_ROWS:
            yield pl.concat(held)
            held, rows = [], 0
    if held:
        yield pl.concat(held)


def _frame(series: Series) -> pl.DataFrame:
    columns = dict(zip(series["columns"], zip(*series["values"], strict=True), strict=True))
    raw = pl.DataFrame({name: pl.Series(columns[name], dtype=dtype) for name, dtype in _RAW.items()})
    return raw.select(
        (pl.col("time") // 1000).cast(TIME),
        pl.lit(decoded(series["tags"]["equipment"])).alias("equipment"),
        pl.lit(decoded(series["tags"]["signal"])).alias("signal"),
        pl.when(pl.col("holds") & NUMBER > 0).then("value").alias("value"),
        pl.when(pl.col("holds") & TEXT > 0).then("text").alias("text"),
        pl.col("quality").cast(pl.UInt8),
        pl.col("received").cast(TIME),
    ).select(SAMPLES.keys())


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())
    if rest.strip():
        yield rest


def _select(what: str, where: str) -> str:
    return f'SELECT {what} FROM {_quoted(MEASUREMENT)} WHERE {where} GROUP BY "equipment", "signal"'


def _where(
    start: int | None, end: int, equipment: Sequence[str] | None, signals: Sequence[str] | None
) -> str:
    conditions = [f"time < {_bounded(end)}u"]
    if start is not None:
        conditions.append(f"time >= {_bounded(start)}u")
    for tag, names in (("equipment", equipment), ("signal", signals)):
        if names is not None:
            conditions.append("(" + " OR ".join(f"{_quoted(tag)} = {_text(encoded(n))}" for n in names) + ")")
    return " AND ".join(conditions)


def _bounded(us: int) -> int:
    return min(max(us, _EARLIEST), _LATEST)


def _quoted(identifier: str) -> str:
    return f'"{identifier}"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "\\'") + "'"
