"""What every alert store and outbox must do: in memory and in the records database."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Protocol

import pytest

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
from alerting.memory import MemoryAlerts
from alerting.ports import AlertStore, Outbox
from infra.records.alerts import SqlAlerts
from infra.records.database import Database, upgrade
from plant.states import MachineState

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Store(AlertStore, Outbox, Protocol):
    """Both ports on one object, as the engine and the dispatcher share it."""


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, records_url: Callable[..., str]) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryAlerts()
        return
    database = Database(records_url(request.param))
    upgrade(database)
    yield SqlAlerts(database)
    database.close()


def alert(
    name: str = "a",
    equipment: str = "filler",
    at: datetime = T0,
    state: AlertState = AlertState.UNACKNOWLEDGED,
) -> Alert:
    return Alert(
        id=name,
        fingerprint=f"stop:{equipment}",
        rule="stop",
        rule_name="Stop",
        equipment=equipment,
        equipment_name="Füller",
        severity="high",
        state=state,
        machine_state=MachineState.DOWN,
        stop_start=at - 5 * MINUTE,
        raised=at,
        confirmed=at + timedelta(microseconds=1),
        order=OrderContext(order="4711", material="Limo", due=at, finish=at + MINUTE, slack=-60.5),
        policy=(
            FrozenStep(after=timedelta(microseconds=1), channel="hook", to=("role:x", "ann"), who="x"),
            FrozenStep(after=MINUTE, channel="mail", to=(), who="mail"),
        ),
    )


def message(
    of: str = "a", step: str = "1", channel: str = "hook", recipient: str = "", at: datetime = T0
) -> Notification:
    return Notification(
        key=notification_key(of, step, channel, recipient),
        alert=of,
        step=step,
        kind=Kind.RAISED,
        channel=channel,
        recipient=recipient,
        recipients=(Recipient(id="ann", name="Ann", address="ann@x.example"),),
        subject="Füller stopped",
        text="two\nlines\n",
        details={"slack": -1.5, "order": None, "list": ["a"]},
        link="http://x/alerts",
        created=at,
    )


def test_an_alert_comes_back_as_it_went_in(store: Store) -> None:
    full = replace(
        alert(),
        held=True,
        reason="jam",
        reason_name="Jam",
        steps_done=1,
        state=AlertState.RESOLVED,
        acknowledged=T0,
        acknowledged_by="ann",
        returned=T0 + MINUTE,
        returned_because="stop_ended",
    )
    bare = replace(alert("b", "capper"), order=None, policy=())
    with store.begin() as tx:
        tx.add(full)
        tx.add(bare)
        assert tx.get("a") == full
        assert tx.get("nobody") is None
    assert store.alerts(include_returned=True) == [bare, full]
    assert store.alerts() == store.active() == [bare]


def test_a_block_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.begin() as tx:
        tx.add(alert())
        tx.log(AlertEvent(alert="a", at=T0, event="raised"))
        tx.enqueue(message())
        raise RuntimeError("killed")
    assert store.alerts(include_returned=True) == []
    assert store.history("a") == []
    assert store.waiting_channels() == set()


def test_one_active_alert_per_rule_and_machine(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert("a"))
    with pytest.raises(Exception, match=r"(?i)unique|already"), store.begin() as tx:
        tx.add(alert("b"))
    with store.begin() as tx:
        tx.update(replace(alert("a"), state=AlertState.RETURNED, returned=T0))
        tx.add(alert("b"))
        assert tx.occurrences("stop:filler") == 2
        assert tx.occurrences("stop:capper") == 0
    assert [a.id for a in store.active()] == ["b"]


def test_an_update_of_no_alert_is_an_error(store: Store) -> None:
    with pytest.raises(ValueError, match="no alert ghost"), store.begin() as tx:
        tx.update(alert("ghost"))


def test_active_is_oldest_first_and_the_list_newest_first_and_limited(store: Store) -> None:
    with store.begin() as tx:
        for i in range(5):
            tx.add(alert(f"a{i}", f"m{i}", T0 + i * MINUTE))
    assert [a.id for a in store.active()] == ["a0", "a1", "a2", "a3", "a4"]
    assert [a.id for a in store.alerts(limit=2)] == ["a4", "a3"]


def test_history_is_kept_in_order_per_alert(store: Store) -> None:
    first = AlertEvent(alert="a", at=T0, event="raised", detail="Füller: Störung", user="")
    second = AlertEvent(alert="a", at=T0, event="acknowledged", user="ann")
    with store.begin() as tx:
        tx.add(alert("a"))
        tx.add(alert("b", "capper"))
        tx.log(first)
        tx.log(AlertEvent(alert="b", at=T0, event="raised"))
        tx.log(second)
    assert store.history("a") == [first, second]


def test_a_message_is_there_once_and_due_at_once(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert())
        assert tx.enqueue(message())
        assert not tx.enqueue(replace(message(), subject="again"))
    assert store.due("hook", T0) == [message()]
    assert store.due("hook", T0 - MINUTE) == []
    assert store.due("mail", T0) == []
    assert store.waiting_channels() == {"hook"}


def test_a_delivered_message_is_gone_and_in_the_history(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert())
        tx.enqueue(message())
    key = message().key
    store.delivered(key, T0, "200 OK")
    store.delivered(key, T0, "200 OK")  # a late second receipt changes nothing
    store.fail(key, T0, "no")
    store.postpone(key, T0, T0, "no")
    assert store.due("hook", T0 + MINUTE) == []
    assert store.waiting_channels() == set()
    assert [(e.event, e.detail) for e in store.history("a")] == [("delivered", "step 1 by hook: 200 OK")]


def test_a_postponed_message_waits_counts_and_is_told_once(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert())
        tx.enqueue(message())
    key = message().key
    store.postpone(key, T0, T0 + MINUTE, "connection refused")
    assert store.due("hook", T0 + MINUTE - timedelta(microseconds=1)) == []
    (again,) = store.due("hook", T0 + MINUTE)
    assert again == replace(message(), attempts=1)
    store.postpone(key, T0 + MINUTE, T0 + 2 * MINUTE, "connection refused")
    assert [e.event for e in store.history("a")] == ["retrying"]


def test_a_failed_message_is_not_tried_again_and_nobody_counts_as_told(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert())
        tx.enqueue(message())
        tx.enqueue(message(recipient="bob"))
    store.fail(message().key, T0, "400 Bad Request")
    assert [n.recipient for n in store.due("hook", T0)] == ["bob"]
    with store.begin() as tx:
        assert [n.recipient for n in tx.told("a")] == ["bob"]
    assert store.history("a")[-1].detail == "step 1 by hook: 400 Bad Request"


def test_a_message_waits_for_the_earlier_one_to_the_same_person_only(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert())
        tx.add(alert("b", "capper"))
        for step in ("1", "resolved"):
            for recipient in ("ann", "bob"):
                tx.enqueue(message(step=step, recipient=recipient))
        tx.enqueue(message(of="b", recipient="ann"))
    due = [(n.alert, n.step, n.recipient) for n in store.due("hook", T0)]
    assert due == [("a", "1", "ann"), ("a", "1", "bob"), ("b", "1", "ann")]
    store.postpone(message(recipient="ann").key, T0, T0 + MINUTE, "busy")
    store.delivered(message(recipient="bob").key, T0, "ok")
    assert [(n.alert, n.step, n.recipient) for n in store.due("hook", T0)] == [
        ("a", "resolved", "bob"),
        ("b", "1", "ann"),
    ]


def test_due_is_oldest_first_and_limited(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert())
        for i in range(5):
            tx.enqueue(message(recipient=f"u{i}"))
    assert [n.recipient for n in store.due("hook", T0, limit=2)] == ["u0", "u1"]


def test_transactions_do_not_interleave(store: Store) -> None:
    with store.begin() as tx:
        tx.add(alert())
    together = Barrier(4)

    def bump() -> None:
        together.wait()
        for _ in range(5):
            with store.begin() as tx:
                found = tx.get("a")
                assert found is not None
                tx.update(replace(found, steps_done=found.steps_done + 1))

    threads = [Thread(target=bump) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.active()[0].steps_done == 20
