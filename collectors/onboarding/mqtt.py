"""Looking at an MQTT broker: `mqtt://host:1883/prefix`. Topics become a tree, values in JSON its leaves."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import unquote, urlsplit

from collectors import mqtt
from collectors.connection import ConnectionLostError, utc_now
from collectors.mqtt.listen import FieldHeard, TopicHeard, listen
from collectors.onboarding.found import (
    Access,
    Kind,
    Listener,
    Offer,
    OnboardingError,
    Series,
    Step,
    Value,
    Variable,
)
from collectors.options import read_options
from plant.model import Source

SHORTEST = 2.0
"""Seconds that are always listened: without, nothing is known."""


async def look(
    url: str, watch: float, access: Access, listener: Listener
) -> tuple[Offer, Mapping[str, Series]]:
    """What is published on a broker below a prefix in `watch` seconds. Raises OnboardingError."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise OnboardingError(f"{url}: {error}") from error
    prefix = unquote(parts.path).strip("/")
    given: dict[str, object] = {"host": host, **({"port": port} if port else {}), **access.options}
    source = Source(id="browse", protocol="mqtt", options=given)
    if problems := mqtt.check(source, ()):
        raise OnboardingError("\n".join(problems))
    options, _ = read_options(source, mqtt.READERS, mqtt.DEFAULTS)
    seconds, began = max(watch, SHORTEST), utc_now()
    waiting = asyncio.create_task(_tell(seconds, listener))
    try:
        heard = await listen(options, [f"{prefix}/#"] if prefix else None, seconds)
    except ConnectionLostError as error:
        raise OnboardingError(str(error)) from error
    finally:
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    found = [pair for topic in heard for pair in _variables(topic, began)]
    notes = [f"{t.topic} carries no text or JSON: it is left out." for t in heard if t.kind == "binary"][:5]
    offer = Offer(
        url=url,
        protocol="mqtt",
        options=given,
        product=f"an MQTT broker at {host}",
        name=prefix.rpartition("/")[2] or host,
        variables=tuple(variable for variable, _ in found),
        notes=tuple(notes),
    )
    series = {variable.address: said for variable, said in found}
    listener.found(offer, series)
    listener.progress(f"{len(heard)} topics, {len(found)} values", 1.0)
    return offer, series


async def _tell(seconds: float, listener: Listener) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        passed = clock() - began
        listener.progress(f"Listening: {max(seconds - passed, 0):.0f} s left", min(passed / seconds, 0.99))
        await asyncio.sleep(0.5)


def _variables(topic: TopicHeard, began: datetime) -> list[tuple[Variable, Series]]:
    return [_variable(topic.topic, field, began) for field in topic.fields.values()]


def _variable(topic: str, field: FieldHeard, began: datetime) -> tuple[Variable, Series]:
    said = [(max((at - began).total_seconds(), 0.0), _value(value)) for at, value in field.values]
    values = [value for _, value in said if value is not None]
    kind = Kind.OTHER
    if values:
        if all(isinstance(v, bool) for v in values):
            kind = Kind.BOOLEAN
        elif all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            kind = Kind.INTEGER
        elif all(isinstance(v, int | float) for v in values):
            kind = Kind.FLOAT
        else:
            kind = Kind.TEXT
    names = [
        *topic.split("/"),
        *(p.replace("~1", "/").replace("~0", "~") for p in field.place.split("/")[1:]),
    ]
    variable = Variable(
        address=f"{topic}#{field.place}" if field.place else topic,
        path=tuple(Step(name=name) for name in names),
        data_type=str(kind) if kind is not Kind.OTHER else "nothing but null",
        kind=kind,
        value=values[-1] if values else None,
    )
    return variable, said


def _value(value: object) -> Value:
    return value if isinstance(value, bool | int | float | str) else None
