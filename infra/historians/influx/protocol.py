"""InfluxDB line protocol of any frame, built column-wise in polars.

https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import polars as pl

POST_BYTES = 4_000_000
"""A post is about this long: servers refuse 10 MB (3.x) or 25 MB (1.x)."""

_SPECIAL = re.compile(r"([,= ])")
_UNSAFE = re.compile(r"[%\\\x00-\x1f\x7f]")
_EMPTY = "%"

Part = pl.Expr | str


def bodies(
    frame: pl.DataFrame,
    measurement: str,
    *,
    tags: Sequence[str],
    fields: Sequence[str],
    time: str = "time",
    longest: int = POST_BYTES,
) -> Iterator[bytes]:
    """The bodies of the writes that store a frame, one line a row; their precision is "us".

    A field that is null, NaN or infinite is left out, and so are a tag that is null and a line without a
    field. Unsigned numbers are written as signed ones: 1.x knows no others. What line protocol cannot carry
    in a name or tag is percent-encoded.

    Args:
        fields: columns of numbers, booleans or text.
        time: a Datetime column of any unit.
        longest: about how many bytes a body has.

    Raises ValueError naming the column that cannot be written.
    """
    at = frame[time]
    if at.dtype.base_type() != pl.Datetime or at.null_count():
        raise ValueError(
            f"column {time!r} is {at.dtype} with {at.null_count()} nulls; every line needs a time"
        )
    values = [_writable(frame[name]) for name in fields]
    # What every line has goes first: then it is known where commas stand.
    values.sort(key=lambda value: value.null_count() > 0)
    rows = pl.DataFrame(
        [
            _heads(frame, measurement, tags).alias("head"),
            at.dt.cast_time_unit("us").to_physical().alias("at"),
            *(value.alias(f"value {n}") for n, value in enumerate(values)),
        ]
    )
    if not values:
        return
    if all(value.null_count() for value in values):
        rows = rows.filter(pl.any_horizontal(pl.col("^value .*$").is_not_null()))
        fields_of = [part for n, v in enumerate(values) for part in _parts(v, pl.col(f"value {n}"), ",")]
        parts: list[Part] = [pl.concat_str(_merged(fields_of), ignore_nulls=True).str.slice(1)]
    else:
        parts = [
            part for n, v in enumerate(values) for part in _parts(v, pl.col(f"value {n}"), "," * (n > 0))
        ]
    pieces = _merged([pl.col("head"), *parts, " ", pl.col("at")])
    lines = rows.select(pl.concat_str(pieces, ignore_nulls=True)).to_series()
    part = (lines.str.len_bytes().cast(pl.Int64).cum_sum() - 1) // longest
    starts = part.ne_missing(part.shift(1)).arg_true().to_list()
    for start, end in pairwise([*starts, len(lines)]):
        yield written(lines[start:end])


def written(lines: pl.Series) -> bytes:
    """Texts that begin with a line break, one behind the other without the first line break.

    That is how they lie in Arrow's memory: faster than to join them.
    """
    array = lines.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, ends, data = array.buffers()
    if not len(array) or data is None:
        return b""
    bounds = memoryview(ends).cast("q")[array.offset : array.offset + len(array) + 1]
    return bytes(memoryview(data)[bounds[0] + 1 : bounds[-1]])


def escaped(name: str) -> str:
    """A tag, or the name of a field or tag, as it is written."""
    return _SPECIAL.sub(r"\\\1", name)


def encoded(name: str, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    """A name as it is stored: what line protocol cannot carry is percent-encoded. `urllib.parse.unquote`
    gives it back, but for an empty one."""
    return unsafe.sub(lambda found: f"%{ord(found[0]):02X}", name) or _EMPTY


def inside_quotes(text: pl.Expr) -> pl.Expr:
    """A text as it is written between quotes."""
    return text.str.replace_many(["\\", '"'], ["\\\\", '\\"'])


def _writable(value: pl.Series) -> pl.Series:
    """A field's column with null for what is left out."""
    if value.name == "time":
        raise ValueError("column 'time' cannot be a field: InfluxDB keeps that name for itself")
    if value.dtype.is_float():
        return value if value.is_finite().all() else value.to_frame().select(_finite(value.name)).to_series()
    if value.dtype.is_integer() and value.cast(pl.Int64, strict=False).null_count() > value.null_count():
        raise ValueError(f"column {value.name!r} holds numbers beyond 64 bit: InfluxDB has none")
    if value.dtype.is_integer() or value.dtype in (pl.Boolean, pl.String):
        return value
    if value.dtype in (pl.Categorical, pl.Enum):
        return value.cast(pl.String)
    raise ValueError(f"column {value.name!r} is {value.dtype}: fields are numbers, booleans or text")


def _finite(name: str) -> pl.Expr:
    return pl.when(pl.col(name).is_finite()).then(name)


def _parts(value: pl.Series, column: pl.Expr, comma: str) -> list[Part]:
    """What is written of a field. Texts are on every line, columns where they are not null."""
    name = f"{comma}{escaped(encoded(value.name))}="
    parts: list[Part]
    if value.dtype == pl.String:
        parts = [name + '"', inside_quotes(column), '"']
    elif value.dtype.is_integer():
        parts = [name, column, "i"]
    else:
        parts = [name, column]
    if not value.null_count():
        return parts
    return [pl.concat_str(_merged(parts))]


def _merged(parts: Sequence[Part]) -> list[pl.Expr]:
    """Expressions of the parts; texts side by side become one."""
    found: list[pl.Expr] = []
    texts = ""
    for part in [*parts, None]:
        if isinstance(part, str):
            texts += part
            continue
        if texts:
            found.append(pl.lit(texts))
        if part is not None:
            found.append(part)
        texts = ""
    return found


def _heads(frame: pl.DataFrame, measurement: str, tags: Sequence[str]) -> pl.Series:
    """What stands before the fields of each row: escaped once for a series."""
    start = "\n" + escaped(encoded(measurement)).replace("\\=", "=")
    if not tags:
        return pl.repeat(start + " ", frame.height, eager=True)
    series = frame.select(tags).unique()
    heads = []
    for row in series.cast(pl.String).iter_rows():
        pairs = (
            f",{escaped(encoded(t))}={escaped(encoded(v))}"
            for t, v in zip(tags, row, strict=True)
            if v is not None
        )
        heads.append(f"{start}{''.join(pairs)} ")
    series = series.with_columns(pl.Series("head", heads, dtype=pl.String))
    return frame.select(tags).join(series, on=tags, how="left", maintain_order="left", nulls_equal=True)[
        "head"
    ]
