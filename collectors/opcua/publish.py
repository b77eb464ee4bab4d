"""Publish responses of an OPC UA server, from their bytes into columns. Pure.

The library makes half a dozen objects of every notification; this makes none. One walk finds where each notification
begins and where its value ends, by whole runs where they look alike; then each field of all of them is taken at once.
What is in a message is said by OPC 10000-4, 5.14.5 and 7.25, how it looks by OPC 10000-6, 5.2.2.
"""

import struct
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, SupportsBytes

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collectors.opcua import wire
from collectors.opcua.wire import INT32, INT64, UINT32, DecodeError
from plant.frames import TIME

NOTIFICATIONS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "handle": pl.UInt32,
    "source_time": TIME,
    "server_time": TIME,
    "value": pl.Float64,
    "text": pl.String,
    "status": pl.UInt32,
}
"""One row a notification: the client's handle of the item, the source's and the server's time (null: not said), the
value (numbers, booleans) or the text (String, LocalizedText, DateTime in ISO form), the status code. A BAD status has
neither value nor text, nor have arrays, structures and the other types. NaN stays NaN."""

PUBLISH, REPUBLISH, FAULT = 829, 835, 397
DATA_CHANGE, STATUS_CHANGE = 811, 820
"""Numbers of the binary encodings (OPC 10000-6, NodeIds)."""

EPOCH = 116_444_736_000_000_000
"""1970 in the 100 ns since 1601 that a DateTime counts."""
LATEST = 2_650_467_743_990_000_000
"""From here on it means "the latest there is": 9999-12-31T23:59:59."""
NO_TIME = np.iinfo(np.int64).min

NUMBERS = {
    1: "u1", 2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
}  # fmt: skip
"""Types that are numbers, as numpy calls them."""
BOOLEAN, STRING, DATE_TIME, LOCALIZED = 1, 12, 13, 21

SHORTEST = 5
"""Bytes of a notification without value, status and times."""
ENOUGH = 32
"""Notifications that looked alike after which a run of them is looked for."""


@dataclass(frozen=True, slots=True)
class Published:
    """One publish response."""

    subscription: int
    """0: none (a fault)."""
    sequence: int
    """Of the message; of a keep-alive: of the next message."""
    available: tuple[int, ...]
    """Sequence numbers the server still keeps."""
    more: bool
    """The server has more to send at once."""
    published: datetime
    """When, on the server's clock."""
    results: tuple[int, ...]
    """Status codes of the acknowledgements sent with the request, in their order."""
    items: pl.DataFrame
    """`NOTIFICATIONS`, in their order; empty: a keep-alive, or no data changes in it."""
    status: int | None
    """The subscription's new status code (it timed out, it was transferred), when the message says one."""
    service_result: int
    """Status code of the answer; a BAD one has nothing else in it."""


def decode(body: SupportsBytes) -> Published:
    """A publish response (or a service fault) from its bytes, as the channel hands them out.

    Raises DecodeError when the bytes are none.
    """
    return _guarded(_publish, body)


def decode_republished(body: SupportsBytes, subscription: int) -> Published:
    """The same of a republish response, which does not say the subscription it belongs to."""
    return _guarded(lambda data: _republish(data, subscription), body)


def _guarded(read: Callable[[bytes], Published], body: SupportsBytes) -> Published:
    try:
        return read(bytes(body))
    except (DecodeError, struct.error, IndexError) as error:
        raise DecodeError(f"the server sent a publish response that cannot be read: {error}") from error


def _publish(data: bytes) -> Published:
    published, service_result, at = _header(data, PUBLISH)
    if at < 0:
        return _nothing(published, service_result)
    subscription, at = UINT32.unpack_from(data, at)[0], at + 4
    available, at = _numbers(data, at)
    more, at = data[at] != 0, at + 1
    sequence, published, items, status, at = _message(data, at)
    results, at = _numbers(data, at)
    wire.skip_array(data, at, 25)
    return Published(
        subscription, sequence, available, more, published, results, items, status, service_result
    )


def _republish(data: bytes, subscription: int) -> Published:
    published, service_result, at = _header(data, REPUBLISH)
    if at < 0:
        return _nothing(published, service_result)
    sequence, published, items, status, _ = _message(data, at)
    return Published(subscription, sequence, (), False, published, (), items, status, service_result)


def _nothing(published: datetime, service_result: int) -> Published:
    return Published(0, 0, (), False, published, (), empty(), None, service_result)


