"""The engine over a store: raise, follow, escalate, return, with the text people get."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alerting.alert import AlertState, Notification, OrderContext
from alerting.engine import Engine, Tick
from alerting.escalation import next_step
from alerting.lifecycle import Outcome
from alerting.memory import MemoryAlerts
from alerting.rules import MachineStatus
from alerting.text import title
from plant.model import (
    AlertRule,
    ChannelConfig,
    Equipment,
    EquipmentLevel,
    Escalation,
    EscalationStep,
    Plant,
    Reason,
    Site,
    User,
)
from plant.states import MachineState, TimeCategory

T0 = datetime(2026, 11, 22, 13, tzinfo=UTC)  # 14:00 in Berlin
MINUTE = timedelta(minutes=1)

PLANT = Plant(
    site=Site(id="demo", name="Demo", zone=ZoneInfo("Europe/Berlin")),
    equipment={
        "line": Equipment(id="line", name="Bottling", level=EquipmentLevel.PRODUCTION_LINE),
        "filler": Equipment(id="filler", name="Filler", level=EquipmentLevel.WORK_UNIT, parent="line"),
    },
    reasons={"jam": Reason(id="jam", name="Bottle jam")},
    users={
        "ann": User(id="ann", name="Ann", email="ann@x.example", roles=("maintenance",)),
        "bob": User(id="bob", name="Bob", email="bob@x.example", roles=("maintenance",)),
        "zoe": User(id="zoe", name="Zoe", email="zoe@x.example", roles=("manager",)),
    },
    channels={
        "hook": ChannelConfig(id="hook", kind="webhook"),
        "mail": ChannelConfig(id="mail", kind="mail"),
    },
    escalations={
        "std": Escalation(
            id="std",
            name="Standard",
            steps=(
                EscalationStep(after=timedelta(0), channel="hook", to=("role:maintenance",)),
                EscalationStep(after=10 * MINUTE, channel="mail", to=("role:maintenance", "zoe")),
            ),
        )
    },
    alert_rules={
        "stop": AlertRule(id="stop", name="Stop over 5 min", longer_than=5 * MINUTE, escalation="std")
    },
)
DOWN = MachineStatus(
    equipment="filler",
    state=MachineState.DOWN,
    since=T0,
    reason="jam",
    category=TimeCategory.UNPLANNED_DOWNTIME,
)
RUNNING = replace(DOWN, state=MachineState.RUNNING, category=TimeCategory.RUNNING, reason=None)
ORDERS = {
    "filler": OrderContext(
        order="4711",
        material="Lemonade 0.5 l",
        due=T0 + timedelta(hours=2),
        finish=T0 + timedelta(hours=2, minutes=12),
        slack=-720.0,
    )
}


@pytest.fixture
def store() -> MemoryAlerts:
    return MemoryAlerts()


@pytest.fixture
def engine(store: MemoryAlerts) -> Engine:
    return Engine(PLANT, store, "http://127.0.0.1:8050")


def tick(
    engine: Engine, minutes: float, *machines: MachineStatus, orders: Mapping[str, OrderContext] = ORDERS
) -> Tick:
    return engine.tick(machines, orders, T0 + minutes * MINUTE)


def sent(store: MemoryAlerts) -> list[Notification]:
    late = T0 + timedelta(days=9)
    found: list[Notification] = []
    while due := [n for c in ("hook", "mail") for n in store.due(c, late)]:
        found += due
        for n in due:
            store.delivered(n.key, late, "ok")
    return found


def events(store: MemoryAlerts) -> list[tuple[str, str]]:
    return [(e.event, e.detail) for e in store.history(store.alerts(include_returned=True)[0].id)]


def test_a_stop_is_raised_once_however_often_it_is_looked_at(engine: Engine, store: MemoryAlerts) -> None:
    assert tick(engine, 4.9, DOWN) == Tick()
    first = tick(engine, 5, DOWN)
    assert first.raised == ("stop:filler:20261122T130000.000000Z",)
    assert first.escalated == first.raised
    assert tick(engine, 6, DOWN) == tick(engine, 7, DOWN) == Tick()
    assert len(sent(store)) == 1


def test_the_message_says_machine_cause_order_and_how_late(engine: Engine, store: MemoryAlerts) -> None:
    tick(engine, 6, DOWN)
    (message,) = sent(store)
    assert message.subject == "[HIGH] Filler stopped: Bottle jam · order 4711 12 min late"
    assert message.text == (
        "Filler (Bottling) has been stopped for 6 min, since 2026-11-22 14:00 CET.\n"
        "Cause: Bottle jam\n"
        "Order: 4711, Lemonade 0.5 l, due 2026-11-22 16:00 CET: 12 min late (finish 2026-11-22 16:12 CET)\n"
        "Rule: Stop over 5 min, severity high\n"
        "Told: maintenance by hook\n"
        "Open the alert: http://127.0.0.1:8050/alerts?alert=stop%3Afiller%3A20261122T130000.000000Z\n"
    )
    assert message.details["order"] == {
        "id": "4711",
        "material": "Lemonade 0.5 l",
        "due": "2026-11-22T15:00:00+00:00",
        "finish": "2026-11-22T15:12:00+00:00",
        "slack": -720.0,
    }


def test_without_reason_and_order_it_says_so(engine: Engine, store: MemoryAlerts) -> None:
    tick(engine, 6, replace(DOWN, reason=None), orders={})
    (message,) = sent(store)
    assert message.subject == "[HIGH] Filler stopped: no reason given"
    assert "Cause: no reason given\nOrder: none on this machine\n" in message.text


def test_a_webhook_gets_one_message_for_all_and_mail_one_each(engine: Engine, store: MemoryAlerts) -> None:
    tick(engine, 5, DOWN)
    tick(engine, 15, DOWN)
    messages = sent(store)
    assert [(n.channel, n.recipient, [r.id for r in n.recipients]) for n in messages] == [
        ("hook", "", ["ann", "bob"]),
        ("mail", "ann", ["ann"]),
        ("mail", "bob", ["bob"]),
        ("mail", "zoe", ["zoe"]),
    ]
    assert len({n.key for n in messages}) == 4


def test_an_acknowledgement_stops_the_steps_still_to_come(engine: Engine, store: MemoryAlerts) -> None:
    (alert,) = tick(engine, 5, DOWN).raised
    assert engine.acknowledge(alert, "ann", T0 + 6 * MINUTE) is Outcome.ACKNOWLEDGED
    assert engine.acknowledge(alert, "bob", T0 + 7 * MINUTE) is Outcome.ALREADY_ACKNOWLEDGED
    assert engine.acknowledge("nothing", "bob", T0) is Outcome.UNKNOWN_ALERT
    assert tick(engine, 60, DOWN) == Tick()
    known = store.active()[0]
    assert (known.state, known.acknowledged_by, next_step(known)) == (AlertState.ACKNOWLEDGED, "ann", None)
    assert events(store)[-1] == ("escalation_stopped", "acknowledged: 1 step not run")


def test_steps_missed_in_downtime_run_once_in_order_and_say_they_are_late(
    engine: Engine, store: MemoryAlerts
) -> None:
    tick(engine, 5, DOWN)
    assert len(tick(engine, 45, DOWN).escalated) == 1
    assert ("escalated", "step 2 of 2: maintenance, Zoe by mail, 30 min late") in events(store)
    late = [n for n in sent(store) if n.step == "2"]
    assert all("This message is 30 min late" in n.text for n in late)


def test_the_policy_of_the_raise_is_followed_whatever_the_file_says_now(
    engine: Engine, store: MemoryAlerts
) -> None:
    tick(engine, 5, DOWN)
    engine.plant = replace(PLANT, escalations={})
    assert len(tick(engine, 15, DOWN).escalated) == 1


def test_those_who_were_told_hear_that_it_is_over_once(engine: Engine, store: MemoryAlerts) -> None:
    tick(engine, 5, DOWN)
    tick(engine, 8, replace(RUNNING, since=T0 + 8 * MINUTE))
    first, over = sent(store)
    assert (first.channel, over.channel) == ("hook", "hook")
    assert over.step == "resolved"
    assert over.subject.startswith("[RESOLVED] Filler stopped: Bottle jam")
    assert "the stop is over (2026-11-22 14:08 CET)" in over.text
    assert ("escalation_stopped", "returned to normal: 1 step not run") in events(store)
    assert store.alerts(include_returned=True)[0].state is AlertState.RETURNED
    assert store.alerts() == []


def test_nobody_is_told_that_it_is_over_who_never_heard_of_it(engine: Engine, store: MemoryAlerts) -> None:
    tick(engine, 5, DOWN)
    (first,) = store.due("hook", T0 + 5 * MINUTE)
    store.fail(first.key, T0, "404")
    tick(engine, 8, replace(RUNNING, since=T0 + 8 * MINUTE))
    assert sent(store) == []


def test_a_new_stop_is_a_new_alert(engine: Engine, store: MemoryAlerts) -> None:
    (first,) = tick(engine, 5, DOWN).raised
    again = replace(DOWN, since=T0 + 6 * MINUTE)
    assert tick(engine, 7, again).returned == (first,)
    (second,) = tick(engine, 11, again).raised
    assert second != first


def test_a_gap_in_the_data_neither_ends_nor_repeats_the_alert(engine: Engine, store: MemoryAlerts) -> None:
    (alert,) = tick(engine, 5, DOWN).raised
    unknown = replace(DOWN, state=MachineState.UNKNOWN, category=TimeCategory.UNKNOWN, since=T0 + 6 * MINUTE)
    assert tick(engine, 6.5, unknown) == tick(engine, 7) == Tick()
    assert tick(engine, 20, replace(DOWN, since=T0 + 8 * MINUTE)).raised == ()
    assert [a.id for a in store.active()] == [alert]
    assert [e for e, _ in events(store) if e in ("no_data", "data_back")] == ["no_data", "data_back"]


def test_the_next_shift_is_told_again(engine: Engine, store: MemoryAlerts) -> None:
    (first,) = tick(engine, 5, DOWN).raised
    assert tick(engine, 30, replace(DOWN, category=TimeCategory.NOT_SCHEDULED)).returned == (first,)
    morning = replace(DOWN, planned=35 * MINUTE)
    assert tick(engine, 600, morning).raised == (f"{first}:2",)


def test_a_reason_given_later_and_a_moving_forecast_are_kept(engine: Engine, store: MemoryAlerts) -> None:
    tick(engine, 5, replace(DOWN, reason=None))
    nearly = {"filler": replace(ORDERS["filler"], slack=-730.0)}
    later = {"filler": replace(ORDERS["filler"], slack=-900.0)}
    tick(engine, 6, DOWN, orders=nearly)
    (known,) = store.active()
    assert title(known) == "Filler stopped: Bottle jam"
    assert known.order == ORDERS["filler"]
    tick(engine, 7, DOWN, orders=later)
    tick(engine, 8, DOWN, orders={"filler": replace(later["filler"], order="next", slack=1e6)})
    assert store.active()[0].order == later["filler"]


def test_the_step_that_comes_next_is_known(engine: Engine, store: MemoryAlerts) -> None:
    tick(engine, 5, DOWN)
    coming = next_step(store.active()[0])
    assert coming is not None
    assert (coming.number, coming.at, coming.step.who) == (2, T0 + 15 * MINUTE, "maintenance, Zoe by mail")


def test_a_tick_that_fails_leaves_nothing_half_done(
    engine: Engine, store: MemoryAlerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr("alerting.engine.text.body", full)
        with pytest.raises(OSError, match="disk full"):
            tick(engine, 5, DOWN)
    assert store.alerts(include_returned=True) == []
    assert len(tick(engine, 5, DOWN).escalated) == 1
