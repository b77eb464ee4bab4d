"""The plant as data: what the plant file says, checked and immutable.

Names follow ISA-95 / IEC 62264 (equipment levels, material definition, work calendar). Built by
`plant.parse`; everything else only reads it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from zoneinfo import ZoneInfo

from plant.expressions import Condition
from plant.states import MachineState


class EquipmentLevel(StrEnum):
    """ISA-95 equipment levels (B2MML EquipmentLevel), outermost first."""

    ENTERPRISE = "Enterprise"
    SITE = "Site"
    AREA = "Area"
    PRODUCTION_LINE = "ProductionLine"
    WORK_CELL = "WorkCell"
    WORK_CENTER = "WorkCenter"
    WORK_UNIT = "WorkUnit"


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


class OrderSource(StrEnum):
    """Who says which order and product is on a machine."""

    TERMINAL = "terminal"
    PLC = "plc"
    SCHEDULE = "schedule"


class Convention(StrEnum):
    """Which published OEE arithmetic is used (docs/adr/0004).

    NAKAJIMA: micro-stops are a performance loss (Nakajima 1988, Vorne). ISO22400: they are an
    availability loss, APT is production time only (ISO 22400-2).
    """

    NAKAJIMA = "nakajima"
    ISO22400 = "iso22400"


class BreakRule(StrEnum):
    """What a calendar break does to a machine's time."""

    PLANNED_DOWNTIME = "planned_downtime"
    UNLESS_RUNNING = "unless_running"


class ChangeoverRule(StrEnum):
    """What is a changeover."""

    STATE = "state"
    """A setup state."""
    DETECT = "detect"
    """A setup state; on a machine that has none, a stop in which the product changes."""
    OFF = "off"
    """Nothing: a setup state is downtime like any other."""


class ChartKind(StrEnum):
    """A control chart (ISO 7870)."""

    I_MR = "i_mr"
    XBAR_R = "xbar_r"
    XBAR_S = "xbar_s"
    EWMA = "ewma"
    CUSUM = "cusum"
    P = "p"
    NP = "np"
    C = "c"
    U = "u"


class RuleSet(StrEnum):
    """Run rules of a control chart."""

    WESTERN_ELECTRIC = "western_electric"
    NELSON = "nelson"


