"""Reading the options of a source and of its signals: every mistake at once, each with its fix. Pure."""

from collections.abc import Mapping
from typing import Any

from plant.model import Signal, Source
from plant.parsing import options
from plant.parsing.options import Reader


def read_options(
    source: Source, readers: Mapping[str, Reader], defaults: Mapping[str, object]
) -> tuple[dict[str, Any], list[str]]:
    """The source's options and what is wrong with them: `plant.parsing.options.read_options`."""
    kind = f"protocol {source.protocol}"
    return options.read_options(f'source "{source.id}"', kind, source.options, readers, defaults)


def read_collect(
    signal: Signal, protocol: str, readers: Mapping[str, Reader], defaults: Mapping[str, object]
) -> tuple[dict[str, Any], list[str]]:
    """The same for a signal's `collect = { ... }`."""
    name = f'signal "{signal.equipment}.{signal.id}", collect'
    return options.read_options(name, f"protocol {protocol}", signal.collect, readers, defaults)
