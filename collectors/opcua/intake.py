"""Messages of a server's subscriptions, taken whole and in order: what is missing is asked for again, what came is
acknowledged when it is on disk."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import datetime

import polars as pl
from asyncua import ua

from collectors.connection import ConnectionLostError, utc_now
from collectors.opcua import items as services
from collectors.opcua.context import Context
from collectors.opcua.notifications import OVERFLOW, to_frame
from collectors.opcua.publish import DecodeError, Published, decode, decode_republished
from collectors.opcua.pump import Pump
from collectors.opcua.sequence import before, between, distance
from collectors.opcua.state import Subscription

log = logging.getLogger(__name__)

Value = tuple[datetime, float | None, str | None]
MOST_MISSING = 1000
"""Messages asked for again at once; more than any server keeps."""
KEY = pl.concat_str("equipment", "signal", separator=".")


class Intake:
    """What one connection brings."""

    def __init__(self, context: Context, pump: Pump) -> None:
        self._context, self._pump = context, pump
        self.busy = False
        """Something is being written."""
        now = asyncio.get_running_loop().time()
        self.heard = dict.fromkeys(context.state.subscriptions, now)
        """When each subscription was last heard of, on the loop's clock."""
        self.before: dict[str, Value] = context.held.newest()
        """Of each signal the newest sample of before this connection."""
        self.first: dict[str, Value] = {}
        """The first sample on this connection of signals with an open hole."""
        self.published: datetime | None = None
        """The server's time of the last message."""
        self.settled = asyncio.Event()
        """All that the subscriptions had when we connected is on disk."""
        self._reached: dict[int, int | None] = {}
        """The last message of each subscription that has come; `Subscription.sequence` is the last on disk."""
        self._finished: list[tuple[int, int]] = []
        """Messages (subscription, sequence number) to be acknowledged once all that came is on disk."""
        self._unsettled = set(context.state.subscriptions)
        self._fresh = set(context.state.subscriptions)
        self._noted = False

    async def run(self) -> None:
        """Take messages until there are no more; raises what ended them."""
        while True:
            bodies = await self._pump.take()
            self.busy = True
            await self._take(bodies)
            self.busy = False

    async def _take(self, bodies: Sequence[bytes]) -> None:
        context = self._context
        news: list[Published] = []
        heard: list[tuple[Subscription, Published]] = []
        refusals: list[str] = []
        for body in bodies:
            try:
                message = decode(body)
            except DecodeError as error:  # the next message will show that it is missing
                log.error("%s: %s", context.link.url, error)
                continue
            subscription = context.state.subscriptions.get(message.subscription)
            if not message.subscription:
                refusals.append(ua.StatusCode(message.service_result).name)
            elif subscription is None:
                await services.delete_subscriptions(context.link.session, [message.subscription])
            else:
                news += await self._in_order(subscription, message)
                heard.append((subscription, message))
        await self._store(news)
        ended = ""
        for subscription, message in heard:
            subscription.sequence = self._reached[subscription.id]
            if message.status is not None:
                ended = ua.StatusCode(message.status).name
            elif not message.more:
                subscription.taken = self.published = message.published
        for number, sequence in self._finished:
            self._pump.acknowledge(number, sequence)
        self._finished.clear()
        context.store.taken({s.id: s for s, _ in heard}.values())
        for refusal in refusals:
            await self._refused(refusal)
        if ended:
            for subscription in {s.id: s for s, m in heard if m.status is not None}.values():
                context.give_up(subscription, f"the server ended the subscription ({ended})")
            await self._save()
            raise ConnectionLostError(f"{context.link.url}: the server ended the subscription ({ended})")
        self._unsettled -= {s.id for s, m in heard if not m.more}
        if heard and not self._unsettled and not heard[-1][1].more:
            self.settled.set()
            await context.put(context.held.beat(heard[-1][1].published, utc_now()))

    async def _refused(self, name: str) -> None:
        url = self._context.link.url
        if name == "BadTooManyPublishRequests":
            self._pump.go_on(fewer=True)
        elif name == "BadTimeout":
            self._pump.go_on(fewer=False)
        elif name == "BadNoSubscription":
            for subscription in list(self._context.state.subscriptions.values()):
                self._context.give_up(subscription, "the server had dropped the subscription")
            await self._context.save()
            raise ConnectionLostError(f"{url}: the server has dropped the subscription")
        else:
            raise ConnectionLostError(f"{url}: the server does not publish ({name})")

    async def _in_order(self, subscription: Subscription, message: Published) -> list[Published]:
        """What this message brings, after those before it that were missing."""
        self.heard[subscription.id] = asyncio.get_running_loop().time()
        if subscription.id in self._fresh:
            self._fresh.discard(subscription.id)
            self._acknowledge_again(subscription, message)
        found = await self._missing(subscription, message)
        if not message.items.is_empty():
            self._finished.append((subscription.id, message.sequence))
            reached = self._reached[subscription.id]
            if reached is not None and distance(reached, message.sequence) == 1:
                self._reached[subscription.id] = message.sequence
                found.append(message)
        elif message.status is not None:
            self._reached[subscription.id] = message.sequence
        return found

    def fresh(self, subscription: Subscription) -> bool:
        """Nothing has been heard of it on this connection."""
        return subscription.id in self._fresh

    def _acknowledge_again(self, subscription: Subscription, message: Published) -> None:
        """What was acknowledged on a connection that was lost, perhaps together with the acknowledgement."""
        if subscription.sequence is not None:
            for number in message.available:
                if distance(subscription.sequence, number) <= 0:
                    self._pump.acknowledge(subscription.id, number)

    async def _missing(self, subscription: Subscription, message: Published) -> list[Published]:
        """The messages between the last one and this, sent again. What cannot be had is noted as a hole."""
        reached = self._reached.setdefault(subscription.id, subscription.sequence)
        if reached is None:  # not known how far we were: all there is
            earlier = [n for n in message.available if distance(n, message.sequence) > 0]
            oldest = max(earlier, key=lambda n: distance(n, message.sequence), default=message.sequence)
            reached = before(oldest)
        missing = max(0, distance(reached, message.sequence) - 1)
        found = []
        for number in between(reached, message.sequence, MOST_MISSING):
            request = ua.RepublishRequest()
            request.Parameters.SubscriptionId = subscription.id
            request.Parameters.RetransmitSequenceNumber = number
            try:
                body = await self._context.link.session._send_request(request)
                found.append(decode_republished(body, subscription.id))
            except (ua.UaStatusCodeError, DecodeError) as error:
                log.warning("%s: message %d is lost (%s)", self._context.link.url, number, error)
            self._finished.append((subscription.id, number))
        if len(found) < missing:
            first = subscription.taken or message.published
            why = "a message was lost and cannot be had again"
            self._missed(self._context.keys(subscription), first, message.published, why)
        self._reached[subscription.id] = before(message.sequence) if missing else reached
        return found

    def _missed(self, signals: Collection[str], first: datetime, last: datetime, why: str) -> None:
        self._context.missed(set(signals), first, last, why)
        self._noted = True

    async def _store(self, messages: Sequence[Published]) -> None:
        """Put what messages bring on disk, and before it the holes they showed."""
        context = self._context
        parts = [m.items for m in messages if not m.items.is_empty()]
        batch = None
        if parts:
            items = parts[0] if len(parts) == 1 else pl.concat(parts)
            proof = messages[-1].published
            batch = to_frame(items, context.table, proof, utc_now())
            self._note_first(batch)
            overflowed = context.shown.overflowed(items, context.by_handle)
            if overflowed:
                self._note_overflows(overflowed, items, batch)
            context.shown.values(items, context.by_handle)
            batch = context.held.update(batch, proof, initial=bool(self._unsettled))
        if self._noted:
            await self._save()
        if batch is not None:
            await context.put(batch)

    async def _save(self) -> None:
        self._noted = False
        await self._context.save()

    def _note_first(self, batch: pl.DataFrame) -> None:
        waiting = self._context.open_holes() - self.first.keys()
        if waiting:
            rows = batch.with_columns(KEY.alias("key")).filter(pl.col("key").is_in(list(waiting)))
            rows = rows.unique("key", keep="first", maintain_order=True)
            for key, time, value, text in rows.select("key", "time", "value", "text").iter_rows():
                self.first[key] = (time, value, text)

    def _note_overflows(self, signals: set[str], items: pl.DataFrame, batch: pl.DataFrame) -> None:
        """The server dropped values between the one before and the one that says so."""
        context = self._context
        newest = context.held.newest()
        url = context.link.url
        log.warning(
            "%s: the server's queues overflowed; raise queue_size (%s)", url, ", ".join(sorted(signals))
        )
        known = items.filter(pl.Series(context.table.rows_of(items) >= 0))
        rows = batch.with_columns(KEY.alias("key"), known["status"].alias("status"))
        rows = rows.filter(pl.col("key").is_in(list(signals))).select("key", "time", "status")
        for key, time, status in rows.iter_rows():
            if status & OVERFLOW == OVERFLOW:
                since = newest.get(key)
                context.extend(key, since[0] if since else time, time, "the server's queue overflowed")
                self._noted = True
            newest[key] = (time, None, None)