class Subgrouping(StrEnum):
    """Where a subgroup of values ends."""

    COUNT = "count"
    """After `size` values."""
    TIME = "time"
    """After a piece of time."""
    ORDER = "order"
    """With the order."""
    INSPECTION = "inspection"
    """When nothing came for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChart:
    """How a process value is charted. By default: single values, one a minute."""

    chart: ChartKind = ChartKind.I_MR
    by: Subgrouping = Subgrouping.TIME
    size: int | None = 1
    """Values in a subgroup: the first ones. None: all there are."""
    every: timedelta = timedelta(minutes=1)
    """By time: how long a piece is; they begin at midnight UTC."""
    gap: timedelta = timedelta(minutes=1)
    """By inspection: the pause that ends one."""
    rules: RuleSet = RuleSet.NELSON
    running: bool = True
    """Only values from while the machine was running."""
    weight: float = 0.2
    """EWMA: of the newest point (lambda)."""
    width: float = 3.0
    """EWMA: of the limits, in standard errors (L)."""
    slack: float = 0.5
    """CUSUM: the allowance K, in standard errors."""
    decision: float = 5.0
    """CUSUM: the decision interval H, in standard errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Plant-wide defaults of the derivation."""

    convention: Convention = Convention.NAKAJIMA
    micro_stop: timedelta = timedelta(minutes=2)
    """A DOWN interval shorter than this, before any cut, is a micro-stop. Zero: there are none."""
    min_running: timedelta = timedelta(0)
    """Running for less than this between two stops, with no part counted, is a piece of the stop before it."""
    changeover: ChangeoverRule = ChangeoverRule.STATE
    startup: timedelta = timedelta(0)
    """Rejects made so soon after a changeover are those of starting up."""
    breaks: BreakRule = BreakRule.PLANNED_DOWNTIME
    orders_from: tuple[OrderSource, ...] = tuple(OrderSource)
    """Who is believed about order and product, the first most; who is left out is not asked."""
    target_oee: float = 0.85
    blind_after: timedelta = timedelta(seconds=30)
    """A machine nothing can be known of for so long is an alert of its own. Zero: it is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The ISA-95 site; wall times in the plant file are in its zone."""

    id: str
    name: str
    zone: ZoneInfo
    currency: str = ""
    """What money is counted in; "": nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMapping:
    """What one raw value of a state signal means."""

    state: MachineState
    reason: str | None = None


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
class Break:
    """A planned pause inside a shift, in wall time."""

    start: time
    end: time
    name: str = "break"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A shift in wall time; one that ends at or before its start runs over midnight and belongs to the day it
    began."""

    id: str
    name: str
    start: time
    end: time
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    """Days of the calendar's cycle the shift begins on, the first one 0: of a week, Monday."""
    breaks: tuple[Break, ...] = ()
    crews: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Who works it on which of those days: (crew, days). A day is in one of them at most."""

    def crew(self, day: int) -> str | None:
        """The crew that works it when it begins on that day of the cycle; None: nobody said."""
        return next((crew for crew, days in self.crews if day in days), None)


_Date = date
"""The type, where a field has its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarException:
    """Dates that differ: a holiday or shutdown (`shifts == ()`), other shifts, an extra one, part of a day off."""

    date: date
    until: _Date | None = None
    """The last of the dates; None: it is that one date."""
    equipment: tuple[str, ...] = ()
    """It holds for these and everything below them; empty: for all that work by the calendar."""
    shifts: tuple[Shift, ...] | None = ()
    """What begins on these dates instead of the usual shifts; None: the usual ones stay."""
    add: tuple[Shift, ...] = ()
    """What begins besides."""
    closed: tuple[tuple[time, time], ...] = ()
    """Wall times (start, end) of each of the dates that are not scheduled, whatever the shifts say; over midnight when
    the end is not after the start."""
    name: str = ""

    def holds_on(self, day: _Date) -> bool:
        """Whether the date is one of them."""
        return self.date <= day <= (self.until or self.date)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkCalendar:
    """Shifts of a week, or of a longer cycle (rotating shifts), with exceptions, in the site's zone."""

    id: str
    shifts: tuple[Shift, ...]
    exceptions: tuple[CalendarException, ...] = ()
    """In the order they are laid over the shifts, one over the other."""
    cycle: int = 7
    """Days after which the shifts repeat."""
    anchor: date = date(2001, 1, 1)
    """A first day of the cycle; of a week, a Monday."""

    def day_of_cycle(self, day: date) -> int:
        """Which day of the cycle a date is, the first one 0."""
        return (day - self.anchor).days % self.cycle

    def shifts_on(self, day: date) -> tuple[Shift, ...]:
        """The shifts that begin on a date."""
        place = self.day_of_cycle(day)
        found = tuple(s for s in self.shifts if place in s.days)
        for exception in self.exceptions:
            if exception.holds_on(day):
                found = (found if exception.shifts is None else exception.shifts) + exception.add
        return found

    def closed_on(self, day: date) -> tuple[tuple[time, time], ...]:
        """The parts of a date that exceptions take out."""
        return tuple(part for e in self.exceptions if e.holds_on(day) for part in e.closed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A node of the reason tree for stops."""

    id: str
    name: str
    parent: str | None = None
    planned: bool = False
    """A stop with this reason is planned downtime."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorianConfig:
    """Where samples are kept. A text option may be {env = "NAME"}: the value of that variable."""

    kind: str = "parquet"
    """parquet: segments in the data folder. influxdb: a server, 1.8+, 2.x or 3.x."""
    keep: timedelta | None = timedelta(days=400)
    """Older samples are forgotten; None: never."""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsConfig:
    """Where orders, ledger, alerts and audit are kept."""

    url: object = None
    """postgresql://user@host/name, or {env = "NAME"}; None: SQLite in the data folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """How much may wait between collectors and historian."""

    max_bytes: int = 4_000_000_000
    """Of one collector process. At the limit nothing more is acknowledged: sources that can, wait."""
    max_age: timedelta = timedelta(days=30)
    """Batches that have waited longer are dropped, and recorded as a gap."""


@dataclass(frozen=True, kw_only=True)
class Plant:
    """Everything the plant file says. What is asked of it every second for every machine is worked out once."""

    site: Site
    settings: Settings = field(default_factory=Settings)
    equipment: Mapping[str, Equipment] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    signals: Mapping[tuple[str, str], Signal] = field(default_factory=dict)
    materials: Mapping[str, Material] = field(default_factory=dict)
    calendars: Mapping[str, WorkCalendar] = field(default_factory=dict)
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)
    channels: Mapping[str, ChannelConfig] = field(default_factory=dict)
    escalations: Mapping[str, Escalation] = field(default_factory=dict)
    alert_rules: Mapping[str, AlertRule] = field(default_factory=dict)
    historian: HistorianConfig = field(default_factory=HistorianConfig)
    records: RecordsConfig = field(default_factory=RecordsConfig)
    spool: SpoolConfig = field(default_factory=SpoolConfig)

    def machines(self) -> tuple[Equipment, ...]:
        """Equipment whose state is told, in plant-file order."""
        return self._machines

    def calendar_of(self, equipment: str) -> WorkCalendar | None:
        """The calendar a machine works by, with the exceptions that hold for it, the widest first; None: around the clock.

        Machines with the same hours have the same object.
        """
        return self._calendar_of[equipment]

    def by_calendar(self, equipment: Iterable[str]) -> list[tuple[WorkCalendar | None, list[str]]]:
        """Equipment with the same hours together, in the order it comes."""
        found: dict[int, tuple[WorkCalendar | None, list[str]]] = {}
        for one in equipment:
            calendar = self.calendar_of(one)
            found.setdefault(id(calendar), (calendar, []))[1].append(one)
        return list(found.values())

    def signals_of(self, equipment: str, *roles: Role) -> tuple[Signal, ...]:
        """Signals of one machine, of the given roles (all when none is given)."""
        return tuple(
            s for s in self.signals.values() if s.equipment == equipment and (not roles or s.role in roles)
        )

    def derived_signals(self) -> tuple[Signal, ...]:
        """Signals the ledger is derived from."""
        return self._derived

    def state_signals(self) -> tuple[Signal, ...]:
        """Signals that tell states: state signals, what `states` compare, and what `cycle_gaps` are between."""
        cycling = {(s.equipment, s.id) for m in self._machines if m.cycle_gaps for s in self.cycling(m.id)}
        return tuple(
            s for s in self._derived if s.role is Role.STATE or s.decides or (s.equipment, s.id) in cycling
        )

    @cached_property
    def look_back(self) -> timedelta:
        """From how long before a time on a machine's parts must be known to tell its state then from its cycles: twice
        the longest gap that is not idle. Zero: no state is told so."""
        gaps = {m.id: m.cycle_gaps.micro_stop for m in self._machines if m.cycle_gaps is not None}
        longest = (
            2 * gaps[ideal.equipment] * ideal.cycle
            for material in self.materials.values()
            for ideal in material.ideal_cycles
            if ideal.equipment in gaps
        )
        return max(longest, default=timedelta(0))

    def cycling(self, equipment: str) -> tuple[Signal, ...]:
        """What tells when a machine finished a part: its cycle signal, else its total counter, else its others."""
        for roles in ((Role.CYCLE,), (Role.TOTAL,), COUNTER_ROLES):
            if found := self.signals_of(equipment, *roles):
                return found
        return ()

    def roles(self) -> dict[str, set[Role]]:
        """Roles of the signals of each equipment that has any."""
        found: dict[str, set[Role]] = {}
        for signal in self.signals.values():
            found.setdefault(signal.equipment, set()).add(signal.role)
        return found

    def ancestors(self, equipment: str) -> tuple[str, ...]:
        """Ids from the parent up to the root."""
        return self._ancestors[equipment]

    def below(self, equipment: str) -> frozenset[str]:
        """The equipment itself and everything under it."""
        return self._below.get(equipment, frozenset())

    def line_of(self, equipment: str) -> str:
        """The nearest ancestor at ProductionLine, WorkCell or WorkCenter level; if none, the parent or the
        machine itself."""
        lines = (EquipmentLevel.PRODUCTION_LINE, EquipmentLevel.WORK_CELL, EquipmentLevel.WORK_CENTER)
        up = self.ancestors(equipment)
        return next((a for a in up if self.equipment[a].level in lines), up[0] if up else equipment)

    @cached_property
    def _machines(self) -> tuple[Equipment, ...]:
        with_state = {s.equipment for s in self.signals.values() if s.role is Role.STATE}
        return tuple(
            e for e in self.equipment.values() if e.id in with_state or e.states or e.cycle_gaps is not None
        )

    @cached_property
    def _derived(self) -> tuple[Signal, ...]:
        machines = {m.id for m in self._machines}
        return tuple(
            s
            for s in self.signals.values()
            if s.decides or s.role in HELD_ROLES or (s.role in DISCRETE_ROLES and s.equipment in machines)
        )

    @cached_property
    def _calendar_of(self) -> Mapping[str, WorkCalendar | None]:
        found: dict[str, WorkCalendar | None] = {}
        shared: dict[tuple[str, tuple[int, ...]], WorkCalendar] = {}
        for equipment, node in self.equipment.items():
            if node.calendar is None:
                found[equipment] = None
                continue
            calendar = self.calendars[node.calendar]
            path = (*reversed(self.ancestors(equipment)), equipment)
            held = exceptions_of(calendar, path)
            key = node.calendar, tuple(held)
            if key not in shared:
                exceptions = tuple(calendar.exceptions[number] for number in held)
                shared[key] = replace(calendar, exceptions=exceptions)
            found[equipment] = shared[key]
        return found

    @cached_property
    def _ancestors(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for equipment in self.equipment:
            path: list[str] = []
            node = self.equipment[equipment].parent
            while node is not None:
                path.append(node)
                node = self.equipment[node].parent
            found[equipment] = tuple(path)
        return found

    @cached_property
    def _below(self) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for equipment, path in self._ancestors.items():
            for node in (equipment, *path):
                found.setdefault(node, set()).add(equipment)
        return {node: frozenset(under) for node, under in found.items()}


def exceptions_of(calendar: WorkCalendar, path: Sequence[str]) -> list[int]:
    """Places of the exceptions that hold at the end of a path from the root, the widest first."""
    depth = {name: number for number, name in enumerate(path)}
    held = [
        (max((depth.get(name, -2) for name in e.equipment), default=-1), number)
        for number, e in enumerate(calendar.exceptions)
    ]
    return [number for level, number in sorted(held) if level > -2]
