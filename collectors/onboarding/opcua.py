"""Looking at an OPC UA server: browse everything below Objects, then watch what can be a signal.

Browsing is breadth first in batches as large as the server allows, bounded in nodes, depth and time; a node
that is reached again is not entered twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from asyncua import Client, ua

from collectors import opcua
from collectors.connection import ConnectionLostError
from collectors.held import SAME_CLOCK
from collectors.onboarding.found import (
    Access,
    Kind,
    Offer,
    OnboardingError,
    Progress,
    Series,
    Step,
    Value,
    Variable,
)
from collectors.opcua.address import problem
from collectors.opcua.security import offers_of, secure
from collectors.options import read_options
from plant.model import Source

log = logging.getLogger(__name__)
logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it meets, we say ourselves

MOST_NODES = 20_000
DEEPEST = 16
BROWSE_FOR = 120.0
"""Seconds browsing may take; what was found by then is used."""
MOST_WATCHED = 2_000
MOST_VALUES = 5_000
"""Values kept of one variable."""
_BATCH = 200
"""Nodes in one request, when the server does not say how many it takes."""
_REFERENCES = 1_000
"""References of one node in one answer; the rest follows by continuation point."""
_SAMPLING, _PUBLISHING, _QUEUE = 100.0, 500.0, 50
"""Milliseconds, milliseconds and values, of the subscription that watches."""
_POLL = 1.0
"""Seconds between two readings of what cannot be subscribed."""
_CONNECT, _REQUEST, _CLOSE = 10.0, 15.0, 2.0
SESSION = 60
"""Seconds a server keeps a session it hears nothing from."""

_I = ua.ObjectIds
_LEFT_OUT = frozenset(
    ua.NodeId(number)
    for number in (_I.Server, 23470, 31915)  # the server itself, aliases, locations
)
_UA_URI = "http://opcfoundation.org/UA/"
_METADATA = ("EngineeringUnits", "EnumStrings", "EnumValues")
_INTEGERS = {
    "SByte": 8, "Byte": 8, "Int16": 16, "UInt16": 16, "Int32": 32, "UInt32": 32, "Int64": 64, "UInt64": 64,
}  # fmt: skip
_KINDS = {
    "Boolean": Kind.BOOLEAN, **dict.fromkeys(_INTEGERS, Kind.INTEGER), "Float": Kind.FLOAT, "Double": Kind.FLOAT,
    "String": Kind.TEXT, "LocalizedText": Kind.TEXT, "Enumeration": Kind.INTEGER,
}  # fmt: skip


@asynccontextmanager
async def connected(url: str, access: Access) -> AsyncIterator[Client]:
    """A session at a server, secured as its collector's would be.

    Raises OnboardingError when there is none, or it does not let us in.
    """
    source = Source(id="browse", protocol="opcua", options={"url": url, **access.options})
    if problems := opcua.check(source, ()):
        raise OnboardingError("\n".join(problems))
    options, _ = read_options(source, opcua.READERS, opcua.DEFAULTS)
    client = Client(url, timeout=_REQUEST, watchdog_intervall=_REQUEST)
    client.name = client.description = "Lineside"
    client.session_timeout = SESSION * 1000
    try:
        try:
            secured = await secure(client, "", options, access.folder)
        except ConnectionLostError as error:
            raise OnboardingError(str(error)) from error
        try:
            async with asyncio.timeout(_CONNECT):
                await client.connect()
        except Exception as error:  # the library has no one error for a server that refuses
            raise OnboardingError(secured.explain(error)) from error
        yield client
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSE):
                await client.disconnect()
        client.disconnect_socket()


async def look(
    url: str, watch: float, access: Access, progress: Progress
) -> tuple[Offer, Mapping[str, Series]]:
    """What a server offers, and what its variables said in `watch` seconds (by address).

    Raises OnboardingError.
    """
    async with connected(url, access) as client:
        try:
            progress("Connected; looking at what there is", 0.02)
            offer, nodes = await _Browse(client, url, progress).run()
            offer = replace(offer, security=await _security(url))
            watched: Mapping[str, Series] = {}
            if watch > 0:
                able = [v for v in offer.variables if v.kind is not Kind.OTHER]
                if len(able) > MOST_WATCHED:
                    note = f"Only the first {MOST_WATCHED} of {len(able)} variables were watched."
                    offer = replace(offer, notes=(*offer.notes, note))
                chosen = {v.address: nodes[v.address] for v in able[:MOST_WATCHED]}
                watching = _Watch(client, chosen)
                watched = await watching.run(watch, progress)
                offer = replace(offer, repeats=watching.same_clock)
        except (OSError, TimeoutError, ua.UaError) as error:
            raise OnboardingError(f"{url}: {error or type(error).__name__}") from error
    return offer, watched


async def _security(url: str) -> tuple[str, ...]:
    """The ways to connect a server offers, in words; empty when it does not say."""
    try:
        return tuple(sorted({offer.text for offer in await offers_of(url)}))
    except ConnectionLostError:
        return ()


@dataclass(slots=True)
class _Node:
    """A variable on its way to becoming a `Variable`."""

    id: ua.NodeId
    path: tuple["_Hop", ...]
    metadata: dict[str, ua.NodeId] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Hop:
    """One reference that was followed."""

    name: Any
    type: Any


class _Browse:
    """One walk over a server."""

    def __init__(self, client: Client, url: str, progress: Progress) -> None:
        self._client, self._url, self._progress = client, url, progress
        self._session: Any = client.uaclient.session
        self._namespaces: Sequence[str] = ()
        self._browse_batch = self._read_batch = _BATCH
        self._notes: list[str] = []
        self._types: dict[ua.NodeId, Step] = {}

    async def run(self) -> tuple[Offer, dict[str, ua.NodeId]]:
        self._namespaces = await self._client.get_namespace_array()
        await self._limits()
        nodes = await self._walk()
        self._progress(f"{len(nodes)} variables found; reading them", 0.3)
        await self._attributes(nodes)
        await self._type_names(nodes)
        data_types = await self._data_types(nodes)
        metadata = await self._metadata(nodes, data_types)
        found: dict[str, Variable] = {}
        ids: dict[str, ua.NodeId] = {}
        for node in nodes:
            variable = self._variable(node, data_types, metadata)
            if variable is not None and variable.address not in found:
                found[variable.address] = variable
                ids[variable.address] = node.id
        offer = Offer(
            url=self._url,
            protocol="opcua",
            options={"url": self._url},
            product=await self._product(),
            name=await self._application(),
            variables=tuple(found.values()),
            notes=tuple(self._notes),
        )
        self._progress(f"{len(found)} variables", 0.4)
        return offer, ids

    async def _limits(self) -> None:
        """The server's own limits on one request."""
        wanted = (_I.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
                  _I.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead)  # fmt: skip
        with contextlib.suppress(ua.UaError):
            values = await self._client.uaclient.read_attributes(
                [ua.NodeId(i) for i in wanted], ua.AttributeIds.Value
            )
            browse, read = (v.Value.Value if v.Value else None for v in values)
            self._browse_batch = min(browse or _BATCH, _BATCH)
            self._read_batch = min(read or _BATCH, _BATCH)

    async def _walk(self) -> list[_Node]:
        """Variables below Objects, in the order of a walk in breadth."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BROWSE_FOR
        seen = {ua.NodeId(_I.ObjectsFolder), *_LEFT_OUT}
        found: dict[ua.NodeId, _Node] = {}
        level: list[tuple[ua.NodeId, tuple[_Hop, ...]]] = [(ua.NodeId(_I.ObjectsFolder), ())]
        depth = 0
        while level and depth < DEEPEST:
            below: list[tuple[ua.NodeId, tuple[_Hop, ...]]] = []
            for batch in _batches(level, self._browse_batch):
                if loop.time() > until:
                    self._notes.append(f"Browsing was ended after {BROWSE_FOR:.0f} s; there may be more.")
                    return list(found.values())
                answers = await self._references([node for node, _ in batch])
                for (parent, path), references in zip(batch, answers, strict=True):
                    for reference in references:
                        self._take(reference, parent, path, seen, found, below)
                    if len(seen) > MOST_NODES:
                        self._notes.append(f"Browsing was ended at {MOST_NODES} nodes; there may be more.")
                        return list(found.values())
                self._progress(
                    f"{len(seen)} nodes, {len(found)} variables", min(0.3, 0.02 + len(seen) / 20_000)
                )
            level, depth = below, depth + 1
        if level:
            self._notes.append(f"What is more than {DEEPEST} levels deep was left out.")
        return list(found.values())

    def _take(
        self,
        reference: Any,
        parent: ua.NodeId,
        path: tuple[_Hop, ...],
        seen: set[ua.NodeId],
        found: dict[ua.NodeId, _Node],
        below: list[tuple[ua.NodeId, tuple[_Hop, ...]]],
    ) -> None:
        node = _plain(reference.NodeId)
        if node is None:  # on another server
            return
        name = reference.BrowseName
        if parent in found and name.NamespaceIndex == 0 and name.Name in _METADATA:
            found[parent].metadata[name.Name] = node
            return
        if node in seen:
            return
        seen.add(node)
        here = (*path, _Hop(name, _plain(reference.TypeDefinition)))
        if reference.NodeClass == ua.NodeClass.Variable:
            found[node] = _Node(node, here)
            below.append((node, here))
        elif reference.NodeClass == ua.NodeClass.Object:
            below.append((node, here))

    async def _references(self, nodes: Sequence[ua.NodeId]) -> list[list[Any]]:
        """The hierarchical references of each node, forward."""
        asked = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=ua.BrowseDirection.Forward,
                ReferenceTypeId=ua.NodeId(_I.HierarchicalReferences),
                IncludeSubtypes=True,
                NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable,
                ResultMask=ua.BrowseResultMask.All,
            )
            for node in nodes
        ]
        parameters = ua.BrowseParameters(
            View=ua.ViewDescription(), RequestedMaxReferencesPerNode=_REFERENCES, NodesToBrowse=asked
        )
        results = await self._session.browse(parameters)
        found = [list(result.References or ()) for result in results]
        waiting = {i: r.ContinuationPoint for i, r in enumerate(results) if r.ContinuationPoint}
        while waiting:
            keys = list(waiting)
            more = await self._session.browse_next(
                ua.BrowseNextParameters(
                    ReleaseContinuationPoints=False, ContinuationPoints=[waiting[k] for k in keys]
                )
            )
            waiting = {}
            for key, result in zip(keys, more, strict=True):
                found[key] += result.References or ()
                if result.ContinuationPoint and len(found[key]) < MOST_NODES:
                    waiting[key] = result.ContinuationPoint
        return found

    async def _attributes(self, nodes: Sequence[_Node]) -> None:
        names = ("DataType", "ValueRank", "UserAccessLevel", "Description", "Value")
        for batch in _batches(nodes, max(self._read_batch // len(names), 1)):
            asked = [(node.id, ua.AttributeIds[name]) for node in batch for name in names]
            values = iter(await self._read(asked))
            for node in batch:
                node.attributes = {name: next(values) for name in names}

    async def _read(self, asked: Sequence[tuple[ua.NodeId, Any]]) -> list[Any]:
        """DataValues; where one cannot be decoded the others are still read, and it is None."""
        parameters = ua.ReadParameters(
            NodesToRead=[ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in asked],
            TimestampsToReturn=ua.TimestampsToReturn.Neither,
        )
        try:
            return list(await self._session.read(parameters))
        except (OSError, TimeoutError):
            raise
        except Exception as error:  # a value this client cannot decode fails the whole answer
            if len(asked) == 1:
                log.debug("%s cannot be read: %s", asked[0][0], error)
                return [None]
            half = len(asked) // 2
            return [*await self._read(asked[:half]), *await self._read(asked[half:])]

    async def _type_names(self, nodes: Sequence[_Node]) -> None:
        wanted = list({hop.type for node in nodes for hop in node.path if hop.type is not None})
        for batch in _batches(wanted, self._read_batch):
            values = await self._read([(type_id, ua.AttributeIds.BrowseName) for type_id in batch])
            for type_id, value in zip(batch, values, strict=True):
                if (said := _given(value)) is not None:
                    self._types[type_id] = Step(name=said.Name, uri=self._uri(said.NamespaceIndex))

    async def _data_types(self, nodes: Sequence[_Node]) -> dict[ua.NodeId, tuple[str, str, ua.NodeId]]:
        """Data type to its own name, that of the built-in type below it, and itself."""
        wanted = {t for node in nodes if isinstance(t := _given(node.attributes["DataType"]), ua.NodeId)}
        above: dict[ua.NodeId, ua.NodeId] = {}
        open_ends = {t for t in wanted if not _built_in(t)}
        while open_ends:
            batch = list(open_ends)[: self._browse_batch]
            asked = [
                ua.BrowseDescription(
                    NodeId=node,
                    BrowseDirection=ua.BrowseDirection.Inverse,
                    ReferenceTypeId=ua.NodeId(_I.HasSubtype),
                    IncludeSubtypes=True,
                    NodeClassMask=ua.NodeClass.DataType,
                    ResultMask=ua.BrowseResultMask.All,
                )
                for node in batch
            ]
            parameters = ua.BrowseParameters(
                View=ua.ViewDescription(), RequestedMaxReferencesPerNode=1, NodesToBrowse=asked
            )
            results = await self._session.browse(parameters)
            for node, result in zip(batch, results, strict=True):
                parent = _plain(result.References[0].NodeId) if result.References else None
                above[node] = parent if parent is not None else ua.NodeId(0)
            open_ends = {t for t in (open_ends | set(above.values())) if t not in above and not _built_in(t)}
        names: dict[ua.NodeId, str] = {}
        custom = [t for t in wanted if not _built_in(t)]
        for group in _batches(custom, self._read_batch):
            values = await self._read([(t, ua.AttributeIds.BrowseName) for t in group])
            names |= {t: said.Name for t, v in zip(group, values, strict=True) if (said := _given(v))}
        found = {}
        for data_type in wanted:
            base = data_type
            for _ in range(DEEPEST):
                if _built_in(base):
                    break
                base = above[base]
            own = names.get(data_type) or _built_in(data_type) or "unknown"
            found[data_type] = (own, _built_in(base) or "", data_type)
        return found

    async def _metadata(
        self, nodes: Sequence[_Node], data_types: Mapping[ua.NodeId, tuple[str, str, ua.NodeId]]
    ) -> dict[ua.NodeId, Any]:
        """The values of the properties that explain variables, and of enumerations, by node."""
        enumerations = [t for t, (_, base, _) in data_types.items() if base in ("Enumeration", "Int32")]
        properties = [p for node in nodes for p in node.metadata.values()]
        of_type: dict[ua.NodeId, ua.NodeId] = {}
        for batch in _batches(
            [t for t in enumerations if t.NamespaceIndex or not _built_in(t)], self._browse_batch
        ):
            for data_type, references in zip(batch, await self._references(batch), strict=True):
                for reference in references:
                    node = _plain(reference.NodeId)
                    if reference.BrowseName.Name in _METADATA and node is not None:
                        of_type[data_type] = node
        wanted = [*properties, *of_type.values()]
        values: dict[ua.NodeId, Any] = {}
        for group in _batches(wanted, self._read_batch):
            read = await self._read([(node, ua.AttributeIds.Value) for node in group])
            values |= {node: _given(value) for node, value in zip(group, read, strict=True)}
        return values | {t: values[node] for t, node in of_type.items()}

    def _variable(
        self,
        node: _Node,
        data_types: Mapping[ua.NodeId, tuple[str, str, ua.NodeId]],
        metadata: Mapping[ua.NodeId, Any],
    ) -> Variable | None:
        said = node.attributes
        access = _given(said["UserAccessLevel"])
        if isinstance(access, int) and not access & 1:
            return None
        data_type, base, type_id = data_types.get(_given(said["DataType"]), ("unknown", "", None))
        rank = _given(said["ValueRank"])
        value = said["Value"]
        given = _given(value)
        if not base and value is not None and value.Value is not None:
            base = value.Value.VariantType.name  # BaseDataType: what it holds now
        kind = _KINDS.get(base, Kind.OTHER)
        names = _names(metadata.get(type_id) if type_id is not None else None)
        for name in ("EnumStrings", "EnumValues"):
            names = _names(metadata.get(node.metadata.get(name))) or names
        if isinstance(given, list) or (isinstance(rank, int) and rank >= 0):
            kind, data_type = Kind.OTHER, f"an array of {data_type}"
        elif kind is Kind.OTHER:
            data_type = f"a {data_type}" if data_type != "unknown" else "of an unknown type"
        if problem(self._address(node.id)) is not None:
            kind, data_type = Kind.OTHER, "at a node id that no plant file can hold"
        unit = metadata.get(node.metadata.get("EngineeringUnits"))
        description = _given(said["Description"])
        return Variable(
            address=self._address(node.id),
            path=tuple(self._step(hop) for hop in node.path),
            data_type=data_type,
            kind=kind,
            bits=_INTEGERS.get(base, 32 if base == "Enumeration" else 0),
            unit=str(getattr(getattr(unit, "DisplayName", None), "Text", None) or ""),
            description=str(getattr(description, "Text", "") or ""),
            writable=isinstance(access, int) and bool(access & 2),
            names=names,
            value=_value(given),
            status=value.StatusCode.name if value is not None and value.StatusCode is not None else "Good",
        )

    def _step(self, hop: _Hop) -> Step:
        named = self._types.get(hop.type)
        return Step(
            name=hop.name.Name or "",
            uri=self._uri(hop.name.NamespaceIndex),
            type_name=named.name if named else "",
            type_uri=named.uri if named else "",
        )

    def _address(self, node: ua.NodeId) -> str:
        """As the plant file has it: with the namespace's URI, whose index can move."""
        plain = ua.NodeId(node.Identifier, 0, node.NodeIdType).to_string()
        return plain if node.NamespaceIndex == 0 else f"nsu={self._uri(node.NamespaceIndex)};{plain}"

    def _uri(self, index: int) -> str:
        return self._namespaces[index] if index < len(self._namespaces) else f"ns{index}"

    async def _product(self) -> str:
        value = (await self._read([(ua.NodeId(_I.Server_ServerStatus_BuildInfo), ua.AttributeIds.Value)]))[0]
        info = _given(value)
        parts = [getattr(info, name, None) for name in ("ManufacturerName", "ProductName", "SoftwareVersion")]
        return ", ".join(str(part) for part in parts if part) or "an OPC UA server"

    async def _application(self) -> str:
        """The name of the application, from the endpoint it was found at."""
        with contextlib.suppress(ua.UaError, OSError, TimeoutError):
            for endpoint in await self._client.get_endpoints():
                if name := endpoint.Server.ApplicationName.Text:
                    return str(name)
        return "OPC UA server"


