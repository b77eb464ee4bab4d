"""The subscriptions of a connection: taken over from the one before, made anew, completed, tidied."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from asyncua import ua

from collectors.connection import utc_now
from collectors.opcua import items as services
from collectors.opcua.address import resolve
from collectors.opcua.context import Context
from collectors.opcua.items import FULL, Asked, Limits
from collectors.opcua.notifications import utc
from collectors.opcua.state import Subscription
from collectors.opcua.wanted import Wanted
from collectors.samples import no_value

log = logging.getLogger(__name__)

DROPPED = "the server had dropped the subscription during an outage"


class Subscribing:
    """Keeps the server's subscriptions at what the source wants; `context.state` says what there is."""

    def __init__(self, context: Context, retry: float) -> None:
        self._context, self._retry = context, retry
        self.namespaces: Sequence[str] = ()
        self._handles: dict[Wanted, int] = {}
        """Of what was asked for on this connection."""
        self.limits = Limits()
        self.started: datetime | None = None
        """When the server was started, where it says so."""

    async def begin(self, reused: bool) -> None:
        """Take over what there is and make the rest; all of it is on disk when it returns."""
        context = self._context
        self.namespaces = await context.link.namespaces()
        self.limits = await services.read_limits(context.link.session)
        self.started = await self._server_started()
        await self._take_over(reused)
        await self._complete()
        await context.save()

    async def ask_again(self) -> None:
        """Ask for refused signals for ever, less and less often."""
        shown, delay = self._context.shown, self._retry
        while True:
            await asyncio.sleep(delay)
            delay = min(2 * delay, 20 * self._retry)
            if shown.missing:
                before = len(shown.missing)
                self.namespaces = await self._context.link.namespaces()
                await self._complete()
                if len(shown.missing) < before:
                    delay = self._retry
                    await self._context.save()

    async def tidy(self) -> None:
        """Take off the server what nobody wants any more; it was kept until what it had queued was here."""
        context, changed = self._context, False
        wanted = set(context.wants.values())
        for subscription in list(context.state.subscriptions.values()):
            surplus = [item for item in subscription.items.values() if item.wanted not in wanted]
            empty = len(surplus) == len(subscription.items) and len(context.state.subscriptions) > 1
            if empty:
                await self._delete(subscription)
            elif surplus:
                await services.delete_items(context.link.session, subscription, [item.id for item in surplus])
                for item in surplus:
                    del subscription.items[item.handle]
            changed = changed or empty or bool(surplus)
        if changed:
            await context.save()

    async def _take_over(self, reused: bool) -> None:
        context = self._context
        state, link = context.state, context.link
        gone: dict[int, str] = {}
        if state.url != link.url:
            gone = dict.fromkeys(state.subscriptions, "the source was given another address")
        elif not reused and state.subscriptions:
            if self._restarted(state.started):  # another client may have our number by now: it is not touched
                short = (n for n, s in state.subscriptions.items() if not s.durable)
                gone = dict.fromkeys(short, "the server was restarted")
            refused = await services.transfer(link.session, [n for n in state.subscriptions if n not in gone])
            gone |= dict.fromkeys(refused, DROPPED)
        state.url, state.started = link.url, self.started
        for number, subscription in list(state.subscriptions.items()):
            if number not in gone and not await _is_ours(link.session, subscription):
                gone[number] = DROPPED
            if number in gone:
                log.info("%s: subscription %d: %s", link.url, number, gone[number])
                context.give_up(subscription, gone[number])
        if gone:
            await context.save()
            await self._say_unknown()
        for subscription in state.subscriptions.values():
            for item in subscription.items.values():
                if (signal := context.signals.get(item.wanted.key)) is not None:
                    context.by_handle[item.handle] = signal
            if subscription.asked_lifetime != context.options["lifetime"]:
                await services.modify_lifetime(link.session, subscription, context.options["lifetime"])

    async def _say_unknown(self) -> None:
        """A process that was not there when a hole began could not say that from then on nothing is known."""
        held = self._context.held
        known = held.newest().keys()
        for hole in self._context.state.holes:
            if hole.last is None and (unsaid := set(hole.signals) - known):
                first = hole.first + timedelta(microseconds=1)
                await self._context.put(held.unknown(first, unsaid, utc_now()))

    def _restarted(self, before: datetime | None) -> bool:
        return before is not None and self.started is not None and self.started != before

    async def _server_started(self) -> datetime | None:
        node = ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime)
        (found,) = await self._context.link.session.read_attributes([node], ua.AttributeIds.Value)
        given = found.Value.Value if found.Value is not None else None
        return utc(given) if isinstance(given, datetime) else None

    async def _complete(self) -> None:
        """Make what is wanted and not there; what is refused is said once and leaves the rest running."""
        context = self._context
        state = context.state
        if not state.subscriptions:  # the same numbers as before, so that they stay few
            context.by_handle.clear()
            self._handles.clear()
            state.next_handle = 1
        there = {item.wanted for s in state.subscriptions.values() for item in s.items.values()}
        refused: dict[str, str] = {}
        asked: list[Asked] = []
        for key, wanted in context.wants.items():
            if wanted in there:
                continue
            if wanted not in self._handles:
                self._handles[wanted] = state.next_handle
                context.by_handle[state.next_handle] = context.signals[key]
                state.next_handle += 1
            try:
                node = ua.NodeId.from_string(resolve(wanted.address, self.namespaces))
            except (ValueError, ua.UaError) as error:
                refused[key] = str(error)
            else:
                asked.append(Asked(self._handles[wanted], node, wanted))
        context.know_handles()
        for interval in sorted({a.wanted.publishing_interval for a in asked}):
            for a, name in await self._make(interval, [a for a in asked if _interval(a) == interval]):
                refused[a.wanted.key] = f"the server says {name} ({a.node})"
        if not state.subscriptions:
            await self._create(context.options["publishing_interval"])  # it shows that the server is alive
        for subscription in state.subscriptions.values():
            for item in subscription.items.values():
                context.shown.created(item.wanted.key, item.note)
        new = context.shown.refused(refused)
        for key in new:
            log.warning("%s: %s", key, refused[key])
        await context.put(no_value([context.signals[key] for key in new], utc_now()))

    async def _make(self, interval: float, asked: list[Asked]) -> list[tuple[Asked, str]]:
        """Make items, in as many subscriptions as it takes; those refused, with the name of the status."""
        refused: list[tuple[Asked, str]] = []
        for subscription in [s for s in self._context.state.subscriptions.values() if s.interval == interval]:
            asked = await self._make_in(subscription, asked, refused)
        while asked:
            subscription = await self._create(interval)
            left = await self._make_in(subscription, asked, refused)
            if not subscription.items:
                await self._delete(subscription)
            if len(left) == len(asked):  # not one fits into an empty one
                refused += [(a, FULL[0]) for a in left]
                break
            asked = left
        return refused

    async def _make_in(
        self, subscription: Subscription, asked: list[Asked], refused: list[tuple[Asked, str]]
    ) -> list[Asked]:
        """Those it has no room for."""
        room = self.limits.items_per_subscription
        fits = max(0, room - len(subscription.items)) if room else len(asked)
        some, left = asked[:fits], asked[fits:]
        said = await services.create_items(self._context.link.session, subscription, some, self.limits)
        for a in some:
            if (name := said.get(a.handle)) in FULL:
                left.append(a)
            elif name is not None:
                refused.append((a, name))
        return left

    async def _create(self, interval: float) -> Subscription:
        context = self._context
        made = await services.create_subscription(
            context.link.session, interval, context.options["lifetime"], context.proof
        )
        context.state.subscriptions[made.id] = made
        return made

    async def _delete(self, subscription: Subscription) -> None:
        del self._context.state.subscriptions[subscription.id]
        await services.delete_subscriptions(self._context.link.session, [subscription.id])


def _interval(asked: Asked) -> float:
    return asked.wanted.publishing_interval


async def _is_ours(session: Any, subscription: Subscription) -> bool:
    """The subscription is there and has our items; those it does not have are forgotten, to be made again."""
    try:
        there = await services.monitored(session, subscription.id)
    except ua.UaStatusCodeError:
        return False
    if there is None:
        return True  # it cannot say; it will show by publishing, or be given up
    for handle, item in list(subscription.items.items()):
        if there.get(handle) != item.id:
            del subscription.items[handle]
    if subscription.items:  # a kill may have come between making some and noting them
        known = {item.id for item in subscription.items.values()}
        unknown = [number for number in there.values() if number not in known]
        await services.delete_items(session, subscription, unknown)
    return bool(subscription.items) or not there
