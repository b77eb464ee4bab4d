"""A server that is silent for long is asked whether it is alive; one that answers nonsense is a lost connection."""

import asyncio
import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest

from collectors.connection import ConnectionLostError
from collectors.opcua import session
from collectors.opcua.state import Subscription


def watched(keep_alive: float, alive: bool, seconds: float, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often it was asked in that time; raises when the connection was given up."""
    monkeypatch.setattr(session, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(session, "ASK_AFTER", 0.05)
    monkeypatch.setattr(session, "PATIENCE", 0.2)
    asked = 0

    async def read_attributes(*_: Any) -> None:
        nonlocal asked
        asked += 1
        if not alive:
            raise TimeoutError

    async def body() -> None:
        subscription = Subscription(1, 1.0, 60.0, 1.0, 60.0, keep_alive)
        link = SimpleNamespace(url="opc.tcp://plc", session=SimpleNamespace(read_attributes=read_attributes))
        context: Any = SimpleNamespace(link=link, state=SimpleNamespace(subscriptions={1: subscription}))
        intake: Any = SimpleNamespace(busy=False, heard={}, fresh=lambda _: False)
        pump: Any = SimpleNamespace(waiting=())
        try:
            async with asyncio.timeout(seconds):
                await session._watch(context, intake, pump)
        except TimeoutError:
            return

    asyncio.run(body())
    return asked


def test_it_is_asked_now_and_then_and_kept_while_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 <= watched(3600, True, 0.5, monkeypatch) <= 10


def test_one_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionLostError, match="no answer after"):
        watched(3600, False, 5, monkeypatch)


@pytest.mark.parametrize("keep_alive", [0.0, float("nan"), -1e300])
def test_a_keep_alive_that_makes_no_sense_is_none(keep_alive: float, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionLostError, match="nothing published for"):
        watched(keep_alive, True, 5, monkeypatch)


@pytest.mark.parametrize(
    "error", [struct.error("short"), ValueError("no status"), TypeError("x"), IndexError()]
)
def test_an_answer_that_cannot_be_read_is_a_lost_connection(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then its signals are unknown, and it is tried again."""

    async def begin(*_: Any) -> None:
        raise error

    async def opened() -> bool:
        return False

    monkeypatch.setattr(session.Subscribing, "begin", begin)
    dropped: list[bool] = []
    link = SimpleNamespace(
        url="opc.tcp://plc", lost="", open=opened, protocol=None, drop=lambda: dropped.append(True)
    )

    async def body() -> None:
        await session.collect(cast(Any, SimpleNamespace(link=link)), 15.0)

    with pytest.raises(ConnectionLostError, match="an answer of the server cannot be worked off"):
        asyncio.run(body())
    assert dropped
