"""Sparkplug B 3.0 over MQTT: edge nodes and devices that announce their metrics.

Options: those of the broker as for mqtt (`collectors.mqtt.broker`); `host_id` (we are the primary host of that name:
nodes keep what they have while we are away); `reorder_timeout` ("2s": how long a message waits for an earlier one);
`heartbeat`. A signal's address is `group/node#metric` or `group/node/device#metric`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from collectors.mqtt import broker
from collectors.options import read_collect, read_options
from collectors.sparkplug.address import parse
from plant.model import Signal, Source
from plant.parsing.options import seconds, text

if TYPE_CHECKING:
    from collectors.sparkplug.client import SparkplugCollector

__all__ = ["check", "create"]


def _host_id(value: object) -> str:
    given = text(value)
    if any(character in given for character in "+#/\0"):
        raise ValueError('write a name without "+", "#" and "/"')
    return given


READERS = {**broker.READERS, "host_id": _host_id, "reorder_timeout": seconds, "heartbeat": seconds}
DEFAULTS = {
    **broker.DEFAULTS,
    "session_expiry": "0s",
    "host_id": None,
    "reorder_timeout": "2s",
    "heartbeat": "5s",
}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    options, problems = read_options(source, READERS, DEFAULTS)
    if not problems:
        problems += broker.check_broker(source, options)
    for signal in signals:
        problems += read_collect(signal, "sparkplug", {}, {})[1]
        try:
            parse(signal.address)
        except ValueError as error:
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": address {signal.address!r} does not do; {error}'
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "SparkplugCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.sparkplug.client import SparkplugCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return SparkplugCollector(
        source, [(signal, parse(signal.address)) for signal in signals], options, folder
    )
