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
from typing import Any, SupportsBytes

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collectors.opcua import wire
from collectors.opcua.wire import INT32, INT64, UINT32, DecodeError
from plant.frames import TIME

__all__ = ["NOTIFICATIONS", "DecodeError", "Published", "decode", "decode_republished", "empty"]

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

NUMBERS = {
    1: "u1", 2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
}  # fmt: skip
"""Types that are numbers, as numpy calls them."""
BOOLEAN, STRING, DATE_TIME, LOCALIZED = 1, 12, 13, 21

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
    """When, on the server's clock: as the message says, else (a keep-alive may say nothing) as the answer does."""
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
    answered, service_result, at = _header(data, PUBLISH)
    if at < 0:
        return _nothing(answered, service_result)
    subscription, at = UINT32.unpack_from(data, at)[0], at + 4
    available, at = _numbers(data, at)
    more, at = data[at] != 0, at + 1
    sequence, published, items, status, at = _message(data, at, answered)
    results, at = _numbers(data, at)
    wire.skip_array(data, at, 25)
    return Published(
        subscription, sequence, available, more, published, results, items, status, service_result
    )


def _republish(data: bytes, subscription: int) -> Published:
    answered, service_result, at = _header(data, REPUBLISH)
    if at < 0:
        return _nothing(answered, service_result)
    sequence, published, items, status, _ = _message(data, at, answered)
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


def _message(data: bytes, at: int, answered: datetime) -> tuple[int, datetime, pl.DataFrame, int | None, int]:
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
    return sequence, _instant(time) if time > 0 else answered, items, status, at


def _items(data: bytes) -> pl.DataFrame:
    """A DataChangeNotification's monitored items."""
    (count,) = INT32.unpack_from(data)
    if count <= 0:
        return empty()
    places = _places(data, count)
    status = _field(data, "<u4", places.tails, places.masks & 2 != 0)
    after = places.tails + (places.masks & 2) * 2
    source = _times(_field(data, "<i8", after, places.masks & 4 != 0))
    after += (places.masks & 4) * 2 + (places.masks >> 3 & 2)
    server = _times(_field(data, "<i8", after, places.masks & 8 != 0))
    bad = status >= 0x8000_0000
    value, valued = _numbers_said(data, places, bad)
    columns = {
        "handle": (_take(data, "<u4", places.begins), None),
        "source_time": source,
        "server_time": server,
        "value": (value, valued),
        "status": (status, None),
    }
    made = {name: _column(NOTIFICATIONS[name], *of) for name, of in columns.items()}
    made["text"] = _texts_said(data, places, bad)
    return pl.DataFrame([made[name].alias(name) for name in NOTIFICATIONS])


def _column(
    kind: pl.DataType | type[pl.DataType], values: NDArray[Any], there: NDArray[np.bool_] | None
) -> pl.Series:
    """Series' own methods only: an expression costs as much as a hundred notifications."""
    series = pl.Series(values).cast(kind)
    if there is None or there.all():
        return series
    return series.zip_with(pl.Series(there), pl.Series([None], dtype=kind))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things are in the bytes of notifications, one entry each."""

    begins: NDArray[np.int64]
    masks: NDArray[np.int64]
    """Which of value, status and times there are; a single one when all are alike."""
    kinds: NDArray[np.uint8]
    """The value's type and whether it is an array; 0: no value."""
    tails: NDArray[np.int64]
    """What follows the value: status and times."""
    texts: list[tuple[int, bytes]]
    """Row and text of those that have one."""


def _places(data: bytes, count: int) -> _Places:
    begins, changing, texts = _walk(data, count)
    taken = np.frombuffer(data, np.uint8)
    masks = taken[begins + 4].astype(np.int64)
    if (masks == masks[0]).all():
        masks = masks[:1]
    kinds = np.where(masks & 1, taken[begins + 5], 0)  # diagnostics stand behind the last one
    tails = begins + 5 + (masks & 1) + SIZES[kinds]
    if changing:
        rows, ends = zip(*changing, strict=True)
        tails[list(rows)] = ends
    return _Places(begins, masks, kinds, tails, texts)


