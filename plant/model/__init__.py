"""The plant as data: what the plant file says, checked and immutable. A module per topic, as in `plant.parsing`.

Names follow ISA-95 / IEC 62264 (equipment levels, material definition, work calendar). Built by
`plant.parse`; everything else only reads it.
"""

from plant.model.calendars import Break, CalendarException, Shift, WorkCalendar, exceptions_of
from plant.model.charting import ChartKind, ControlChart, RuleSet, Subgrouping
from plant.model.equipment import Equipment, EquipmentLevel
from plant.model.materials import IdealCycle, Material, Reason
from plant.model.people import AlertRule, ChannelConfig, Escalation, EscalationStep, User
from plant.model.plant import Plant
from plant.model.settings import BreakRule, ChangeoverRule, Convention, OrderSource, Settings, Site
from plant.model.signals import COUNTER_ROLES, DISCRETE_ROLES, HELD_ROLES, CycleKind, Role, Signal, Source
from plant.model.stores import HistorianConfig, RecordsConfig, SpoolConfig
from plant.model.telling import CycleGaps, StateBit, StateMapping, StateRange, StateRule

__all__ = [
    "COUNTER_ROLES",
    "DISCRETE_ROLES",
    "HELD_ROLES",
    "AlertRule",
    "Break",
    "BreakRule",
    "CalendarException",
    "ChangeoverRule",
    "ChannelConfig",
    "ChartKind",
    "ControlChart",
    "Convention",
    "CycleGaps",
    "CycleKind",
    "Equipment",
    "EquipmentLevel",
    "Escalation",
    "EscalationStep",
    "HistorianConfig",
    "IdealCycle",
    "Material",
    "OrderSource",
    "Plant",
    "Reason",
    "RecordsConfig",
    "Role",
    "RuleSet",
    "Settings",
    "Shift",
    "Signal",
    "Site",
    "Source",
    "SpoolConfig",
    "StateBit",
    "StateMapping",
    "StateRange",
    "StateRule",
    "Subgrouping",
    "User",
    "WorkCalendar",
    "exceptions_of",
]
