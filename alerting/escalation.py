"""Escalation: which steps of a frozen policy are due, and which comes next.

The policy is resolved when the alert is raised and kept with it. Steps run in order, each once; an
acknowledgement or a return to normal stops the ones still to come. Nothing here holds a timer: the
due time is computed from the stored alert, so a step missed while the process was dead is due at the
first tick afterwards, marked late.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerting.alert import Alert, AlertState, FrozenStep, Recipient
from plant.model import Plant

LATE_AFTER = timedelta(minutes=1)
"""A step run later than this after it was due is marked late."""

ROLE = "role:"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueStep:
    """A step of an alert and when it is due."""

    number: int
    """1 for the first."""
    of: int
    step: FrozenStep
    at: datetime

    def late(self, now: datetime) -> timedelta:
        """How late it is; zero while that is not worth mentioning."""
        behind = now - self.at
        return behind if behind > LATE_AFTER else timedelta()


def freeze(plant: Plant, escalation: str | None) -> tuple[FrozenStep, ...]:
    """The steps of an escalation as they stand in the plant file now, in the order they are due.

    None, or an escalation that is not in the plant file: no steps, the alert is only shown.
    """
    policy = plant.escalations.get(escalation) if escalation is not None else None
    if policy is None:
        return ()
    steps = (
        FrozenStep(after=s.after, channel=s.channel, to=s.to, who=in_words(plant, s.channel, s.to))
        for s in policy.steps
    )
    return tuple(sorted(steps, key=lambda s: s.after))


def remaining(alert: Alert) -> Iterator[DueStep]:
    """The steps still to come, in order; none once the alert is acknowledged or has returned to normal."""
    if alert.state is not AlertState.UNACKNOWLEDGED:
        return
    for number, step in enumerate(alert.policy, start=1):
        if number > alert.steps_done:
            yield DueStep(number=number, of=len(alert.policy), step=step, at=alert.raised + step.after)


def due_steps(alert: Alert, now: datetime) -> list[DueStep]:
    """The remaining steps whose time has come, in order."""
    return [due for due in remaining(alert) if due.at <= now]


def next_step(alert: Alert) -> DueStep | None:
    """The step that runs next unless somebody acknowledges: the preview people are shown."""
    return next(remaining(alert), None)


def audience(plant: Plant, to: tuple[str, ...]) -> tuple[Recipient, ...]:
    """The people behind user ids and "role:NAME", each once, as the plant file has them now."""
    found: dict[str, Recipient] = {}
    for target in to:
        for user in plant.users.values():
            if user.id == target or (target.startswith(ROLE) and target.removeprefix(ROLE) in user.roles):
                found.setdefault(user.id, Recipient(id=user.id, name=user.name, address=user.email))
    return tuple(found.values())


def in_words(plant: Plant, channel: str, to: tuple[str, ...]) -> str:
    """Whom a step tells: "maintenance, Ann by hook"; only the channel when it names nobody."""
    names = [
        t.removeprefix(ROLE) if t.startswith(ROLE) else (plant.users[t].name if t in plant.users else t)
        for t in to
    ]
    return f"{', '.join(names)} by {channel}" if names else channel
