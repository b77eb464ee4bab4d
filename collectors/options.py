"""Reading a source's options: every mistake at once, each with its fix. Pure."""

from collections.abc import Mapping
from typing import Any

from plant.model import Source
from plant.parsing import options
from plant.parsing.options import Reader


def read_options(
    source: Source, readers: Mapping[str, Reader], defaults: Mapping[str, object]
) -> tuple[dict[str, Any], list[str]]:
    """The source's options and what is wrong with them: `plant.parsing.options.read_options`."""
    kind = f"protocol {source.protocol}"
    return options.read_options(f'source "{source.id}"', kind, source.options, readers, defaults)
