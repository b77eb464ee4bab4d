"""The socket below paho-mqtt: read in large pieces, PUBLISH packets taken out here, all others left to paho.

paho decodes one packet at a time with three system calls and dozens of objects for each; of what a message costs from the
broker to the disk that was nine tenths. What a PUBLISH is: MQTT 3.1.1, 3.3; MQTT 5, 3.3.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from paho.mqtt.client import Client

PIECE = 1 << 18
"""Bytes read at once."""
LARGEST = 16 << 20
"""Bytes of a packet we tell an MQTT 5 broker that we take."""
PUBLISH, PUBACK = 0x30, b"\x40\x02"


class Message(NamedTuple):
    """What was published."""

    topic: str
    payload: bytes
    retain: bool
    number: int
    """What its acknowledgement names; 0: it wants none."""


class MalformedError(Exception):
    """What comes is no MQTT."""


class Stream:
    """What paho takes for a socket. Nothing is sent or received but by `fill` and `flush`."""

    def __init__(self, connection: Any) -> None:
        self._socket: socket.socket = connection
        self._in, self._at = b"", 0
        self._out = bytearray()
        self._end: OSError | None = None
        self._ended = False
        self._topics: dict[bytes, str] = {}
        self.on_send: Callable[[], None] = lambda: None
        """Called when there is something to flush."""

    # What paho calls.

    def recv(self, size: int) -> bytes:
        piece = self._in[self._at : self._at + size]
        self._at += len(piece)
        if piece:
            return piece
        if self._end is not None:
            raise self._end
        if self._ended:
            return b""
        raise BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        self._out += data
        self.on_send()
        return len(data)

    def fileno(self) -> int:
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        self._socket.setblocking(flag)

    def settimeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def close(self) -> None:
        self.flush()  # paho closes as soon as it has "sent" its goodbye
        self._socket.close()

    # What the link calls.

    def fill(self) -> bool:
        """Read what there is, without waiting; whether there may be more at once."""
        pieces = [self._in[self._at :]]
        try:
            piece = self._socket.recv(PIECE)
            pieces.append(piece)
            self._ended = not piece
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            piece = b""
        except OSError as error:
            self._end, piece = error, b""
        self._in, self._at = b"".join(pieces), 0
        return bool(piece) and (len(piece) == PIECE or _buffered(self._socket))

    def flush(self) -> bool:
        """Send what the socket takes; whether all is sent. A connection that is gone is noticed when it is read."""
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            except OSError as error:
                self._end = self._end or error
                self._out.clear()
                return True
            del self._out[:sent]
        return True

    @property
    def over(self) -> bool:
        """The connection has ended."""
        return self._ended or self._end is not None

    def publishes(self, into: list[Message], five: bool) -> bool:
        """Take the messages that are here whole, until another packet comes; whether that is one, whole, for paho.

        `five`: MQTT 5. Raises MalformedError.
        """
        data, at, end, topics = self._in, self._at, len(self._in), self._topics
        while end - at >= 2:
            first, length, body = data[at], data[at + 1], at + 2
            if length > 127:
                length, body = _length(data, at + 1)
                if body < 0:
                    break
            stop = body + length
            if stop > end:
                break
            if first & 0xF0 != PUBLISH:
                self._at = at
                return True
            quality = first & 6
            if length < 2 or quality > 2:
                raise MalformedError("a message of the wrong form")
            start = body + 2 + (data[body] << 8 | data[body + 1])
            name, number = data[body + 2 : start], 0
            if quality:
                number = int.from_bytes(data[start : start + 2])
                start += 2
            if five:
                if start >= stop:
                    raise MalformedError("a message without properties")
                properties, start = _length(data, start)
                start += properties
            if start > stop:
                raise MalformedError("a message that is longer than it says")
            topic = topics.get(name)
            if topic is None:
                if len(topics) > 100_000:
                    topics.clear()
                topic = topics[name] = name.decode(errors="replace")
            into.append(Message(topic, data[start:stop], first & 1 == 1, number))
            at = stop
        self._at = at
        return False


class StreamClient(Client):
    """paho's client with a Stream below it."""

    stream: Stream | None = None

    def _create_socket(self) -> Any:
        self.stream = Stream(super()._create_socket())
        return self.stream


def acknowledgement(number: int) -> bytes:
    """The PUBACK of a message."""
    return PUBACK + number.to_bytes(2)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends; (0, -1) when it is not here whole."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            return 0, -1
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise MalformedError("a length of more than four bytes")


def _buffered(connection: Any) -> bool:
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
