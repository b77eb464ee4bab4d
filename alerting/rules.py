"""Alert rules: which stops deserve an alert now, and whether the ones alerted are still on.

Pure: machine statuses and *now* in, conditions and standings out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from alerting.alert import Alert
from plant.model import AlertRule, Plant
from plant.states import MachineState, TimeCategory


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineStatus:
    """What a machine is doing now, as the live derivation has it."""

    equipment: str
    state: MachineState
    since: datetime
    """When it entered this state, whatever the reason; not cut at shift or order edges."""
    reason: str | None
    """Reason id, after re-coding."""
    category: TimeCategory
    planned: timedelta | None = None
    """How much of the time since `since` lies inside planned time; None: all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A rule that is met now."""

    rule: str
    equipment: str
    since: datetime
    state: MachineState
    reason: str | None

    @property
    def fingerprint(self) -> str:
        """The stable key of the stop under this rule: equal for every evaluation of the same stop."""
        return f"{self.rule}:{self.equipment}:{self.since.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"


class Standing(StrEnum):
    """What became of the condition behind an alert."""

    SAME_STOP = "same_stop"
    NO_DATA = "no_data"
    """Nobody knows: the alert is held, it neither ends nor starts anew."""
    DATA_BACK = "data_back"
    """Stopped before and after a gap in the data: still the same stop."""
    STOP_ENDED = "stop_ended"
    PLANNED = "planned"
    """Somebody coded the stop with a planned reason."""
    NOT_SCHEDULED = "not_scheduled"
    """The shift is over. The next one is alerted again if the machine still stands."""
    RULE_GONE = "rule_gone"
    """The plant file has no such rule any more, or it no longer covers the machine."""


ON = (Standing.SAME_STOP, Standing.NO_DATA, Standing.DATA_BACK)
"""Standings in which an alert stays active. A break does not end it: the machine still needs somebody."""


def evaluate(plant: Plant, machines: Iterable[MachineStatus], now: datetime) -> list[Condition]:
    """The rules met now, in the order of the plant file's rules.

    A rule is met when the machine has been in one of its states for at least `longer_than` of planned
    time and is in planned time now (not outside the shifts, not in a break, not for a planned reason).
    """
    stopped = [
        m
        for m in machines
        if m.equipment in plant.equipment
        and m.category not in (TimeCategory.NOT_SCHEDULED, TimeCategory.PLANNED_DOWNTIME)
        and not _is_planned(plant, m.reason)
    ]
    return [
        Condition(rule=rule.id, equipment=m.equipment, since=m.since, state=m.state, reason=m.reason)
        for rule in plant.alert_rules.values()
        for m in stopped
        if m.state in rule.states
        and (m.planned if m.planned is not None else now - m.since) >= rule.longer_than
        and covers(plant, rule, m.equipment)
    ]


def standing(plant: Plant, alert: Alert, machine: MachineStatus | None) -> Standing:
    """Whether the stop behind an active alert is still on. `machine` is None when nothing is known of it."""
    rule = plant.alert_rules.get(alert.rule)
    if rule is None or alert.equipment not in plant.equipment or not covers(plant, rule, alert.equipment):
        return Standing.RULE_GONE
    if machine is None:
        return Standing.NO_DATA
    unknown = machine.state is MachineState.UNKNOWN and machine.state not in rule.states
    if machine.state not in rule.states and not unknown:
        return Standing.STOP_ENDED
    if machine.category is TimeCategory.NOT_SCHEDULED:
        return Standing.NOT_SCHEDULED
    if unknown:
        return Standing.NO_DATA
    if _is_planned(plant, machine.reason):
        return Standing.PLANNED
    # The start of a stop may be restated by late data; one that began after we last saw this stop is another.
    if machine.since <= alert.confirmed:
        return Standing.SAME_STOP
    return Standing.DATA_BACK if alert.held else Standing.STOP_ENDED


def covers(plant: Plant, rule: AlertRule, equipment: str) -> bool:
    """Whether a rule applies to a machine: it names it, something above it, or nothing at all."""
    return not rule.equipment or any(e in rule.equipment for e in (equipment, *plant.ancestors(equipment)))


def _is_planned(plant: Plant, reason: str | None) -> bool:
    return reason is not None and reason in plant.reasons and plant.reasons[reason].planned
