"""All that a plant file says, and what is asked of it often."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from plant.model.calendars import WorkCalendar, exceptions_of
from plant.model.equipment import Equipment, EquipmentLevel
from plant.model.materials import Material, Reason
from plant.model.people import AlertRule, ChannelConfig, Escalation, User
from plant.model.settings import Settings, Site
from plant.model.signals import COUNTER_ROLES, DISCRETE_ROLES, HELD_ROLES, Role, Signal, Source
from plant.model.stores import HistorianConfig, RecordsConfig, SpoolConfig


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

    @cached_property
    def first_cycles(self) -> Mapping[tuple[str, str], datetime | None]:
        """Since when a counted machine has an ideal cycle for a material; None: ever. By machine and material, sorted."""
        counted = {machine for machine, roles in self.roles().items() if roles & {Role.GOOD, Role.TOTAL}}
        found: dict[tuple[str, str], datetime | None] = {}
        for material in self.materials.values():
            for cycle in material.ideal_cycles:
                if cycle.equipment in counted:
                    pair, since = (cycle.equipment, material.id), cycle.valid_from
                    known = found.setdefault(pair, since)
                    found[pair] = None if known is None or since is None else min(known, since)
        return dict(sorted(found.items()))

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
