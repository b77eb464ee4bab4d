"""OPC UA notifications as they come from a server, to samples; and node ids as the plant file writes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from collectors.opcua import check
from collectors.opcua.address import problem, resolve
from collectors.opcua.notifications import handles, to_frame
from collectors.opcua.publish import decode
from plant.frames import BAD, GOOD, SAMPLES, UNCERTAIN
from plant.model import Role, Signal, Source

AT = datetime(2026, 1, 31, 6, tzinfo=UTC)
PUBLISHED, RECEIVED = AT + timedelta(seconds=1), AT + timedelta(seconds=2)
SIGNALS = (
    Signal(id="speed", equipment="m", role=Role.PROCESS_VALUE, scale=2, offset=1),
    Signal(id="order", equipment="m", role=Role.ORDER),
)


def item(handle: int, value: Any, status: int = 0, **times: datetime) -> ua.MonitoredItemNotification:
    data = ua.DataValue(ua.Variant(value), StatusCode=ua.StatusCode(status), **times)
    return ua.MonitoredItemNotification(ClientHandle=handle, Value=data)


def frame(*items: ua.MonitoredItemNotification) -> pl.DataFrame:
    message = ua.NotificationMessage(
        1, PUBLISHED, [ua.DataChangeNotification(MonitoredItems=list(items), DiagnosticInfos=[])]
    )
    response = ua.PublishResponse(Parameters=ua.PublishResult(SubscriptionId=1, NotificationMessage=message))
    table = handles(dict(enumerate(SIGNALS)))
    return to_frame(decode(struct_to_binary(response)).items, table, PUBLISHED, RECEIVED)


@pytest.mark.parametrize(
    ("handle", "value", "status", "expected"),
    [
        (0, 3, 0, (7.0, None, GOOD)),
        (0, True, 0, (3.0, None, GOOD)),
        (0, 1.5, 0x40000000, (4.0, None, UNCERTAIN)),
        (0, 156.0, 0x808C0000, (None, None, BAD)),
        (0, float("nan"), 0, (None, None, BAD)),
        (0, float("inf"), 0, (None, None, BAD)),
        (0, None, 0, (None, None, BAD)),
        (0, [1, 2], 0, (None, None, BAD)),
        (0, "fast", 0, (None, "fast", GOOD)),
        (0, ua.LocalizedText("fast"), 0, (None, "fast", GOOD)),
        (1, "0042", 0, (None, "0042", GOOD)),
        (1, 42, 0, (None, "42", GOOD)),
        (1, "", 0, (None, "", GOOD)),
    ],
)
def test_values_and_status(handle: int, value: Any, status: int, expected: tuple[Any, ...]) -> None:
    got = frame(item(handle, value, status, SourceTimestamp=AT))
    assert got.schema == pl.Schema(SAMPLES)
    assert got.select("value", "text", "quality").row(0) == expected
    assert got.select("time", "received").row(0) == (AT, RECEIVED)


def test_the_sources_time_counts_then_the_servers_then_the_publishing() -> None:
    server = AT + timedelta(milliseconds=250)
    got = frame(
        item(0, 1, SourceTimestamp=AT.replace(tzinfo=None), ServerTimestamp=server),
        item(0, 2, ServerTimestamp=server),
        item(0, 3),
        item(7, 4, SourceTimestamp=AT),  # a handle nobody asked for
    )
    assert got["time"].to_list() == [AT, server, PUBLISHED]


values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(), st.binary()
)
moments = st.sampled_from(
    [{}, {"SourceTimestamp": AT}, {"ServerTimestamp": AT + timedelta(milliseconds=250)}]
)
some_items = st.builds(
    lambda handle, value, status, times: item(handle, value, status, **times),
    st.integers(0, 3),
    values,
    st.sampled_from([0, 0x480, 0x40000000, 0x808C0000]),
    moments,
)


@given(st.lists(some_items, max_size=8))
def test_any_mixture_is_each_row_alone(mixture: list[ua.MonitoredItemNotification]) -> None:
    got = frame(*mixture)
    assert got.schema == pl.Schema(SAMPLES)
    assert got.height == sum(one.ClientHandle < len(SIGNALS) for one in mixture)
    assert got["value"].is_finite().all()
    without = got.filter(pl.col("value").is_null() & pl.col("text").is_null())
    assert without["quality"].unique().to_list() in ([], [BAD])
    assert got.equals(pl.concat([frame(), *map(frame, mixture)]))


def test_node_ids() -> None:
    namespaces = ["http://opcfoundation.org/UA/", "urn:a", "urn:b"]
    assert resolve("nsu=urn:b;s=x;y=1", namespaces) == "ns=2;s=x;y=1"
    assert resolve("ns=4;i=7", namespaces) == "ns=4;i=7" and resolve("i=2258", namespaces) == "i=2258"
    with pytest.raises(ValueError, match="no namespace urn:c"):
        resolve("nsu=urn:c;i=1", namespaces)
    for wrong in ("", "state", "ns=x;i=1", "nsu=;i=1", "i=abc", "s="):
        assert problem(wrong) is not None, wrong


def test_check_names_the_fix() -> None:
    wrong = Signal(id="state", equipment="m", role=Role.STATE, address="state")
    found = check(Source(id="s", protocol="opcua", options={"url": "http://x", "sampling": "fast"}), (wrong,))
    assert len(found) == 3
    assert "opc.tcp://" in found[0] and '"250ms"' in found[1] and "nsu=" in found[2]