class _Watch:
    """Variables watched by one subscription; those it refuses are read once a second."""

    def __init__(self, client: Client, nodes: Mapping[str, ua.NodeId]) -> None:
        self._session: Any = client.uaclient.session
        self._addresses, self._nodes = list(nodes), list(nodes.values())
        self._series: dict[str, list[tuple[float, Value]]] = {address: [] for address in nodes}
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._first: datetime | None = None
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
            said = sum(len(s) > 1 for s in self._series.values())
            progress(f"Watching: {seconds - passed:.0f} s left, {said} of {len(self._series)} moved", done)
            await asyncio.sleep(min(0.5, max(seconds - passed, 0.0)))
            if refused and self._loop.time() - polled >= _POLL:
                polled = self._loop.time()
                await self._poll(refused)
        with contextlib.suppress(ua.UaError, OSError, TimeoutError):
            await self._session.delete_subscriptions([created.SubscriptionId])
        progress("Watched", 1.0)
        return {address: sorted(series, key=lambda s: s[0]) for address, series in self._series.items()}

    async def _monitor(self, subscription: int) -> list[int]:
        refused: list[int] = []
        for numbers in _batches(range(len(self._nodes)), _BATCH):
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
        for notification in result.NotificationMessage.NotificationData or ():
            for item in getattr(notification, "MonitoredItems", None) or ():
                if self._series[self._addresses[item.ClientHandle]] and item.Value.SourceTimestamp:
                    published = result.NotificationMessage.PublishTime
                    self._apart.append(abs((published - item.Value.SourceTimestamp).total_seconds()))
                self._add(item.ClientHandle, item.Value)

    async def _poll(self, numbers: Sequence[int]) -> None:
        for batch in _batches(numbers, _BATCH):
            values = await self._session.read_attributes(
                [self._nodes[n] for n in batch], ua.AttributeIds.Value
            )
            for number, value in zip(batch, values, strict=True):
                self._add(number, value)

    def _add(self, number: int, data: Any) -> None:
        series = self._series[self._addresses[number]]
        if len(series) >= MOST_VALUES:
            return
        good = data.StatusCode is None or data.StatusCode.is_good()
        series.append((self._time(data), _value(_given(data)) if good else None))

    def _time(self, data: Any) -> float:
        """Seconds since watching began: by the server's times between values, by ours for the first; a time that is
        before the beginning is the value that held then."""
        now = self._loop.time() - self._began
        time = data.ServerTimestamp or data.SourceTimestamp
        if time is None:
            return max(now, 0.0)
        if self._first is None:
            self._first = time
        return float(min(max((time - self._first).total_seconds(), 0.0), max(now, 0.0)))


