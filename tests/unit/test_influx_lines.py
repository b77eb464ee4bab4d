"""The bytes InfluxDB is sent."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.historians.influx import lines as line_protocol
from infra.historians.influx.lines import Batch, decoded, encoded, encoded_field, encoded_tag, lines, posts
from infra.historians.samples import SERIES, moment
from plant.frames import SAMPLES

AT = datetime(2026, 1, 1, tzinfo=UTC)


def sample(
    value: float | None, text: str | None, equipment: str = "filler", signal: str = "good"
) -> pl.DataFrame:
    return pl.DataFrame([(AT, equipment, signal, value, text, 1, AT)], schema=dict(SAMPLES), orient="row")


@pytest.mark.parametrize(
    ("value", "text", "fields"),
    [
        (1.5, None, "value=1.5,holds=1i"),
        (-1e-7, None, "value=-1e-7,holds=1i"),
        (None, "on", 'text="on",holds=2i'),
        (None, "", 'text="",holds=2i'),
        (None, 'a "b" \\ c', 'text="a \\"b\\" \\\\ c",holds=2i'),
        (None, None, "holds=0i"),
    ],
)
def test_a_line_says_what_the_sample_holds(value: float | None, text: str | None, fields: str) -> None:
    [line] = lines(sample(value, text)).to_list()
    us = 1767225600000000
    assert line == f"signals,equipment=filler,signal=good {fields},quality=1i,received={us}i {us}"


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("a b", "a\\ b"),
        ("a,b=c", "a\\,b\\=c"),
        ("a\\", "a%5C"),
        ("50%", "50%25"),
        ("a\nb", "a%0Ab"),
        ("", "%"),
        ("Füller", "Füller"),
    ],
)
def test_names_are_escaped_as_tags(name: str, tag: str) -> None:
    [line] = lines(sample(1.0, None, equipment=name, signal=name)).to_list()
    assert line.startswith(f"signals,equipment={tag},signal={tag} value")


@given(st.text())
def test_any_name_comes_back(name: str) -> None:
    tag = encoded(name)
    assert decoded(tag) == name
    assert tag
    assert "\n" not in tag
    assert "\\" not in tag


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_written_exactly(value: float) -> None:
    [line] = lines(sample(value, None)).to_list()
    assert float(line.split("value=")[1].split(",")[0]) == value


def test_posts_are_bounded_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_protocol, "POST_BYTES", 1000)
    frame = pl.concat([sample(float(i), None) for i in range(100)])
    bodies = list(posts(frame))
    assert len(bodies) > 5
    assert max(map(len, bodies)) < 1200
    assert b"\n".join(bodies).decode().split("\n") == lines(frame).to_list()
    assert list(posts(frame.clear())) == []


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
    if token in ("t", "f"):
        return token == "t"
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
