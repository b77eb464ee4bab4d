"""Sparkplug payloads, and what a host makes of births, data, sequence numbers and deaths."""

import contextlib
import struct
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.sparkplug import check
from collectors.sparkplug.address import Address, parse, split_topic
from collectors.sparkplug.host import FIRST_ASK, Heard, Host
from collectors.sparkplug.protobuf import PayloadError, decode, encode_rebirth
from plant.frames import BAD, GOOD, UNCERTAIN
from plant.model import Role, Signal, Source

NODE = ("g", "n")
AT = datetime(2026, 1, 31, 6, tzinfo=UTC)
REORDER = timedelta(seconds=2)
INT8, INT16, INT32, INT64, UINT8, UINT64, FLOAT, DOUBLE, BOOL, STRING, DATASET = (
    1,
    2,
    3,
    4,
    5,
    8,
    9,
    10,
    11,
    12,
    16,
)


def ms(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def data(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


VALUES = {
    **dict.fromkeys((INT8, INT16, INT32, UINT8), lambda v: number(10, v & 0xFFFFFFFF)),
    **dict.fromkeys((INT64, UINT64), lambda v: number(11, v & 0xFFFFFFFFFFFFFFFF)),
    FLOAT: lambda v: varint(12 << 3 | 5) + struct.pack("<f", v),
    DOUBLE: lambda v: varint(13 << 3 | 1) + struct.pack("<d", v),
    BOOL: lambda v: number(14, v),
    STRING: lambda v: data(15, v.encode()),
    DATASET: lambda v: data(17, v),
}


def metric(kind: int, value: object, *, name: str = "", alias: int | None = None, time: datetime | None = None,
           typed: bool = True, historical: bool = False, quality: int | None = None) -> bytes:  # fmt: skip
    out = data(1, name.encode()) if name else b""
    out += number(2, alias) if alias is not None else b""
    out += number(3, ms(time)) if time else b""
    out += number(4, kind) if typed else b""
    out += number(5, 1) if historical else b""
    if quality is not None:
        out += data(9, data(1, b"Quality") + data(2, number(1, 3) + number(3, quality)))
    return out + (number(7, 1) if value is None else VALUES[kind](value))


def payload(time: datetime, seq: int | None, *metrics: bytes) -> bytes:
    out = number(1, ms(time)) + b"".join(data(2, one) for one in metrics)
    return out + (number(3, seq) if seq is not None else b"")


class Plant:
    """A host with a node and a device behind it, both with a metric each."""

    def __init__(self, kind: int = INT32, role: Role = Role.STATE) -> None:
        signals = [
            (Signal(id="v", equipment="m", role=role, source="s"), parse("g/n/d#v")),
            (Signal(id="w", equipment="m", role=Role.STATE, source="s"), parse("g/n#w")),
        ]
        self.kind, self.now, self.seq = kind, AT, 0
        self.host = Host(signals, REORDER)
        self.host.connected()
        self.heard = Heard()

    def take(self, what: str, raw: bytes) -> Heard:
        self.heard = Heard()
        self.host.take(what, NODE, "d" if what.startswith("D") else "", raw, self.now, self.heard)
        return self.heard

    def look(self) -> list[str]:
        self.heard = Heard()
        return [why for _, why in self.host.look(self.now, self.heard)]

    def birth(self, value: object = 0, sequence: int = 1) -> None:
        session = metric(UINT64, sequence, name="bdSeq")
        self.take("NBIRTH", payload(self.now, 0, session, metric(INT32, 5, name="w", alias=2)))
        self.take("DBIRTH", payload(self.now, 1, metric(self.kind, value, name="v", alias=1)))
        self.seq = 2

    def data(self, value: object, seq: int | None = None, **more: object) -> Heard:
        seq, self.seq = (self.seq, self.seq + 1) if seq is None else (seq, self.seq)
        raw = metric(self.kind, value, alias=1, typed=False, **more)  # type: ignore[arg-type]
        return self.take("DDATA", payload(self.now, seq % 256, raw))

    def values(self) -> list[object]:
        return [row.value if row.value is not None else row.text for row in self.heard.live]


def test_addresses() -> None:
    assert parse("g/n#a/b#c") == Address("g", "n", "", "a/b#c")
    assert parse("g/n:1/d#x") == Address("g", "n:1", "d", "x")
    assert split_topic("spBv1.0/g/DDATA/n/d") == ("DDATA", ("g", "n"), "d")
    assert split_topic("spBv1.0/STATE/host") is None and split_topic("plant/g/NDATA/n") is None


@pytest.mark.parametrize("address", ["", "g/n", "g#x", "g/n/d/e#x", "g//d#x", "g/+#x", "g/n#"])
def test_a_wrong_address_is_refused(address: str) -> None:
    signal = Signal(id="v", equipment="m", role=Role.STATE, source="s", address=address)
    (problem,) = check(Source(id="s", protocol="sparkplug", options={"host": "h"}), (signal,))
    assert "m.v" in problem and "group/node#metric" in problem


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (INT8, -1, -1.0), (INT16, -300, -300.0), (INT32, -(2**31), -float(2**31)), (INT64, -5, -5.0),
        (UINT8, 255, 255.0), (UINT64, 2**53, float(2**53)), (FLOAT, 0.5, 0.5), (DOUBLE, -1e300, -1e300), (BOOL, True, 1.0),
        (STRING, "run", "run"), (STRING, " ", None), (INT32, None, None), (DATASET, b"\x08\x02", None),
    ],
)  # fmt: skip
def test_values(kind: int, value: object, expected: object) -> None:
    plant = Plant(kind)
    plant.birth(value)
    (born,) = {(row.value if row.value is not None else row.text, row.quality) for row in plant.heard.born}
    plant.data(value)
    assert born == (expected, BAD if expected is None else GOOD)
    assert plant.values() == [expected]
    assert (plant.heard.said[0] is None) == (expected is not None)


