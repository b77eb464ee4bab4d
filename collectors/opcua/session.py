"""One connection to a server, from connecting to its loss."""

import asyncio
import contextlib
import logging
import struct
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any

from asyncua import ua

from collectors.connection import ConnectionLostError, up, utc_now
from collectors.held import Clock
from collectors.opcua import items as services
from collectors.opcua.context import Context
from collectors.opcua.history import Backfill
from collectors.opcua.intake import Intake
from collectors.opcua.publish import DecodeError
from collectors.opcua.pump import Pump
from collectors.opcua.state import Hole
from collectors.opcua.subscribing import Subscribing

log = logging.getLogger(__name__)

OUTSTANDING = 4
"""Publish requests the server has from us."""
AHEAD = 16
"""Messages that may wait to be written: less than what servers keep to send it again (node-opcua: 100)."""
PATIENCE = 4.0
"""Seconds a message may be late."""
LOOK_EVERY = 0.5
UNREADABLE = (struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError)
"""What the library raises on damaged answers; it has no one error for them."""
ASK_AFTER = 20.0
"""Seconds of a silence that is allowed, after which the server is asked whether it is alive: it may keep alive less
often than it was told to, or not at all."""


async def collect(context: Context, retry: float) -> None:
    """Collect until the connection is lost, which is raised as ConnectionLostError. `retry`: seconds until signals the
    server refused are asked for again."""
    link = context.link
    reused = await link.open()
    pump = Pump(link.protocol, OUTSTANDING, AHEAD)
    try:
        subscribing = Subscribing(context, retry)
        await subscribing.begin(reused)
        context.held.resumed()
        intake = Intake(context, pump)
        up(context.status, f"connected to {link.url}, {link.detail}")
        pump.start()
        backfill = Backfill(context, subscribing.limits, subscribing.started, subscribing.namespaces)
        await _until_one_fails(
            intake.run(),
            _watch(context, intake, pump),
            subscribing.ask_again(),
            _settle(context, intake, subscribing),
            backfill.run(),
        )
    except (ua.UaError, OSError, TimeoutError, DecodeError) as error:
        raise ConnectionLostError(f"{link.url}: {link.lost or error or type(error).__name__}") from error
    except UNREADABLE as error:
        log.exception("%s: an answer cannot be worked off", link.url)
        said = f"{type(error).__name__}: {error}"
        raise ConnectionLostError(
            f"{link.url}: an answer of the server cannot be worked off ({said})"
        ) from error
    finally:
        pump.close()
        link.drop()


async def _until_one_fails(*jobs: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(context: Context, intake: Intake, pump: Pump) -> None:
    """A subscription that says nothing has lost its connection; one of which nothing was ever heard on this connection
    is not to be had again."""
    clock = asyncio.get_running_loop().time
    asked = clock()
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if intake.busy or pump.waiting:
            for number in intake.heard:
                intake.heard[number] = clock()
            continue
        for subscription in list(context.state.subscriptions.values()):
            silent = clock() - intake.heard.setdefault(subscription.id, clock())
            if silent <= 2 * subscription.keep_alive + PATIENCE:
                if min(silent, clock() - asked) > ASK_AFTER:
                    if not await _answers(context):
                        raise ConnectionLostError(
                            f"{context.link.url}: no answer after {silent:.0f} s of silence"
                        )
                    asked = clock()
                continue
            if intake.fresh(subscription) and await _answers(context):
                context.give_up(subscription, "the subscription was silent after an outage")
                with contextlib.suppress(ua.UaError, OSError, TimeoutError):
                    await services.delete_subscriptions(context.link.session, [subscription.id])
                await context.save()
                raise ConnectionLostError(f"{context.link.url}: the subscription taken over stays silent")
            raise ConnectionLostError(f"{context.link.url}: nothing published for {silent:.0f} s")


async def _answers(context: Context) -> bool:
    node = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
    try:
        await context.link.session.read_attributes([node], ua.AttributeIds.Value)
    except (ua.UaError, OSError, TimeoutError):
        return False
    return True


async def _settle(context: Context, intake: Intake, subscribing: Subscribing) -> None:
    """Once all the server had kept for us is on disk: what was missed, and what was not."""
    await intake.settled.wait()
    close_holes(context, intake)
    await context.save()
    missed = {key for hole in context.state.holes for key in hole.signals}
    await context.put(context.held.recovered(utc_now(), context.signals.keys() - missed))
    if not missed:
        context.held.unrecovered()
    await subscribing.tidy()
    while True:  # what the server did not have yet may come later
        await asyncio.sleep(LOOK_EVERY)
        if context.open_holes() & intake.first.keys():
            close_holes(context, intake)
            await context.save()


def close_holes(context: Context, intake: Intake) -> None:
    """End open holes with the first value that came. A signal whose first value is the very one we had, with its time,
    misses nothing; of one the server does not have now the hole stays open."""
    there = set().union(*(context.keys(s) for s in context.state.subscriptions.values()))
    ends: dict[tuple[datetime, datetime, str], list[str]] = {}
    published = intake.published or utc_now()
    still: list[Hole] = []
    for hole in context.state.holes:
        if hole.last is not None:
            still.append(hole)
            continue
        if absent := tuple(key for key in hole.signals if key not in there):
            still.append(replace(hole, signals=absent))
        for key in hole.signals:
            if key not in there:
                continue
            had, came = intake.before.get(key), intake.first.get(key)
            if had is not None and had == came:
                continue
            first, last = hole.first, published
            if came is not None and (came[0] > first or context.held.clock is Clock.OTHER):
                last = came[0]
            if context.held.clock is Clock.OTHER and had is not None:
                first = had[0]
            ends.setdefault((min(first, last), last, hole.why), []).append(key)
    closed = [Hole(first, last, why, tuple(keys)) for (first, last, why), keys in ends.items()]
    context.state.holes[:] = still + closed
