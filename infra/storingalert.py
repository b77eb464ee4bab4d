"""The alert that samples are not stored: it goes through the lifecycle and escalation of the plant's own alerts.

To the alert rules, storing is one more machine that stands; the plant the board shows does not have it.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from alerting.rules import MachineStatus
from plant.model import AlertRule, Equipment, EquipmentLevel, Plant, Reason
from plant.states import MachineState, TimeCategory

STORING = "@storing"
"""Equipment and rule id; ids of a plant file have no "@"."""
AWAY, FULL = "@historian-away", "@spool-nearly-full"
"""Reason ids."""
LONGER_THAN = timedelta(minutes=1)
SEVERITIES = ("urgent", "high", "medium", "low")


def with_storing(plant: Plant) -> Plant:
    """The plant as the alert rules see it: with one more machine, and a rule for that machine alone.

    Whoever the most urgent rule of the plant file reaches is told.
    """
    rules = own_rules(plant)
    rules[STORING] = AlertRule(
        id=STORING,
        name="Samples are not stored",
        longer_than=LONGER_THAN,
        equipment=(STORING,),
        severity="urgent",
        escalation=most_urgent_escalation(plant),
    )
    machine = Equipment(id=STORING, name="Storing of samples", level=EquipmentLevel.WORK_UNIT)
    reasons = {
        AWAY: Reason(id=AWAY, name="The historian does not take them, they wait in the spool"),
        FULL: Reason(id=FULL, name="The spool is nearly full, collection will stop"),
    }
    return replace(
        plant,
        equipment={**plant.equipment, STORING: machine},
        alert_rules=rules,
        reasons={**plant.reasons, **reasons},
    )


def storing_status(away: datetime | None, full: datetime | None, now: datetime) -> MachineStatus:
    """What storing does. `away`: since when nothing can be stored. `full`: since when the spool's alarm is on."""
    since = min((at for at in (away, full) if at is not None), default=None)
    if since is None:
        return MachineStatus(
            equipment=STORING,
            state=MachineState.RUNNING,
            since=now,
            reason=None,
            category=TimeCategory.RUNNING,
        )
    return MachineStatus(
        equipment=STORING,
        state=MachineState.DOWN,
        since=since,
        reason=AWAY if full is None else FULL,
        category=TimeCategory.UNPLANNED_DOWNTIME,
    )


def own_rules(plant: Plant) -> dict[str, AlertRule]:
    """The plant's rules, for its own equipment only: one that names nothing is for the whole plant, and stays that."""
    return {
        r.id: r if r.equipment else replace(r, equipment=tuple(plant.equipment))
        for r in plant.alert_rules.values()
    }


def most_urgent_escalation(plant: Plant) -> str | None:
    """That of the most urgent rule that has one."""
    found = [rule for rule in plant.alert_rules.values() if rule.escalation is not None]
    return min(found, key=lambda rule: SEVERITIES.index(rule.severity)).escalation if found else None
