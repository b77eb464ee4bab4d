"""Ways to reach people, one module per kind. A new kind is a new file; nothing else changes."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import cast

from alerting.ports import Channel, ChannelModule
from plant.model import Plant


def discover() -> Mapping[str, ChannelModule]:
    """The channel modules by kind, which is their file name."""
    kinds = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {kind: cast(ChannelModule, import_module(f"{__name__}.{kind}")) for kind in kinds}


def create(plant: Plant) -> dict[str, Channel]:
    """The plant's channels by id, its secrets resolved.

    Raises ValueError with what the channels' `check` finds (a plant file that was loaded has none).
    """
    kinds = discover()
    return {config.id: kinds[config.kind].create(config) for config in plant.channels.values()}
