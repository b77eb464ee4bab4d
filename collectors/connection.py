"""Keeping one connection: connect, notice the loss, say so once, try again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import polars as pl

from collectors.ports import Emit, SourceStatus

log = logging.getLogger(__name__)

FIRST_DELAY, MAX_DELAY = 0.5, 10.0
"""Seconds between attempts: doubling from the first to the last."""


class ConnectionLostError(Exception):
    """The connection is gone or never came; the message says why."""


def utc_now() -> datetime:
    """The time samples are received at."""
    return datetime.now(UTC)


def up(status: SourceStatus, detail: str) -> None:
    """The source is connected."""
    if not status.connected:
        status.since = utc_now()
    status.connected, status.detail = True, detail


async def keep_connected(
    status: SourceStatus,
    session: Callable[[], Awaitable[None]],
    lost: Callable[[datetime], pl.DataFrame],
    emit: Emit,
    first_delay: float = FIRST_DELAY,
    max_delay: float = MAX_DELAY,
) -> None:
    """Run sessions one after the other until cancelled.

    `session` calls `up(status, ...)` when it works and raises when it ends. After the first failure, and
    after each failure of a session that had worked, `lost(now)` is emitted once.
    """
    delay, said = first_delay, False
    status.detail, status.since = "connecting", utc_now()
    while True:
        reason = "the connection ended"
        try:
            await session()
        except (ConnectionLostError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
        now = utc_now()
        if status.connected:
            status.connected, status.since = False, now
            delay, said = first_delay, False
        status.detail = f"{reason}; trying again every {delay:g} s"
        log.warning("%s", status.detail)
        if not said:
            samples = lost(now)
            await emit(samples)
            said = True
        await asyncio.sleep(delay)
        delay = min(delay * 2, max_delay)
