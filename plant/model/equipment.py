"""The equipment tree (ISA-95 equipment levels)."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from plant.model.settings import ChangeoverRule, OrderSource
from plant.model.telling import CycleGaps, StateRule


class EquipmentLevel(StrEnum):
    """ISA-95 equipment levels (B2MML EquipmentLevel), outermost first."""

    ENTERPRISE = "Enterprise"
    SITE = "Site"
    AREA = "Area"
    PRODUCTION_LINE = "ProductionLine"
    WORK_CELL = "WorkCell"
    WORK_CENTER = "WorkCenter"
    WORK_UNIT = "WorkUnit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """One node of the equipment tree. A node whose state is told, by a signal, by `states` or by `cycle_gaps`, is a
    *machine*."""

    id: str
    name: str
    level: EquipmentLevel
    parent: str | None = None
    description: str = ""
    calendar: str | None = None
    """Resolved: inherited from the nearest ancestor that names one. None: scheduled around the clock."""
    stale_after: timedelta | None = None
    """Resolved. A state or order value holds this long after its last sample, then the machine is unknown.
    None: until the next sample."""
    micro_stop: timedelta | None = None
    """Resolved threshold (never None after parsing)."""
    min_running: timedelta | None = None
    """Resolved: as in `Settings` (never None after parsing)."""
    changeover: ChangeoverRule | None = None
    """Resolved: as in `Settings` (never None after parsing)."""
    startup: timedelta | None = None
    """Resolved: as in `Settings` (never None after parsing)."""
    upstream: tuple[str, ...] = ()
    """Machines that feed this one (line topology)."""
    buffer: timedelta = timedelta(0)
    """How long parts are on their way from them: a stop that ended less than that ago is still felt at the other end."""
    constraint: str | None = None
    """A line: the machine that sets its pace (`analytics.ledger.lineaccount`)."""
    material: str | None = None
    """What a machine makes when no order says it."""
    orders_from: tuple[OrderSource, ...] = ()
    """Resolved: as in `Settings` (never empty after parsing)."""
    states: tuple[StateRule, ...] = ()
    """Its state is told from several of its signals: the first rule that holds; none: UNKNOWN."""
    cycle_gaps: CycleGaps | None = None
    """Its state is told from the time between its parts."""
    cost_per_hour: float | None = None
    """Money an hour of planned time lost on this machine costs; None: nobody said."""
