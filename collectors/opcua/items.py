"""Subscriptions and monitored items on the server: making, looking them up, deleting."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary

from collectors.opcua.state import Item, Subscription
from collectors.opcua.wanted import Wanted, chunks

log = logging.getLogger(__name__)

ITEMS_PER_CALL = 1000
"""Where the server gives no limit."""
NOTIFICATIONS = 10_000
"""In one message at most. 0 would be "as many as you like", which some servers take for none."""
DURABLE_FROM = 3600.0
"""Seconds of lifetime from which the server is asked to keep the subscription over its own restarts, too."""
FULL = ("BadTooManyMonitoredItems", "BadMonitoredItemLimitExceeded")
NO_FILTER = ("BadMonitoredItemFilterUnsupported", "BadFilterNotAllowed", "BadDeadbandFilterInvalid")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes at once; 0: it does not say."""

    items_per_call: int = 0
    items_per_subscription: int = 0
    reads: int = 0
    history_reads: int = 0


async def read_limits(session: Any) -> Limits:
    """The server's OperationLimits and capabilities, OPC 10000-5, 6.3.2 and 6.3.11."""
    ids = ua.ObjectIds
    asked = (
        ids.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
        ids.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription,
        ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
    )
    found = await session.read_attributes([ua.NodeId(i) for i in asked], ua.AttributeIds.Value)
    given = [f.Value.Value if f.Value is not None and f.StatusCode.is_good() else 0 for f in found]
    return Limits(*(int(n) if isinstance(n, int) else 0 for n in given))


def keep_alive_count(interval: float, proof: float) -> int:
    """Publishing intervals without news after which the server shows that it is alive: every half of `proof`."""
    return min(max(math.floor(proof / interval / 2), 1), 10)


async def create_subscription(session: Any, interval: float, lifetime: float, proof: float) -> Subscription:
    """A new subscription (seconds), with a lifetime the server may have shortened."""
    alive = keep_alive_count(interval, proof)
    parameters = ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=interval * 1000,
        RequestedLifetimeCount=max(math.ceil(lifetime / interval), 3 * alive),
        RequestedMaxKeepAliveCount=alive,
        MaxNotificationsPerPublish=NOTIFICATIONS,
        PublishingEnabled=True,
    )
    request = ua.CreateSubscriptionRequest(Parameters=parameters)
    # Not the library's own call: that one would start its publishing loop.
    body = await session._send_request(request)
    response = struct_from_binary(ua.CreateSubscriptionResponse, body)
    response.ResponseHeader.ServiceResult.check()
    made = response.Parameters
    step = made.RevisedPublishingInterval / 1000
    subscription = Subscription(
        made.SubscriptionId,
        interval,
        lifetime,
        step,
        step * made.RevisedLifetimeCount,
        step * made.RevisedMaxKeepAliveCount,
        sequence=0,
    )
    if lifetime >= DURABLE_FROM or subscription.lifetime < 0.9 * lifetime:
        hours = await _make_durable(session, made.SubscriptionId, math.ceil(lifetime / 3600))
        subscription.lifetime = max(subscription.lifetime, hours * 3600)
        subscription.durable = hours > 0
    return subscription


async def modify_lifetime(session: Any, subscription: Subscription, lifetime: float) -> None:
    """Ask for another lifetime (seconds) of a subscription there is."""
    alive = max(1, round(subscription.keep_alive / subscription.step))
    parameters = ua.ModifySubscriptionParameters(
        SubscriptionId=subscription.id,
        RequestedPublishingInterval=subscription.interval * 1000,
        RequestedLifetimeCount=max(math.ceil(lifetime / subscription.interval), 3 * alive),
        RequestedMaxKeepAliveCount=alive,
        MaxNotificationsPerPublish=NOTIFICATIONS,
    )
    revised = await session.modify_subscription(parameters)
    subscription.asked_lifetime = lifetime
    subscription.step = revised.RevisedPublishingInterval / 1000
    subscription.lifetime = subscription.step * revised.RevisedLifetimeCount
    subscription.keep_alive = subscription.step * revised.RevisedMaxKeepAliveCount


async def _make_durable(session: Any, subscription: int, hours: int) -> int:
    """Hours the server keeps it, 0: it has no such subscriptions. OPC 10000-5, 9.3."""
    result = await _call(
        session,
        ua.ObjectIds.Server_SetSubscriptionDurable,
        ua.Variant(subscription, ua.VariantType.UInt32),
        ua.Variant(hours, ua.VariantType.UInt32),
    )
    return int(result[0]) if result else 0


async def monitored(session: Any, subscription: int) -> dict[int, int] | None:
    """Handle to the server's number of each item of a subscription; None: this server cannot say.

    Raises ua.UaStatusCodeError when there is no such subscription. OPC 10000-5, 9.1.
    """
    result = await _call(
        session,
        ua.ObjectIds.Server_GetMonitoredItems,
        ua.Variant(subscription, ua.VariantType.UInt32),
        raises=("BadSubscriptionIdInvalid",),
    )
    if result is None or len(result) < 2:
        return None
    return {int(handle): int(number) for number, handle in zip(result[0] or (), result[1] or (), strict=True)}


async def _call(session: Any, method: int, *arguments: Any, raises: Sequence[str] = ()) -> list[Any] | None:
    request = ua.CallMethodRequest(
        ObjectId=ua.NodeId(ua.ObjectIds.Server), MethodId=ua.NodeId(method), InputArguments=list(arguments)
    )
    try:
        (result,) = await session.call([request])
        result.StatusCode.check()
    except ua.UaStatusCodeError as error:
        if ua.StatusCode(error.code).name in raises:
            raise
        return None
    return [variant.Value for variant in result.OutputArguments]


