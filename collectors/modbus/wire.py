"""Modbus messages as bytes: requests, answers, and the frames of TCP and RTU around them. Pure.

Modbus Application Protocol V1.1b3, Modbus Messaging on TCP/IP V1.0b, Modbus over Serial Line V1.02.
"""

import struct
from dataclasses import dataclass

from collectors.modbus.address import Area, is_bits

FUNCTIONS: dict[Area, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
EXCEPTIONS = {
    1: "the function is unknown to it",
    2: "illegal address",
    3: "illegal number of registers",
    4: "the device failed",
    5: "it needs longer",
    6: "the device is busy",
    8: "memory error",
    10: "the gateway has no path to the unit",
    11: "the unit behind the gateway does not answer",
}
FOR_GOOD = (1, 2, 3, 4)
"""Exceptions that lie in what was asked, so asking for less helps. A failed device (4) is said by some where an
address is illegal."""
EITHER_UNIT = (0, 255)
"""Unit ids that mean the device at this address itself, whichever it answers with."""
HEADER = 6
"""Bytes before what the length in a TCP frame counts."""


class NotGivenError(Exception):
    """The device gave no values for this request: the message says what it said instead, `code` is the exception's, 0
    when it sent none."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class RefusedError(NotGivenError):
    """It will not give them: asking for less may help, asking again will not."""


class NoAnswerError(NotGivenError):
    """It said nothing in time."""


class FrameError(Exception):
    """What came is no Modbus at all."""


@dataclass(frozen=True, slots=True)
class Request:
    """Read `count` registers or bits."""

    unit: int
    area: Area
    start: int
    count: int

    @property
    def function(self) -> int:
        return FUNCTIONS[self.area]

    @property
    def size(self) -> int:
        """How many bytes of values answer it."""
        return (self.count + 7) // 8 if is_bits(self.area) else 2 * self.count

    def pdu(self) -> bytes:
        """Function, address and count."""
        return struct.pack(">BHH", self.function, self.start, self.count)

    def tcp(self, transaction: int) -> bytes:
        return struct.pack(">HHHB", transaction, 0, 6, self.unit) + self.pdu()

    def rtu(self) -> bytes:
        frame = bytes((self.unit,)) + self.pdu()
        return frame + crc(frame)

    def values(self, unit: int, pdu: bytes) -> bytes:
        """The bytes of the values in an answer. Raises NotGivenError: an exception, another length, another request's."""
        if unit != self.unit and self.unit not in EITHER_UNIT:
            raise NotGivenError(f"unit {unit} answered; ask for that one if it is the device")
        function = pdu[0] if pdu else 0
        if function == self.function | 0x80 and len(pdu) == 2:
            code = pdu[1]
            why = f"exception {code}" + (f": {EXCEPTIONS[code]}" if code in EXCEPTIONS else "")
            raise RefusedError(why, code) if code in FOR_GOOD else NotGivenError(why, code)
        if function != self.function or len(pdu) < 2:
            raise NotGivenError(f"it answered with function {function} where {self.function} was asked for")
        if pdu[1] != self.size or len(pdu) != 2 + self.size:
            raise RefusedError(f"it answered {len(pdu) - 2} bytes where {self.size} were asked for")
        return pdu[2:]


def tcp_answers(buffer: bytearray) -> list[tuple[int, int, bytes]]:
    """Take whole frames off the buffer: (transaction, unit, PDU) each. Raises FrameError: the stream is no Modbus."""
    found: list[tuple[int, int, bytes]] = []
    while len(buffer) >= HEADER + 2:
        transaction, protocol, length, unit, function = struct.unpack_from(">HHHBB", buffer)
        if length == 2 and function & 0x80:
            length = 3  # devices that do not count the exception's code
        if protocol != 0 or not 3 <= length <= 254:
            raise FrameError("what answers there speaks no Modbus TCP")
        if len(buffer) < HEADER + length:
            break
        found.append((transaction, unit, bytes(buffer[HEADER + 1 : HEADER + length])))
        del buffer[: HEADER + length]
    return found


def rtu_answer(buffer: bytes) -> tuple[int, bytes] | None:
    """(unit, PDU) when the buffer is one whole answer to a read, None while it is not complete.

    Raises FrameError: it is something else.
    """
    if len(buffer) < 5:
        return None
    function = buffer[1]
    if function & 0x80:
        length = 5
    elif function in FUNCTIONS.values():
        length = 5 + buffer[2]
    else:
        raise FrameError("garbled answer")
    if len(buffer) < length:
        return None
    if len(buffer) > length or crc(buffer[: length - 2]) != buffer[length - 2 :]:
        raise FrameError("garbled answer")
    return buffer[0], bytes(buffer[1 : length - 2])


def _table() -> tuple[int, ...]:
    def entry(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        return byte

    return tuple(entry(byte) for byte in range(256))


TABLE = _table()


def crc(frame: bytes | bytearray) -> bytes:
    """The two check bytes that follow an RTU frame (CRC-16, polynomial 0xA001, low byte first)."""
    value = 0xFFFF
    for byte in frame:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return struct.pack("<H", value)
