"""Browse and Read at one server, in batches it takes."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from asyncua import Client, ua

from collectors.onboarding.opcua.values import batches, given

log = logging.getLogger(__name__)

_I = ua.ObjectIds
_LIMITS = (
    _I.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    _I.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
)
BATCH = 200
"""Nodes in one request at most."""
_AT_ONCE = 1_000
"""References of one node in one answer; the rest follows by continuation point."""
MOST_REFERENCES = 20_000
"""Of one node."""


class Requests:
    """What is asked of a server."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._session: Any = client.uaclient.session
        self.browse_batch = self._read_batch = BATCH

    async def learn_limits(self) -> None:
        """Take the server's own limits on one request."""
        with contextlib.suppress(ua.UaError):
            answers = await self.read([(ua.NodeId(i), ua.AttributeIds.Value) for i in _LIMITS])
            browse, read = (given(answer) for answer in answers)
            self.browse_batch = min(browse or BATCH, BATCH)
            self._read_batch = min(read or BATCH, BATCH)

    async def references(
        self, nodes: Sequence[ua.NodeId], kind: int = _I.HierarchicalReferences, *, inverse: bool = False
    ) -> list[list[Any]]:
        """The references of each node, of that kind and those below it."""
        found: list[list[Any]] = []
        for batch in batches(nodes, self.browse_batch):
            found += await self._references(batch, kind, inverse)
        return found

    async def _references(self, nodes: Sequence[ua.NodeId], kind: int, inverse: bool) -> list[list[Any]]:
        directions = ua.BrowseDirection
        asked = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=directions.Inverse if inverse else directions.Forward,
                ReferenceTypeId=ua.NodeId(kind),
                IncludeSubtypes=True,
                NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable | ua.NodeClass.DataType,
                ResultMask=ua.BrowseResultMask.All,
            )
            for node in nodes
        ]
        parameters = ua.BrowseParameters(
            View=ua.ViewDescription(), RequestedMaxReferencesPerNode=_AT_ONCE, NodesToBrowse=asked
        )
        results = await self._session.browse(parameters)
        found = [list(result.References or ()) for result in results]
        waiting = {i: r.ContinuationPoint for i, r in enumerate(results) if r.ContinuationPoint}
        while waiting:
            keys = list(waiting)
            points = [waiting[key] for key in keys]
            following = ua.BrowseNextParameters(ReleaseContinuationPoints=False, ContinuationPoints=points)
            more = await self._session.browse_next(following)
            waiting = {}
            for key, result in zip(keys, more, strict=True):
                found[key] += result.References or ()
                if result.ContinuationPoint and len(found[key]) < MOST_REFERENCES:
                    waiting[key] = result.ContinuationPoint
        return found

    async def read(self, asked: Sequence[tuple[ua.NodeId, Any]]) -> list[Any]:
        """The DataValue of each (node, attribute); None for one that cannot be decoded."""
        found: list[Any] = []
        for batch in batches(asked, self._read_batch):
            found += await self._read(batch)
        return found

    async def _read(self, asked: Sequence[tuple[ua.NodeId, Any]]) -> list[Any]:
        parameters = ua.ReadParameters(
            NodesToRead=[ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in asked],
            TimestampsToReturn=ua.TimestampsToReturn.Neither,
        )
        try:
            return list(await self._session.read(parameters))
        except (OSError, TimeoutError):
            raise
        except Exception as error:  # a value the library cannot decode fails the whole answer
            if len(asked) == 1:
                log.debug("%s cannot be read: %s", asked[0][0], error)
                return [None]
            half = len(asked) // 2
            return [*await self._read(asked[:half]), *await self._read(asked[half:])]
