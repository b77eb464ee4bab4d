"""SHDR lines to records and samples: the protocol's shapes, NIST's real lines, and anything at all."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.shdr import check, decode, samples
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal, Source

DATA = Path(__file__).parent / "data"
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


def signal(address: str, role: Role = Role.PROCESS_VALUE, scale: float = 1.0, offset: float = 0.0) -> Signal:
    return Signal(
        id=address, equipment="m", role=role, source="s", address=address, scale=scale, offset=offset
    )


def test_every_shape_of_line() -> None:
    records, problems = decode(
        [
            "2017-01-23T18:33:25.7Z|a|1|b|2|c|UNAVAILABLE",
            "2017-01-23T18:33:25.7Z|a|UNAVAILABLE|b|Unavailable|c|3",
            "2017-01-23T18:33:25.7Z|cond|Fault|E1|9||coolant low\r",
            "2017-01-23T18:33:25.7Z|cond|normal||||",
            "2017-01-23T18:33:25.7Z|cond|Unavailable||||",
            "2017-01-23T18:33:25Z|message|C12|door open",
            "* PONG 10000",
            "2017-01-23T18:33:25Z|@ASSET@|x|y|z",
            "",
        ]
    )
    assert problems == []
    assert records.select("item", "value", "detail").rows() == [
        ("a", "1", None),
        ("b", "2", None),
        ("c", None, None),
        ("a", None, None),
        ("b", None, None),
        ("c", "3", None),
        ("cond", "FAULT", "E1 9 coolant low"),
        ("cond", "NORMAL", ""),
        ("cond", None, ""),
        ("message", "door open", "C12"),
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2017-08-09T09:15:19.8281250Z", datetime(2017, 8, 9, 9, 15, 19, 828125, tzinfo=UTC)),
        ("2017-08-09T09:15:19.1Z", datetime(2017, 8, 9, 9, 15, 19, 100000, tzinfo=UTC)),
        ("2017-08-09T09:15:19Z", datetime(2017, 8, 9, 9, 15, 19, tzinfo=UTC)),
        ("2017-08-09T09:15:19.25", datetime(2017, 8, 9, 9, 15, 19, 250000, tzinfo=UTC)),
        ("2017-08-09T09:15:19.25+02:00", datetime(2017, 8, 9, 7, 15, 19, 250000, tzinfo=UTC)),
        ("2017-08-09T09:15:19.25-0530", datetime(2017, 8, 9, 14, 45, 19, 250000, tzinfo=UTC)),
        ("2017-08-09T09:15:19Z@12.5", datetime(2017, 8, 9, 9, 15, 19, tzinfo=UTC)),
    ],
)
def test_times(written: str, expected: datetime) -> None:
    records, problems = decode([f"{written}|x|5"])
    assert (records["time"].to_list(), problems) == ([expected], [])


def test_malformed_lines_are_counted_by_reason_and_the_rest_is_read() -> None:
    records, problems = decode(
        b"junk\n2017-99-23T18:33:25.7Z|a|1\n2017-01-23T18:33:25Z|a\n2017-01-23T18:33:25Z|ts|4|100|1 2 3\n"
        b"2017-01-23T18:33:25Z||3\n2017-01-23T18:33:25Z|a|1|b|2|c\n2017-01-23T18:33:25Z|a|\xff\n"
    )
    assert records["item"].to_list() == ["a"]
    assert [(p.count, p.line) for p in problems] == [(2, 1), (1, 3), (1, 4), (1, 5), (1, 6)]
    assert "timestamp" in problems[0].reason and problems[0].text == "junk"


def test_nist_mazak_lines_keep_stale_times_and_unavailable_is_no_value() -> None:
    records, problems = decode((DATA / "nist_mazak_excerpt.txt").read_bytes())
    assert problems == [] and records.height == 16
    got = samples(records, [signal("execution", Role.STATE), signal("Mazak03_asset_chg")], RECEIVED)
    assert got.schema == pl.Schema(SAMPLES)
    assert got["time"][0] == datetime(2017, 1, 23, 18, 33, 25, 767113, tzinfo=UTC)
    states = got.filter(pl.col("signal") == "execution")
    assert states["text"].to_list() == [None, "STOPPED", "READY", "ACTIVE", "READY"]
    assert states["quality"].to_list() == [BAD, GOOD, GOOD, GOOD, GOOD]
    assert states["value"].is_null().all() and (got["received"] == RECEIVED).all()


def test_nist_hurco_counter_and_seven_digit_fractions() -> None:
    records, problems = decode((DATA / "nist_hurco_excerpt.txt").read_bytes())
    assert problems == []
    got = samples(records, [signal("Part_Count", Role.TOTAL)], RECEIVED)
    assert got["value"].to_list() == [None, None, 0, 3763, None, None, 3766, 3767, None]
    assert got["time"].is_sorted() and got["time"][2].microsecond == 953125


def test_numbers_are_scaled_and_orders_stay_text() -> None:
    lines = [
        "2026-01-01T00:00:00Z|d:speed|10|order|0042|alarm|nan",
        "2026-01-01T00:00:01Z|alarm|FAULT|7|||hot",
    ]
    wanted = [signal("speed", scale=0.5, offset=1), signal("order", Role.ORDER)]
    wanted.append(signal("alarm", Role.ALARM))
    got = samples(decode(lines)[0], wanted, RECEIVED)
    assert got.select("signal", "value", "text").rows() == [
        ("speed", 6.0, None),
        ("order", None, "0042"),
        ("alarm", None, "nan"),
        ("alarm", None, "FAULT 7 hot"),
    ]


def test_a_missing_time_is_the_time_of_receipt_and_infinity_is_no_number() -> None:
    got = samples(decode(["|x|1e999|x|inf"])[0], [signal("x")], RECEIVED)
    assert got["time"].to_list() == [RECEIVED] * 2
    assert got["value"].to_list() == [None, None] and got["text"].to_list() == ["1e999", "inf"]


FRAGMENT = st.sampled_from(
    [
        "2017-01-23T18:33:25.7Z",
        "|",
        "||",
        "a",
        "UNAVAILABLE",
        "Normal",
        "\n",
        "* PING",
        "@",
        "9e999",
        "-",
        "\r",
        "é",
    ]
)


@given(st.lists(st.one_of(FRAGMENT, st.text(max_size=5))).map("".join))
def test_no_input_raises_and_every_line_is_accounted_for(text: str) -> None:
    records, problems = decode(text.encode("utf-8", "surrogatepass"))
    got = samples(records, [signal("a"), signal("b", Role.STATE)], RECEIVED)
    assert got.schema == pl.Schema(SAMPLES)
    assert got["value"].is_finite().all() and got["time"].null_count() == 0
    lines = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").split("\n")
    assert sum(p.count for p in problems) <= len(lines)


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    records, _ = decode(data)
    assert samples(records, [signal("a")], RECEIVED).schema == pl.Schema(SAMPLES)


def test_check_names_what_is_wrong_and_the_fix() -> None:
    source = Source(id="s", protocol="shdr", options={"host": "h", "file": "f", "prot": 1})
    found = check(source, (signal("a|b"),))
    assert any('unknown option "prot"' in p for p in found) and any("a|b" in p for p in found)
    both = check(Source(id="s", protocol="shdr", options={"host": "h", "file": "f"}), ())
    assert len(both) == 1 and "either" in both[0]
    assert check(Source(id="s", protocol="shdr", options={"host": "h", "port": 7878}), (signal("a"),)) == []
