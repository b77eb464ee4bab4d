"""OPC UA: subscriptions, values on change with the source's own timestamps, taken up again after an outage.

Options: `url`; `publishing_interval` ("100ms"); `sampling` ("0s": the fastest the server does); `queue_size` (values
per signal kept by the server while we are away; none given: enough for `lifetime`); `lifetime` ("60s": how long the
server keeps the subscription without hearing from us); `trigger` ("timestamp": a value written again with a new time
is a sample too; "value": only changes); `heartbeat` ("5s", "0s": off). A signal's `collect` may say otherwise for
`publishing_interval`, `sampling`, `queue_size` and `trigger`, and give a `deadband` (absolute, in the raw unit).
A signal's address is a node id, best with the namespace's URI: "nsu=urn:maker:machine;s=filler.state".

`security` ("auto": the strongest the server offers, open only when it offers nothing else; "SignAndEncrypt",
"Sign", "None"), `policy` (of `offers.POLICIES`; none: the strongest), and one user at most: `user` with `password`,
or `user_certificate` with `user_key`, files in PEM or DER. Certificates are in the data folder's `pki` (`pki.Pki`).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from collectors.opcua.address import problem
from collectors.opcua.offers import AUTO, ENCRYPT, NONE, POLICIES, SIGN
from collectors.opcua.wanted import key_of, wanted
from collectors.options import read_collect, read_options
from plant.model import Signal, Source
from plant.parsing.options import one_of, period, seconds, text, whole

if TYPE_CHECKING:
    from collectors.opcua.client import OpcUaCollector

__all__ = ["check", "create"]


def check_url(value: object) -> str:
    """The address of a server. Raises ValueError saying what is expected."""
    given = text(value)
    if not given.startswith("opc.tcp://"):
        raise ValueError('write it like "opc.tcp://192.168.0.10:4840/"')
    parts = urlsplit(given)
    if not parts.hostname or parts.port is None:  # a port that is none raises ValueError
        raise ValueError('write it with host and port, like "opc.tcp://192.168.0.10:4840/"')
    if "@" in parts.netloc:
        raise ValueError("leave user and password out of it: they are the options `user` and `password`")
    return given


def _lifetime(value: object) -> float:
    if not 5 <= (given := period(value)) <= 30 * 86400:
        raise ValueError('must be from "5s" to "720h"')
    return given


def _deadband(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError("write a number above 0, in the raw unit of the server")
    return float(value)


QUEUE_SIZE, TRIGGER = whole(1, 1_000_000), one_of("timestamp", "value")

READERS = {
    "url": check_url,
    "publishing_interval": period,
    "sampling": seconds,
    "queue_size": QUEUE_SIZE,
    "lifetime": _lifetime,
    "trigger": TRIGGER,
    "heartbeat": seconds,
    "security": one_of(AUTO, NONE, SIGN, ENCRYPT),
    "policy": one_of(*POLICIES),
    "user": text,
    "password": text,
    "user_certificate": text,
    "user_key": text,
}
DEFAULTS = {
    "publishing_interval": "100ms",
    "sampling": "0s",
    "queue_size": None,
    "lifetime": "60s",
    "trigger": "timestamp",
    "heartbeat": "5s",
    "security": AUTO,
    "policy": None,
    "user": None,
    "password": None,
    "user_certificate": None,
    "user_key": None,
}

COLLECT = {
    "publishing_interval": period,
    "sampling": seconds,
    "queue_size": QUEUE_SIZE,
    "trigger": TRIGGER,
    "deadband": _deadband,
}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    options, problems = read_options(source, READERS, DEFAULTS)
    problems += [f'source "{source.id}": {wrong}' for wrong in _contradictions(options)]
    for signal in signals:
        problems += _collect(signal)[1]
        if (wrong := problem(signal.address)) is not None:
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": {signal.address!r} is no node id; {wrong}'
            )
    return problems


def _collect(signal: Signal) -> tuple[dict[str, Any], list[str]]:
    return read_collect(signal, "opcua", COLLECT, dict.fromkeys(COLLECT))


def _contradictions(options: Mapping[str, Any]) -> list[str]:
    given = {key for key, value in options.items() if value is not None}
    found = []
    if "policy" in given and options.get("security") == NONE:
        found.append('"policy" has no meaning with security = "None"; leave one of them out')
    for one, other in (
        ("password", "user"),
        ("user_certificate", "user_key"),
        ("user_key", "user_certificate"),
    ):
        if one in given and other not in given:
            found.append(f'"{one}" is given without "{other}"; write both')
    if {"user", "user_certificate"} <= given:
        found.append('"user" and "user_certificate" are both given; a connection has one user, leave one out')
    return found


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "OpcUaCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.opcua.client import OpcUaCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    wants = {key_of(signal): wanted(signal, _collect(signal)[0], options) for signal in signals}
    return OpcUaCollector(source, signals, wants, options, folder)
