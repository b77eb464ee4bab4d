"""Servers that are none, or mean it badly: a sentence soon, no memory, and the collector goes on trying."""

import asyncio
import resource
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary

from collectors.connection import ConnectionLostError
from collectors.opcua import security
from collectors.opcua.security import offers_of

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ACK = b"ACKF" + struct.pack("<6I", 28, 0, 2**31 - 1, 2**31 - 1, 0, 0)


async def message(reader: asyncio.StreamReader) -> None:
    size = int.from_bytes((await reader.readexactly(8))[4:], "little")
    await reader.readexactly(size - 8)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def web_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in ACK * 100:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(ACK + b"OPNF" + struct.pack("<I", 2**32 - 1))
    while True:
        writer.write(bytes(1 << 20))
        await writer.drain()


async def endless_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(ACK)
    policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
    number = 0
    while True:
        batch = []
        for _ in range(1000):
            number += 1
            body = struct.pack("<II", 1, len(policy)) + policy + struct.pack("<iiII", -1, -1, number, 1)
            batch.append(b"OPNC" + struct.pack("<I", 8 + len(body)) + body)
        writer.write(b"".join(batch))
        await writer.drain()
        await asyncio.sleep(0)


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the opening of a channel with a fault, as servers do that do not trust the client."""
    await message(reader)
    writer.write(ACK)
    await message(reader)
    policy = b"http://opcfoundation.org/UA/SecurityPolicy#None"
    fault = b"\x01\x00" + struct.pack("<H", 397) + struct.pack("<qII", 0, 1, 0x80130000) + b"\0\0\0\0\0\0\0\0"
    body = struct.pack("<II", 1, len(policy)) + policy + struct.pack("<iiII", -1, -1, 1, 1) + fault
    writer.write(b"OPNF" + struct.pack("<I", 8 + len(body)) + body)
    await reader.read(1000)


async def serve(answer: Answer, body: Callable[[str], Awaitable[None]]) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        await body(f"opc.tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    finally:
        server.close()


@pytest.mark.parametrize("answer", [silence, web_page, closes, drips, huge, endless_chunks])
@pytest.mark.slow
def test_what_answers_is_not_an_opc_ua_server(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "TIMEOUT", 3.0)

    async def body(url: str) -> None:
        started = asyncio.get_running_loop().time()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ConnectionLostError, match=url):
            await offers_of(url)
        assert asyncio.get_running_loop().time() - started < 4
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000, "kB"

    asyncio.run(serve(answer, body))


def test_a_fault_instead_of_a_channel_says_why() -> None:
    async def body(url: str) -> None:
        with pytest.raises(ConnectionLostError, match="BadSecurityChecksFailed"):
            await offers_of(url)

    asyncio.run(serve(refuses, body))


def test_an_array_of_nothing_is_short() -> None:
    started = time.process_time()
    variant = variant_from_binary(Buffer(b"\x80" + struct.pack("<i", 2**31 - 1) + b"\x06\x07\0\0\0"))
    assert variant.Value == [] and time.process_time() - started < 1
