"""Samples on their way to disk do not hold up the polling, until there are too many."""

import asyncio

import pytest

from collectors.modbus.outgoing import Outgoing


def test_order_room_and_errors() -> None:
    async def body() -> None:
        disk, stored = asyncio.Event(), list[int]()

        async def emit(number: int) -> None:
            stored.append(number)
            await disk.wait()

        async def fail() -> None:
            raise ValueError("full")

        outgoing = Outgoing(most=25)
        for number in range(3):
            outgoing.start(emit(number), 10)
            assert not stored, "nobody waits for it"
        assert await asyncio.wait_for(Outgoing(most=30).room(), 1) is False
        waiting = asyncio.create_task(outgoing.room())
        await asyncio.sleep(0.01)
        assert stored == [0, 1, 2] and not waiting.done()
        disk.set()
        assert await asyncio.wait_for(waiting, 1) is True
        assert await outgoing.room() is False
        outgoing.start(fail(), 1)
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="full"):
            await outgoing.room()
        assert await outgoing.room() is False, "an error is said once"

    asyncio.run(body())
