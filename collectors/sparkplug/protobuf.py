"""Sparkplug B payloads (Eclipse Tahu, sparkplug_b.proto; Sparkplug 3.0, chapter 6), as much of them as is needed. Pure.

Strict: what is cut short, too long, or of the wrong kind is a PayloadError. Fields nobody needs are skipped.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Signed integers (Int8 to Int64): bits; they travel as unsigned."""
TEXTS = (12, 14, 15)
"""Datatypes String, Text and UUID."""
DATATYPES = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
    "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList",
    "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array",
    "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
)  # fmt: skip
"""Names of the datatypes by their number."""
FIRST_OTHER = 16
"""From this datatype on a value is a structure, bytes or an array."""

COMPRESSED = "SPBV1.0_COMPRESSED"
"""The uuid of a payload whose body is another one, deflated or gzipped (Tahu's clients, when asked to)."""
LARGEST = 16 << 20
"""Bytes a compressed payload may have when it is unpacked."""

_float, _double = struct.Struct("<f").unpack_from, struct.Struct("<d").unpack_from

Value = int | float | bool | str | None


class PayloadError(Exception):
    """A payload that is not Sparkplug's; the message says what is wrong with it."""


@dataclass(slots=True)
class Metric:
    """One metric of a message; None: it was not there."""

    name: str | None = None
    alias: int | None = None
    timestamp: int | None = None
    """Milliseconds since 1970."""
    datatype: int | None = None
    historical: bool = False
    null: bool = False
    value: Value = None
    """As it travels: integers unsigned."""
    other: bool = False
    """Its value is a structure or bytes."""
    quality: int | None = None
    """Its property "Quality": 192 good, 0 bad, 500 stale."""


@dataclass(slots=True)
class Payload:
    """One message."""

    timestamp: int | None
    seq: int | None
    metrics: list[Metric]


def decode(data: bytes) -> Payload:
    """Raises PayloadError."""
    payload, uuid, body = Payload(None, None, []), "", b""
    try:
        for number, kind, value, end in _fields(data, 0, len(data)):
            if number == 1:
                payload.timestamp = _whole(kind, value)
            elif number == 2:
                payload.metrics.append(_metric(data, _start(kind, value), end))
            elif number == 3:
                payload.seq = _whole(kind, value)
            elif number == 4:
                uuid = data[_start(kind, value) : end].decode()
            elif number == 5:
                body = data[_start(kind, value) : end]
    except IndexError:
        raise PayloadError("it is cut short") from None
    except UnicodeDecodeError:
        raise PayloadError("a text in it is not UTF-8") from None
    return decode(_unpacked(body)) if uuid == COMPRESSED else payload


def signed(datatype: int, value: int) -> int:
    """A signed integer out of the unsigned one it travelled as."""
    bits = WIDTHS[datatype]
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def encode_rebirth(timestamp: int) -> bytes:
    """The command that asks an edge node for its births: NCMD with `Node Control/Rebirth` = true. `timestamp` in ms."""
    name = b"Node Control/Rebirth"
    metric = b"\x0a" + _varint(len(name)) + name + b"\x18" + _varint(timestamp) + b"\x20\x0b" + b"\x70\x01"
    return b"\x08" + _varint(timestamp) + b"\x12" + _varint(len(metric)) + metric


def _unpacked(body: bytes) -> bytes:
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib's or gzip's header
    try:
        data = unpack.decompress(body, LARGEST)
    except zlib.error as error:
        raise PayloadError(f"its compressed body is damaged: {error}") from None
    if not unpack.eof:
        raise PayloadError(f"its compressed body is cut short, or more than {LARGEST} bytes")
    if _says_compressed(data):
        raise PayloadError("its compressed body is compressed again")
    return data


def _says_compressed(data: bytes) -> bool:
    return COMPRESSED.encode() in data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number and kind of each field; its value for VARINT, else where its bytes begin; where it ends.

    Raises IndexError when it is cut short."""
    while at < end:
        tag, at = _read(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise PayloadError("it has a field without a number")
        start = at
        if kind == VARINT:
            value, at = _read(data, at)
        elif kind == BYTES:
            length, start = _read(data, at)
            value, at = start, start + length
        elif kind in (FIXED32, FIXED64):
            value, at = start, start + (4 if kind == FIXED32 else 8)
        else:
            raise PayloadError(f"it has a field of kind {kind}")
        if at > end:
            raise IndexError
        yield number, kind, value, at


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 128:
        return value, at
    value &= 127
    for shift in range(7, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise PayloadError("it has a number of more than ten bytes")


def _metric(data: bytes, at: int, end: int) -> Metric:
    metric = Metric()
    for number, kind, value, stop in _fields(data, at, end):
        if number == 1:
            metric.name = data[_start(kind, value) : stop].decode()
        elif number == 2:
            metric.alias = _whole(kind, value)
        elif number == 3:
            metric.timestamp = _whole(kind, value)
        elif number == 4:
            metric.datatype = _whole(kind, value)
        elif number == 5:
            metric.historical = bool(_whole(kind, value))
        elif number == 7:
            metric.null = bool(_whole(kind, value))
        elif number == 9:
            metric.quality = _quality(data, _start(kind, value), stop)
        elif number in (10, 11):
            metric.value, metric.other = _whole(kind, value), False
        elif number == 12:
            metric.value, metric.other = _float(data, _start(kind, value, FIXED32))[0], False
        elif number == 13:
            metric.value, metric.other = _double(data, _start(kind, value, FIXED64))[0], False
        elif number == 14:
            metric.value, metric.other = bool(_whole(kind, value)), False
        elif number == 15:
            metric.value, metric.other = data[_start(kind, value) : stop].decode(), False
        elif number in (16, 17, 18, 19):
            _start(kind, value)
            metric.value, metric.other = None, True
    return metric


def _quality(data: bytes, at: int, end: int) -> int | None:
    """The value of "Quality" in a PropertySet: names and values are two lists."""
    names, values = [], []
    for number, kind, value, stop in _fields(data, at, end):
        if number == 1:
            names.append(data[_start(kind, value) : stop].decode())
        elif number == 2:
            found = None
            for inner, inner_kind, given, _ in _fields(data, _start(kind, value), stop):
                if inner in (3, 4):
                    found = _whole(inner_kind, given)
            values.append(found)
    for name, quality in zip(names, values, strict=False):
        if name.lower() == "quality":
            return quality
    return None


def _whole(kind: int, value: int) -> int:
    if kind != VARINT:
        raise PayloadError("a number in it is of the wrong kind")
    return value


def _start(kind: int, value: int, wanted: int = BYTES) -> int:
    if kind != wanted:
        raise PayloadError("a field in it is of the wrong kind")
    return value
