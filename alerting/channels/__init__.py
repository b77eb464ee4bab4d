"""Ways to reach people, one module per kind. A new kind is a new file; nothing else changes."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import cast

from alerting.ports import ChannelModule


def discover() -> Mapping[str, ChannelModule]:
    """The channel modules by kind, which is their file name."""
    kinds = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {kind: cast(ChannelModule, import_module(f"{__name__}.{kind}")) for kind in kinds}
