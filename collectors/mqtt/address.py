"""Addresses of MQTT signals: `topic`, `topic#key` or `topic#/json/pointer`. Pure.

`#` never occurs in the topic of a message, so it divides the topic from the place in its payload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MISSING = object()
"""What `look_up` gives where there is nothing."""


@dataclass(frozen=True, slots=True)
class Address:
    """A topic and the way to the value in its payload; no way: the payload is the value."""

    topic: str
    path: tuple[str, ...] = ()


def parse(address: str) -> Address:
    """Raises ValueError saying what is expected."""
    topic, divider, place = address.partition("#")
    if not topic.strip() or "+" in topic or "\0" in topic or topic.startswith("$share/"):
        raise ValueError('write the whole topic without "+" and "#", like "plant/filler/state"')
    if topic.endswith("/") and divider and not place:
        raise ValueError('"#" for all topics below does not do here: write one topic for each signal')
    if divider and not place:
        raise ValueError('after "#" write the key in the payload, like "plant/filler#state" or "#/a/b/0"')
    return Address(topic, pointer(place) if divider else ())


def pointer(place: str) -> tuple[str, ...]:
    """The keys on the way: of a JSON pointer (RFC 6901, "/a/b/0"), or of one key ("state")."""
    if not place.startswith("/"):
        return (place,)
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in place[1:].split("/"))


def look_up(document: Any, path: Sequence[str]) -> Any:
    """What is there in a JSON document, or MISSING."""
    for key in path:
        if isinstance(document, dict):
            document = document.get(key, MISSING)
        elif (
            isinstance(document, list) and key.isascii() and key.isdecimal() and int(key[:9]) < len(document)
        ):
            document = document[int(key)]
        else:
            return MISSING
    return document


def wrong_filter(text: str) -> str | None:
    """What is wrong with a subscription such as "plant/+/state" or "plant/#"; None: nothing."""
    levels = text.split("/")
    if not text or "\0" in text:
        return "write a topic"
    if any("+" in level and level != "+" for level in levels) or any("#" in level for level in levels[:-1]):
        return '"+" stands for a whole level, and "#" for all levels at the end: "plant/+/state", "plant/#"'
    if "#" in levels[-1] and levels[-1] != "#":
        return '"#" stands alone in the last level: "plant/#"'
    return None
