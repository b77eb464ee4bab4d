"""Modbus frames: cut anywhere, late, damaged or hostile; only a whole answer counts."""

import asyncio
import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from collectors.connection import ConnectionLostError
from collectors.modbus.link import Link
from collectors.modbus.wire import (
    FrameError,
    NoAnswerError,
    NotGivenError,
    Request,
    crc,
    rtu_answer,
    tcp_answers,
)
from tests.examples import examples


@given(st.binary(max_size=300))
def test_the_check_bytes_are_those_of_pymodbus(frame: bytes) -> None:
    assert crc(frame) == FramerRTU.compute_CRC(frame).to_bytes(2, "big")


FRAMES = st.lists(
    st.tuples(st.integers(0, 65535), st.integers(0, 255), st.binary(min_size=2, max_size=252)), max_size=6
)


@given(FRAMES, st.randoms(use_true_random=False))
def test_tcp_frames_come_out_whole_however_they_were_cut(
    frames: list[tuple[int, int, bytes]], chance: random.Random
) -> None:
    stream = b"".join(
        transaction.to_bytes(2) + b"\0\0" + (len(pdu) + 1).to_bytes(2) + bytes((unit,)) + pdu
        for transaction, unit, pdu in frames
    )
    buffer, got = bytearray(), []
    while stream:
        cut = chance.randint(1, len(stream))
        buffer += stream[:cut]
        stream = stream[cut:]
        got += tcp_answers(buffer)
    assert got == frames and not buffer


@given(st.binary(max_size=400))
def test_whatever_comes_is_a_frame_or_an_error(data: bytes) -> None:
    buffer = bytearray(data)
    try:
        for _, _, pdu in tcp_answers(buffer):
            assert 2 <= len(pdu) <= 253
    except FrameError:
        pass
    try:
        answer = rtu_answer(data)
    except FrameError:
        pass
    else:
        assert answer is None or crc(data[:-2]) == data[-2:]


@given(st.integers(1, 247), st.integers(1, 125), st.data())
def test_a_damaged_rtu_answer_is_none(unit: int, count: int, data: st.DataObject) -> None:
    request = Request(unit, "input", 0, count)
    body = bytes((unit, 4, 2 * count)) + data.draw(st.binary(min_size=2 * count, max_size=2 * count))
    frame = body + crc(body)
    assert rtu_answer(frame) == (unit, frame[1:-2])
    assert request.values(*(rtu_answer(frame) or (0, b""))) == body[3:]
    assert all(rtu_answer(frame[:cut]) is None for cut in range(len(frame)))
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    damaged = bytearray(frame)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        answer = rtu_answer(bytes(damaged))
    except FrameError:
        return
    assert answer is None, "one flipped bit is always noticed"


ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["right", "late", "other unit", "long", "short", "refusal", "nothing", "halves"]),
        st.integers(0, 65535),
    ),
    min_size=1,
    max_size=6,
)


@examples(40)
@given(ANSWERS)
def test_an_answer_is_only_taken_for_its_own_request(answers: list[tuple[str, int]]) -> None:
    """A device that answers each request in its own wrong way; each answer carries a number of its own."""

    async def body() -> None:
        waiting = iter(answers)

        ended = asyncio.Event()

        async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                await answer(reader, writer)
            writer.close()
            ended.set()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            late = b""
            while len(asked := await reader.read(12)) == 12:
                how, value = next(waiting)
                head, unit = asked[:2] + b"\0\0", asked[6:7]
                right = head + b"\0\5" + unit + bytes((3, 2)) + value.to_bytes(2)
                said = {
                    "right": right,
                    "late": b"",
                    "other unit": head + b"\0\5" + bytes((unit[0] + 1,)) + right[7:],
                    "long": head + b"\0\7" + unit + bytes((3, 4)) + right[-2:] * 2,
                    "short": head + b"\0\3" + unit + bytes((3, 0)),
                    "refusal": head + b"\0\3" + unit + bytes((0x83, 2)),
                    "nothing": b"",
                    "halves": right[:5],
                }[how]
                writer.write(late + said)
                if how == "halves":
                    await asyncio.sleep(0)
                    writer.write(right[5:])
                late = right if how == "late" else b""

        server = await asyncio.start_server(device, "127.0.0.1", 0)
        link = Link("127.0.0.1", server.sockets[0].getsockname()[1], "tcp", 1.0)
        await link.open()
        for how, value in answers:
            request = Request(1, "holding", 0, 1)
            if how in ("right", "halves"):
                assert await link.read(request, 5.0) == value.to_bytes(2)
            elif how in ("late", "nothing"):
                with pytest.raises(NoAnswerError):
                    await link.read(request, 0.01)
            else:
                with pytest.raises(NotGivenError):
                    await link.read(request, 5.0)
        link.close()
        with pytest.raises(ConnectionLostError):
            await link.read(Request(1, "holding", 0, 1), 0.01)
        server.close()
        await ended.wait()

    asyncio.run(body())
