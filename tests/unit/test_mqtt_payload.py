"""MQTT addresses, packets and payloads."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion

from collectors.mqtt import check
from collectors.mqtt.address import Address, look_up, parse, pointer, wrong_filter
from collectors.mqtt.payload import Decoder, Mapped
from collectors.mqtt.stream import MalformedError, Message, Stream
from collectors.times import ISO
from plant.frames import BAD, GOOD, SAMPLES, UNCERTAIN
from plant.model import Role, Signal, Source

NOW = datetime(2026, 1, 31, 6, tzinfo=UTC)


def signal(name: str = "v", role: Role = Role.PROCESS_VALUE, **more: object) -> Signal:
    return Signal(id=name, equipment="m", role=role, source="s", **more)  # type: ignore[arg-type]


def decode(payload: object, address: str = "t#v", role: Role = Role.PROCESS_VALUE, **mapped: object):  # type: ignore[no-untyped-def]
    one = Mapped(signal(role=role), parse(address), **mapped)  # type: ignore[arg-type]
    decoder = Decoder([one])
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return decoder.decode([Message("t", data, False, 0)], NOW, {})


def one(payload: object, address: str = "t#v", role: Role = Role.PROCESS_VALUE, **mapped: object):  # type: ignore[no-untyped-def]
    decoded = decode(payload, address, role, **mapped)
    assert dict(decoded.live.schema) == dict(SAMPLES)
    ((time, value, text, quality),) = decoded.live.select("time", "value", "text", "quality").rows()
    return time, value if value is not None else text, quality


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("a/b", Address("a/b")),
        ("a/b#c", Address("a/b", ("c",))),
        ("a/b#/c/0/d~1e", Address("a/b", ("c", "0", "d/e"))),
        ("a#b#c", Address("a", ("b#c",))),
    ],
)
def test_addresses(address: str, found: Address) -> None:
    assert parse(address) == found


@pytest.mark.parametrize("address", ["", "a/+/b", "a/#", "#", "a#", "+", "$share/g/a"])
def test_an_address_that_names_no_value_is_refused(address: str) -> None:
    source = Source(id="s", protocol="mqtt", options={"host": "h"})
    (problem,) = check(source, (signal(address=address),))
    assert "m.v" in problem and "write" in problem


@pytest.mark.parametrize("wrong", ["", "a+/b", "a/#/b", "a/b#"])
def test_subscriptions(wrong: str) -> None:
    assert wrong_filter(wrong)
    assert not any(map(wrong_filter, ("a", "a/+/b", "#", "a/#", "+/+")))


def test_what_is_not_there_is_missing() -> None:
    document = {"a": [1, {"b": None}]}
    assert look_up(document, pointer("/a/1/b")) is None
    missing = [
        look_up(document, pointer(place)) for place in ("/a/2", "/a/x", "/a/0/b", "c", "/a/-1", "/a/١")
    ]
    assert len({id(found) for found in missing}) == 1 and missing[0] is not None


@pytest.mark.parametrize(
    ("payload", "role", "value"),
    [
        (b"12.5", Role.PROCESS_VALUE, 12.5),
        (b" +7 ", Role.GOOD, 7.0),
        (b"true", Role.STATE, 1.0),
        (b"RUN", Role.STATE, "RUN"),
        (b'"RUN"', Role.STATE, "RUN"),
        (b"0042", Role.ORDER, "0042"),
        (b"42", Role.ORDER, "42"),
        (b"1e5", Role.ORDER, "1e5"),
        (b'"0042"', Role.ORDER, "0042"),
        (b"0x10", Role.STATE, "0x10"),
    ],
)
def test_a_payload_that_is_the_value(payload: bytes, role: Role, value: object) -> None:
    assert one(payload, "t", role) == (NOW, value, GOOD)


@pytest.mark.parametrize("payload", [b"", b" ", b"null", b"NaN", b"\xff\xfe", b"{}", b"[1]", b"1e999"])
def test_a_payload_without_a_value_is_no_value(payload: bytes) -> None:
    assert one(payload, "t") == (NOW, None, BAD)
    assert decode(payload, "t").said["m.v"]


@pytest.mark.parametrize(
    ("found", "role", "value"),
    [
        (3, Role.STATE, 3.0),
        ("3", Role.STATE, 3.0),
        (False, Role.STATE, 0.0),
        (42, Role.ORDER, "42"),
        (4.0, Role.ORDER, "4"),
        (" ", Role.ORDER, ""),
    ],
)
def test_values_in_json(found: object, role: Role, value: object) -> None:
    assert one({"v": found}, role=role) == (NOW, value, GOOD)


def test_nan_in_json_takes_only_its_own_value_along() -> None:
    assert one(b'{"v": 3, "w": NaN}') == (NOW, 3.0, GOOD)
    assert one(b'{"v": NaN}') == (NOW, None, BAD)


@pytest.mark.parametrize(
    "when",
    [
        "2026-01-31T05:59:59.5Z",
        "2026-01-31T06:59:59,5+01:00",
        1769839199.5,
        1769839199500,
        1769839199500000,
        "1769839199500",
    ],
)
def test_the_sources_time(when: object) -> None:
    expected = datetime(2026, 1, 31, 5, 59, 59, 500_000, tzinfo=UTC)
    assert one({"v": 3, "t": when}, time=("t",)) == (expected, 3.0, GOOD)


@pytest.mark.parametrize("when", [None, True, "yesterday", 5, {}])
def test_a_time_that_is_none_makes_no_sample_at_a_wrong_time(when: object) -> None:
    decoded = decode({"v": 3, "t": when}, time=("t",))
    assert decoded.live.select("time", "value", "quality").rows() == [(NOW, None, BAD)]
    assert "time" in decoded.said["m.v"]


@pytest.mark.parametrize(
    ("said", "quality"),
    [
        ("GOOD", GOOD),
        (True, GOOD),
        (192, GOOD),
        (None, GOOD),
        ("uncertain", UNCERTAIN),
        (64, UNCERTAIN),
        (0, BAD),
        ("bad", BAD),
    ],
)
def test_quality(said: object, quality: int) -> None:
    assert one({"v": 3, "q": said}, quality=("q",)) == (NOW, None if quality == BAD else 3.0, quality)


def test_what_a_payload_leaves_out_has_not_changed() -> None:
    decoder = Decoder([Mapped(signal("v"), parse("t#v")), Mapped(signal("w"), parse("t#w"))])

    def say(payload: bytes) -> list[tuple[str, float | None]]:
        return (
            decoder.decode([Message("t", payload, False, 0)], NOW, {}).live.select("signal", "value").rows()
        )

    assert say(b'{"v": 1}') == [("v", 1.0), ("w", None)]  # it was never there: somebody should look
    assert say(b'{"v": 2}') == [("v", 2.0)]
    assert say(b'{"w": 3}') == [("w", 3.0)]
    assert say(b'{"v": 4}') == [("v", 4.0)]
    assert decoder.bad == 2


def test_a_device_that_goes_and_comes_back_while_nobody_listened() -> None:
    """What the broker kept comes in one batch: the time without the device lies between what it said."""
    decoder = Decoder([Mapped(signal(), parse("t#v"), ("t",), None, parse("s"))])
    first, second = (NOW - timedelta(hours=hours) for hours in (2, 1))
    said = [
        Message("t", json.dumps({"v": 1, "t": first.isoformat()}).encode(), False, 1),
        Message("s", b"offline", False, 2),
        Message("s", b"online", False, 3),
        Message("t", json.dumps({"v": 2, "t": second.isoformat()}).encode(), False, 4),
    ]
    decoded = decoder.decode(said, NOW, {})
    rows = decoded.live.sort("time").select("time", "value").rows()
    assert rows == [(first, 1.0), (first + timedelta(microseconds=1), None), (second, 2.0)]
    assert decoded.said == {"m.v": None} and decoder.alive == {"m.v"}


def test_a_device_whose_clock_is_ahead_is_gone_after_all_it_said() -> None:
    decoder = Decoder([Mapped(signal(), parse("t#v"), ("t",), None, parse("s#there"), "false")])
    ahead = NOW + timedelta(minutes=3)
    decoded = decoder.decode([Message("s", b'{"there": false}', False, 1)], NOW, {"m.v": ahead})
    assert decoded.live["time"].to_list() == [ahead + timedelta(microseconds=1)]


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_any_payload_is_taken_without_a_crash(payloads: list[bytes], retained: bool) -> None:
    mapped = [
        Mapped(signal("a"), parse("t")),
        Mapped(signal("b", Role.ORDER), parse("t")),
        Mapped(signal("c"), parse("t#v"), ("t",), ("q",), parse("t")),
    ]
    decoder = Decoder(mapped)
    decoded = decoder.decode([Message("t", p, retained, 0) for p in payloads], NOW, {})
    for frame in (decoded.live, decoded.retained):
        assert dict(frame.schema) == dict(SAMPLES)
        assert frame["value"].is_finite().all()


@given(
    st.one_of(
        st.text(max_size=30), st.integers(), st.floats(allow_nan=False), st.from_regex(ISO, fullmatch=True)
    ),
    st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.just(10**400)),
)
def test_any_time_and_value_is_taken_without_a_crash(when: object, value: object) -> None:
    time, _, quality = one(json.dumps({"v": value, "t": when, "not": float("nan")}).encode(), time=("t",))
    assert time.year < 5138 and quality in (GOOD, BAD)


class Pipe:
    """A socket that gives what it was made with, in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def recv(self, _size: int) -> bytes:
        if not self.pieces:
            raise BlockingIOError
        return self.pieces.pop(0)


