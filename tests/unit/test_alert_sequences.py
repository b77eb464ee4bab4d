"""Any sequence of machine states, gaps, acknowledgements and failed commits keeps the engine's promises."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from alerting.alert import AlertState
from alerting.engine import Engine
from alerting.memory import MemoryAlerts
from alerting.rules import MachineStatus
from plant.model import (
    AlertRule,
    ChannelConfig,
    Equipment,
    EquipmentLevel,
    Escalation,
    EscalationStep,
    Plant,
    Site,
)
from plant.states import CATEGORY_OF_STATE, MachineState, TimeCategory

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PLANT = Plant(
    site=Site(id="demo", name="Demo", zone=ZoneInfo("Europe/Berlin")),
    equipment={m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT) for m in ("filler", "capper")},
    channels={"hook": ChannelConfig(id="hook", kind="webhook")},
    escalations={
        "std": Escalation(
            id="std",
            name="Standard",
            steps=tuple(EscalationStep(after=i * 3 * MINUTE, channel="hook") for i in range(3)),
        )
    },
    alert_rules={
        "stop": AlertRule(id="stop", name="Stop", longer_than=2 * MINUTE, escalation="std"),
        "any": AlertRule(id="any", name="Any", longer_than=timedelta(0), equipment=("filler",)),
    },
)

BREAK, OFF, SILENT = "break", "off", "silent"
DOWN, RUN, UNKNOWN = MachineState.DOWN.value, MachineState.RUNNING.value, MachineState.UNKNOWN.value
MINUTES = st.lists(
    st.tuples(
        st.sampled_from([DOWN, DOWN, RUN, UNKNOWN, BREAK, OFF, SILENT]),  # what the filler does
        st.sampled_from([DOWN, RUN]),  # what the capper does
        st.sampled_from([None, None, None, "ack"]),
        st.booleans(),  # whether the first commit of this minute fails
    ),
    min_size=1,
    max_size=40,
)


class Failing(MemoryAlerts):
    """Loses a transaction at its end when told to, as a kill or a full disk would."""

    fail = False

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with super().begin() as tx:
            yield tx
            if self.fail:
                self.fail = False
                raise OSError("killed")


def status(machine: str, word: str, since: datetime) -> MachineStatus:
    state = MachineState(word) if word in set(MachineState) else MachineState.DOWN
    category = {BREAK: TimeCategory.PLANNED_DOWNTIME, OFF: TimeCategory.NOT_SCHEDULED}.get(
        word, CATEGORY_OF_STATE[state]
    )
    return MachineStatus(equipment=machine, state=state, since=since, reason=None, category=category)


def run(minutes: list[tuple[str, str, str | None, bool]], failures: bool) -> MemoryAlerts:
    store = Failing()
    engine = Engine(PLANT, store)
    since: dict[str, tuple[MachineState, datetime]] = {}
    for number, (filler, capper, action, fails) in enumerate(minutes):
        now = T0 + number * MINUTE
        machines = []
        for machine, word in (("filler", filler), ("capper", capper)):
            found = status(machine, word, now)
            if machine in since and since[machine][0] is found.state:
                found = replace(found, since=since[machine][1])
            since[machine] = (found.state, found.since)
            if word != SILENT:
                machines.append(found)
        store.fail = fails and failures
        try:
            engine.tick(machines, {}, now)
        except OSError:
            engine.tick(machines, {}, now)
        store.fail = False
        if action == "ack":
            for alert in store.active():
                engine.acknowledge(alert.id, "ann", now)
        active = [(a.rule, a.equipment) for a in store.active()]
        assert len(active) == len(set(active))
    return store


@given(MINUTES)
def test_lost_commits_change_nothing_in_the_end(minutes: list[tuple[str, str, str | None, bool]]) -> None:
    undisturbed, disturbed = run(minutes, failures=False), run(minutes, failures=True)
    expected = undisturbed.alerts(include_returned=True)
    assert disturbed.alerts(include_returned=True) == expected
    for alert in expected:
        assert disturbed.history(alert.id) == undisturbed.history(alert.id)
    end = T0 + timedelta(days=1)
    assert disturbed.due("hook", end, 10_000) == undisturbed.due("hook", end, 10_000)


@given(MINUTES)
def test_each_alert_has_one_story(minutes: list[tuple[str, str, str | None, bool]]) -> None:
    store = run(minutes, failures=True)
    end = T0 + timedelta(days=1)
    for alert in store.alerts(include_returned=True):
        history = store.history(alert.id)
        counted = Counter(e.event for e in history)
        assert counted["raised"] == 1
        assert history[0].event == "raised"
        assert counted["escalated"] == alert.steps_done <= len(alert.policy)
        assert counted["returned"] == (alert.returned is not None)
        assert counted["acknowledged"] == (alert.acknowledged is not None) <= 1
        assert (alert.state in (AlertState.RETURNED, AlertState.RESOLVED)) == (alert.returned is not None)
        stopped = [e.at for e in history if e.event == "escalation_stopped"]
        assert all(e.at <= min(stopped) for e in history if e.event == "escalated" and stopped)
        messages: list[str] = []
        while due := [n for n in store.due("hook", end, 10_000) if n.alert == alert.id]:
            messages += [n.step for n in due]
            for n in due:
                store.delivered(n.key, end, "ok")
        told = [str(i) for i in range(1, alert.steps_done + 1)]
        assert messages == told + ["resolved"] * (alert.returned is not None and bool(told))