def empty() -> pl.DataFrame:
    """No notification."""
    return pl.DataFrame(schema=dict(NOTIFICATIONS))


def _header(data: bytes, expected: int) -> tuple[datetime, int, int]:
    """Time and status code of the answer, and where the rest begins; -1 when nothing follows."""
    number, at = wire.node_id(data, 0)
    if number not in (expected, FAULT):
        raise DecodeError(f"it is of type {number}, not {expected}")
    (time,), (result,) = INT64.unpack_from(data, at), UINT32.unpack_from(data, at + 12)
    at = wire.skip_diagnostic(data, at + 16)
    at = wire.skip_array(data, at, wire.BYTES)
    at = wire.skip_extension_object(data, at)
    return _instant(time), result, -1 if number == FAULT or result >> 31 else at


def _numbers(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    end = wire.skip_array(data, at, 7)
    return struct.unpack_from(f"<{(end - at) // 4 - 1}I", data, at + 4), end


def _instant(filetime: int) -> datetime:
    microseconds = (min(max(filetime, 0), LATEST) - EPOCH) // 10
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _message(data: bytes, at: int) -> tuple[int, datetime, pl.DataFrame, int | None, int]:
    (sequence,), (time,), (parts,) = (
        UINT32.unpack_from(data, at),
        INT64.unpack_from(data, at + 4),
        INT32.unpack_from(data, at + 12),
    )
    at += 16
    frames: list[pl.DataFrame] = []
    status: int | None = None
    for _ in range(parts):
        number, at = wire.node_id(data, at)
        if not data[at]:
            at += 1
            continue
        end = wire.skip_bytes(data, at + 1)
        if data[at] == 1 and number == DATA_CHANGE:
            frames.append(_items(data[at + 5 : end]))
        elif data[at] == 1 and number == STATUS_CHANGE:
            (status,) = UINT32.unpack_from(data[at + 5 : end])
        at = end
    items = frames[0] if len(frames) == 1 else pl.concat([empty(), *frames])
    return sequence, _instant(time), items, status, at


def _items(data: bytes) -> pl.DataFrame:
    """A DataChangeNotification's monitored items."""
    (count,) = INT32.unpack_from(data)
    if count * SHORTEST > len(data):
        raise DecodeError(f"{count} notifications cannot be in {len(data)} bytes")
    if count <= 0:
        return empty()
    places = _walk(data, count)
    status = _field(data, "<u4", places.tails, places.masks & 2 != 0)
    after = places.tails + (places.masks & 2) * 2
    source = _times(_field(data, "<i8", after, places.masks & 4 != 0))
    after += (places.masks & 4) * 2 + (places.masks >> 3 & 2)
    server = _times(_field(data, "<i8", after, places.masks & 8 != 0))
    bad = status >= 0x8000_0000
    value, text = _values(data, places, bad)
    times = {"source_time": source.view("datetime64[us]"), "server_time": server.view("datetime64[us]")}
    frame = pl.DataFrame(
        {"handle": _take(data, "<u4", places.begins)}
        | times
        | {"value": value, "text": text, "status": status}
    )
    return frame.with_columns(pl.col("source_time", "server_time").dt.replace_time_zone("UTC"))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things are in the bytes of notifications, one entry each."""

    begins: NDArray[np.int64]
    tails: NDArray[np.int64]
    """What follows the value: status and times."""
    masks: NDArray[np.int64]
    """Which of value, status and times there are."""
    kinds: NDArray[np.uint8]
    """The value's type and whether it is an array; 0: no value."""
    texts: list[tuple[int, bytes]]
    """Row and text of those that have one."""


def _walk(data: bytes, count: int) -> _Places:
    """Find the notifications one by one, and by runs where many look alike."""
    begins, tails, looks = array("q"), array("q"), array("H")
    texts: list[tuple[int, bytes]] = []
    at, alike, previous = 4, 0, -1
    while len(begins) < count:
        mask = data[at + 4]
        look = mask | data[at + 5] << 8 if mask & 1 else mask
        tail, length = _layout(look)
        if length:
            if at + length > len(data):
                raise DecodeError("it ends in the middle of a notification")
            alike = alike + 1 if look == previous else 0
            previous = look
            run = _run(data, at, look, length, count - len(begins)) if alike == ENOUGH else 1
            if run == 1:
                begins.append(at)
                tails.append(at + tail)
                looks.append(look)
            else:
                places = np.arange(at, at + run * length, length)
                begins.frombytes(places.tobytes())
                tails.frombytes((places + tail).tobytes())
                looks.extend([look] * run)
                alike = 0
            at += run * length
        else:
            end, text = _changing(data, at + 5)
            if text is not None:
                texts.append((len(begins), text))
            begins.append(at)
            tails.append(end)
            looks.append(look)
            at, previous = end + wire.tail_size(mask), -1
            if at > len(data):
                raise DecodeError("it ends in the middle of a notification")
    wire.skip_array(data, at, 25)
    seen = np.frombuffer(looks, np.uint16)
    return _Places(
        np.frombuffer(begins, np.int64),
        np.frombuffer(tails, np.int64),
        (seen & 0xFF).astype(np.int64),
        (seen >> 8).astype(np.uint8),
        texts,
    )


@cache
def _layout(look: int) -> tuple[int, int]:
    """Where in a notification its value ends, and its length; (0, 0) for those of changing length.

    `look`: the encoding of the DataValue and, if it has a value, 256 times that of its Variant.
    """
    mask, encoding = look & 0xFF, look >> 8
    rest = wire.tail_size(mask)
    if not mask & 1:
        return 5, 5 + rest
    size = wire.FIXED.get(encoding)
    return (0, 0) if size is None else (6 + size, 6 + size + rest)


def _run(data: bytes, at: int, look: int, length: int, most: int) -> int:
    """How many notifications from here on have the same layout, at most `most`; at least 1."""
    most = min(most, (len(data) - at) // length)
    kind = "<u2" if look & 1 else "u1"
    found, window = 0, 4 * ENOUGH
    while found < most:
        window = min(window, most - found)
        start = at + found * length + 4
        same = np.ndarray(window, kind, data, start, (length,)) == look
        if not same.all():
            return max(found + int(same.argmin()), 1)
        found += window
        window *= 4
    return found


def _changing(data: bytes, at: int) -> tuple[int, bytes | None]:
    """Where a Variant of changing length ends, and its text if it is one."""
    if data[at] == STRING:
        text, end = wire.text(data, at + 1)
    elif data[at] == LOCALIZED:
        text, end = wire.localized(data, at + 1)
    else:
        text, end = None, wire.skip_variant(data, at)
    return end, text


def _values(data: bytes, places: _Places, bad: NDArray[np.bool_]) -> tuple[pl.Series, pl.Series]:
    value, valued = np.zeros(len(bad)), np.zeros(len(bad), np.bool_)
    text: list[str | None] = [None] * len(bad)
    for row, said in places.texts:
        if not bad[row]:
            text[row] = said.decode(errors="replace")
    for kind in np.unique(places.kinds).tolist():
        rows = np.flatnonzero((places.kinds == kind) & ~bad)
        at = places.begins[rows] + 6
        if kind == BOOLEAN:
            value[rows] = _take(data, "u1", at) != 0
        elif kind == DATE_TIME:
            for row, time in zip(rows.tolist(), _take(data, "<i8", at).tolist(), strict=True):
                text[row] = _instant(time).isoformat()
        elif kind in NUMBERS:
            value[rows] = _take(data, NUMBERS[kind], at)
        if kind in NUMBERS:
            valued[rows] = True
    values = pl.Series(value)
    if not valued.all():
        values = pl.select(pl.when(pl.Series(valued)).then(values)).to_series()
    return values, pl.Series(text, dtype=pl.String)


def _field(data: bytes, kind: str, at: NDArray[np.int64], there: NDArray[np.bool_]) -> NDArray[Any]:
    """Numbers at these places; 0 where there is none."""
    if there.all():
        return _take(data, kind, at)
    found: NDArray[Any] = np.zeros(len(at), kind)
    found[there] = _take(data, kind, at[there])
    return found


def _take(data: bytes, kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
    """Numbers at these places, aligned or not."""
    if not len(at):
        return np.empty(0, kind)
    found: NDArray[Any] = np.ndarray(len(data) - np.dtype(kind).itemsize + 1, kind, data, 0, (1,))[at]
    return found


def _times(filetimes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Microseconds since 1970. 0 and what is before 1601 mean that there is no time (OPC 10000-6, 5.2.2.5)."""
    times = (filetimes - EPOCH) // 10
    times[filetimes >= LATEST] = (LATEST - EPOCH) // 10
    times[filetimes <= 0] = NO_TIME
    return times
