"""Who is told of what: users, channels, escalations, alert rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from plant.states import MachineState


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person the plant knows."""

    id: str
    name: str
    email: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """A way to reach people. `options` are checked by the channel of that kind."""

    id: str
    kind: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationStep:
    """Who is told, how, and how long after the alert was raised."""

    after: timedelta
    channel: str
    to: tuple[str, ...] = ()
    """User ids or "role:NAME"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Ordered steps; acknowledging stops the ones still to come."""

    id: str
    name: str
    steps: tuple[EscalationStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """Raise when a machine has been stopped (`states`) for longer than `longer_than` inside planned time."""

    id: str
    name: str
    longer_than: timedelta
    equipment: tuple[str, ...] = ()
    """Equipment ids, each with everything below it; empty: the whole site."""
    states: tuple[MachineState, ...] = (MachineState.DOWN,)
    severity: str = "high"
    """urgent, high, medium or low (ISA-18.2 priorities)."""
    escalation: str | None = None
