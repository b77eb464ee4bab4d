"""The OPC UA collector: one session, one subscription, acknowledged after the batch is on disk."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from asyncua import Client, ua

from collectors.connection import ConnectionLostError, keep_connected, up, utc_now
from collectors.held import Held
from collectors.opcua.address import resolve
from collectors.opcua.notifications import handles, to_frame, utc
from collectors.opcua.security import secure
from collectors.ports import Emit, SourceStatus
from collectors.samples import no_value
from plant.model import Signal, Source

log = logging.getLogger(__name__)
logging.getLogger("asyncua").setLevel(
    logging.CRITICAL
)  # it logs each lost connection with tracebacks; we say it

CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0
REQUEST_TIMEOUT = 4.0
ITEMS_PER_REQUEST = 1000
RETRY_ITEMS = 15.0
"""Seconds until signals the server refused are asked for again."""
OVERFLOW = 0x480
"""The bits of a status code that say values were lost before this one (OPC 10000-4, 7.39)."""
SUBSCRIPTION_LIFE = 60.0
"""Seconds the server keeps the subscription without hearing from us."""


class OpcUaCollector:
    """Collects one server.

    The publish callback returns after `emit` has, and only then the library acknowledges the message to the
    server: what was not on disk is sent again by a server that still has it.
    """

    def __init__(
        self,
        source: Source,
        signals: tuple[Signal, ...],
        options: Mapping[str, Any],
        folder: Path,
        retry_items: float = RETRY_ITEMS,
    ) -> None:
        self.status = SourceStatus()
        self._source, self._signals, self._options, self._folder = source, signals, options, folder
        self._table = handles(signals)
        self._held = Held(signals, timedelta(seconds=options["heartbeat"]))
        self._retry_items = retry_items

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled."""
        await keep_connected(self.status, lambda: _Session(self, emit).run(), self._held.lost, emit)


