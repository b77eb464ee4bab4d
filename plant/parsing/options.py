"""Reading the options of a source or a store: every mistake at once, each with its fix. Pure."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from plant.parsing.problems import suggestion

UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
Reader = Callable[[object], Any]
"""Gives the value, or raises ValueError saying what is expected."""


def text(value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write a text in quotes")
    return value


def seconds(value: object) -> float:
    """A duration with its unit, "250ms" "5s" "2min" "1h", in seconds."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h)\s*", value) if isinstance(value, str) else None
    if found is None:
        if isinstance(value, timedelta):
            return value.total_seconds()
        raise ValueError('write a duration with its unit, like "250ms", "5s", "2min" or "1h"')
    return float(found[1]) * UNITS[found[2]]


def period(value: object) -> float:
    """A duration above zero."""
    if (given := seconds(value)) <= 0:
        raise ValueError('must be longer than 0, like "1s"')
    return given


def whole(low: int, high: int) -> Reader:
    """A whole number from low to high."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return value

    return read


def one_of(*words: str) -> Reader:
    """One of the given words."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError("write one of " + ", ".join(f'"{word}"' for word in words))
        return str(value)

    return read


def yes_or_no(value: object) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("write true or false, without quotes")
    return value


def read_options(
    owner: str,
    kind: str,
    options: Mapping[str, object],
    readers: Mapping[str, Reader],
    defaults: Mapping[str, object],
) -> tuple[dict[str, Any], list[str]]:
    """The options (defaults filled in) and what is wrong with them, "problem; fix" each.

    An option in `readers` and not in `defaults` must be given; a default of None stays None. `owner` and
    `kind` say in the messages whose options they are: 'source "plc"', "protocol opcua".
    """
    found: dict[str, Any] = {}
    problems = [
        f'{owner}: unknown option "{key}" for {kind}; '
        + suggestion(key, readers, f"it knows {', '.join(readers)}")
        for key in options
        if key not in readers
    ]
    for key, reader in readers.items():
        if key not in options and key not in defaults:
            problems.append(f'{owner}: option "{key}" is missing')
            continue
        value = options.get(key, defaults.get(key))
        try:
            found[key] = None if value is None else reader(value)
        except ValueError as error:
            problems.append(f'{owner}, option "{key}": {value!r} does not do; {error}')
    return found, problems
