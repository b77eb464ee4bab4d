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


def check(plant: Plant) -> list[str]:
    """What is wrong with the plant's channels, each with the fix."""
    kinds = discover()
    errors: list[str] = []
    for config in plant.channels.values():
        if config.kind in kinds:
            errors += kinds[config.kind].check(config)
        else:
            known = ", ".join(kinds)
            errors.append(f'channel {config.id}: kind "{config.kind}" is not one of {known}')
    return errors


def create(plant: Plant) -> dict[str, Channel]:
    """The plant's channels by id. Raises ValueError with what `check` finds."""
    errors = check(plant)
    if errors:
        raise ValueError("; ".join(errors))
    kinds = discover()
    return {config.id: kinds[config.kind].create(config) for config in plant.channels.values()}
