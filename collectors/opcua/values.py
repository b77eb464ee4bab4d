"""The items of a data change notification, from their bytes into columns. Pure.

The library makes half a dozen objects of every item; this makes none. One walk finds where each begins and where its
value ends, by whole runs where they look alike; then each field of all of them is taken at once. How they look is said
by OPC 10000-6, 5.2.2.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from collectors.opcua import wire
from collectors.opcua.wire import INT32, DecodeError
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

EPOCH = 116_444_736_000_000_000
"""1970 in the 100 ns since 1601 that a DateTime counts."""
LATEST = 2_650_467_743_990_000_000
"""From here on it means "the latest there is": 9999-12-31T23:59:59."""

NUMBERS = {
    1: "u1", 2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
}  # fmt: skip
"""Types that are numbers, as numpy calls them."""
NO_TEXT = pl.Series("text", [None], pl.String)
BOOLEAN, STRING, DATE_TIME, LOCALIZED = 1, 12, 13, 21

ENOUGH = 32
"""Notifications that looked alike after which a run of them is looked for."""


def empty() -> pl.DataFrame:
    """No notification."""
    return pl.DataFrame(schema=dict(NOTIFICATIONS))


def instant(filetime: int) -> datetime:
    """A DateTime, within what Python's can be."""
    microseconds = (min(max(filetime, 0), LATEST) - EPOCH) // 10
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def monitored_items(data: bytes) -> pl.DataFrame:
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
    made = {name: _column(name, *of) for name, of in columns.items()}
    made["text"] = _texts_said(data, places, bad)
    return pl.DataFrame([made[name] for name in NOTIFICATIONS])


def _column(name: str, values: NDArray[Any], there: NDArray[np.bool_] | None) -> pl.Series:
    """Series' own methods only: an expression costs as much as a hundred notifications."""
    kind, series = NOTIFICATIONS[name], pl.Series(name, values)
    if series.dtype != kind:
        series = series.cast(kind)
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
        return NO_TEXT.new_from_index(0, len(bad))
    text: list[str | None] = [None] * len(bad)
    for row, said in places.texts:
        if not bad[row]:
            text[row] = said.decode(errors="replace")
    for row, time in zip(times.tolist(), _take(data, "<i8", places.begins[times] + 6).tolist(), strict=True):
        text[row] = instant(time).isoformat()
    return pl.Series("text", text, pl.String)


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
