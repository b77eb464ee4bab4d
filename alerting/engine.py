"""The alert engine: one tick compares what the machines do with the alerts that are open.

Everything a tick decides, the alerts, their history and the messages about them, is stored in one
transaction: kill it anywhere and the next tick finds either all of it or nothing, and does it again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alerting import text
from alerting.alert import (
    Alert,
    AlertEvent,
    AlertState,
    FrozenStep,
    Kind,
    Notification,
    OrderContext,
    Recipient,
    notification_key,
)
from alerting.changes import Escalate, Raise, Return, Update, changes, reason_name
from alerting.channels import discover
from alerting.escalation import DueStep, audience, due_steps, freeze, remaining
from alerting.lifecycle import Action, Outcome, decide
from alerting.ports import AlertStore, AlertTransaction
from alerting.rules import Condition, MachineStatus, Standing
from plant.model import Plant

RESOLVED_STEP = "resolved"


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick did, as alert ids; `escalated` has one entry per step that ran."""

    raised: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    escalated: tuple[str, ...] = ()


class Engine:
    """Raises, follows, escalates and ends alerts. `plant` may be replaced between ticks (a reload)."""

    def __init__(self, plant: Plant, store: AlertStore, base_url: str = "") -> None:
        """Args: base_url is where people reach the dashboards; without it messages carry no link."""
        self.plant = plant
        self._store = store
        self._base_url = base_url
        self._addressed = {kind for kind, module in discover().items() if module.ADDRESSED}

    def tick(
        self, machines: Sequence[MachineStatus], orders: Mapping[str, OrderContext], now: datetime
    ) -> Tick:
        """Bring the alerts up to date with the machines.

        Args:
            machines: what each machine does; one that is missing counts as "no data".
            orders: machine id to the order it works on.
            now: the time of the tick, UTC.
        """
        plant = self.plant
        # Nearly every tick finds nothing to do: look first, and take the write lock only for a change.
        if next(changes(plant, self._store.active(), machines, orders, now), None) is None:
            return Tick()
        raised: list[str] = []
        returned: list[str] = []
        escalated: list[str] = []
        with self._store.begin() as tx:
            for change in list(changes(plant, tx.active(), machines, orders, now)):
                match change:
                    case Raise(condition):
                        alert = self._raise(tx, condition, orders.get(condition.equipment), now)
                        raised.append(alert.id)
                        escalated += self._escalate(tx, alert, due_steps(alert, now), now)
                    case Update(alert, events):
                        tx.update(alert)
                        for event, detail in events:
                            tx.log(AlertEvent(alert=alert.id, at=now, event=event, detail=detail))
                    case Escalate(alert, due):
                        escalated += self._escalate(tx, alert, due, now)
                    case Return(alert, because):
                        self._return(tx, alert, because, now)
                        returned.append(alert.id)
        return Tick(tuple(raised), tuple(returned), tuple(escalated))

    def acknowledge(self, alert: str, user: str, now: datetime) -> Outcome:
        """Somebody has it: the steps still to come are not run.

        Returns:
            What was done, or why nothing was (already acknowledged, no such alert).
        """
        with self._store.begin() as tx:
            found = tx.get(alert)
            if found is None:
                return Outcome.UNKNOWN_ALERT
            decision = decide(found.state, Action.ACKNOWLEDGE)
            if decision.outcome.done:
                tx.update(replace(found, state=decision.state, acknowledged=now, acknowledged_by=user))
                tx.log(AlertEvent(alert=alert, at=now, event="acknowledged", user=user))
                _log_stopped(tx, found, "acknowledged", now)
            return decision.outcome

    def _raise(
        self, tx: AlertTransaction, condition: Condition, order: OrderContext | None, now: datetime
    ) -> Alert:
        rule = self.plant.alert_rules[condition.rule]
        before = tx.occurrences(condition.fingerprint)
        alert = Alert(
            id=condition.fingerprint if before == 0 else f"{condition.fingerprint}:{before + 1}",
            fingerprint=condition.fingerprint,
            rule=rule.id,
            rule_name=rule.name,
            equipment=condition.equipment,
            equipment_name=self.plant.equipment[condition.equipment].name,
            severity=rule.severity,
            state=AlertState.UNACKNOWLEDGED,
            machine_state=condition.state,
            stop_start=condition.since,
            raised=now,
            confirmed=now,
            reason=condition.reason,
            reason_name=reason_name(self.plant, condition.reason),
            order=order,
            policy=freeze(self.plant, rule.escalation),
        )
        tx.add(alert)
        tx.log(AlertEvent(alert=alert.id, at=now, event="raised", detail=text.title(alert)))
        return alert

    def _escalate(
        self, tx: AlertTransaction, alert: Alert, due: Sequence[DueStep], now: datetime
    ) -> list[str]:
        for step in due:
            late = step.late(now)
            kind = Kind.RAISED if step.number == 1 else Kind.ESCALATED
            for recipient, people in self._deliveries(step.step):
                label, channel = str(step.number), step.step.channel
                self._enqueue(tx, alert, kind, label, channel, recipient, people, now, step.step.who, late)
            detail = f"step {step.number} of {step.of}: {step.step.who}"
            if late:
                detail += f", {text.duration(late)} late"
            tx.log(AlertEvent(alert=alert.id, at=now, event="escalated", detail=detail))
        if due:
            tx.update(replace(alert, steps_done=due[-1].number))
        return [alert.id] * len(due)

    def _return(self, tx: AlertTransaction, alert: Alert, because: Standing, now: datetime) -> None:
        state = decide(alert.state, Action.RETURN).state
        after = replace(alert, state=state, returned=now, returned_because=because.value)
        tx.update(after)
        tx.log(AlertEvent(alert=alert.id, at=now, event="returned", detail=because.value))
        _log_stopped(tx, alert, "returned to normal", now)
        # Whoever was told that it stands is told that it is over: once, however many steps reached them.
        for told in {(n.channel, n.recipient): n for n in tx.told(alert.id)}.values():
            channel, recipient, people = told.channel, told.recipient, told.recipients
            self._enqueue(tx, after, Kind.RESOLVED, RESOLVED_STEP, channel, recipient, people, now)

    def _deliveries(self, step: FrozenStep) -> list[tuple[str, tuple[Recipient, ...]]]:
        """Who gets a message of their own: each person on an addressed channel, else the channel for all."""
        people = audience(self.plant, step.to)
        config = self.plant.channels.get(step.channel)
        if config is not None and config.kind in self._addressed and people:
            return [(person.id, (person,)) for person in people]
        return [("", people)]

    def _enqueue(
        self,
        tx: AlertTransaction,
        alert: Alert,
        kind: Kind,
        step: str,
        channel: str,
        recipient: str,
        people: tuple[Recipient, ...],
        now: datetime,
        told: str = "",
        late: timedelta = timedelta(),
    ) -> None:
        link = text.link(self._base_url, alert.id)
        tx.enqueue(
            Notification(
                key=notification_key(alert.id, step, channel, recipient),
                alert=alert.id,
                step=step,
                kind=kind,
                channel=channel,
                recipient=recipient,
                recipients=people,
                subject=text.subject(alert, kind),
                text=text.body(self.plant, alert, kind, told, late, now, link),
                details=text.details(alert, kind, step, people),
                link=link,
                created=now,
            )
        )


def _log_stopped(tx: AlertTransaction, alert: Alert, why: str, now: datetime) -> None:
    """Steps that will not run any more are part of the history, not silence."""
    left = len(list(remaining(alert)))
    if left:
        detail = f"{why}: {left} step{'s' if left > 1 else ''} not run"
        tx.log(AlertEvent(alert=alert.id, at=now, event="escalation_stopped", detail=detail))
