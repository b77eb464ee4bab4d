"""What is made and how fast (ISA-95 material definition), and why machines stop."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class IdealCycle:
    """Planned run time per item of one material on one machine, from a date on (ISO 22400 PRI)."""

    equipment: str
    cycle: timedelta
    valid_from: datetime | None = None
    """UTC; None: since ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """ISA-95 material definition."""

    id: str
    name: str
    unit: str = "pcs"
    value: float | None = None
    """Money a scrapped part costs; None: nobody said."""
    ideal_cycles: tuple[IdealCycle, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A node of the reason tree for stops."""

    id: str
    name: str
    parent: str | None = None
    planned: bool = False
    """A stop with this reason is planned downtime."""
