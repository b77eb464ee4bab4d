"""Collectors: one module or package per protocol, each offering `check` and `create` (`collectors.ports`)."""

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def discover() -> dict[str, ModuleType]:
    """The protocols found in this package, by name: every module in it that has `check` and `create`.

    The modules import their client library only in `create`, so this is cheap.
    """
    found: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        if callable(getattr(module, "check", None)) and callable(getattr(module, "create", None)):
            found[info.name] = module
    return found
