"""Watching variables for a while."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from asyncua import Client, ua

from collectors.held import SAME_CLOCK
from collectors.onboarding.found import Progress, Series, Value
from collectors.onboarding.opcua.values import as_value, batches, given

MOST_VALUES = 5_000
"""Values kept of one variable."""
_BATCH = 200
_SAMPLING, _PUBLISHING, _QUEUE = 100.0, 500.0, 50
"""Milliseconds, milliseconds and values, of the subscription that watches."""
_POLL = 1.0
"""Seconds between two readings of what cannot be subscribed."""


class Watch:
    """Variables watched by one subscription; those it refuses are read once a second."""

    def __init__(self, client: Client, nodes: Mapping[str, ua.NodeId]) -> None:
        self._session: Any = client.uaclient.session
        self._addresses, self._nodes = list(nodes), list(nodes.values())
        self.series: dict[str, list[tuple[float, Value]]] = {address: [] for address in nodes}
        """What each has said by now."""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._apart: list[float] = []

    @property
    def same_clock(self) -> bool:
        """Whether changes were stamped by the clock that says when they were published (`collectors.held`)."""
        return bool(self._apart) and max(self._apart) <= SAME_CLOCK.total_seconds()

    async def run(self, seconds: float, progress: Progress) -> Mapping[str, Series]:
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=_PUBLISHING,
            RequestedLifetimeCount=120,
            RequestedMaxKeepAliveCount=10,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        created = await self._session.create_subscription(parameters, self._published)
        refused = await self._monitor(created.SubscriptionId)
        self._began = self._loop.time()
        polled = self._began
        while (passed := self._loop.time() - self._began) < seconds:
            done = 0.4 + 0.6 * passed / seconds
            said = sum(len(s) > 1 for s in self.series.values())
            progress(f"Watching: {seconds - passed:.0f} s left, {said} of {len(self.series)} moved", done)
            await asyncio.sleep(min(0.5, max(seconds - passed, 0.0)))
            if refused and self._loop.time() - polled >= _POLL:
                polled = self._loop.time()
                await self._poll(refused)
        with contextlib.suppress(ua.UaError, OSError, TimeoutError):
            await self._session.delete_subscriptions([created.SubscriptionId])
        progress("Watched", 1.0)
        return {address: sorted(series, key=lambda s: s[0]) for address, series in self.series.items()}

    async def _monitor(self, subscription: int) -> list[int]:
        refused: list[int] = []
        for numbers in batches(range(len(self._nodes)), _BATCH):
            requests = [
                ua.MonitoredItemCreateRequest(
                    ItemToMonitor=ua.ReadValueId(NodeId=self._nodes[n], AttributeId=ua.AttributeIds.Value),
                    MonitoringMode=ua.MonitoringMode.Reporting,
                    RequestedParameters=ua.MonitoringParameters(
                        ClientHandle=n, SamplingInterval=_SAMPLING, QueueSize=_QUEUE, DiscardOldest=True
                    ),
                )
                for n in numbers
            ]
            results = await self._session.create_monitored_items(
                ua.CreateMonitoredItemsParameters(
                    SubscriptionId=subscription,
                    TimestampsToReturn=ua.TimestampsToReturn.Both,
                    ItemsToCreate=requests,
                )
            )
            refused += [n for n, r in zip(numbers, results, strict=True) if not r.StatusCode.is_good()]
        return refused

    async def _published(self, result: Any) -> None:
        arrived = self._loop.time() - self._began
        published = result.NotificationMessage.PublishTime
        for notification in result.NotificationMessage.NotificationData or ():
            for item in getattr(notification, "MonitoredItems", None) or ():
                series = self.series[self._addresses[item.ClientHandle]]
                at = 0.0  # the first one held already
                if series:
                    at = self._time(arrived, published, item.Value.SourceTimestamp)
                self._add(series, at, item.Value)

    def _time(self, arrived: float, published: datetime, source: datetime | None) -> float:
        """When a value came about: by its own time where that is on the clock of the message it came in, else when it
        arrived."""
        if source is None:
            return arrived
        age = (published - source).total_seconds()
        self._apart.append(abs(age))
        return max(arrived - age, 0.0) if 0 <= age <= SAME_CLOCK.total_seconds() else arrived

    async def _poll(self, numbers: Sequence[int]) -> None:
        for batch in batches(numbers, _BATCH):
            values = await self._session.read_attributes(
                [self._nodes[n] for n in batch], ua.AttributeIds.Value
            )
            for number, value in zip(batch, values, strict=True):
                self._add(self.series[self._addresses[number]], self._loop.time() - self._began, value)

    def _add(self, series: list[tuple[float, Value]], at: float, data: Any) -> None:
        if len(series) < MOST_VALUES:
            good = data.StatusCode is None or data.StatusCode.is_good()
            series.append((at, as_value(given(data)) if good else None))
