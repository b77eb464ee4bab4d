"""What a server offers, as variables: everything below Objects with its types, units and present values."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import Client, ua

from collectors.onboarding.found import Kind, Offer, Progress, Step, Variable
from collectors.onboarding.opcua.requests import Requests
from collectors.onboarding.opcua.values import (
    INTEGERS,
    KINDS,
    as_value,
    built_in,
    given,
    local,
    names_of_values,
)
from collectors.onboarding.opcua.walk import METADATA, Found, Hop, Walk
from collectors.opcua.address import problem

_I = ua.ObjectIds
_A = ua.AttributeIds
_ATTRIBUTES = (_A.DataType, _A.ValueRank, _A.UserAccessLevel, _A.Description, _A.Value)
_READ, _WRITE = 1, 2
"""Bits of an access level."""
_MOST_SUBTYPES = 16
"""A data type is at most so far below a built-in one."""


async def browse(client: Client, url: str, progress: Progress) -> tuple[Offer, dict[str, ua.NodeId]]:
    """What a server offers, and the node of each address."""
    requests = Requests(client)
    namespaces = await client.get_namespace_array()
    await requests.learn_limits()
    walk = Walk(requests, progress)
    await walk.run()
    progress(f"{len(walk.variables)} variables found; reading them", 0.3)
    about = await _About.read(requests, namespaces, walk.variables)
    found: dict[str, Variable] = {}
    nodes: dict[str, ua.NodeId] = {}
    for variable in walk.variables:
        described = about.variable(variable)
        if described is not None:
            found[described.address] = described
            nodes[described.address] = variable.node
    offer = Offer(
        url=url,
        protocol="opcua",
        options={"url": url},
        product=await _product(requests),
        name=await _application(client),
        variables=tuple(found.values()),
        notes=tuple(walk.notes),
    )
    progress(f"{len(found)} variables", 0.4)
    return offer, nodes


@dataclass(slots=True)
class _About:
    """What was read of the variables that were found."""

    namespaces: Sequence[str]
    attributes: Mapping[ua.NodeId, Mapping[Any, Any]]
    types: Mapping[ua.NodeId, Step]
    """Type definition to its browse name."""
    data_types: Mapping[ua.NodeId, tuple[str, str]]
    """Data type to its own name and that of the built-in type below it."""
    values: Mapping[ua.NodeId, Any]
    """Values of explaining properties; for an enumeration, of the property with its names."""

    @classmethod
    async def read(cls, requests: Requests, namespaces: Sequence[str], found: Sequence[Found]) -> "_About":
        answers = iter(await requests.read([(f.node, attribute) for f in found for attribute in _ATTRIBUTES]))
        attributes = {f.node: {attribute: next(answers) for attribute in _ATTRIBUTES} for f in found}
        wanted = {t for said in attributes.values() if isinstance(t := given(said[_A.DataType]), ua.NodeId)}
        data_types = await _data_types(requests, wanted)
        return cls(
            namespaces=namespaces,
            attributes=attributes,
            types=await _browse_names(
                requests, namespaces, {hop.type for f in found for hop in f.path if hop.type is not None}
            ),
            data_types=data_types,
            values=await _explanations(requests, found, data_types),
        )

    def variable(self, found: Found) -> Variable | None:
        """None for one that may not be read."""
        said = self.attributes[found.node]
        access, rank = given(said[_A.UserAccessLevel]), given(said[_A.ValueRank])
        if isinstance(access, int) and not access & _READ:
            return None
        type_id, value = given(said[_A.DataType]), said[_A.Value]
        data_type, base = self.data_types.get(type_id, ("unknown", ""))
        held = given(value)
        if not base and value is not None and value.Value is not None:
            base = value.Value.VariantType.name  # the type allows any: this is what it holds now
        address = self._address(found.node)
        kind = KINDS.get(base, Kind.OTHER)
        if isinstance(held, list) or (isinstance(rank, int) and rank >= 0):
            kind, data_type = Kind.OTHER, f"an array of {data_type}"
        elif kind is Kind.OTHER:
            data_type = f"a {data_type}"
        elif problem(address) is not None:
            kind, data_type = Kind.OTHER, f"a {data_type} at a node id that no plant file can hold"
        named = [
            self.values.get(found.metadata[m]) for m in ("EnumStrings", "EnumValues") if m in found.metadata
        ]
        names = [names_of_values(values) for values in (*named, self.values.get(type_id))]
        unit = (
            self.values.get(found.metadata["EngineeringUnits"])
            if "EngineeringUnits" in found.metadata
            else None
        )
        description = given(said[_A.Description])
        return Variable(
            address=address,
            path=tuple(self._step(hop) for hop in found.path),
            data_type=data_type,
            kind=kind,
            bits=INTEGERS.get(base, 32 if base == "Enumeration" else 0),
            unit=str(getattr(getattr(unit, "DisplayName", None), "Text", None) or ""),
            description=str(getattr(description, "Text", None) or ""),
            writable=isinstance(access, int) and bool(access & _WRITE),
            names=next((n for n in names if n), {}),
            value=as_value(held),
            status=value.StatusCode.name if value is not None and value.StatusCode is not None else "Good",
        )

    def _step(self, hop: Hop) -> Step:
        named = self.types.get(hop.type) if hop.type is not None else None
        return Step(
            name=hop.name.Name or "",
            uri=_uri(self.namespaces, hop.name.NamespaceIndex),
            type_name=named.name if named else "",
            type_uri=named.uri if named else "",
        )

    def _address(self, node: ua.NodeId) -> str:
        """As the plant file has it: with the namespace's URI, whose index can move."""
        plain = ua.NodeId(node.Identifier, 0, node.NodeIdType).to_string()
        uri = _uri(self.namespaces, node.NamespaceIndex)
        return plain if node.NamespaceIndex == 0 else f"nsu={uri};{plain}"


