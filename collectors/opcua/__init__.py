"""OPC UA: a subscription per server, values on change with the source's own timestamps.

Options: `url`; `publishing_interval` ("250ms"); `sampling` ("0s": the fastest the server does);
`queue_size` (1000 values per signal kept by the server between two publishings); `trigger` ("timestamp": a
value written again with a new time is a sample too; "value": only changes); `heartbeat` ("5s", "0s": off).
A signal's address is a node id, best with the namespace's URI: "nsu=urn:maker:machine;s=filler.state".
No security yet: the connection is neither signed nor encrypted.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from collectors.opcua.address import problem
from collectors.options import read_collect, read_options
from plant.model import Signal, Source
from plant.parsing.options import one_of, period, seconds, text, whole

if TYPE_CHECKING:
    from collectors.opcua.client import OpcUaCollector

__all__ = ["check", "create"]


def _url(value: object) -> str:
    given = text(value)
    if not given.startswith("opc.tcp://"):
        raise ValueError('write it like "opc.tcp://192.168.0.10:4840/"')
    return given


READERS = {
    "url": _url,
    "publishing_interval": period,
    "sampling": seconds,
    "queue_size": whole(1, 1_000_000),
    "trigger": one_of("timestamp", "value"),
    "heartbeat": seconds,
}
DEFAULTS = {
    "publishing_interval": "250ms",
    "sampling": "0s",
    "queue_size": 1000,
    "trigger": "timestamp",
    "heartbeat": "5s",
}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    _, problems = read_options(source, READERS, DEFAULTS)
    for signal in signals:
        problems += read_collect(signal, "opcua", {}, {})[1]
        if (wrong := problem(signal.address)) is not None:
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": {signal.address!r} is no node id; {wrong}'
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "OpcUaCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.opcua.client import OpcUaCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return OpcUaCollector(source, signals, options)