def test_an_order_stays_text() -> None:
    plant = Plant(INT64, Role.ORDER)
    plant.birth(42)
    plant.data(43)
    assert plant.values() == ["43"]


def test_an_empty_order_is_none_and_an_empty_text_of_others_no_value() -> None:
    for role, said in ((Role.ORDER, ("", GOOD)), (Role.STATE, (None, BAD))):
        plant = Plant(STRING, role)
        plant.birth("A")
        (row,) = plant.data(" ").live
        assert (row.text, row.quality) == said


@pytest.mark.parametrize(("said", "quality"), [(192, GOOD), (500, UNCERTAIN), (0, BAD)])
def test_the_quality_property(said: int, quality: int) -> None:
    plant = Plant()
    plant.birth()
    (row,) = plant.data(7, quality=said).live
    assert (row.quality, row.value) == (quality, None if quality == BAD else 7.0)


def test_a_birth_gives_old_values_their_time_and_says_that_they_stand() -> None:
    plant, old = Plant(), AT - timedelta(hours=1)
    plant.take("NBIRTH", payload(AT, 0))
    heard = plant.take("DBIRTH", payload(AT, 1, metric(INT32, 3, name="v", alias=1, time=old)))
    assert [(row.time, row.value) for row in heard.born] == [(old, 3.0), (AT, 3.0)]


def test_historical_values_go_their_own_way() -> None:
    plant, old = Plant(), AT - timedelta(hours=1)
    plant.birth()
    heard = plant.data(4, time=old, historical=True)
    assert heard.live == [] and [(row.time, row.value) for row in heard.historical] == [(old, 4.0)]


def test_data_before_a_birth_asks_for_it_but_not_all_the_time() -> None:
    plant = Plant()
    assert plant.look() == ["we have just connected"]
    asked = 0
    for _ in range(600):
        plant.now += timedelta(seconds=1)
        assert plant.data(1).live == []
        asked += len(plant.look())
    assert 4 <= asked <= 6  # after 10, 30, 70, 150, 310 s
    plant.birth()
    assert plant.look() == []
    plant.data(2)
    assert plant.values() == [2.0]


def test_messages_in_the_wrong_order_are_put_in_order() -> None:
    plant = Plant()
    plant.birth()
    assert plant.data(13, 3).live == [] and plant.data(14, 4).live == []
    plant.data(12, 2)
    assert plant.values() == [12.0, 13.0, 14.0]
    plant.now += 2 * REORDER
    assert plant.look() == [] and plant.heard.holes == []


def test_a_message_that_does_not_come_is_a_hole_and_the_births_are_asked_for() -> None:
    plant = Plant()
    plant.birth()
    plant.data(12, 2)
    lost_after = plant.now
    plant.now += timedelta(seconds=1)
    plant.data(14, 4)
    assert plant.values() == [] and plant.look() == []
    came, plant.now = plant.now, plant.now + REORDER
    (why,) = plant.look()
    assert "1 messages" in why and plant.values() == [14.0]
    ((first, last, _, whose),) = plant.heard.holes
    assert (first, last, sorted(whose)) == (lost_after, came, [0, 1])
    assert plant.data(15, 5).live[0].value == 15.0


def test_sequence_numbers_go_round_and_repetitions_are_no_holes() -> None:
    plant = Plant()
    plant.birth()
    for value in range(600):
        plant.data(value)
        assert plant.values() == [float(value)]
    plant.data(599, plant.seq - 1)
    plant.now += 2 * REORDER
    assert plant.look() == [] and plant.heard.holes == []


