"""[[user]], [[channel]], [[escalation]] and [[alert]]: who is told what, how and when."""

from collections.abc import Mapping
from enum import StrEnum

from plant.model import AlertRule, ChannelConfig, Escalation, EscalationStep, User
from plant.parsing.problems import suggestion
from plant.parsing.reader import Table
from plant.parsing.registry import Registry
from plant.states import MachineState


class Severity(StrEnum):
    """Alarm priorities of ISA-18.2."""

    URGENT = "urgent"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def read_users(tables: list[Table], registry: Registry) -> dict[str, User]:
    """[[user]]"""
    found: dict[str, User] = {}
    for table in tables:
        user = User(
            id=table.identifier(),
            name=table.text("name"),
            email=table.text("email", ""),
            roles=table.strings("roles"),
        )
        local, at, domain = user.email.rpartition("@")
        if (user.email and not (local and at and domain)) or any(c.isspace() for c in user.email):
            table.error("email", f'"{user.email}" is not a mail address', 'Write it as "name@example.org"')
        if registry.declare("user", table, user.id):
            found[user.id] = user
    return found


def read_channels(tables: list[Table], registry: Registry) -> dict[str, ChannelConfig]:
    """[[channel]]: all but id and kind are options for the channel of that kind."""
    found: dict[str, ChannelConfig] = {}
    for table in tables:
        channel = ChannelConfig(id=table.identifier(), kind=table.identifier("kind"), options=table.options())
        if registry.declare("channel", table, channel.id):
            found[channel.id] = channel
    return found


def read_escalations(
    tables: list[Table],
    registry: Registry,
    users: Mapping[str, User],
    channels: Mapping[str, ChannelConfig],
) -> dict[str, Escalation]:
    """[[escalation]]; steps must follow each other in time."""
    found: dict[str, Escalation] = {}
    for table in tables:
        steps: list[EscalationStep] = []
        inner_tables = table.tables("steps")
        if not inner_tables:
            table.error(
                "steps", "an escalation needs steps", 'Add { after = "0s", channel = "...", to = [...] }'
            )
        for inner in inner_tables:
            step = EscalationStep(
                after=inner.required_duration("after"),
                channel=inner.text("channel"),
                to=inner.strings("to"),
            )
            if steps and inner.ok and step.after < steps[-1].after:
                inner.error(
                    "after", "this step comes before the one above it", "Put the steps in order of time"
                )
            _check_step(inner, step, registry, users, channels)
            steps.append(step)
        escalation = Escalation(id=table.identifier(), name=table.text("name"), steps=tuple(steps))
        if registry.declare("escalation", table, escalation.id):
            found[escalation.id] = escalation
    return found


def _check_step(
    table: Table,
    step: EscalationStep,
    registry: Registry,
    users: Mapping[str, User],
    channels: Mapping[str, ChannelConfig],
) -> None:
    registry.refer("channel", table, "channel", step.channel)
    mail = step.channel in channels and channels[step.channel].kind == "mail"
    if mail and not step.to:
        table.error("to", "this mail has nobody to go to", 'Add to = ["role:maintenance"] or user ids')
    roles = {role for user in users.values() for role in user.roles}
    for index, name in enumerate(step.to):
        role = name.removeprefix("role:") if name.startswith("role:") else None
        if role is None:
            registry.refer("user", table, ("to", index), name)
        elif role not in roles:
            fix = suggestion(name, [f"role:{r}" for r in roles], "Give a [[user]] this role")
            table.error(("to", index), f'no user has the role "{role}"', fix)
            continue
        reached = [u for u in users.values() if u.id == name or role in u.roles]
        if mail and reached and not any(u.email for u in reached):
            table.error(("to", index), f'nobody in "{name}" has a mail address', "Add email to the [[user]]")


def read_alerts(tables: list[Table], registry: Registry) -> dict[str, AlertRule]:
    """[[alert]]"""
    found: dict[str, AlertRule] = {}
    for table in tables:
        given = table.strings("states")
        states = [table.word(("states", i), name, MachineState) for i, name in enumerate(given)]
        if "states" in table.data and not table.data["states"]:
            table.error("states", "no state would ever raise this alert", 'Leave it out for ["down"]')
        rule = AlertRule(
            id=table.identifier(),
            name=table.text("name"),
            longer_than=table.required_duration("longer_than"),
            equipment=table.strings("equipment"),
            states=tuple(s for s in states if s) or (MachineState.DOWN,),
            severity=table.choice("severity", Severity, Severity.HIGH).value,
            escalation=table.optional("escalation"),
        )
        for index, name in enumerate(rule.equipment):
            registry.refer("equipment", table, ("equipment", index), name)
        if rule.escalation:
            registry.refer("escalation", table, "escalation", rule.escalation)
        if registry.declare("alert", table, rule.id):
            found[rule.id] = rule
    return found
