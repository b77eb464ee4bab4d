"""Publish responses of an OPC UA server, from their bytes. Pure.

What is in a message is said by OPC 10000-4, 5.14.5 and 7.25, how it looks by OPC 10000-6, 5.2.2.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import SupportsBytes

import polars as pl

from collectors.opcua import wire
from collectors.opcua.values import NOTIFICATIONS, empty, instant, monitored_items
from collectors.opcua.wire import INT32, INT64, UINT32, DecodeError

__all__ = ["NOTIFICATIONS", "DecodeError", "Published", "decode", "decode_republished"]

PUBLISH, REPUBLISH, FAULT = 829, 835, 397
DATA_CHANGE, STATUS_CHANGE = 811, 820
"""Numbers of the binary encodings (OPC 10000-6, NodeIds)."""


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


def _header(data: bytes, expected: int) -> tuple[datetime, int, int]:
    """Time and status code of the answer, and where the rest begins; -1 when nothing follows."""
    number, at = wire.node_id(data, 0)
    if number not in (expected, FAULT):
        raise DecodeError(f"it is of type {number}, not {expected}")
    (time,), (result,) = INT64.unpack_from(data, at), UINT32.unpack_from(data, at + 12)
    at = wire.skip_diagnostic(data, at + 16)
    at = wire.skip_array(data, at, wire.BYTES)
    at = wire.skip_extension_object(data, at)
    return instant(time), result, -1 if number == FAULT or result >> 31 else at


def _numbers(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    end = wire.skip_array(data, at, 7)
    return struct.unpack_from(f"<{(end - at) // 4 - 1}I", data, at + 4), end


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
            frames.append(monitored_items(data[at + 5 : end]))
        elif data[at] == 1 and number == STATUS_CHANGE:
            (status,) = UINT32.unpack_from(data[at + 5 : end])
        at = end
    items = frames[0] if len(frames) == 1 else pl.concat([empty(), *frames])
    return sequence, instant(time) if time > 0 else answered, items, status, at
