"""What the page for a new machine needs: looking at a source, and writing what was confirmed into the plant file."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypedDict


class MeaningView(TypedDict):
    """What a raw value of a state is taken for."""

    raw: str
    state: str  # MachineState
    why: str
    sure: bool  # False: somebody who knows the machine should look


class FoundSignal(TypedDict):
    """One variable of a source."""

    address: str
    name: str  # below what all variables of its machine have in common
    data_type: str
    unit: str
    value: str
    did: str  # what it did while watched, in words; "" when it was not
    line: list[float]  # its values at equal distances in time; empty for texts
    role: str | None  # Role; None: left out
    confidence: float
    reasons: list[str]
    alternatives: list[str]  # other roles it may have, the likeliest first
    states: list[MeaningView]


class FoundMachine(TypedDict):
    """A machine and its signals, those that are proposed first."""

    id: str
    name: str
    why: str
    cycle: str | None  # an ideal cycle as a hint, like "2.4s"
    cycle_why: str
    problems: list[str]
    signals: list[FoundSignal]


class Looking(TypedDict):
    """How far a look at a source is, and what is known by now."""

    job: str
    url: str
    state: str  # looking, watching, done or failed
    said: str  # what it does now, or why it failed
    done: float  # 0 to 1
    product: str
    name: str
    security: list[str]
    notes: list[str]
    machines: list[FoundMachine]
    others: list[FoundSignal]


class Confirmed(TypedDict):
    """A machine as somebody confirmed it."""

    id: str  # of the FoundMachine
    name: str
    cycle: str  # as people write it, "2.4s" or "30/min"; "": none
    roles: Mapping[str, str | None]  # address to role, where it is another one than proposed
    states: Mapping[str, str]  # raw value to MachineState, where it is another one than proposed


class Section(TypedDict):
    """What would be written."""

    file: str
    text: str
    machines: list[str]  # equipment ids in the plant


class Onboarding(Protocol):
    """Part of `dashboards.ports.Backend`. Every method raises Refused with what is wrong and what to do."""

    def look_at(self, url: str, seconds: float) -> str:
        """Begin to look at a source and watch it for so long; the id of the look. A few at a time, nothing is written."""

    def looking(self, job: str) -> Looking:
        """How far it is. A look is forgotten an hour after its end."""

    def section(self, job: str, machines: Sequence[Confirmed]) -> Section:
        """What `add_machines` would write, tried out."""

    def add_machines(self, job: str, machines: Sequence[Confirmed], user: str) -> Section:
        """Write it into the plant file, which the running plant then takes up by itself."""
