"""OPC UA node ids as the plant file writes them. Pure.

Source: OPC 10000-6, 5.3.1.10 (string form of NodeId and ExpandedNodeId).
"""

import re
from collections.abc import Sequence

NODE = re.compile(
    r"(?:nsu=(?P<uri>[^;]+);|ns=(?P<index>\d+);)?(?P<id>i=\d+|s=.+|g=[0-9a-fA-F-]{36}|b=[A-Za-z0-9+/]+=*)"
)


def problem(address: str) -> str | None:
    """What is wrong with an address, None when nothing is."""
    if NODE.fullmatch(address):
        return None
    return 'write a node id like "nsu=urn:maker:machine;s=filler.state" or "ns=2;i=1001"'


def resolve(address: str, namespaces: Sequence[str]) -> str:
    """The address with the namespace's index on this server, which can move at a restart.

    Raises ValueError when the server has no such namespace.
    """
    match = NODE.fullmatch(address)
    if match is None:
        raise ValueError(problem(address))
    uri = match["uri"]
    if uri is None:
        return address
    if uri not in namespaces:
        raise ValueError(f"the server has no namespace {uri} (it has {', '.join(namespaces)})")
    return f"ns={namespaces.index(uri)};{match['id']}"
