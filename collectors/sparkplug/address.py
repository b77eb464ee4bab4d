"""Addresses of Sparkplug signals: `group/node#metric` or `group/node/device#metric`. Pure.

Metric names have slashes and may have nearly anything else; ids of groups, nodes and devices have no `#`.
"""

from dataclasses import dataclass

NAMESPACE = "spBv1.0"


@dataclass(frozen=True, slots=True)
class Address:
    """A metric of an edge node (device "") or of a device behind it."""

    group: str
    node: str
    device: str
    metric: str


def parse(address: str) -> Address:
    """Raises ValueError saying what is expected."""
    place, divider, metric = address.partition("#")
    levels = place.split("/")
    if not divider or not metric or len(levels) not in (2, 3) or not all(levels) or "+" in place:
        raise ValueError(
            'write "group/node#metric" or "group/node/device#metric", like "plant/line1/filler#Counts/Good"'
        )
    group, node, device = (*levels, "")[:3]
    return Address(group, node, device, metric)


def split_topic(topic: str) -> tuple[str, tuple[str, str], str] | None:
    """Kind ("NBIRTH", "DDATA" ...), (group, node) and device ("": the node itself) of a topic; None: not Sparkplug's."""
    levels = topic.split("/")
    if len(levels) not in (4, 5) or levels[0] != NAMESPACE:
        return None
    _, group, kind, node, device = (*levels, "")[:5]
    return kind, (group, node), device