class Sink(Pipe):
    """A socket that takes a few bytes at a time, now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.taken, self.turn = b"", 0

    def send(self, data: bytes) -> int:
        self.turn += 1
        if self.turn % 3 == 0:
            raise BlockingIOError
        self.taken += bytes(data[:2])
        return len(data[:2])

    def close(self) -> None:
        self.taken += b"|"


def test_what_is_sent_goes_in_order_and_before_the_end() -> None:
    sink, asked = Sink(), list[int]()
    stream = Stream(sink)
    stream.on_send = lambda: asked.append(1)
    assert stream.send(b"abcdef") == 6 and sink.taken == b""
    assert not stream.flush() and stream.flush() and sink.taken == b"abcdef"
    assert stream.send(b"gh") == 2 and asked == [1, 1]
    sink.turn = 0
    stream.close()
    assert sink.taken == b"abcdefgh|"


def packet(topic: str, payload: bytes, number: int, retain: bool, five: bool) -> bytes:
    name = topic.encode()
    body = len(name).to_bytes(2) + name + (number.to_bytes(2) if number else b"")
    body += (b"\x02\x01\x01" if five else b"") + payload
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (128 if rest else 0)])
        if not rest:
            return bytes([0x30 | (2 if number else 0) | retain]) + length + body


MESSAGES = st.lists(
    st.tuples(st.text(min_size=1, max_size=5), st.binary(max_size=300), st.integers(0, 65535), st.booleans()),
    max_size=6,
)


@given(MESSAGES, st.booleans(), st.lists(st.integers(0, 600), max_size=5))
def test_packets_are_read_as_paho_reads_them(
    messages: list[tuple[str, bytes, int, bool]], five: bool, cuts: list[int]
) -> None:
    """However the network cuts them; a packet of another kind between them is left alone."""
    packets = [packet(*message, five) for message in messages]
    stream_of = b"".join(packets) + b"\xd0\x00" + b"".join(packets)
    edges = sorted({0, len(stream_of), *(cut for cut in cuts if cut < len(stream_of))})
    pieces = [stream_of[a:b] for a, b in pairwise(edges)]
    stream, found, others = Stream(Pipe(*pieces)), list[Message](), 0
    for _ in pieces:
        stream.fill()
        while stream.publishes(found, five):
            assert stream.recv(2) == b"\xd0\x00"
            others += 1
    assert others == 1 and len(found) == 2 * len(messages)
    version = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
    for one_packet, message in zip(packets, found, strict=False):
        start = 2 if one_packet[1] < 128 else 3
        theirs = _packet.decode_publish(one_packet[0], one_packet[start:], version)
        assert message == (theirs.topic.decode(), theirs.payload, theirs.retain, theirs.mid)


@given(st.binary(max_size=60), st.booleans())
def test_bytes_that_are_no_mqtt_end_in_an_error_or_wait(data: bytes, five: bool) -> None:
    stream, found = Stream(Pipe(b"\x32" + data)), list[Message]()
    stream.fill()
    try:
        while stream.publishes(found, five) and stream.recv(1):
            pass
    except MalformedError:
        pass