class _Session:
    """One connection, from connecting to its loss."""

    def __init__(self, collector: OpcUaCollector, emit: Emit) -> None:
        self._collector = collector
        self._emit, self._options, self._status = emit, collector._options, collector.status
        self._signals, self._table, self._held = collector._signals, collector._table, collector._held
        self._retry_items = collector._retry_items
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._awaited = set(range(len(self._signals)))
        self._missing = set(self._awaited)
        self._busy = False
        self._secured = ""
        self._heard = self._clock()
        interval = self._options["publishing_interval"]
        proof = self._options["heartbeat"] or 5.0
        self._keep_alive = min(max(math.floor(proof / interval / 2), 1), 10)

    async def run(self) -> None:
        url = self._options["url"]
        client = Client(url, timeout=REQUEST_TIMEOUT, watchdog_intervall=REQUEST_TIMEOUT / 2)
        client.name = client.description = "Lineside"
        client.session_timeout = int(SUBSCRIPTION_LIFE * 1000)
        try:
            collector = self._collector
            secured = await secure(client, collector._source.id, self._options, collector._folder)
            self._secured = secured.detail
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await client.connect()
                    namespaces = await client.get_namespace_array()
            except ConnectionLostError:
                raise
            except Exception as error:  # the library has no one error for a server that refuses
                raise ConnectionLostError(secured.explain(error)) from error
            try:
                await self._collect(client, namespaces)
            except (ua.UaError, OSError, TimeoutError) as error:
                raise ConnectionLostError(f"{url}: {error or type(error).__name__}") from error
        finally:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await client.disconnect()
            client.disconnect_socket()

    async def _collect(self, client: Client, namespaces: Sequence[str]) -> None:
        interval = self._options["publishing_interval"]
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval * 1000,
            RequestedLifetimeCount=max(math.ceil(SUBSCRIPTION_LIFE / interval), 3 * self._keep_alive),
            RequestedMaxKeepAliveCount=self._keep_alive,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        session = client.uaclient.session
        self._held.connected()
        created = await session.create_subscription(parameters, self._published)
        silence = (
            created.RevisedPublishingInterval / 1000 * created.RevisedMaxKeepAliveCount * 2 + REQUEST_TIMEOUT
        )
        await self._monitor(session, created.SubscriptionId, namespaces)
        up(self._status, f"connected to {self._options['url']}, {self._secured}")
        retry = self._clock() + self._retry_items
        while True:
            await asyncio.wait([self._ended], timeout=0.25)
            if self._ended.done():
                raise ConnectionLostError(self._ended.result())
            if client.uaclient.state.name != "CONNECTED":
                raise ConnectionLostError(f"{self._options['url']}: the connection is gone")
            if not self._busy and self._clock() - self._heard > silence:
                raise ConnectionLostError(f"{self._options['url']}: nothing published for {silence:.0f} s")
            if self._missing and self._clock() >= retry:
                namespaces = await client.get_namespace_array()
                await self._monitor(session, created.SubscriptionId, namespaces)
                retry = self._clock() + self._retry_items

    async def _monitor(self, session: Any, subscription: int, namespaces: Sequence[str]) -> None:
        """Ask for every signal still missing; one that is refused is said once and leaves the rest
        running."""
        requests: list[Any] = []
        refused: dict[int, str] = {}
        for handle in sorted(self._missing):
            try:
                node = ua.NodeId.from_string(resolve(self._signals[handle].address, namespaces))
            except (ValueError, ua.UaError) as error:
                refused[handle] = str(error)
            else:
                requests.append(self._request(handle, node))
        for start in range(0, len(requests), ITEMS_PER_REQUEST):
            chunk = requests[start : start + ITEMS_PER_REQUEST]
            parameters = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=chunk,
            )
            results = await session.create_monitored_items(parameters)
            for request, result in zip(chunk, results, strict=True):
                handle = request.RequestedParameters.ClientHandle
                if not result.StatusCode.is_good():
                    refused[handle] = (
                        f"the server says {result.StatusCode.name} ({request.ItemToMonitor.NodeId})"
                    )
                    continue
                self._missing.discard(handle)
                self._status.bad.pop(_key(self._signals[handle]), None)
                if result.RevisedQueueSize < self._options["queue_size"]:
                    log.warning(
                        "%s: the server keeps only %d values of it between two publishings",
                        _key(self._signals[handle]),
                        result.RevisedQueueSize,
                    )
        new = [h for h in refused if self._status.bad.get(_key(self._signals[h])) != refused[h]]
        for handle in new:
            self._status.bad[_key(self._signals[handle])] = refused[handle]
            log.warning("%s: %s", _key(self._signals[handle]), refused[handle])
        await self._put(no_value([self._signals[h] for h in new], utc_now()))

    def _request(self, handle: int, node: Any) -> Any:
        triggers = ua.DataChangeTrigger
        trigger = (
            triggers.StatusValueTimestamp if self._options["trigger"] == "timestamp" else triggers.StatusValue
        )
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=handle,
                SamplingInterval=self._options["sampling"] * 1000,
                Filter=ua.DataChangeFilter(Trigger=trigger, DeadbandType=ua.DeadbandType.None_),
                QueueSize=self._options["queue_size"],
                DiscardOldest=True,
            ),
        )

    async def _published(self, result: Any) -> None:
        self._heard, self._busy = self._clock(), True
        try:
            await self._take(result)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a panic inside polars is no Exception
            log.exception("a publish message could not be taken")
            self._end(f"a publish message could not be taken: {error}")
            await asyncio.Event().wait()  # not returning is not acknowledging; the session is being closed
        finally:
            self._heard, self._busy = self._clock(), False

    async def _take(self, result: Any) -> None:
        message = result.NotificationMessage
        published = utc(message.PublishTime)
        items: list[Any] = []
        for notification in message.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                items.extend(notification.MonitoredItems)
            elif isinstance(notification, ua.StatusChangeNotification):
                self._end(
                    f"{self._options['url']}: connection or subscription lost ({notification.Status.name})"
                )
        if items:
            reported = {item.ClientHandle for item in items}
            initial = not self._awaited.isdisjoint(reported)
            self._awaited -= reported
            self._count_overflows(items)
            batch = to_frame(items, self._table, published, utc_now())
            await self._put(self._held.update(batch, published, initial))
        if not result.MoreNotifications:
            await self._put(self._held.beat(published, utc_now()))

    def _count_overflows(self, items: Sequence[Any]) -> None:
        lost = [
            _key(self._signals[item.ClientHandle])
            for item in items
            if item.Value.StatusCode and (item.Value.StatusCode.value & OVERFLOW) == OVERFLOW
        ]
        for key in lost:
            self._status.overflows[key] = self._status.overflows.get(key, 0) + 1
        if lost:
            log.warning("%s: the server's queues overflowed; raise queue_size", self._options["url"])

    async def _put(self, batch: pl.DataFrame) -> None:
        if not batch.is_empty():
            await self._emit(batch)

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()


def _key(signal: Signal) -> str:
    return f"{signal.equipment}.{signal.id}"