def _uri(namespaces: Sequence[str], index: int) -> str:
    return namespaces[index] if index < len(namespaces) else f"ns{index}"


async def _browse_names(
    requests: Requests, namespaces: Sequence[str], nodes: set[ua.NodeId]
) -> dict[ua.NodeId, Step]:
    ordered = list(nodes)
    answers = await requests.read([(node, _A.BrowseName) for node in ordered])
    return {
        node: Step(name=said.Name or "", uri=_uri(namespaces, said.NamespaceIndex))
        for node, answer in zip(ordered, answers, strict=True)
        if (said := given(answer)) is not None
    }


async def _data_types(requests: Requests, wanted: set[ua.NodeId]) -> dict[ua.NodeId, tuple[str, str]]:
    """Data type to its own name and that of the built-in type below it."""
    above: dict[ua.NodeId, ua.NodeId] = {}
    unknown = {t for t in wanted if built_in(t) is None}
    for _ in range(_MOST_SUBTYPES):
        if not unknown:
            break
        asked = list(unknown)
        answers = await requests.references(asked, _I.HasSubtype, inverse=True)
        for node, references in zip(asked, answers, strict=True):
            above[node] = (local(references[0].NodeId) if references else None) or ua.NodeId(_I.BaseDataType)
        unknown = {t for t in above.values() if t not in above and built_in(t) is None}
    custom = [t for t in wanted if t in above]
    answers = await requests.read([(t, _A.BrowseName) for t in custom])
    names = {t: said.Name for t, answer in zip(custom, answers, strict=True) if (said := given(answer))}
    found = {}
    for data_type in wanted:
        base = data_type
        for _ in range(_MOST_SUBTYPES):
            base = above.get(base, base)
        found[data_type] = (
            names.get(data_type) or built_in(data_type) or "value of any type",
            built_in(base) or "",
        )
    return found


async def _explanations(
    requests: Requests, found: Sequence[Found], data_types: Mapping[ua.NodeId, tuple[str, str]]
) -> dict[ua.NodeId, Any]:
    """The values of explaining properties by their node, and the names of an enumeration's values by its type."""
    enumerations = [t for t, (_, base) in data_types.items() if base == "Enumeration" and built_in(t) is None]
    properties: dict[ua.NodeId, ua.NodeId] = {}
    for data_type, references in zip(enumerations, await requests.references(enumerations), strict=True):
        for reference in references:
            node = local(reference.NodeId)
            if reference.BrowseName.Name in METADATA and node is not None:
                properties[data_type] = node
    wanted = [*(node for f in found for node in f.metadata.values()), *properties.values()]
    answers = await requests.read([(node, _A.Value) for node in wanted])
    values = {node: given(answer) for node, answer in zip(wanted, answers, strict=True)}
    return values | {data_type: values[node] for data_type, node in properties.items()}


async def _product(requests: Requests) -> str:
    """Who made what answers, and its version."""
    (answer,) = await requests.read([(ua.NodeId(_I.Server_ServerStatus_BuildInfo), _A.Value)])
    info = given(answer)
    parts = [getattr(info, name, None) for name in ("ManufacturerName", "ProductName", "SoftwareVersion")]
    return ", ".join(str(part) for part in parts if part) or "an OPC UA server"


async def _application(client: Client) -> str:
    """The name of the application, from its endpoints."""
    with contextlib.suppress(ua.UaError, OSError, TimeoutError):
        for endpoint in await client.get_endpoints():
            if name := endpoint.Server.ApplicationName.Text:
                return str(name)
    return "OPC UA server"
