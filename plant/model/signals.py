"""Signals of machines, and the sources they come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from plant.model.charting import ControlChart
from plant.model.telling import StateBit, StateMapping, StateRange


class Role(StrEnum):
    """What a signal means to the derivation."""

    STATE = "state"
    GOOD = "good"
    REJECT = "reject"
    REWORK = "rework"
    TOTAL = "total"
    CYCLE = "cycle"
    PROCESS_VALUE = "process_value"
    ALARM = "alarm"
    ORDER = "order"
    MATERIAL = "material"


COUNTER_ROLES = (Role.GOOD, Role.REJECT, Role.REWORK, Role.TOTAL)
HELD_ROLES = (Role.STATE, *COUNTER_ROLES, Role.ORDER, Role.MATERIAL)
"""Roles whose value holds until another one comes."""
DISCRETE_ROLES = (*HELD_ROLES, Role.CYCLE)
"""Roles the ledger is derived from. The others are only stored and shown, unless `Signal.decides`."""


class CycleKind(StrEnum):
    """What the value of a cycle signal is."""

    TIME = "time"
    """How long the cycle took that has just ended, in seconds: every sample is a cycle."""
    PULSE = "pulse"
    """On and off: a cycle has ended whenever it goes from 0 to another value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal of one machine. (equipment, id) is its key everywhere."""

    id: str
    equipment: str
    role: Role
    source: str | None = None
    address: str = ""
    """Protocol address, read by the source's collector: OPC UA node id, Modbus "holding:100:uint32",
    SHDR item name."""
    unit: str = ""
    modulus: int | None = None
    """Counters: the value after which it starts at 0 again (65536 for 16 bit). None: it never rolls over."""
    min_cycle: timedelta | None = None
    """Counters: no part can be faster; bounds how many parts two readings can be apart.
    Resolved: half of the fastest ideal cycle of the machine when not given, None when there is none."""
    assumed: bool = False
    """Resolved: nobody gave the `min_cycle`. Ideal cycles may be wrong, so it is no limit to what a counter may rise."""
    scale: float = 1.0
    offset: float = 0.0
    collect: Mapping[str, object] = field(default_factory=dict)
    """How its source's collector gets it (sampling, deadband, byte order ...), checked by that collector."""
    states: Mapping[str, StateMapping] = field(default_factory=dict)
    """State signals: raw value (numbers as "3", text as is) to state."""
    ranges: tuple[StateRange, ...] = ()
    """State signals: values that `states` does not list. They do not overlap."""
    bits: tuple[StateBit, ...] = ()
    """State signals: what the value means that is in neither; the first bit that is set decides."""
    otherwise: StateMapping | None = None
    """State signals: any other value. None: UNKNOWN."""
    cycle: CycleKind = CycleKind.TIME
    """Cycle signals: what the value is."""
    materials: Mapping[str, str] = field(default_factory=dict)
    """Material signals: raw value to material id. A value not listed is itself the id."""
    lower: float | None = None
    """Process values: the lower specification limit. None: there is none."""
    upper: float | None = None
    """Process values: the upper specification limit. None: there is none."""
    target: float | None = None
    """Process values: what it should be."""
    spc: ControlChart = field(default_factory=ControlChart)
    """Process values: their control chart."""
    decides: bool = False
    """Resolved: one of its machine's `states` compares it, so that it is derived from; its value may be a text."""

    def means(self, raw: str) -> bool:
        """State signals: whether the plant file says what a raw value means."""
        if raw in self.states or self.otherwise is not None:
            return True
        try:
            number = float(raw)
        except ValueError:
            return False
        whole = number.is_integer() and 0 <= number < 2**53
        return any(each.low <= number <= each.high for each in self.ranges) or (
            whole and any(int(number) >> each.bit & 1 for each in self.bits)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One connection to equipment. `options` are checked by the collector of that protocol."""

    id: str
    protocol: str
    process: str = "collect"
    """Which collector process it runs in: sources of one name share one."""
    options: Mapping[str, object] = field(default_factory=dict)
