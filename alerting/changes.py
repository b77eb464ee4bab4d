"""What has to change now: the alerts that are open against what the machines do. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from alerting.alert import Alert, OrderContext
from alerting.escalation import DueStep, due_steps
from alerting.rules import ON, Condition, MachineStatus, Standing, evaluate, standing
from alerting.text import NO_REASON
from plant.model import Plant

SLACK_STEP = 60.0
"""Seconds the forecast must move before an open alert is rewritten with it."""


@dataclass(frozen=True, slots=True)
class Raise:
    """A rule is met and no alert says so yet."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Update:
    """The alert as it is now, and what that adds to its history: (event, detail)."""

    alert: Alert
    events: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Return:
    """The condition is gone, and why."""

    alert: Alert
    because: Standing


@dataclass(frozen=True, slots=True)
class Escalate:
    """Steps are due, in order."""

    alert: Alert
    due: tuple[DueStep, ...]


Change = Raise | Update | Return | Escalate


def changes(
    plant: Plant,
    active: Sequence[Alert],
    machines: Sequence[MachineStatus],
    orders: Mapping[str, OrderContext],
    now: datetime,
) -> Iterator[Change]:
    """What a tick has to do, ends before beginnings: a machine that stopped anew gets a new alert."""
    status = {m.equipment: m for m in machines}
    standing_on: set[tuple[str, str]] = set()
    for alert in active:
        machine = status.get(alert.equipment)
        found = standing(plant, alert, machine)
        if found not in ON:
            yield Return(alert, found)
            continue
        standing_on.add((alert.rule, alert.equipment))
        update = _updated(plant, alert, found, machine, orders, now)
        if update is not None:
            yield update
            alert = update.alert
        due = tuple(due_steps(alert, now))
        if due:
            yield Escalate(alert, due)
    for condition in evaluate(plant, machines, now):
        if (condition.rule, condition.equipment) not in standing_on:
            yield Raise(condition)


def reason_name(plant: Plant, reason: str | None) -> str | None:
    """What a reason is called; its id when the plant file does not list it."""
    if reason is None:
        return None
    return plant.reasons[reason].name if reason in plant.reasons else reason


def _updated(
    plant: Plant,
    alert: Alert,
    found: Standing,
    machine: MachineStatus | None,
    orders: Mapping[str, OrderContext],
    now: datetime,
) -> Update | None:
    """The alert with what is new about it; None when nothing is."""
    events: list[tuple[str, str]] = []
    after = alert
    if found is Standing.NO_DATA and not alert.held:
        after = replace(after, held=True)
        events.append(("no_data", "nothing is known of the machine; the alert stays"))
    elif found is not Standing.NO_DATA and alert.held:
        after = replace(after, held=False, confirmed=now)
        events.append(("data_back", "the machine still stands"))
    if machine is not None and found is not Standing.NO_DATA:
        if machine.reason != alert.reason:
            name = reason_name(plant, machine.reason)
            after = replace(after, reason=machine.reason, reason_name=name)
            events.append(("reason", name or NO_REASON))
        after = replace(after, machine_state=machine.state)
    if alert.order is not None:
        after = replace(after, order=_forecast(alert.order, orders.get(alert.equipment)))
    return Update(after, tuple(events)) if after != alert else None


def _forecast(known: OrderContext, current: OrderContext | None) -> OrderContext:
    """The order the alert hurts, with its newest forecast; the order itself stays the one at the raise."""
    if current is None or current.order != known.order:
        return known
    if known.slack is None or current.slack is None:
        moved = known.slack is not current.slack
    else:
        moved = abs(current.slack - known.slack) >= SLACK_STEP
    return current if moved or current.due != known.due else known
