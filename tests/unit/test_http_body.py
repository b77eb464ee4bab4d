"""A posted body becomes samples, all of them or none."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.http import check
from collectors.http.body import BodyError, parse
from plant.frames import BAD, GOOD, SAMPLES, UNCERTAIN
from plant.model import Role, Signal, Source

NOW = datetime(2026, 1, 31, 6, 0, 9, tzinfo=UTC)
AT = datetime(2026, 1, 31, 6, 0, tzinfo=UTC)
SIGNALS = (
    Signal(id="state", equipment="m", role=Role.STATE, source="s", address="line/state"),
    Signal(id="good", equipment="m", role=Role.GOOD, source="s", address="line/good", scale=2.0, offset=1.0),
    Signal(id="order", equipment="m", role=Role.ORDER, source="s", address="line/order"),
)


NAMES = ["signal", "time", "value", "quality", "samples"]


def taken(*rows: object) -> list[tuple[Any, ...]]:
    frame = parse(orjson.dumps({"samples": rows}), SIGNALS, NOW)
    assert frame.schema == pl.Schema(SAMPLES)
    return frame.select("signal", "time", "value", "text", "quality").rows()


def test_values_of_every_kind() -> None:
    at = "2026-01-31T06:00:00Z"
    assert taken(
        {"signal": "line/state", "time": at, "value": 6},
        {
            "signal": "line/state",
            "time": "2026-01-31T07:00:00.5+01:00",
            "value": True,
            "quality": "uncertain",
        },
        {"signal": "line/state", "time": 1769839200000, "value": "running"},
        {"signal": "line/good", "time": 1769839200, "value": "7"},
        {"signal": "line/good", "value": None},
        {"signal": "line/good", "time": at, "value": 3, "quality": "bad"},
        {"signal": "line/order", "time": at, "value": "0042"},
        {"signal": "line/order", "time": at, "value": 42},
        {"signal": "line/order", "time": at, "value": " "},
        {"signal": "line/order", "time": at, "value": None},
        {"signal": "line/state", "time": at, "value": " "},
    ) == [
        ("state", AT, 6.0, None, GOOD),
        ("state", AT + timedelta(seconds=0.5), 1.0, None, UNCERTAIN),
        ("state", AT, None, "running", GOOD),
        ("good", AT, 15.0, None, GOOD),
        ("good", NOW, None, None, BAD),
        ("good", AT, None, None, BAD),
        ("order", AT, None, "0042", GOOD),
        ("order", AT, None, "42", GOOD),
        ("order", AT, None, "", GOOD),
        ("order", AT, None, None, BAD),
        ("state", AT, None, None, BAD),
    ]
    assert taken() == []


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"signal": "line/stat", "value": 1}, "samples[1].signal: 'line/stat'"),
        ({"signal": "line/state"}, "samples[1].value"),
        ({"signal": "line/state", "value": [1]}, "samples[1].value"),
        ({"signal": "line/state", "value": 1, "time": "2026-01-31T06:00:00"}, "samples[1].time"),
        ({"signal": "line/state", "value": 1, "time": "soon"}, "samples[1].time"),
        ({"signal": "line/state", "value": 1, "time": True}, "samples[1].time"),
        ({"signal": "line/state", "value": 1, "time": "1601-01-01T00:00:00Z"}, "samples[1].time"),
        ({"signal": "line/state", "value": 1, "time": "2036-01-01T00:00:00Z"}, "set the sender's clock"),
        ({"signal": "line/state", "value": 1, "quality": "fine"}, "samples[1].quality"),
        ({"signal": "line/state", "value": 1, "ts": 1}, "unknown key 'ts'"),
        ("line/state", "samples[1] is no object"),
    ],
)
def test_one_mistake_refuses_the_whole_body_and_names_its_place(row: object, said: str) -> None:
    with pytest.raises(BodyError) as caught:
        taken({"signal": "line/state", "value": 1}, row)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b'{"samples": 1}', b'{"samples": [], "more": 1}', b"\xff"]
)
def test_what_is_no_such_body_says_what_would_be(body: bytes) -> None:
    with pytest.raises(BodyError, match=r"\{\"samples\": \["):
        parse(body, SIGNALS, NOW)


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(BodyError, match="and 80 more"):
        taken(*[{"signal": "x", "value": 1}] * 100)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["signal", "time", "value", "samples"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_json_is_taken_or_refused(said: object) -> None:
    for body in (said, {"samples": said}, {"samples": [said]}):
        try:
            frame = parse(orjson.dumps(body), SIGNALS, NOW)
        except BodyError:
            continue
        assert frame.height == len(body["samples"])  # type: ignore[index]


@given(st.integers(10**15, int(NOW.timestamp()) * 10**6), st.integers(-14, 14))
def test_any_time_with_a_zone_is_that_instant(microseconds: int, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    time = datetime.fromtimestamp(0, zone) + timedelta(microseconds=microseconds)
    assert taken({"signal": "line/state", "time": time.isoformat(), "value": 1})[0][1] == time


def test_a_source_needs_a_token_nobody_guesses_and_signals_their_own_names() -> None:
    assert "missing" in check(Source(id="s", protocol="http"), ())[0]
    assert "16" in check(Source(id="s", protocol="http", options={"token": "short"}), ())[0]
    options = {"token": "0123456789abcdef"}
    assert check(Source(id="s", protocol="http", options=options), SIGNALS) == []
    twice = (SIGNALS[0], Signal(id="x", equipment="m", role=Role.GOOD, source="s", address="line/state"))
    assert "also that of m.state" in check(Source(id="s", protocol="http", options=options), twice)[0]