def test_a_whole_round_lost_but_some_is_no_repetition() -> None:
    plant = Plant()
    plant.birth()
    plant.now += timedelta(seconds=1)
    plant.data(9, 2 + 250)
    plant.now += REORDER
    plant.look()
    assert len(plant.heard.holes) == 1 and plant.values() == [9.0]


def test_deaths_end_the_values_after_all_that_was_said() -> None:
    plant, ahead = Plant(), AT + timedelta(seconds=3)
    plant.birth()
    plant.data(4, time=ahead)
    heard = plant.take("DDEATH", payload(AT, plant.seq))
    assert heard.gone == [(0, ahead + timedelta(microseconds=1))] and "g/n/d" in str(heard.said[0])
    assert plant.host.alive == {1}
    heard = plant.take("NDEATH", payload(AT, None, metric(UINT64, 1, name="bdSeq")))
    assert sorted(index for index, _ in heard.gone) == [0, 1] and plant.host.alive == set()


def test_the_death_of_an_earlier_connection_is_nobodys() -> None:
    plant = Plant()
    plant.birth(sequence=4)
    assert plant.take("NDEATH", payload(AT, None, metric(UINT64, 3, name="bdSeq"))).gone == []
    assert plant.host.alive == {0, 1}


def test_a_device_that_is_not_born_again_with_its_node_is_gone_since_then() -> None:
    plant = Plant()
    plant.birth()
    plant.now += timedelta(minutes=1)
    again = plant.now
    plant.take("NBIRTH", payload(plant.now, 0, metric(UINT64, 2, name="bdSeq")))
    assert plant.look() == [] and plant.heard.gone == []
    plant.now += REORDER
    plant.look()
    assert plant.heard.gone == [(0, again)]


def test_a_metric_the_birth_does_not_have_is_named_once() -> None:
    plant = Plant()
    plant.take("NBIRTH", payload(AT, 0))
    for seq in (1, 2):
        heard = plant.take("DBIRTH", payload(AT, seq, metric(INT32, 1, name="speed", alias=1)))
        assert "'v'" in str(heard.said[0]) and "speed" in str(heard.said[0])
        assert len(heard.gone) == (seq == 1)


def test_an_alias_nobody_named_asks_for_the_births() -> None:
    plant = Plant()
    plant.birth()
    plant.look()
    plant.take("DDATA", payload(AT, 2, metric(INT32, 1, alias=77, typed=False)))
    plant.now += FIRST_ASK
    assert "alias 77" in plant.look()[0]


def test_a_compressed_payload() -> None:
    inner = payload(AT, 7, metric(INT32, 1, name="v"))
    outer = data(4, b"SPBV1.0_COMPRESSED") + data(5, zlib.compress(inner))
    assert decode(outer) == decode(inner)
    for wrong in (zlib.compress(inner)[:-3], b"x", zlib.compress(bytes(20 << 20)), zlib.compress(outer)):
        with pytest.raises(PayloadError):
            decode(data(4, b"SPBV1.0_COMPRESSED") + data(5, wrong))


def test_the_rebirth_command_is_one() -> None:
    said = decode(encode_rebirth(ms(AT)))
    (one,) = said.metrics
    assert (one.name, one.datatype, one.value, one.timestamp) == ("Node Control/Rebirth", 11, True, ms(AT))


VALID = payload(
    AT, 3,
    metric(INT32, -4, name="v", alias=1, time=AT, quality=192), metric(STRING, "text", name="w"),
    metric(DOUBLE, 1.5, alias=3, typed=False), metric(DATASET, b"\x08\x02", name="t"),
)  # fmt: skip


@pytest.mark.parametrize("length", range(len(VALID)))
def test_a_payload_cut_short_is_never_taken_for_a_whole_one(length: int) -> None:
    with contextlib.suppress(PayloadError):
        assert decode(VALID[:length]) != decode(VALID)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_an_error(raw: bytes) -> None:
    try:
        decode(raw)
    except PayloadError as error:
        assert str(error)


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=6),
       st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH", "NCMD", "x"]))  # fmt: skip
def test_damaged_payloads_disturb_nothing(damage: list[tuple[int, int]], what: str) -> None:
    raw = bytearray(VALID)
    for place, byte in damage:
        raw[place] = byte
    plant = Plant()
    plant.birth()
    plant.take(what, bytes(raw))
    plant.now += REORDER
    plant.look()
    plant.birth(9)
    plant.data(8)
    assert plant.values() == [8.0]
