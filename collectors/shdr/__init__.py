"""SHDR, the MTConnect adapter's line protocol: live over TCP, or a recorded file.

Options: `host` and `port` (MTConnect's usual 7878), or `file` (a recording, read whole; a path relative to
the working directory); `heartbeat` ("5s", "0s": off). A signal's address is the item's name.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from collectors.options import read_collect, read_options
from collectors.shdr.decode import decode, samples
from collectors.shdr.lines import Problem
from plant.model import Signal, Source
from plant.parsing.options import seconds, text, whole

if TYPE_CHECKING:
    from collectors.shdr.client import ShdrCollector

__all__ = ["Problem", "check", "create", "decode", "samples"]

READERS = {"host": text, "port": whole(1, 65535), "file": text, "heartbeat": seconds}
DEFAULTS = {"host": None, "port": 7878, "file": None, "heartbeat": "5s"}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    options, problems = read_options(source, READERS, DEFAULTS)
    if not problems and (options["host"] is None) == (options["file"] is None):
        problems.append(f'source "{source.id}": give either "host" (live) or "file" (a recording)')
    for signal in signals:
        problems += read_collect(signal, "shdr", {}, {})[1]
        if not signal.address.strip() or any(c in signal.address for c in "|\n\r"):
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": address {signal.address!r} is not an SHDR item '
                'name; write it as the adapter sends it, like "execution"'
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "ShdrCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.shdr.client import ShdrCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return ShdrCollector(source, signals, options, folder)
