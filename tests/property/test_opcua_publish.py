"""The publish decoder against asyncua's own decoding of the same bytes, and against damaged bytes."""

import contextlib
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import (
    nodeid_to_binary,
    struct_from_binary,
    struct_to_binary,
    variant_to_binary,
)
from hypothesis import given
from hypothesis import strategies as st

from collectors.opcua.publish import NOTIFICATIONS, Published, decode, decode_republished
from collectors.opcua.wire import DecodeError
from tests.examples import examples

AT = datetime(2026, 1, 31, 6, 0, 0, 123456, tzinfo=UTC)
T = ua.VariantType
FIRST, LAST = datetime(1601, 1, 1, 0, 0, 1), datetime(9999, 12, 31, 23, 59, 58)  # noqa: DTZ001 hypothesis wants them so
Item = tuple[int, ua.DataValue]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
instants = st.datetimes(FIRST, LAST).map(lambda t: t.replace(tzinfo=UTC))
small = st.integers(0, 0xFFFF)


def whole(bits: int, signed: bool) -> st.SearchStrategy[int]:
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return st.integers(least, most) | st.sampled_from([least, most, most - most // 3])


node_ids = st.one_of(
    st.builds(lambda i: ua.NodeId(i, 0, ua.NodeIdType.TwoByte), st.integers(0, 255)),
    st.builds(lambda i, n: ua.NodeId(i, n, ua.NodeIdType.FourByte), small, st.integers(0, 255)),
    st.builds(lambda i, n: ua.NodeId(i, n, ua.NodeIdType.Numeric), whole(32, False), small),
    st.builds(lambda i, n: ua.NodeId(i, n, ua.NodeIdType.String), texts, small),
    st.builds(lambda i, n: ua.NodeId(i, n, ua.NodeIdType.ByteString), st.binary(max_size=9), small),
    st.builds(lambda i, n: ua.NodeId(i, n, ua.NodeIdType.Guid), st.uuids(), small),
)
expanded = st.builds(
    lambda i, uri, server: ua.ExpandedNodeId(i, 2, ua.NodeIdType.String, uri, server),
    texts,
    st.none() | texts,
    st.none() | whole(32, False),
)
structures = st.one_of(
    st.builds(ua.Range, st.floats(width=64), st.floats(width=64)),
    st.builds(lambda t: ua.EUInformation(NamespaceUri=t, DisplayName=ua.LocalizedText(t)), texts),
    st.builds(lambda b: ua.ExtensionObject(ua.NodeId(5001, 3), b), st.binary(max_size=30)),
    st.none(),
)
localized = st.builds(ua.LocalizedText, st.none() | texts, st.none() | texts)
diagnostics = st.builds(
    ua.DiagnosticInfo,
    SymbolicId=st.none() | whole(32, True),
    Locale=st.none() | whole(32, True),
    AdditionalInfo=st.none() | texts,
    InnerStatusCode=st.none() | st.builds(ua.StatusCode, whole(32, False)),
)
of_type: dict[ua.VariantType, st.SearchStrategy[Any]] = {
    T.Boolean: st.booleans(),
    T.SByte: whole(8, True),
    T.Byte: whole(8, False),
    T.Int16: whole(16, True),
    T.UInt16: whole(16, False),
    T.Int32: whole(32, True),
    T.UInt32: whole(32, False),
    T.Int64: whole(64, True),
    T.UInt64: whole(64, False),
    T.Float: st.floats(width=32),
    T.Double: st.floats(),
    T.String: st.none() | texts,
    T.DateTime: instants,
    T.Guid: st.uuids(),
    T.ByteString: st.none() | st.binary(max_size=20),
    T.NodeId: node_ids,
    T.ExpandedNodeId: expanded,
    T.StatusCode: st.builds(ua.StatusCode, whole(32, False)),
    T.QualifiedName: st.builds(ua.QualifiedName, texts, st.integers(0, 0x7FFF)),
    T.LocalizedText: localized,
    T.ExtensionObject: structures,
    T.DiagnosticInfo: diagnostics,
}


def scalar(kind: ua.VariantType) -> st.SearchStrategy[ua.Variant]:
    return of_type[kind].map(lambda value: ua.Variant(value, kind, is_array=False))


def array_of(kind: ua.VariantType) -> st.SearchStrategy[ua.Variant]:
    return st.lists(of_type[kind], max_size=4).map(lambda values: ua.Variant(values, kind, is_array=True))


def matrix_of(kind: ua.VariantType) -> st.SearchStrategy[ua.Variant]:
    rows = st.lists(of_type[kind], min_size=2, max_size=2)
    return st.lists(rows, min_size=2, max_size=2).map(lambda v: ua.Variant(v, kind, Dimensions=[2, 2]))


kinds = st.sampled_from(sorted(of_type))
variants = st.one_of(
    kinds.flatmap(scalar),
    kinds.flatmap(scalar),
    kinds.flatmap(array_of),
    st.sampled_from([T.Double, T.Int32, T.String]).flatmap(matrix_of),
    st.lists(kinds.flatmap(scalar), max_size=3).map(lambda v: ua.Variant(v, T.Variant, is_array=True)),
    st.just(ua.Variant(None, T.Null)),
)
statuses = st.none() | st.sampled_from([0, 0x480, 0x40000000, 0x408F0480, 0x80340000, 0x808C0000, 0xC0000000])


@st.composite
def data_values(draw: st.DrawFn) -> ua.DataValue:
    """As servers send them: asyncua reads picoseconds of the source in the wrong place, see the test of that."""
    status = draw(statuses)
    server = draw(st.none() | instants)
    given = ua.DataValue(
        draw(variants),
        None if status is None else ua.StatusCode(status),
        draw(st.none() | instants),
        server,
        draw(st.none() | small) if server is None else None,
        draw(st.none() | small),
    )
    if draw(st.integers(0, 9)) == 0:
        object.__setattr__(given, "Value", None)
    return given


items = st.tuples(whole(32, False), data_values())


def response(parts: list[Any], **more: Any) -> bytes:
    message = ua.NotificationMessage(SequenceNumber=7, PublishTime=AT, NotificationData=parts)
    asked = {"SubscriptionId": 5, "AvailableSequenceNumbers": [6, 7], "MoreNotifications": False} | more
    answer = ua.PublishResponse()
    answer.Parameters = ua.PublishResult(NotificationMessage=message, **asked)
    return struct_to_binary(answer)


def changes(given: list[Item]) -> ua.DataChangeNotification:
    return ua.DataChangeNotification([ua.MonitoredItemNotification(h, v) for h, v in given])


def meaning(data: ua.DataValue) -> tuple[Any, ...]:
    """What a notification says, of the library's objects."""
    status = data.StatusCode.value if data.StatusCode is not None else 0
    said = data.Value.Value if data.Value is not None and status < 0x80000000 else None
    value: float | None = None
    text: str | None = None
    if isinstance(said, bool | int | float):
        value = float(said)
    elif isinstance(said, str):
        text = said
    elif isinstance(said, ua.LocalizedText):
        text = said.Text
    elif isinstance(said, datetime):
        text = said.isoformat()
    return (data.SourceTimestamp, data.ServerTimestamp, value, text, status)


def by_asyncua(body: bytes) -> list[tuple[Any, ...]]:
    answer = struct_from_binary(ua.PublishResponse, Buffer(body))
    found = []
    for part in answer.Parameters.NotificationMessage.NotificationData:
        if isinstance(part, ua.DataChangeNotification):
            found += [(item.ClientHandle, *meaning(item.Value)) for item in part.MonitoredItems]
    return found


def comparable(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """NaN as something equal to itself, and -0.0 not as 0.0."""
    return [tuple(struct.pack("<d", v) if isinstance(v, float) else v for v in row) for row in rows]


@examples(120)
@given(st.lists(items, max_size=12))
def test_it_says_what_asyncua_says(given: list[Item]) -> None:
    body = response([changes(given)])
    got = decode(body)
    assert got.items.schema == pl.Schema(NOTIFICATIONS)
    assert comparable(got.items.rows()) == comparable(by_asyncua(body))
    assert (got.subscription, got.sequence, got.available, got.more) == (5, 7, (6, 7), False)
    assert (got.published, got.results, got.status, got.service_result) == (AT, (), None, 0)


@examples(30)
@given(
    st.lists(st.tuples(st.lists(items, min_size=1, max_size=3), st.integers(1, 90)), min_size=1, max_size=5)
)
def test_runs_of_one_layout_and_alternating_ones(blocks: list[tuple[list[Item], int]]) -> None:
    body = response([changes([item for block, times in blocks for item in block * times])])
    assert comparable(decode(body).items.rows()) == comparable(by_asyncua(body))


@pytest.mark.parametrize("kind", sorted(of_type))
@examples(15)
@given(data=st.data())
def test_every_type(kind: ua.VariantType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.one_of(scalar(kind), array_of(kind)), min_size=1, max_size=6))
    body = response([changes([(n, ua.DataValue(v, SourceTimestamp=AT)) for n, v in enumerate(values)])])
    assert comparable(decode(body).items.rows()) == comparable(by_asyncua(body))


@examples(30)
@given(variants, st.integers(0, 0x3F), st.integers(1, 70), st.sampled_from([0, 0x40000000]))
def test_picoseconds_stand_behind_their_own_time(
    value: ua.Variant, mask: int, times: int, status: int
) -> None:
    """As OPC 10000-6, table 26 has it. asyncua 2.1 expects both times first."""
    source, server = AT - timedelta(seconds=2), AT - timedelta(seconds=1)
    filetime = [ua.datetime_to_win_epoch(time) for time in (source, server)]
    one = struct.pack("<IB", 9, mask)
    one += variant_to_binary(value) if mask & 1 else b""
    one += struct.pack("<I", status) if mask & 2 else b""
    one += struct.pack("<q", filetime[0]) if mask & 4 else b""
    one += struct.pack("<H", 9999) if mask & 0x10 else b""
    one += struct.pack("<q", filetime[1]) if mask & 8 else b""
    one += struct.pack("<H", 1234) if mask & 0x20 else b""
    got = decode(with_data_change(struct.pack("<i", times) + one * times + struct.pack("<i", -1)))
    expected = meaning(
        ua.DataValue(
            value if mask & 1 else None,
            ua.StatusCode(status if mask & 2 else 0),
            source if mask & 4 else None,
            server if mask & 8 else None,
        )
    )
    assert comparable(got.items.rows()) == comparable([(9, *expected)] * times)


def with_data_change(notification: bytes) -> bytes:
    """A publish response around the bytes of a DataChangeNotification."""
    head = nodeid_to_binary(ua.FourByteNodeId(811)) + b"\x01" + struct.pack("<i", len(notification))
    empty = response([])
    at = len(empty) - 12  # before: the count of parts, and the empty results and diagnostics behind it
    assert empty[at:] == struct.pack("<iii", 0, 0, 0)
    return empty[:at] + struct.pack("<i", 1) + head + notification + struct.pack("<ii", 0, 0)


def test_the_other_kinds_of_messages() -> None:
    assert decode(response([])).items.height == 0  # a keep-alive
    changed = ua.StatusChangeNotification(ua.StatusCode(0x800A0000))
    some = changes([(1, ua.DataValue(ua.Variant(1.5)))])
    event = ua.EventNotificationList([ua.EventFieldList(3, [ua.Variant("door open"), ua.Variant(4)])])
    got = decode(response([event, some, changed, some], MoreNotifications=True, Results=[ua.StatusCode(5)]))
    assert got.items["value"].to_list() == [1.5, 1.5]
    assert (got.status, got.more, got.results) == (0x800A0000, True, (5,))
    refused = ua.ServiceFault()
    refused.ResponseHeader.ServiceResult = ua.StatusCode(0x80780000)
    refused.ResponseHeader.Timestamp = AT
    got = decode(Buffer(struct_to_binary(refused)))
    assert (got.service_result, got.subscription, got.items.height, got.published) == (0x80780000, 0, 0, AT)


def test_a_body_in_the_librarys_buffer_is_read_from_where_it_stands() -> None:
    buffer = Buffer(b"before" + response([changes([(1, ua.DataValue(ua.Variant(2.5)))])]))
    buffer.skip(6)
    assert decode(buffer).items["value"].to_list() == [2.5]
    assert len(buffer) > 6


def test_a_republished_message() -> None:
    answer = ua.RepublishResponse()
    some = changes([(1, ua.DataValue(ua.Variant("x"), SourceTimestamp=AT))])
    answer.NotificationMessage = ua.NotificationMessage(
        SequenceNumber=9, PublishTime=AT, NotificationData=[some]
    )
    got = decode_republished(struct_to_binary(answer), 5)
    assert (got.subscription, got.sequence, got.published) == (5, 9, AT)
    assert got.items["text"].to_list() == ["x"]


def test_no_time_is_no_time() -> None:
    """0 is how OPC UA writes a time nobody set."""
    body = struct.pack("<iIBBdqqi", 1, 4, 0x0D, 11, 1.0, 0, -5, -1)
    got = decode(with_data_change(body)).items
    assert got.row(0) == (4, None, None, 1.0, None, 0)
    far = struct.pack("<iIBBdqi", 1, 4, 0x05, 11, 1.0, (1 << 63) - 1, -1)
    assert decode(with_data_change(far)).items["source_time"][0] == datetime(
        9999, 12, 31, 23, 59, 59, tzinfo=UTC
    )


def test_a_message_without_a_time_is_of_the_answers_time() -> None:
    """A keep-alive may say no publish time, and no time would be 1601."""
    answer = ua.PublishResponse()
    answer.ResponseHeader.Timestamp = AT + timedelta(seconds=1)
    message = ua.NotificationMessage(SequenceNumber=7, PublishTime=AT, NotificationData=[])
    answer.Parameters = ua.PublishResult(NotificationMessage=message, SubscriptionId=5)
    body = struct_to_binary(answer)
    assert decode(body).published == AT
    ticks = struct.pack("<q", (int(AT.timestamp()) + 11_644_473_600) * 10_000_000 + AT.microsecond * 10)
    assert body.count(ticks) == 1
    assert decode(body.replace(ticks, bytes(8))).published == AT + timedelta(seconds=1)


def test_text_that_is_no_utf_8_is_replaced() -> None:
    body = struct.pack("<iIBBi3si", 1, 4, 0x01, 12, 3, b"a\xffb", -1)
    assert decode(with_data_change(body)).items["text"].to_list() == ["a\ufffdb"]


def test_any_byte_but_0_is_true() -> None:
    body = struct.pack("<iIBBB", 1, 4, 0x01, 1, 2) + struct.pack("<i", -1)
    assert decode(with_data_change(body)).items["value"].to_list() == [1.0]


NESTED = b"\x98" + struct.pack("<i", 1)  # a Variant that is an array of one Variant


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01\x00\x3d\x03",  # nothing behind the type
        struct_to_binary(ua.ReadResponse()),
        response([changes([(1, ua.DataValue(ua.Variant(1.5)))])])[:-20],
        with_data_change(struct.pack("<iIB", 1, 4, 0xC1) + bytes(40)),  # unknown bits
        with_data_change(struct.pack("<i", 1 << 30) + bytes(40)),  # more than there is room for
        with_data_change(
            struct.pack("<iIBBi", 1, 4, 1, 0x80, (1 << 31) - 1)
        ),  # two thousand million nothings ...
        with_data_change(struct.pack("<iIBBi", 1, 4, 1, 0x8C, -2)),
        with_data_change(struct.pack("<iIBBi", 1, 4, 1, 12, -2)),
        with_data_change(struct.pack("<iIB", 1, 4, 1) + NESTED * 500 + b"\x00" + struct.pack("<i", -1)),
        with_data_change(
            struct.pack("<iIBB", 1, 4, 1, 25) + b"\x40" * 5000 + b"\x00" + struct.pack("<i", -1)
        ),
        with_data_change(struct.pack("<iIBBd", 1, 4, 1, 11, 1.5)),  # no diagnostics behind it
    ],
    ids=lambda body: f"{len(body)} bytes",  # the bytes hold the time of day
)
def test_what_is_no_publish_response_is_an_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match="cannot be read"):
        decode(body)


@examples(150, deadline=2000)
@given(st.data())
def test_damaged_bytes_give_an_error_or_an_answer(data: st.DataObject) -> None:
    given = data.draw(st.lists(items, max_size=5))
    body = bytearray(response([changes(given * data.draw(st.integers(1, 60)))]))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body)
    try:
        got = decode(cut)
    except DecodeError:
        return
    assert isinstance(got, Published) and got.items.schema == pl.Schema(NOTIFICATIONS)
    assert len(got.items) * 5 <= len(cut)


@examples(80, deadline=2000)
@given(st.binary(max_size=300))
def test_noise_is_an_error_or_an_answer(noise: bytes) -> None:
    for body in (noise, with_data_change(noise), b"\x01\x00\x3d\x03" + noise):
        with contextlib.suppress(DecodeError):
            assert isinstance(decode(body), Published)
