"""The bytes InfluxDB is sent."""

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.historians.influx.lines import Batch, decoded, encoded_field, encoded_tag
from infra.historians.influx.protocol import bodies
from infra.historians.samples import SERIES, moment
from plant.frames import SAMPLES

AT = datetime(2026, 1, 1, tzinfo=UTC)


def sample(
    value: float | None, text: str | None, equipment: str = "filler", signal: str = "good"
) -> pl.DataFrame:
    return pl.DataFrame([(AT, equipment, signal, value, text, 1, AT)], schema=dict(SAMPLES), orient="row")


Field = float | int | str | bool
Line = tuple[str, dict[str, str], dict[str, Field], int]


def parsed(body: bytes) -> Iterator[Line]:
    """Line protocol read character by character, as its specification says: measurement, tags, fields, time."""
    text = body.decode() + "\n"
    at = 0

    def until(stops: str) -> str:
        nonlocal at
        found = ""
        while text[at] not in stops:
            if text[at] == "\\" and text[at + 1] in ",= ":
                at += 1
            assert text[at] != "\n", "a line ends too early"
            found, at = found + text[at], at + 1
        return found

    def quoted() -> str:
        nonlocal at
        found, at = "", at + 1
        while text[at] != '"':
            at += text[at] == "\\" and text[at + 1] in '"\\'
            found, at = found + text[at], at + 1
        at += 1
        return found

    while at < len(text):
        if text[at] == "\n":
            at += 1
            continue
        measurement, tags, fields = until(", "), {}, {}
        while text[at] == ",":
            at += 1
            name = until("=")
            at += 1
            tags[name] = until(", ")
        while (text[at] in ", " and not fields) or text[at] == ",":
            at += 1
            name = until("=")
            at += 1
            assert name not in fields
            fields[name] = quoted() if text[at] == '"' else scalar(until(", "))
        at += 1
        yield measurement, tags, fields, int(until("\n"))


def scalar(token: str) -> Field:
    if token in ("true", "false"):
        return token == "true"
    return int(token[:-1]) if token.endswith("i") else float(token)


def stored(bodies: list[bytes]) -> dict[tuple[str, str, int], tuple[float | None, str | None, int, int]]:
    """What the layout says, read as another program would: (equipment, signal, time) -> the sample."""
    found = {}
    for measurement, tags, fields, at in (line for body in bodies for line in parsed(body)):
        assert measurement == "signals"
        signals = defaultdict[str, dict[str, Field]](dict)
        for field, value in fields.items():
            name, _, kind = field.partition(":")
            signals[name][kind] = value
        for name, held in signals.items():
            received, rest = divmod(int(held["meta"]), 100)
            assert rest // 10 == ("" in held) + 2 * ("text" in held)
            key = (decoded(tags["equipment"]), decoded(name), at)
            assert key not in found
            found[key] = (held.get(""), held.get("text"), rest % 10, received)
    return found


NAMES = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(
    ["time", "equipment", "a b", "a:meta"]
)
ROWS = st.tuples(
    st.integers(-3, 3),
    NAMES,
    NAMES,
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.text(st.characters(codec="utf-8"), max_size=6),
    st.integers(0, 2),
    st.integers(-(2**40), 2**55),
)


@given(st.lists(ROWS, max_size=20), st.sampled_from([40, 200, 10_000]))
def test_what_is_written_says_what_the_samples_said(rows: list[tuple], post_bytes: int) -> None:
    frame = pl.DataFrame(
        [(e, s, v, t, q) for _, e, s, v, t, q, _ in rows],
        schema={k: SAMPLES[k] for k in ("equipment", "signal", "value", "text", "quality")},
        orient="row",
    ).with_columns(
        time=pl.Series([r[0] for r in rows], dtype=pl.Int64).cast(SAMPLES["time"]),
        received=pl.Series([r[6] for r in rows], dtype=pl.Int64).cast(SAMPLES["received"]),
    )
    expected = {}
    for at, equipment, signal, value, text, quality, received in sorted(rows, key=lambda r: r[6]):
        expected[equipment, signal, at] = (value, text, quality, received)
    batch = Batch.of(frame.select(SAMPLES.keys()))
    parts = list(batch.posts(post_bytes))
    assert stored([p.body() for p in parts]) == stored([batch.body()]) == expected
    lines_of = [(tags["equipment"], at) for p in parts for _, tags, _, at in parsed(p.body())]
    assert len(lines_of) == len(set(lines_of))
    back = batch.samples()
    assert back.schema == dict(SAMPLES)
    assert {(e, s, at) for at, e, s in back.select("time", *SERIES).iter_rows()} == {
        (e, s, moment(at)) for e, s, at in expected
    }


