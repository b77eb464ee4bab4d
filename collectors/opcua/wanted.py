"""What is asked of a server for each signal, and how it is grouped into subscriptions. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from plant.model import Signal

T = TypeVar("T")

LEAST_QUEUE, MOST_QUEUE = 1000, 100_000
"""Bounds of the queue size we choose ourselves."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One monitored item."""

    key: str
    """ "equipment.signal"."""
    address: str
    publishing_interval: float
    """Seconds, as all times here."""
    sampling: float
    queue_size: int
    deadband: float | None
    """Absolute, in the server's raw unit; None: none."""
    trigger: str


def key_of(signal: Signal) -> str:
    """How a signal is named towards people."""
    return f"{signal.equipment}.{signal.id}"


def wanted(signal: Signal, collect: Mapping[str, Any], options: Mapping[str, Any]) -> Wanted:
    """What the source's `options` and the signal's `collect` options (None: as the source) ask for.

    A queue whose size nobody gave holds what comes during an outage as long as the subscription's lifetime: a value
    each `sampling`, or each `publishing_interval` where the server samples as fast as it can.
    """

    def of(name: str) -> Any:
        return options[name] if collect[name] is None else collect[name]

    interval, sampling = of("publishing_interval"), of("sampling")
    queue = of("queue_size")
    if queue is None:
        values = math.ceil((options["lifetime"] + 2 * interval) / (sampling or interval))
        queue = min(max(values, LEAST_QUEUE), MOST_QUEUE)
    return Wanted(
        key_of(signal), signal.address, interval, sampling, queue, collect["deadband"], of("trigger")
    )


def chunks(things: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """Things in groups of at most `size`; 0 or less: all in one."""
    left = iter(things)
    while chunk := tuple(islice(left, size if size > 0 else None)):
        yield chunk
