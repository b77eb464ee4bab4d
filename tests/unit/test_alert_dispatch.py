"""The dispatcher: retries, refusals, order, and channels that do not wait for each other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event, Thread

import pytest

from alerting.alert import Alert, AlertState, Kind, Notification, notification_key
from alerting.dispatch import Backoff, Delivery, Dispatcher
from alerting.memory import MemoryAlerts
from alerting.ports import PermanentError, TransientError
from plant.states import MachineState

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)

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
)


class Scripted:
    """A channel that does what it is told, message by message, and then accepts."""

    def __init__(self, *script: Callable[[], str]) -> None:
        self.script = list(script)
        self.sent: list[str] = []
        self.arrived = Event()

    def send(self, notification: Notification) -> str:
        self.sent.append(notification.key)
        answer = self.script.pop(0)() if self.script else "ok"
        self.arrived.set()
        return answer

    def close(self) -> None:
        self.script.clear()


def fails(error: Exception) -> Callable[[], str]:
    def raise_it() -> str:
        raise error

    return raise_it


def queue(store: MemoryAlerts, *channels: str) -> list[str]:
    keys = []
    with store.begin() as tx:
        tx.add(ALERT)
        for number, channel in enumerate(channels, start=1):
            key = notification_key("a", str(number), channel, str(number))
            keys.append(key)
            tx.enqueue(
                Notification(
                    key=key,
                    alert="a",
                    step=str(number),
                    kind=Kind.RAISED,
                    channel=channel,
                    recipient=str(number),
                    recipients=(),
                    subject="s",
                    text="t",
                    details={},
                    link="",
                    created=T0,
                )
            )
    return keys


@pytest.fixture
def store() -> MemoryAlerts:
    return MemoryAlerts()


def dispatcher(store: MemoryAlerts, **channels: Scripted) -> Dispatcher:
    return Dispatcher(store, channels, lambda: T0, rng=Random(1))


def test_a_message_is_sent_once_and_its_receipt_kept(store: MemoryAlerts) -> None:
    hook = Scripted(lambda: "202 Accepted")
    (key,) = queue(store, "hook")
    sending = dispatcher(store, hook=hook)
    assert sending.once(T0) == Delivery(delivered=1)
    assert sending.once(T0 + SECOND) == Delivery()
    assert hook.sent == [key]
    assert store.history("a")[-1].detail == "step 1 by hook to 1: 202 Accepted"


def test_what_is_not_taken_now_is_tried_again_with_the_same_key(store: MemoryAlerts) -> None:
    hook = Scripted(fails(TransientError("503")), fails(ValueError("a defect")))
    (key,) = queue(store, "hook")
    sending = dispatcher(store, hook=hook)
    assert sending.once(T0) == Delivery(postponed=1)
    assert sending.once(T0 + 0.9 * SECOND) == Delivery()  # half of the first wait at the least
    assert sending.once(T0 + 2 * SECOND) == Delivery(postponed=1)
    assert sending.once(T0 + 6 * SECOND) == Delivery(delivered=1)
    assert hook.sent == [key] * 3


def test_a_refusal_is_not_tried_again(store: MemoryAlerts) -> None:
    hook = Scripted(fails(PermanentError("400 Bad Request")))
    queue(store, "hook", "hook")
    sending = dispatcher(store, hook=hook)
    assert sending.once(T0) == Delivery(delivered=1, failed=1)
    assert sending.once(T0 + timedelta(days=1)) == Delivery()
    assert store.history("a")[0].detail == "step 1 by hook to 1: 400 Bad Request"


def test_it_waits_as_long_as_the_other_side_asks(store: MemoryAlerts) -> None:
    hook = Scripted(fails(TransientError("429", timedelta(seconds=100))))
    queue(store, "hook")
    sending = dispatcher(store, hook=hook)
    sending.once(T0)
    assert sending.once(T0 + 99 * SECOND) == Delivery()
    assert sending.once(T0 + 100 * SECOND) == Delivery(delivered=1)


def test_it_gives_up_after_a_day_and_says_so(store: MemoryAlerts) -> None:
    hook = Scripted(*[fails(TransientError("down"))] * 3)
    queue(store, "hook")
    sending = dispatcher(store, hook=hook)
    sending.once(T0)
    assert sending.once(T0 + timedelta(days=1)) == Delivery(failed=1)
    assert store.history("a")[-1].detail.endswith("gave up after 2 attempts: down")


def test_a_channel_that_left_the_plant_file_is_reported_not_waited_for(store: MemoryAlerts) -> None:
    queue(store, "gone", "hook")
    assert dispatcher(store, hook=Scripted()).once(T0) == Delivery(delivered=1, failed=1)
    assert "no channel gone" in store.history("a")[0].detail


def test_backoff_doubles_with_jitter_up_to_its_limit() -> None:
    backoff, rng = Backoff(), Random(7)
    for attempts, whole in ((0, 2), (1, 4), (5, 64), (8, 300), (10_000, 300)):
        waits = [backoff.wait(attempts, rng) for _ in range(50)]
        assert whole / 2 * SECOND <= min(waits) < max(waits) <= whole * SECOND
    assert backoff.wait(0, rng, timedelta(days=99)) == backoff.give_up


def test_a_channel_that_hangs_delays_nobody_else(store: MemoryAlerts) -> None:
    release = Event()

    def hang() -> str:
        release.wait(60)
        return "at last"

    slow, hook = Scripted(hang), Scripted()
    queue(store, "slow", "hook", "hook")
    stop = Event()
    running = Thread(
        target=replace(dispatcher(store, slow=slow, hook=hook), poll=0.01 * SECOND).run, args=(stop,)
    )
    running.start()
    try:
        assert hook.arrived.wait(20)
        _until(lambda: store.waiting_channels() == {"slow"})
        assert len(slow.sent) == 1
    finally:
        release.set()
        _until(lambda: store.waiting_channels() == set())
        stop.set()
        running.join(20)
    assert not running.is_alive()


def test_a_store_that_is_away_for_a_while_stops_no_worker(store: MemoryAlerts) -> None:
    class Away(MemoryAlerts):
        left = 3

        def due(self, channel: str, now: datetime, limit: int = 20) -> list[Notification]:
            if self.left:
                self.left -= 1
                raise OSError("disk I/O error")
            return super().due(channel, now, limit)

    away, hook, stop = Away(), Scripted(), Event()
    queue(away, "hook")
    running = Thread(target=replace(dispatcher(away, hook=hook), poll=0.01 * SECOND).run, args=(stop,))
    running.start()
    try:
        assert hook.arrived.wait(20)
    finally:
        stop.set()
        running.join(20)
    assert away.left == 0


def _until(condition: Callable[[], bool]) -> None:
    waited = Event()
    for _ in range(2000):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("did not happen in time")