def _walk(
    data: bytes, count: int
) -> tuple[NDArray[np.int64], list[tuple[int, int]], list[tuple[int, bytes]]]:
    """Where notifications begin; row and end of the values of changing length; row and text of the texts.

    One by one, and by runs where many look alike.
    """
    begins, changing, texts = array("q"), list[tuple[int, int]](), list[tuple[int, bytes]]()
    begin = begins.append
    at, row, alike, previous = 4, 0, 0, -1
    while row < count:
        mask = data[at + 4]
        look = mask | data[at + 5] << 8 if mask & 1 else mask
        length = LENGTHS[look]
        if length > 0:
            alike = alike + 1 if look == previous else 0
            if alike == ENOUGH:
                run = _run(data, at, look, length, count - row)
                begins.frombytes(np.arange(at, at + run * length, length).tobytes())
                at += run * length
                row += run
                alike = 0
                continue
            begin(at)
            at += length
        elif length == 0:
            begin(at)
            behind, text = _changing(data, at + 5)
            changing.append((row, behind))
            if text is not None:
                texts.append((row, text))
            at = behind + wire.tail_size(mask)
        else:
            raise DecodeError(f"a value with an unknown encoding {mask:#x}")
        previous = look
        row += 1
    wire.skip_array(data, at, 25)  # also sees when the last one goes beyond the end
    return np.frombuffer(begins, np.int64), changing, texts


def _length(look: int) -> int:
    """Bytes of a notification; 0: they change; -1: there is no such encoding.

    `look`: the encoding of the DataValue and, if it has a value, 256 times that of its Variant.
    """
    mask, encoding = look & 0xFF, look >> 8
    if mask & 0xC0:
        return -1
    if not mask & 1:
        return 5 + wire.tail_size(mask)
    size = wire.FIXED.get(encoding)
    return 0 if size is None else 6 + size + wire.tail_size(mask)


LENGTHS = array("b", map(_length, range(1 << 16)))
SIZES = np.array([wire.FIXED.get(kind, 0) for kind in range(256)])
"""Bytes of a value by its type; 0 where they change."""


def _run(data: bytes, at: int, look: int, length: int, most: int) -> int:
    """How many whole notifications from here on have the same layout, at most `most`."""
    most = min(most, (len(data) - at) // length)
    kind = "<u2" if look & 1 else "u1"
    found, window = 0, 4 * ENOUGH
    while found < most:
        window = min(window, most - found)
        same = np.ndarray(window, kind, data, at + found * length + 4, (length,)) == look
        if not same.all():
            return found + int(same.argmin())
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


def _numbers_said(
    data: bytes, places: _Places, bad: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers, and where there is one."""
    value, valued = np.zeros(len(bad)), np.zeros(len(bad), np.bool_)
    for kind in set(places.kinds.tobytes()):
        if kind in NUMBERS:
            rows = np.flatnonzero((places.kinds == kind) & ~bad)
            raw = _take(data, NUMBERS[kind], places.begins[rows] + 6)
            value[rows] = raw != 0 if kind == BOOLEAN else raw
            valued[rows] = True
    return value, valued


def _texts_said(data: bytes, places: _Places, bad: NDArray[np.bool_]) -> pl.Series:
    """The texts, null where there is none."""
    times = np.flatnonzero((places.kinds == DATE_TIME) & ~bad)
    if not places.texts and not len(times):
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(bad))
    text: list[str | None] = [None] * len(bad)
    for row, said in places.texts:
        if not bad[row]:
            text[row] = said.decode(errors="replace")
    for row, time in zip(times.tolist(), _take(data, "<i8", places.begins[times] + 6).tolist(), strict=True):
        text[row] = _instant(time).isoformat()
    return pl.Series(text, dtype=pl.String)


def _field(data: bytes, kind: str, at: NDArray[np.int64], there: NDArray[np.bool_]) -> NDArray[Any]:
    """Numbers at these places; 0 where there is none."""
    if there.all():
        return _take(data, kind, at)
    found: NDArray[Any] = np.zeros(len(at), kind)
    if there.any():
        found[there] = _take(data, kind, at[there])
    return found


def _take(data: bytes, kind: str, at: NDArray[np.int64]) -> NDArray[Any]:
    """Numbers at these places, aligned or not."""
    if not len(at):
        return np.empty(0, kind)
    found: NDArray[Any] = np.ndarray(len(data) - np.dtype(kind).itemsize + 1, kind, data, 0, (1,))[at]
    return found


def _times(filetimes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds since 1970, and where there is a time: 0 and before mean that there is none (OPC 10000-6, 5.2.2.5)."""
    times = (np.minimum(filetimes, LATEST) - EPOCH) // 10
    return times, filetimes > 0
