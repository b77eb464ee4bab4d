"""Everything below Objects of a server: breadth first, bounded in nodes, depth and time.

A node that is reached again is not entered twice, so loops end.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua

from collectors.onboarding.found import Progress
from collectors.onboarding.opcua.requests import Requests
from collectors.onboarding.opcua.values import batches, local

MOST_NODES = 20_000
DEEPEST = 16
LONGEST = 120.0
"""Seconds; what was found by then is used."""

_I = ua.ObjectIds
_LEFT_OUT = frozenset(
    ua.NodeId(number)
    for number in (_I.Server, 23470, 31915)  # the server itself, aliases, locations
)
METADATA = ("EngineeringUnits", "EnumStrings", "EnumValues")
"""Properties that explain a variable."""
_NO_SIGNALS = frozenset(
    ("EURange", "InstrumentRange", "Definition", "ValuePrecision", "Id", "AvailableStates", "AvailableTransitions",
     "TrueState", "FalseState", "Icon", "NodeVersion", "EnumDictionary", "AxisScaleType", "Title", "LocalTime")
)  # fmt: skip
"""Names of OPC UA itself that say something about another node."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A reference that was followed: the browse name it led to, and the type definition there."""

    name: Any
    type: ua.NodeId | None


@dataclass(slots=True)
class Found:
    """A variable and how it was reached."""

    node: ua.NodeId
    path: tuple[Hop, ...]
    metadata: dict[str, ua.NodeId] = field(default_factory=dict)
    """Those of METADATA it has."""


class Walk:
    """One walk. `variables` in the order they were reached, `notes` what was left out."""

    def __init__(self, requests: Requests, progress: Progress) -> None:
        self._requests, self._progress = requests, progress
        self._seen = {ua.NodeId(_I.ObjectsFolder), *_LEFT_OUT}
        self._found: dict[ua.NodeId, Found] = {}
        self._below: list[tuple[ua.NodeId, tuple[Hop, ...]]] = []
        self.notes: list[str] = []

    @property
    def variables(self) -> list[Found]:
        return list(self._found.values())

    async def run(self) -> None:
        """Walk to the end, or to a bound."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST
        level: list[tuple[ua.NodeId, tuple[Hop, ...]]] = [(ua.NodeId(_I.ObjectsFolder), ())]
        for _ in range(DEEPEST):
            self._below = []
            for batch in batches(level, self._requests.browse_batch):
                if loop.time() > until:
                    self.notes.append(f"Browsing was ended after {LONGEST:.0f} s; there may be more.")
                    return
                answers = await self._requests.references([node for node, _ in batch])
                for (parent, path), references in zip(batch, answers, strict=True):
                    for reference in references:
                        self._take(reference, parent, path)
                    if len(self._seen) > MOST_NODES:
                        self.notes.append(f"Browsing was ended at {MOST_NODES} nodes; there may be more.")
                        return
                done = min(0.3, 0.02 + len(self._seen) / MOST_NODES)
                self._progress(f"{len(self._seen)} nodes, {len(self._found)} variables", done)
            level = self._below
        if level:
            self.notes.append(f"What is more than {DEEPEST} levels deep was left out.")

    def _take(self, reference: Any, parent: ua.NodeId, path: tuple[Hop, ...]) -> None:
        node, name = local(reference.NodeId), reference.BrowseName
        if node is None:
            return
        if name.NamespaceIndex == 0 and parent in self._found and name.Name in METADATA:
            self._found[parent].metadata[name.Name] = node
            return
        if node in self._seen or (name.NamespaceIndex == 0 and name.Name in _NO_SIGNALS):
            return
        here = (*path, Hop(name, local(reference.TypeDefinition)))
        if reference.NodeClass == ua.NodeClass.Variable:
            self._found[node] = Found(node, here)
        elif reference.NodeClass != ua.NodeClass.Object:
            return
        self._seen.add(node)
        self._below.append((node, here))
