"""HTTP push: programs and devices post their samples.

Options: `token` (what a sender must show: `Authorization: Bearer ...`); `host` ("127.0.0.1") and `port` (a free one)
where it listens besides the plant's own `POST /api/v1/samples`; `silent_after` (none: after so long without a post
the source counts as lost); `heartbeat` ("5s": a post that brings nothing new says the held values again).
A signal's address is whatever name the sender uses for it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from collectors.options import read_collect, read_options
from plant.model import Signal, Source
from plant.parsing.options import period, seconds, text, whole

if TYPE_CHECKING:
    from collectors.http.listener import HttpCollector

__all__ = ["check", "create"]

SHORTEST_TOKEN = 16


def _token(value: object) -> str:
    given = text(value)
    if len(given) < SHORTEST_TOKEN or not given.isascii() or " " in given:
        raise ValueError(f"write at least {SHORTEST_TOKEN} letters and digits nobody can guess")
    return given


READERS = {
    "token": _token,
    "host": text,
    "port": whole(0, 65535),
    "silent_after": period,
    "heartbeat": seconds,
}
DEFAULTS = {"host": "127.0.0.1", "port": 0, "silent_after": None, "heartbeat": "5s"}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    _, problems = read_options(source, READERS, DEFAULTS)
    seen: dict[str, Signal] = {}
    for signal in signals:
        problems += read_collect(signal, "http", {}, {})[1]
        other = seen.setdefault(signal.address, signal)
        if other is not signal:
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": its address "{signal.address}" is also that of '
                f"{other.equipment}.{other.id}; give each a name of its own"
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "HttpCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.http.listener import HttpCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return HttpCollector(source, signals, options, folder)
