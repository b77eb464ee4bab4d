"""Which edge nodes, devices and metrics there are on a broker, for somebody who does not know them yet."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from collectors.connection import utc_now
from collectors.mqtt.broker import DEFAULTS
from collectors.mqtt.link import Link
from collectors.mqtt.listen import MOST_VALUES
from collectors.sparkplug.address import NAMESPACE, split_topic
from collectors.sparkplug.host import read
from collectors.sparkplug.protobuf import DATATYPES, Metric, PayloadError, decode, encode_rebirth

MOST_METRICS = 50_000


@dataclass(slots=True)
class MetricHeard:
    """One metric."""

    address: str
    """As a signal of protocol sparkplug has it."""
    datatype: str = "Unknown"
    """Its name in Sparkplug: Int32, Double, String, DataSet ..."""
    values: list[tuple[datetime, object]] = field(default_factory=list)
    """When it came and what it was, changes only, the last MOST_VALUES."""
    count: int = 0
    changes: int = 0


async def listen(
    options: Mapping[str, object], group: str = "+", seconds: float = 10.0, ask: bool = True
) -> list[MetricHeard]:
    """Listen with a session of its own that leaves nothing behind; metrics in alphabetical order of their addresses.

    `options`: those of a source of protocol sparkplug, read. `ask`: ask each node that is heard of, once, for its births;
    otherwise only those come that happen to be published. Raises ConnectionLostError saying why.
    """
    heard: dict[str, MetricHeard] = {}
    aliases: dict[tuple[tuple[str, str], int], tuple[str, int]] = {}
    asked: set[tuple[str, str]] = set()
    link = Link({**DEFAULTS, "keep_alive": 10.0, **options, "session_expiry": 0}, "")
    try:
        await link.open()
        await link.subscribe([f"{NAMESPACE}/{group}/#"], 0)
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while (left := until - clock()) > 0:
            for message in await link.take(left):
                parts = split_topic(message.topic)
                if parts is None or parts[0] not in ("NBIRTH", "DBIRTH", "NDATA", "DDATA"):
                    continue
                _, node, device = parts
                if ask and node not in asked:
                    asked.add(node)
                    command = encode_rebirth(int(utc_now().timestamp() * 1000))
                    link.publish(f"{NAMESPACE}/{node[0]}/NCMD/{node[1]}", command)
                try:
                    metrics = decode(message.payload).metrics
                except PayloadError:
                    continue
                place = "/".join((*node, device) if device else node)
                for metric in metrics:
                    known = (f"{place}#{metric.name}", metric.datatype or 0) if metric.name else None
                    if metric.alias is not None and known:
                        aliases[node, metric.alias] = known
                    elif metric.alias is not None:
                        known = aliases.get((node, metric.alias))
                    if known and (known[0] in heard or len(heard) < MOST_METRICS):
                        _note(heard.setdefault(known[0], MetricHeard(known[0])), metric, known[1], utc_now())
    finally:
        await link.close()
    return sorted(heard.values(), key=lambda metric: metric.address)


def _note(seen: MetricHeard, metric: Metric, datatype: int, now: datetime) -> None:
    seen.count += 1
    seen.datatype = DATATYPES[datatype] if datatype < len(DATATYPES) else "Unknown"
    value, _ = (None, "") if metric.null else read(metric, datatype)
    if not seen.values or seen.values[-1][1] != value:
        seen.changes += bool(seen.values)
        seen.values.append((now, value))
        del seen.values[:-MOST_VALUES]
