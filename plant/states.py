"""Machine states and the time categories they are booked to.

States follow the few words a board must tell apart; categories are the time elements of
ISO 22400-2 as ARCHITECTURE.md's time model groups them.
"""

from enum import StrEnum


class MachineState(StrEnum):
    """What a machine is doing, as its mapped state signal says."""

    RUNNING = "running"
    DOWN = "down"
    STARVED = "starved"
    BLOCKED = "blocked"
    SETUP = "setup"
    PLANNED_STOP = "planned_stop"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


STOPPED = tuple(s for s in MachineState if s not in (MachineState.RUNNING, MachineState.UNKNOWN))
"""The states of a stop."""


class TimeCategory(StrEnum):
    """Where a microsecond of a machine's calendar is booked. Every ledger row has exactly one.

    Calendar time = NOT_SCHEDULED + PLANNED_DOWNTIME + planned busy time (PBT);
    PBT = all the others.
    """

    NOT_SCHEDULED = "not_scheduled"
    PLANNED_DOWNTIME = "planned_downtime"
    UNPLANNED_DOWNTIME = "unplanned_downtime"
    CHANGEOVER = "changeover"
    MICRO_STOP = "micro_stop"
    STARVED = "starved"
    BLOCKED = "blocked"
    RUNNING = "running"
    UNKNOWN = "unknown"


BUSY_CATEGORIES = tuple(
    c for c in TimeCategory if c not in (TimeCategory.NOT_SCHEDULED, TimeCategory.PLANNED_DOWNTIME)
)
"""The categories that add up to planned busy time (PBT)."""

CATEGORY_OF_STATE: dict[MachineState, TimeCategory] = {
    MachineState.RUNNING: TimeCategory.RUNNING,
    MachineState.DOWN: TimeCategory.UNPLANNED_DOWNTIME,
    MachineState.STARVED: TimeCategory.STARVED,
    MachineState.BLOCKED: TimeCategory.BLOCKED,
    MachineState.SETUP: TimeCategory.CHANGEOVER,
    MachineState.PLANNED_STOP: TimeCategory.PLANNED_DOWNTIME,
    MachineState.MAINTENANCE: TimeCategory.PLANNED_DOWNTIME,
    MachineState.UNKNOWN: TimeCategory.UNKNOWN,
}
"""The category of a state inside a shift and outside a break (DOWN may become MICRO_STOP by its length)."""