@dataclass(frozen=True, slots=True)
class Asked:
    """A monitored item to be made."""

    handle: int
    node: Any
    wanted: Wanted


async def create_items(
    session: Any, subscription: Subscription, asked: Sequence[Asked], limits: Limits
) -> dict[int, str]:
    """Make items and add those made to `subscription.items`. Gives handle to the name of the server's status for
    those it refused; items it has no room for are in `FULL`.

    A server that knows no deadband or no trigger of ours for an item makes it without; `Item.note` says so.
    """
    refused = await _create(session, subscription, asked, limits, filtered=True)
    plain = [a for a in asked if refused.get(a.handle) in NO_FILTER]
    if plain:
        for a in plain:
            del refused[a.handle]
        refused |= await _create(session, subscription, plain, limits, filtered=False)
    return refused


async def _create(
    session: Any, subscription: Subscription, asked: Sequence[Asked], limits: Limits, filtered: bool
) -> dict[int, str]:
    refused: dict[int, str] = {}
    for chunk in chunks(asked, limits.items_per_call or ITEMS_PER_CALL):
        parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=subscription.id,
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=[_request(a, filtered) for a in chunk],
        )
        results = await session.create_monitored_items(parameters)
        for a, result in zip(chunk, results, strict=True):
            if result.StatusCode.is_good():
                note = _note(a.wanted, subscription, result, filtered)
                subscription.items[a.handle] = Item(a.handle, result.MonitoredItemId, a.wanted, note)
            else:
                refused[a.handle] = result.StatusCode.name
    return refused


def _request(asked: Asked, filtered: bool) -> Any:
    wanted = asked.wanted
    triggers = ua.DataChangeTrigger
    # With a deadband a new time alone is no change (OPC 10000-4, 7.22.2), but not every server knows that.
    also_time = wanted.trigger == "timestamp" and wanted.deadband is None
    chosen = ua.DataChangeFilter(
        Trigger=triggers.StatusValueTimestamp if also_time else triggers.StatusValue,
        DeadbandType=ua.DeadbandType.None_ if wanted.deadband is None else ua.DeadbandType.Absolute,
        DeadbandValue=wanted.deadband or 0.0,
    )
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(NodeId=asked.node, AttributeId=ua.AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=asked.handle,
            SamplingInterval=wanted.sampling * 1000,
            Filter=chosen if filtered else ua.ExtensionObject(),
            QueueSize=wanted.queue_size,
            DiscardOldest=True,
        ),
    )


def _note(wanted: Wanted, subscription: Subscription, result: Any, filtered: bool) -> str:
    """What the server does differently from what was asked; empty when nothing."""
    notes = []
    if not filtered:
        lacks = 'trigger "timestamp"' if wanted.deadband is None else "deadband"
        notes.append(f"the server knows no {lacks} for it and sends each change of the value")
    sampling = result.RevisedSamplingInterval / 1000
    if sampling > max(wanted.sampling, 0.0 if wanted.sampling else wanted.publishing_interval) * 1.001:
        asked = f"{_ms(wanted.sampling)} asked" if wanted.sampling else "as fast as it can"
        notes.append(f"the server looks at it every {_ms(sampling)} ({asked})")
    if subscription.step > wanted.publishing_interval * 1.001:
        notes.append(
            f"the server sends every {_ms(subscription.step)} ({_ms(wanted.publishing_interval)} asked)"
        )
    if result.RevisedQueueSize < wanted.queue_size:
        notes.append(f"the server keeps {result.RevisedQueueSize} values of it ({wanted.queue_size} asked)")
    if subscription.lifetime < 0.9 * subscription.asked_lifetime:
        notes.append(
            f"the server keeps values for {subscription.lifetime:g} s without us "
            f"({subscription.asked_lifetime:g} s asked)"
        )
    return "; ".join(notes)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"


async def delete_items(session: Any, subscription: Subscription, numbers: Iterable[int]) -> None:
    """Take items off a subscription, by the server's numbers; one that is gone already is fine."""
    for chunk in chunks(numbers, ITEMS_PER_CALL):
        await session.delete_monitored_items(ua.DeleteMonitoredItemsParameters(subscription.id, list(chunk)))


async def delete_subscriptions(session: Any, numbers: Sequence[int]) -> None:
    """Delete subscriptions; those that are gone already are fine."""
    if numbers:
        try:
            await session.delete_subscriptions(list(numbers))
        except ua.UaStatusCodeError as error:
            log.debug("subscriptions %s: %s", numbers, error)


async def transfer(session: Any, subscriptions: Sequence[int]) -> list[int]:
    """Take subscriptions over into this session; those the server does not let us have. What they have not told us yet
    they tell with their messages (`available`)."""
    if not subscriptions:
        return []
    parameters = ua.TransferSubscriptionsParameters(
        SubscriptionIds=list(subscriptions), SendInitialValues=False
    )
    try:
        results = await session.transfer_subscriptions(parameters)
    except ua.UaStatusCodeError as error:
        log.info("no subscription can be taken over (%s)", error)
        return list(subscriptions)
    refused = []
    for number, result in zip(subscriptions, results, strict=True):
        if not result.StatusCode.is_good():
            log.info("subscription %d cannot be taken over (%s)", number, result.StatusCode.name)
            refused.append(number)
    return refused
