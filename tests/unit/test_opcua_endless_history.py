"""A server's history that does not end is not read for ever."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua

from collectors.opcua.history import IN_VAIN, Backfill, Found
from collectors.opcua.items import Limits
from plant.model import Role, Signal

FIRST = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
LAST = FIRST + timedelta(hours=1)


def read(answer: Any) -> tuple[Found, int]:
    """What is found when the n-th answer of the server is `answer(n)`: values and continuation point."""
    asked = 0

    async def history_read(_: Any) -> list[Any]:
        nonlocal asked
        values, point = answer(asked)
        asked += 1
        data = ua.HistoryData(DataValues=[ua.DataValue(ua.Variant(v), SourceTimestamp=t) for t, v in values])
        return [SimpleNamespace(StatusCode=ua.StatusCode(), ContinuationPoint=point, HistoryData=data)]

    async def put(_: Any) -> None: ...

    signal = Signal(id="state", equipment="m", role=Role.STATE, source="plc", address="ns=1;i=1")
    context: Any = SimpleNamespace(
        link=SimpleNamespace(session=SimpleNamespace(history_read=history_read)),
        signals={"m.state": signal},
        held=SimpleNamespace(fill=lambda _: None),
        put=put,
    )
    found = {"m.state": Found()}
    nodes = {"m.state": ua.NodeId(1, 1)}
    asyncio.run(Backfill(context, Limits(), None, ())._read(nodes, FIRST, LAST, found))
    return found["m.state"], asked


@pytest.mark.parametrize("values", [[], [(FIRST, 6)], [(FIRST + timedelta(minutes=5), 6), (FIRST, 6)]])
def test_answers_that_bring_nothing_newer_end(values: list[tuple[datetime, int]]) -> None:
    found, asked = read(lambda n: (values, str(n).encode()))
    assert "does not come to the end" in found.problem and asked <= IN_VAIN + 1


def test_the_same_continuation_point_again_is_no_end() -> None:
    found, asked = read(lambda n: ([(FIRST + timedelta(seconds=n), n)], b"same"))
    assert "does not come to the end" in found.problem and asked == 2


def test_a_long_history_is_read_whole_even_with_empty_answers_in_between() -> None:
    def answer(n: int) -> tuple[list[tuple[datetime, int]], bytes | None]:
        values = [(FIRST + timedelta(seconds=n), n)] if n % 5 == 0 else []
        return values, str(n).encode() if n < 500 else None

    found, asked = read(answer)
    assert (found.problem, asked, found.first) == ("", 501, FIRST)
