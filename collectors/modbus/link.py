"""The connection to one Modbus device or gateway: one request at a time, an answer only to the request it answers.

pymodbus' client is not used: it does not check an answer's length, takes transaction 0 for any, cuts a late answer in
two when the next request goes out, and cannot tell late RTU answers from wanted ones.
"""

import asyncio
import random
from typing import Literal

from collectors.connection import ConnectionLostError
from collectors.modbus.wire import FrameError, NoAnswerError, NotGivenError, Request, rtu_answer, tcp_answers

Framing = Literal["tcp", "rtu"]

SETTLE = 0.02
"""Seconds without a byte after which an RTU line is quiet: 3.5 characters are 3 ms at 9600 baud, a network adds some."""


class Link:
    """Reads registers and bits. `framing` "rtu": RTU frames over TCP, as plain serial device servers pass them on."""

    def __init__(self, host: str, port: int, framing: Framing, connect_timeout: float) -> None:
        self.answered = 0.0
        """When the device last said anything to a request, or the link was made: the loop's time."""
        self.requests = 0
        self._host, self._port, self._framing, self._timeout = host, port, framing, connect_timeout
        self._transaction = random.randrange(1, 65536)
        self._wire: _Wire | None = None
        self._one = asyncio.Lock()
        self._quiet = 0.0

    async def open(self) -> None:
        """Connect. Raises ConnectionLostError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                _, self._wire = await loop.create_connection(
                    lambda: _Wire(self._framing), self._host, self._port
                )
        except OSError as error:
            raise ConnectionLostError(f"no Modbus device at {self._host}:{self._port} ({error})") from error
        self.answered = loop.time()

    def close(self) -> None:
        """End the connection."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def read(self, request: Request, timeout: float) -> bytes:
        """The bytes of the values: registers as they were sent, bits eight to a byte from the lowest on.

        Raises NotGivenError (RefusedError, NoAnswerError after `timeout` seconds), ConnectionLostError.
        """
        async with self._one:
            wire = await self._ready(timeout)
            self._transaction = self._transaction % 65535 + 1
            self.requests += 1
            try:
                unit, pdu = await wire.ask(request, self._transaction, timeout)
            except TimeoutError:
                self._lost_track(timeout)
                raise NoAnswerError(f"no answer within {timeout:g} s") from None
            except FrameError as error:
                if self._framing == "tcp":
                    raise ConnectionLostError(f"{self._host}:{self._port}: {error}") from error
                self._lost_track(timeout)
                raise NotGivenError(str(error)) from error
            self.answered = asyncio.get_running_loop().time()
            try:
                return request.values(unit, pdu)
            except NotGivenError:
                if self._framing == "rtu" and (unit != request.unit or pdu[0] & 0x7F != request.function):
                    self._lost_track(timeout)
                raise

    def _lost_track(self, timeout: float) -> None:
        """RTU answers carry no number, so a late one could be taken for the next. A gateway sends it to the connection
        that asked: that one is closed. A plain converter sends it to anybody: the line is left to itself as long as the
        device was given already."""
        if self._framing == "rtu":
            self.close()
            self._quiet = asyncio.get_running_loop().time() + timeout

    async def _ready(self, timeout: float) -> "_Wire":
        if self._framing == "rtu" and self._wire is None and self._quiet:
            answered = self.answered
            await self.open()
            self.answered = answered
        if self._wire is None or self._wire.gone is not None:
            gone = self._wire.gone if self._wire else "the connection was closed"
            raise ConnectionLostError(f"{self._host}:{self._port}: {gone}")
        if self._quiet:
            await self._wire.silence(self._quiet)
            self._quiet = 0.0
        return self._wire


class _Wire(asyncio.Protocol):
    """The bytes of one connection."""

    def __init__(self, framing: Framing) -> None:
        self.gone: str | None = None
        """Why nothing more comes."""
        self._framing = framing
        self._buffer = bytearray()
        self._heard = False
        self._transport: asyncio.Transport | None = None
        self._transaction = 0
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(self, request: Request, transaction: int, timeout: float) -> tuple[int, bytes]:
        """(unit, PDU) of the answer. Raises TimeoutError, FrameError, ConnectionLostError."""
        if self._transport is None or self.gone is not None:
            raise ConnectionLostError(self.gone or "not connected")
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        self._transaction = transaction
        if self._framing == "rtu":
            self._buffer.clear()
            self._transport.write(request.rtu())
        else:
            self._transport.write(request.tcp(transaction))
        too_late = loop.call_later(
            timeout, self._fail, TimeoutError()
        )  # asyncio.timeout costs a fifth of a request
        try:
            return await self._waiting
        finally:
            too_late.cancel()
            self._waiting = None

    async def silence(self, until: float) -> None:
        """Wait until the loop's time `until`, or until something came and nothing follows it."""
        clock = asyncio.get_running_loop().time
        self._heard = False
        came = False
        while clock() < until:
            await asyncio.sleep(min(SETTLE, max(0.0, until - clock())))
            if came and not self._heard:
                return
            came, self._heard = came or self._heard, False

    def close(self) -> None:
        self.gone = self.gone or "the connection was closed"
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = str(exc) if exc else "it closed the connection"
        self._fail(ConnectionLostError(self.gone))

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._framing == "rtu" and self._waiting is None:
            return  # too late, or noise
        self._buffer += data
        try:
            if self._framing == "rtu":
                if (answer := rtu_answer(bytes(self._buffer))) is not None:
                    self._give(answer)
                return
            for transaction, unit, pdu in tcp_answers(self._buffer):
                if transaction == self._transaction:
                    self._give((unit, pdu))
        except FrameError as error:
            self._fail(error)
            if self._framing == "tcp":
                self.gone = str(error)
                self.close()

    def _give(self, answer: tuple[int, bytes]) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
