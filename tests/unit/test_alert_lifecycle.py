"""ISA-18.2 transitions, and which escalation steps are due."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerting.alert import Alert, AlertState, FrozenStep, Recipient
from alerting.escalation import audience, due_steps, freeze, next_step
from alerting.lifecycle import Action, Outcome, decide
from plant.model import Escalation, EscalationStep, Plant, Site, User
from plant.states import MachineState

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("state", "action", "after", "outcome"),
    [
        ("unacknowledged", "acknowledge", "acknowledged", "acknowledged"),
        ("unacknowledged", "return", "returned", "returned_unacknowledged"),
        ("acknowledged", "acknowledge", "acknowledged", "already_acknowledged"),
        ("acknowledged", "return", "resolved", "returned_acknowledged"),
        ("returned", "acknowledge", "resolved", "acknowledged_after_return"),
        ("returned", "return", "returned", "already_returned"),
        ("resolved", "acknowledge", "resolved", "already_resolved"),
        ("resolved", "return", "resolved", "already_resolved"),
    ],
)
def test_transitions(state: str, action: str, after: str, outcome: str) -> None:
    decision = decide(AlertState(state), Action(action))
    assert (decision.state.value, decision.outcome.value) == (after, outcome)
    assert decision.outcome.done is (state != after)


def test_every_state_answers_every_action() -> None:
    for state, action in product(AlertState, Action):
        assert decide(state, action).outcome is not Outcome.UNKNOWN_ALERT


def step(after: timedelta, channel: str = "hook") -> FrozenStep:
    return FrozenStep(after=after, channel=channel, to=(), who=channel)


ALERT = Alert(
    id="a",
    fingerprint="f",
    rule="stop",
    rule_name="Stop",
    equipment="filler",
    equipment_name="Filler",
    severity="high",
    state=AlertState.UNACKNOWLEDGED,
    machine_state=MachineState.DOWN,
    stop_start=T0,
    raised=T0,
    confirmed=T0,
    policy=(step(timedelta(0)), step(10 * MINUTE), step(30 * MINUTE)),
)


def test_steps_are_due_from_their_time_on_in_order_and_not_twice() -> None:
    assert [d.number for d in due_steps(ALERT, T0)] == [1]
    assert [d.number for d in due_steps(ALERT, T0 + 30 * MINUTE)] == [1, 2, 3]
    assert [d.number for d in due_steps(replace(ALERT, steps_done=1), T0 + 9 * MINUTE)] == []
    assert [d.number for d in due_steps(replace(ALERT, steps_done=1), T0 + 10 * MINUTE)] == [2]
    assert due_steps(replace(ALERT, steps_done=3), T0 + timedelta(days=1)) == []


@pytest.mark.parametrize("state", [s for s in AlertState if s is not AlertState.UNACKNOWLEDGED])
def test_nothing_is_due_once_somebody_has_it_or_it_is_over(state: AlertState) -> None:
    alert = replace(ALERT, state=state)
    assert due_steps(alert, T0 + timedelta(days=1)) == []
    assert next_step(alert) is None


def test_a_step_missed_while_nobody_ran_it_is_late() -> None:
    first, second, third = due_steps(ALERT, T0 + 30 * MINUTE + timedelta(seconds=5))
    assert first.late(T0 + 30 * MINUTE) == 30 * MINUTE
    assert second.late(T0 + 30 * MINUTE) == 20 * MINUTE
    assert third.late(T0 + 30 * MINUTE + timedelta(seconds=5)) == timedelta()


def test_the_preview_is_the_step_that_then_runs() -> None:
    coming = next_step(replace(ALERT, steps_done=1))
    assert coming is not None
    assert due_steps(replace(ALERT, steps_done=1), coming.at)[0] == coming


@given(
    after=st.lists(st.integers(0, 120), max_size=6),
    ticks=st.lists(st.integers(0, 200), min_size=1, max_size=12).map(sorted),
)
def test_however_often_the_process_was_down_each_step_runs_once_in_order(
    after: list[int], ticks: list[int]
) -> None:
    alert = replace(ALERT, policy=tuple(step(m * MINUTE, f"c{i}") for i, m in enumerate(sorted(after))))
    ran: list[int] = []
    for tick in ticks:
        due = due_steps(alert, T0 + tick * MINUTE)
        assert all(d.at <= T0 + tick * MINUTE for d in due)
        ran += [d.number for d in due]
        alert = replace(alert, steps_done=len(ran))
    assert ran == list(range(1, sum(m <= ticks[-1] for m in after) + 1))


USERS = {
    u.id: u
    for u in (
        User(id="ann", name="Ann", email="ann@x.example", roles=("maintenance",)),
        User(id="bob", name="Bob", roles=("maintenance", "lead")),
    )
}
PLANT = Plant(
    site=Site(id="demo", name="Demo", zone=ZoneInfo("Europe/Berlin")),
    users=USERS,
    escalations={
        "std": Escalation(
            id="std",
            name="Standard",
            steps=(
                EscalationStep(after=10 * MINUTE, channel="mail", to=("role:maintenance", "bob")),
                EscalationStep(after=timedelta(0), channel="hook"),
            ),
        )
    },
)


def test_the_policy_is_frozen_in_the_order_it_runs_with_names_for_people() -> None:
    assert freeze(PLANT, "std") == (
        FrozenStep(after=timedelta(0), channel="hook", to=(), who="hook"),
        FrozenStep(
            after=10 * MINUTE, channel="mail", to=("role:maintenance", "bob"), who="maintenance, Bob by mail"
        ),
    )
    assert freeze(PLANT, None) == freeze(PLANT, "gone") == ()


def test_each_person_is_told_once_however_often_they_are_named() -> None:
    assert audience(PLANT, ("role:maintenance", "bob", "role:lead", "gone")) == (
        Recipient(id="ann", name="Ann", address="ann@x.example"),
        Recipient(id="bob", name="Bob"),
    )