def test_a_line_carries_all_signals_of_a_moment() -> None:
    frame = pl.concat(
        [
            sample(1.5, None, signal="speed"),
            sample(None, 'a "b" \\ c', signal="state of, it"),
            sample(None, None, equipment="cap per", signal="time"),
            sample(2.0, "x").with_columns(time=pl.col("time") + timedelta(seconds=1)),
        ]
    )
    us = 1767225600000000
    lines = sorted(Batch.of(frame).body().decode().strip("\n").split("\n"))
    assert lines == [
        f"signals,equipment=cap\\ per %74ime:meta={us}01i {us}",
        f'signals,equipment=filler good:meta={us}31i,good=2.0,good:text="x" {us + 1_000_000}',
        f"signals,equipment=filler speed:meta={us}11i,speed=1.5,"
        f'state\\ of\\,\\ it:meta={us}21i,state\\ of\\,\\ it:text="a \\"b\\" \\\\ c" {us}',
    ]


@given(st.text())
def test_any_name_comes_back_from_its_field(name: str) -> None:
    field = encoded_field(name)
    assert decoded(field) == name
    assert field not in ("", "time", "equipment")
    assert not set(field) & set(':"\\\n')
    assert decoded(encoded_tag(name)) == name


TEXTS = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)
COLUMNS = {
    "speed": (pl.Float64, st.none() | st.floats()),
    "small, float=": (pl.Float32, st.none() | st.floats(width=32)),
    "count": (pl.Int64, st.integers(-(2**63), 2**63 - 1)),
    'a "b"\\': (pl.Int8, st.none() | st.integers(-128, 127)),
    "unsigned": (pl.UInt64, st.none() | st.integers(0, 2**63 - 1)),
    "on": (pl.Boolean, st.none() | st.booleans()),
    "state": (pl.String, TEXTS),
    "kind": (pl.Enum(["a", 'b"']), st.none() | st.sampled_from(["a", 'b"'])),
}
FRAMES = st.sets(st.sampled_from(sorted(COLUMNS)), min_size=1).flatmap(
    lambda names: st.tuples(
        st.just(sorted(names)),
        st.lists(
            st.tuples(TEXTS, TEXTS, st.integers(-9, 9), *(COLUMNS[n][1] for n in sorted(names))), max_size=9
        ),
    )
)


@given(FRAMES, st.booleans(), st.sampled_from([1, 60, 10_000]))
def test_any_frame_is_written_as_it_is(
    drawn: tuple[list[str], list[tuple]], tagged: bool, longest: int
) -> None:
    names, rows = drawn
    schema = {"line of": pl.String, "unit": pl.String, "at": pl.Int64, **{n: COLUMNS[n][0] for n in names}}
    frame = pl.DataFrame(rows, schema=schema, orient="row", strict=False)
    frame = frame.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")).dt.cast_time_unit("ns"))
    tags = ["line of", "unit"] if tagged else []
    made = list(bodies(frame, "any thing,=", tags=tags, fields=names, time="at", longest=longest))
    found = [line for body in made for line in parsed(body)]
    expected = []
    for row in frame.with_columns(pl.col("at").dt.cast_time_unit("us").to_physical()).to_dicts():
        kept = {encoded_tag(n): row[n] for n in names if row[n] is not None}
        kept = {n: v for n, v in kept.items() if not isinstance(v, float) or math.isfinite(v)}
        if kept:
            tagged_by = {encoded_tag(t): encoded_tag(row[t]) for t in tags if row[t] is not None}
            expected.append(("any thing,=", tagged_by, kept, row["at"]))
    rounded = [(m, t, {n: as_stored(n, v) for n, v in f.items()}, at) for m, t, f, at in found]
    assert rounded == expected
    for (_, _, fields, _), (_, _, kept, _) in zip(rounded, expected, strict=True):
        assert {n: type(v) for n, v in fields.items()} == {n: type(v) for n, v in kept.items()}
    assert longest > 1 or len(made) == len(expected)


def as_stored(name: str, value: Field) -> Field:
    """Half as many digits say a number of half the size."""
    return pl.Series([value], dtype=pl.Float32).item() if name.startswith("small") else value


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pl.Series("time", [1.0]), "'time' cannot be a field"),
        (pl.Series("huge", [2**63], dtype=pl.UInt64), "'huge' holds numbers beyond 64 bit"),
        (pl.Series("day", [AT.date()]), "'day' is Date"),
        (pl.Series("list", [[1]]), "'list' is List"),
    ],
)
def test_what_cannot_be_written_is_named(column: pl.Series, says: str) -> None:
    frame = pl.DataFrame([pl.Series("at", [AT]), column])
    with pytest.raises(ValueError, match=says):
        list(bodies(frame, "m", tags=[], fields=[column.name], time="at"))
    with pytest.raises(ValueError, match=r"'at' is .* with 1 nulls"):
        list(bodies(frame.with_columns(at=pl.lit(None, pl.Datetime)), "m", tags=[], fields=[], time="at"))
