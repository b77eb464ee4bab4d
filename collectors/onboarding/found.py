"""What a source offers, as browsing it found it. Plain data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

Value = bool | int | float | str | None
"""A value as a collector would deliver it; None: it has none."""

Series = Sequence[tuple[float, Value]]
"""What one variable said: seconds since watching began, and the value; in the order of time."""

Progress = Callable[[str, float], None]
"""Called with a sentence and the part that is done, 0 to 1."""


class Listener(Protocol):
    """Who wants to hear how a look goes on; called on the thread that looks."""

    def progress(self, said: str, done: float) -> None:
        """A sentence, and the part that is done, 0 to 1."""

    def found(self, offer: "Offer", series: Mapping[str, Series]) -> None:
        """What there is; watching begins, and `series` grows while it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to get in."""

    folder: Path
    """The plant's data folder: certificates are in it."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the source besides its address: user, password, security ...; secrets are resolved."""


class OnboardingError(Exception):
    """The source cannot be looked at; the message says why and what to do."""


class Kind(StrEnum):
    """What a value is to a collector."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    OTHER = "other"
    """Nothing a signal can be: an array, a structure, bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node on the way to a variable, the variable itself included."""

    name: str
    uri: str = ""
    """Namespace of the name."""
    type_name: str = ""
    type_uri: str = ""
    """Its type definition, where the protocol has such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One thing that can be read."""

    address: str
    """As a signal in the plant file has it."""
    path: tuple[Step, ...]
    """From the outside in; the last step is the variable."""
    data_type: str
    kind: Kind
    bits: int = 0
    """Integers: how many; 0 when that is not known."""
    unit: str = ""
    description: str = ""
    writable: bool = False
    collect: Mapping[str, object] = field(default_factory=dict)
    """Options of the signal that collects it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What the server calls each raw value ("6" -> "Execute"), where it says so."""
    value: Value = None
    status: str = "Good"

    @property
    def name(self) -> str:
        return self.path[-1].name

    @property
    def place(self) -> str:
        """The path in one line."""
        return "/".join(step.name for step in self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Everything a source offers."""

    url: str
    protocol: str
    options: Mapping[str, object]
    """Of the `[[source]]` that reads it."""
    product: str
    """What answered: maker, product, version."""
    name: str
    """What the source calls itself; names a machine that nothing else names."""
    security: tuple[str, ...] = ()
    """The ways to connect it offers."""
    variables: tuple[Variable, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out, and why."""
    repeats: bool = False
    """Whether its collector will prove, several times in 15 s, that a value still stands: the source's clock was seen to
    agree with the times of its values, or it is polled."""
