"""MQTT 5 and 3.1.1: topics of a broker, plain values or JSON.

Options: `host`, `port`, `version`, `tls`, `ca`, `certificate`, `key`, `user`, `password`, `client_id`, `keep_alive`,
`session_expiry` (`collectors.mqtt.broker`); `qos` (1; 0: nothing is kept for us while we are away); `subscribe` (other
subscriptions than the signals' topics); `heartbeat`; for all signals `time`, `quality`, `status_topic`, `offline`, which
a signal's `collect = { ... }` may change. A signal's address is `topic`, `topic#key` or `topic#/json/pointer`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collectors.mqtt import broker
from collectors.mqtt.address import parse, pointer, wrong_filter
from collectors.options import read_collect, read_options
from plant.model import Signal, Source
from plant.parsing.options import seconds, text, whole

if TYPE_CHECKING:
    from collectors.mqtt.client import MqttCollector
    from collectors.mqtt.payload import Mapped

__all__ = ["check", "create"]


def _filters(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise ValueError('write a list of topics, like ["plant/+/state", "plant/line1/#"]')
    for one in value:
        if wrong := wrong_filter(one):
            raise ValueError(f'"{one}": {wrong}')
    return list(dict.fromkeys(value))


def _topic(value: object) -> str:
    parse(text(value))
    return str(value)


PER_SIGNAL = {"time": text, "quality": text, "status_topic": _topic, "offline": text}
SIGNAL_DEFAULTS = {"time": None, "quality": None, "status_topic": None, "offline": "offline"}
READERS = {
    **broker.READERS,
    "qos": whole(0, 1),
    "subscribe": _filters,
    "heartbeat": seconds,
    **PER_SIGNAL,
}
DEFAULTS = {**broker.DEFAULTS, "qos": 1, "subscribe": None, "heartbeat": "5s", **SIGNAL_DEFAULTS}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    options, problems = read_options(source, READERS, DEFAULTS)
    if not problems:
        problems += broker.check_broker(source, options)
    for signal in signals:
        problems += read_collect(signal, "mqtt", PER_SIGNAL, SIGNAL_DEFAULTS)[1]
        try:
            parse(signal.address)
        except ValueError as error:
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": address {signal.address!r} does not do; {error}'
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "MqttCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.mqtt.client import MqttCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return MqttCollector(source, [_mapped(signal, options) for signal in signals], options, folder)


def _mapped(signal: Signal, options: Mapping[str, Any]) -> "Mapped":
    from collectors.mqtt.payload import Mapped

    own, _ = read_collect(signal, "mqtt", PER_SIGNAL, {key: options[key] for key in PER_SIGNAL})
    return Mapped(
        signal,
        parse(signal.address),
        pointer(own["time"]) if own["time"] else None,
        pointer(own["quality"]) if own["quality"] else None,
        parse(own["status_topic"]) if own["status_topic"] else None,
        own["offline"],
    )
