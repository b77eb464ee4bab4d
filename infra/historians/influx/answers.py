"""Answers of InfluxDB as frames.

Answers are read as chunked JSON because the CSV form hides errors: a query that fails half way is then a
clean, short file with status 200. The numbers in them are read as if they were CSV, which is several times
faster than making Python objects of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from infra.historians.influx.lines import NUMBER, TAG, TEXT, decoded
from plant.frames import SAMPLES, TIME, TREND

FRAME_ROWS = 100_000
_FRAME_BYTES = 16_000_000
_TYPES: Mapping[str, type[pl.DataType]] = {
    "time": pl.Int64,
    "value": pl.Float64,
    "text": pl.String,
    "meta": pl.Int64,
    "mean": pl.Float64,
    "min": pl.Float64,
    "max": pl.Float64,
    "count": pl.Int64,
}
_ROWS, _ROWS_END = b'"values":[[', b"]]"


class AnswerError(Exception):
    """The server reported an error, or its answer is not whole."""


class UnsayableError(AnswerError):
    """A figure is beyond all numbers, which JSON cannot say."""


@dataclass(frozen=True, slots=True)
class Series:
    """Some rows of one series: an answer may bring a series in several of these, one after the other."""

    statement: int
    """Position in the request."""
    equipment: str
    columns: tuple[str, ...]
    rows: bytes | list[list[Any]]
    """Bytes: CSV without head, of rows that have no text in them."""
    height: int


def series(chunks: Iterable[bytes], statements: int) -> Iterator[Series]:
    """The rows of a chunked answer in the order sent. Raises AnswerError rather than end early.

    Args:
        statements: how many the request had; each must have answered wholly.
    """
    whole: set[int] = set()
    for line in _lines(chunks):
        document, rows = _document(line)
        results = document.get("results") or []
        for error in (document.get("error"), *(r.get("error") for r in results)):
            if error:
                raise AnswerError(str(error))
        for result in results:
            for one in result.get("series", ()):
                values = one.get("values", [])
                found, height = rows[values] if isinstance(values, int) else (values, len(values))
                equipment = decoded(one.get("tags", {}).get(TAG, ""))
                yield Series(result.get("statement_id", 0), equipment, tuple(one["columns"]), found, height)
            if result.get("partial"):
                whole.discard(result.get("statement_id", 0))
            else:
                whole.add(result.get("statement_id", 0))
    if len(whole) < statements:
        raise AnswerError("the answer ended before it was complete")


def samples(answer: Iterable[Series], signals: Sequence[str]) -> Iterator[pl.DataFrame]:
    """`plant.frames.SAMPLES` in frames of about FRAME_ROWS rows, in the order of the answer.

    Args:
        signals: the signal each statement asked about.
    """
    for group in _groups(answer):
        yield pl.concat([_samples(run, signals) for run in _runs(group)])


def trend(answer: Iterable[Series], signals: Sequence[str]) -> Iterator[pl.DataFrame]:
    """`plant.frames.TREND`, as `samples`. Raises UnsayableError."""
    for group in _groups(answer):
        for run in _runs(group):
            raw = _raw(run, signals)
            if raw["mean"].null_count():  # which is how JSON may say it
                raise UnsayableError("a mean is beyond all numbers")
            yield raw.with_columns((pl.col("time") // 1000).cast(TIME)).select(TREND.keys())


def fields(answer: Iterable[Series]) -> list[str]:
    """The names in an answer to `queries.FIELD_KEYS`."""
    return [row[0] for one in answer if isinstance(one.rows, list) for row in one.rows]


def _samples(run: Sequence[Series], signals: Sequence[str]) -> pl.DataFrame:
    raw = _raw(run, signals)
    holds = pl.col("meta") // 10 % 10
    for column, bit in (("value", NUMBER), ("text", TEXT)):
        if column not in raw.columns:
            missing = raw.filter(holds & bit > 0)
            if missing.height:
                # The fields are asked for before the samples are.
                signal = missing["signal"][0]
                raise AnswerError(f"the first {column} of signal {signal!r} arrived meanwhile: read again")
            raw = raw.with_columns(pl.lit(None, _TYPES[column]).alias(column))
    return raw.select(
        (pl.col("time") // 1000).cast(TIME),
        "equipment",
        "signal",
        # What an earlier write of the same sample has left there is not of this one.
        pl.when(holds & NUMBER > 0).then("value").alias("value"),
        pl.when(holds & TEXT > 0).then("text").alias("text"),
        (pl.col("meta") % 10).cast(pl.UInt8).alias("quality"),
        (pl.col("meta") // 100).cast(TIME).alias("received"),
    ).select(SAMPLES.keys())


def _groups(answer: Iterable[Series]) -> Iterator[list[Series]]:
    held: list[Series] = []
    rows = size = 0
    for one in answer:
        if not one.rows:
            continue
        held.append(one)
        rows += one.height
        size += len(one.rows) if isinstance(one.rows, bytes) else 0
        if rows >= FRAME_ROWS or size >= _FRAME_BYTES:
            yield held
            held, rows, size = [], 0, 0
    if held:
        yield held


def _runs(group: Sequence[Series]) -> Iterator[list[Series]]:
    """Neighbours that can be read in one go: a frame of 10 000 rows costs half as much as one of 100 000."""
    run: list[Series] = []
    for one in group:
        if run and (one.columns, type(one.rows)) != (run[0].columns, type(run[0].rows)):
            yield run
            run = []
        run.append(one)
    yield run


def _raw(run: Sequence[Series], signals: Sequence[str]) -> pl.DataFrame:
    """One frame of neighbours: their columns, equipment, signal."""
    schema = {c: _TYPES[c] for c in run[0].columns}
    cells = b"\n".join(one.rows for one in run if isinstance(one.rows, bytes))
    try:
        if cells:
            frame = pl.read_csv(cells, has_header=False, schema=schema, null_values="null", quote_char=None)
        else:
            columns = zip(*(row for one in run for row in one.rows), strict=True)
            frame = pl.DataFrame(
                [pl.Series(n, c, t) for (n, t), c in zip(schema.items(), columns, strict=True)]
            )
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise AnswerError(f"the answer cannot be read: {error}") from error
    heights = [one.height for one in run]
    empty = max(frame[c].null_count() for c in ("time", "meta", "count") if c in schema)
    if empty or frame.height != sum(heights):
        raise AnswerError(f"the answer cannot be read: {frame.height - empty} of {sum(heights)} rows")
    owners = pl.DataFrame(
        {
            "equipment": [one.equipment for one in run],
            "signal": [signals[one.statement] for one in run],
            "rows": heights,
        },
        schema={"equipment": pl.String, "signal": pl.String, "rows": pl.Int64},
    )
    return frame.hstack(owners.select(pl.col("equipment", "signal").repeat_by("rows").explode()))


def _document(line: bytes) -> tuple[dict[str, Any], list[tuple[bytes, int]]]:
    """A document and the rows cut out of it, as CSV and how many; in their place stands their position."""
    head: list[bytes] = []
    rows: list[tuple[bytes, int]] = []
    at = 0
    # No text in a document can contain the marker: its quotes would be escaped.
    while (marked := line.find(_ROWS, at)) >= 0:
        start = marked + len(_ROWS)
        end = line.find(_ROWS_END, start)
        if end < 0 or line.find(b'"', start, end) >= 0:
            # With a text among the rows their end is not the first "]]".
            head, rows, at = [], [], 0
            break
        head += [line[at : start - 2], b"%d" % len(rows)]
        found = line[start:end].replace(b"],[", b"\n")
        rows.append((found, (end - start - len(found)) // 2 + 1))
        at = end + len(_ROWS_END)
    try:
        document = orjson.loads(b"".join([*head, line[at:]]))
    except orjson.JSONDecodeError as error:
        said = line[:200].decode(errors="replace")
        if said.startswith("json: ") and "unsupported value" in said:
            raise UnsayableError(said) from error
        raise AnswerError(f"the answer is not JSON: {said}") from error
    if not isinstance(document, dict):
        raise AnswerError(f"the answer is not understood: {line[:200].decode(errors='replace')}")
    return document, rows


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for chunk in chunks:
        at = 0
        while (end := chunk.find(b"\n", at)) >= 0:
            held.append(chunk[at:end])
            if line := b"".join(held).strip():
                yield line
            held, at = [], end + 1
        held.append(chunk[at:])
    if rest := b"".join(held).strip():
        yield rest
