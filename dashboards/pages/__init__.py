"""The pages, one module each, found by looking into this package: a module with a `PAGE` is a page."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.callbacks import Callbacks
from dashboards.ports import Backend

Query = Mapping[str, str]
"""The address's query: everything a page shows is chosen there, so that an address can be shared."""


def no_callbacks(backend: Backend, cb: Callbacks) -> None:
    """For a page that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the application."""

    path: str
    title: str
    icon: str
    """Name of a shape in assets/icons.js."""
    order: int
    """Place in the navigation."""
    layout: Callable[[Backend, Query, str], Any]
    """(backend, query, theme: "light" or "dark") -> Dash components. Runs in a thread; may block."""
    register: Callable[[Backend, Callbacks], None] = no_callbacks
    menu: bool = True
    """Whether the navigation lists it; others are linked from where they are needed."""


def discover() -> tuple[Page, ...]:
    """Every page, in the order of the navigation."""
    found = [
        importlib.import_module(f"{__name__}.{module.name}").PAGE for module in pkgutil.iter_modules(__path__)
    ]
    return tuple(sorted(found, key=lambda page: page.order))
