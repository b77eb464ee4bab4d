"""How states are told: from the raw values of a signal, from rules over several, from the time between parts."""

from dataclasses import dataclass

from plant.expressions import Condition
from plant.states import MachineState


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMapping:
    """What one raw value of a state signal means."""

    state: MachineState
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRange:
    """Raw values of a state signal from `low` to `high`, both included."""

    low: float
    high: float
    means: StateMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class StateBit:
    """A bit of the raw value of a state signal, 0 the lowest, that means something while it is set."""

    bit: int
    means: StateMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRule:
    """A machine is in this state while the condition over its signals holds and none before it does."""

    when: str
    """As the plant file says it; "": whenever no other rule holds."""
    condition: Condition | None
    """None: always."""
    means: StateMapping


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleGaps:
    """How the time between two parts is read, as multiples of the ideal cycle; each bound is included.

    The first cycle of a gap is running. The rest of it is running too in a gap of up to `running` cycles, running
    slowly up to `slow`, a micro-stop up to `micro_stop`, and idle in a longer one.
    """

    running: float = 1.0
    slow: float = 1.7
    micro_stop: float = 6.0
