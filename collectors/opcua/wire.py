"""Finding one's way through OPC UA's binary encoding without making objects of it. Pure.

Every function takes the bytes and a position, and gives the position behind what it read. Nothing is read beyond the
end: `DecodeError`. Source: OPC 10000-6, 5.2.2.
"""

import struct
from collections.abc import Callable

INT16 = struct.Struct("<h")
UINT16 = struct.Struct("<H")
INT32 = struct.Struct("<i")
UINT32 = struct.Struct("<I")
INT64 = struct.Struct("<q")

DEEPEST = 100
"""How far values may be nested in values."""

FIXED = {0: 0, 1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 4, 11: 8, 13: 8, 14: 16, 19: 4}
"""Bytes of the built-in types that always take the same, by their number (OPC 10000-6, table 1)."""

BYTES = 15
"""ByteString; String and XmlElement look the same, and so do the numbers without a type."""


class DecodeError(ValueError):
    """Bytes that are no OPC UA message, or one cut short."""


def text(data: bytes, at: int) -> tuple[bytes | None, int]:
    """A String's or ByteString's bytes; None when it is null."""
    (length,) = INT32.unpack_from(data, at)
    start = at + 4
    if length < 0:
        if length != -1:
            raise DecodeError(f"a text of length {length}")
        return None, start
    end: int = start + length
    if end > len(data):
        raise DecodeError("a text goes beyond the end")
    return data[start:end], end


def localized(data: bytes, at: int) -> tuple[bytes | None, int]:
    """The text of a LocalizedText; None when it has none."""
    mask = data[at]
    at += 1
    if mask & 1:
        at = skip_bytes(data, at)
    if mask & 2:
        return text(data, at)
    return None, at


def skip_bytes(data: bytes, at: int, depth: int = 0) -> int:
    """Behind a String, ByteString or XmlElement."""
    (length,) = INT32.unpack_from(data, at)
    if length < -1:
        raise DecodeError(f"a text of length {length}")
    return _within(data, at + 4 + max(length, 0))


def skip_array(data: bytes, at: int, kind: int, depth: int = 0) -> int:
    """Behind an array of a built-in type."""
    (length,) = INT32.unpack_from(data, at)
    if length < -1:
        raise DecodeError(f"an array of length {length}")
    at += 4
    if (size := FIXED.get(kind)) is not None:
        return _within(data, at + max(length, 0) * size)
    skip = SKIP.get(kind, skip_bytes)
    for _ in range(length):
        at = skip(data, at, depth + 1)
    return at


def skip_variant(data: bytes, at: int, depth: int = 0) -> int:
    """Behind a Variant."""
    if depth > DEEPEST:
        raise DecodeError("values nested in values without end")
    encoding = data[at]
    kind, at = encoding & 0x3F, at + 1
    if encoding & 0x80:
        at = skip_array(data, at, kind, depth)
    elif (size := FIXED.get(kind)) is not None:
        at = _within(data, at + size)
    else:
        at = SKIP.get(kind, skip_bytes)(data, at, depth + 1)
    return skip_array(data, at, 6, depth) if encoding & 0x40 else at


def skip_node_id(data: bytes, at: int, depth: int = 0) -> int:
    """Behind a NodeId or ExpandedNodeId."""
    return node_id(data, at)[1]


def node_id(data: bytes, at: int) -> tuple[int, int]:
    """A NodeId's number, whatever its namespace; -1 for one that has none."""
    encoding = data[at]
    form, number = encoding & 0x3F, -1
    if form == 0:
        number, at = data[at + 1], at + 2
    elif form == 1:
        number, at = UINT16.unpack_from(data, at + 2)[0], at + 4
    elif form == 2:
        number, at = UINT32.unpack_from(data, at + 3)[0], at + 7
    elif form in (3, 5):
        at = skip_bytes(data, at + 3)
    elif form == 4:
        at = _within(data, at + 19)
    else:
        raise DecodeError(f"a node id of unknown form {form}")
    if encoding & 0x80:
        at = skip_bytes(data, at)
    if encoding & 0x40:
        at = _within(data, at + 4)
    return number, at


def skip_qualified_name(data: bytes, at: int, depth: int = 0) -> int:
    """Behind a QualifiedName."""
    return skip_bytes(data, at + 2)


def skip_localized(data: bytes, at: int, depth: int = 0) -> int:
    """Behind a LocalizedText."""
    return localized(data, at)[1]


def skip_extension_object(data: bytes, at: int, depth: int = 0) -> int:
    """Behind an ExtensionObject, whatever structure is in it."""
    at = skip_node_id(data, at)
    return skip_bytes(data, at + 1) if data[at] else at + 1


def skip_data_value(data: bytes, at: int, depth: int = 0) -> int:
    """Behind a DataValue."""
    mask = data[at]
    at = skip_variant(data, at + 1, depth + 1) if mask & 1 else at + 1
    return _within(data, at + tail_size(mask))


def tail_size(mask: int) -> int:
    """Bytes of what follows the value in a DataValue of that encoding mask: status, source time, its picoseconds, server
    time, its picoseconds."""
    if mask & 0xC0:
        raise DecodeError(f"a value with an unknown encoding {mask:#x}")
    return (mask & 2) * 2 + (mask & 4) * 2 + (mask & 8) + (mask >> 3 & 2) + (mask >> 4 & 2)


def skip_diagnostic(data: bytes, at: int, depth: int = 0) -> int:
    """Behind a DiagnosticInfo."""
    if depth > DEEPEST:
        raise DecodeError("diagnostics nested in diagnostics without end")
    mask = data[at]
    at += 1 + 4 * (mask & 0x0F).bit_count()
    if mask & 0x10:
        at = skip_bytes(data, at)
    if mask & 0x20:
        at += 4
    return skip_diagnostic(data, at, depth + 1) if mask & 0x40 else _within(data, at)


SKIP: dict[int, Callable[[bytes, int, int], int]] = {
    17: skip_node_id,
    18: skip_node_id,
    20: skip_qualified_name,
    21: skip_localized,
    22: skip_extension_object,
    23: skip_data_value,
    24: skip_variant,
    25: skip_diagnostic,
}
"""How the types of changing length are passed by; all others are `skip_bytes`."""


def _within(data: bytes, at: int) -> int:
    if at > len(data):
        raise DecodeError("it ends in the middle of a value")
    return at
