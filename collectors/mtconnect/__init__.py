"""MTConnect: an agent over HTTP, followed from one sequence number to the next, also over outages and restarts.

Options: `url` ("http://192.168.0.20:5000"); `device` (one device's name or uuid; none: all of the agent); `interval`
("100ms": how often the agent sends what is new); `stream` (true; false: ask again instead of one long answer);
`heartbeat` ("5s", "0s": off). A signal's address is a data item's id, its name, or "DEVICE:name".
"""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from collectors.options import read_collect, read_options
from plant.model import Signal, Source
from plant.parsing.options import period, seconds, text, yes_or_no

if TYPE_CHECKING:
    from collectors.mtconnect.client import MtconnectCollector

__all__ = ["check", "create"]


def _url(value: object) -> str:
    given = text(value).strip().rstrip("/")
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError('write it like "http://192.168.0.20:5000"')
    return given


def _device(value: object) -> str:
    given = text(value)
    if any(c in given for c in "/?#"):
        raise ValueError("write the device's name or uuid as the agent's probe shows it")
    return given


READERS = {"url": _url, "device": _device, "interval": period, "stream": yes_or_no, "heartbeat": seconds}
DEFAULTS = {"device": None, "interval": "100ms", "stream": True, "heartbeat": "5s"}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    _, problems = read_options(source, READERS, DEFAULTS)
    for signal in signals:
        problems += read_collect(signal, "mtconnect", {}, {})[1]
        if not signal.address.strip():
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": the address is empty; write a data item\'s id, '
                'its name, or "DEVICE:name"'
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "MtconnectCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.mtconnect.client import MtconnectCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return MtconnectCollector(source, signals, options, folder)
