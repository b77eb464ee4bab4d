"""The bytes InfluxDB is sent."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.historians.influx import lines as line_protocol
from infra.historians.influx.lines import decoded, encoded, lines, posts
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