_T = Any


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _plain(node: Any) -> ua.NodeId | None:
    """A node id of this server out of an expanded one."""
    if getattr(node, "ServerIndex", 0):
        return None
    found = ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
    return None if found.is_null() else found


def _built_in(node: ua.NodeId) -> str | None:
    """The name of a built-in data type."""
    if node.NamespaceIndex != 0 or not isinstance(node.Identifier, int):
        return None
    if node.Identifier == _I.Enumeration:
        return "Enumeration"
    if node.Identifier in (0, _I.BaseDataType, _I.Number, _I.Integer, _I.UInteger):
        return ""
    try:
        return str(ua.VariantType(node.Identifier).name)
    except ValueError:
        return None


def _given(data: Any) -> Any:
    """What a DataValue holds; None when it holds nothing."""
    return None if data is None or data.Value is None else data.Value.Value


def _value(given: Any) -> Value:
    """A value as a collector would deliver it."""
    if isinstance(given, bool | int | float | str):
        return int(given) if isinstance(given, int) and not isinstance(given, bool) else given
    text = getattr(given, "Text", None)
    return text if isinstance(text, str) else None


def _names(given: Any) -> dict[str, str]:
    """Raw value to name, of EnumStrings (texts from 0 on) or EnumValues (with their numbers)."""
    if not isinstance(given, list):
        return {}
    found = {}
    for index, entry in enumerate(given):
        number = getattr(entry, "Value", index)
        text = getattr(getattr(entry, "DisplayName", entry), "Text", None)
        if isinstance(text, str) and text:
            found[str(int(number))] = text
    return found
