"""What is published on a broker, for somebody who does not know it yet: topics, what their payloads look like, examples."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from collectors.connection import utc_now
from collectors.mqtt.broker import DEFAULTS
from collectors.mqtt.link import Link
from collectors.mqtt.payload import parse_json

MOST_TOPICS = 20_000
MOST_FIELDS = 200
MOST_VALUES = 20


@dataclass(slots=True)
class FieldHeard:
    """One value in a topic's payloads."""

    place: str
    """JSON pointer, "" when the payload is the value; `topic#place` is its address (`topic` for "")."""
    kind: str
    """number, text, bool or null: of the last value."""
    values: list[tuple[datetime, object]] = field(default_factory=list)
    """When it came and what it was, changes only, the last MOST_VALUES."""
    count: int = 0
    """Messages that had it."""
    changes: int = 0


@dataclass(slots=True)
class TopicHeard:
    """One topic."""

    topic: str
    kind: str = ""
    """number, text, json or binary: of the last payload."""
    example: str = ""
    """The last payload, its first characters."""
    messages: int = 0
    retained: int = 0
    """Of these, how many the broker had kept from before."""
    fields: dict[str, FieldHeard] = field(default_factory=dict)
    """By `place`."""


async def listen(
    options: Mapping[str, object], filters: list[str] | None = None, seconds: float = 10.0
) -> list[TopicHeard]:
    """Listen with a session of its own that leaves nothing behind; topics in alphabetical order.

    `options`: those of a source of protocol mqtt (`host`, `port`, `user` ...), read by `plant.parsing`
    (`collectors.options.read_options`). `filters`: what to subscribe to; default: everything but the broker's own `$SYS`.
    At most MOST_TOPICS topics and MOST_FIELDS fields of each. Raises ConnectionLostError saying why.
    """
    heard: dict[str, TopicHeard] = {}
    link = Link({**DEFAULTS, "keep_alive": 10.0, **options, "session_expiry": 0}, "")
    try:
        await link.open()
        await link.subscribe(filters or ["#"], 0)
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while (left := until - clock()) > 0:
            for message in await link.take(left):
                topic = message.topic
                if topic not in heard and len(heard) >= MOST_TOPICS:
                    continue
                _note(heard.setdefault(topic, TopicHeard(topic)), message.payload, message.retain, utc_now())
    finally:
        await link.close()
    return sorted(heard.values(), key=lambda topic: topic.topic)


def _note(topic: TopicHeard, payload: bytes, retained: bool, now: datetime) -> None:
    topic.messages += 1
    topic.retained += retained
    topic.example = payload[:200].decode(errors="replace")
    found, document = parse_json(payload)
    if not found:
        try:
            document = payload.decode()
        except UnicodeDecodeError:
            topic.kind = "binary"
            return
    topic.kind = "json" if isinstance(document, dict | list) else _kind(document)
    for place, value in _leaves("", document):
        if place not in topic.fields and len(topic.fields) >= MOST_FIELDS:
            return
        seen = topic.fields.setdefault(place, FieldHeard(place, ""))
        seen.count += 1
        seen.kind = _kind(value)
        if not seen.values or seen.values[-1][1] != value:
            seen.changes += bool(seen.values)
            seen.values.append((now, value))
            del seen.values[:-MOST_VALUES]


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "null" if value is None else "text"


def _leaves(place: str, document: Any) -> Iterator[tuple[str, object]]:
    """All values in a document, each with its JSON pointer."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _leaves(f"{place}/{key.replace('~', '~0').replace('/', '~1')}", value)
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from _leaves(f"{place}/{index}", value)
    else:
        yield place, document
