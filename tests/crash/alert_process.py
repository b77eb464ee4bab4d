"""A process to be killed: the alert engine and the dispatcher on a real database and a real webhook.

Run by test_alert_kill.py: alert_process.py DATABASE URL MINUTE POINT HIT
The clock stands at MINUTE. At the HIT-th time it passes POINT the process kills itself with SIGKILL.
Without a point it runs until the outbox is empty; at minute END the machines run again.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Lock, Thread
from typing import Any
from zoneinfo import ZoneInfo

from alerting.alert import Notification
from alerting.channels import discover
from alerting.dispatch import Dispatcher
from alerting.engine import Engine
from alerting.ports import Channel
from alerting.rules import MachineStatus
from infra.records.alerts import SqlAlerts
from infra.records.database import Database
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
from plant.states import MachineState, TimeCategory

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)
MACHINES = ("filler", "capper", "packer", "press")
STEPS = 12
END = 1000


class Killer:
    """Ends the process like a power cut, at one place."""

    def __init__(self, point: str, hit: int) -> None:
        self._point, self._left, self._lock = point, hit, Lock()

    def passes(self, point: str) -> None:
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class KilledAlerts(SqlAlerts):
    """The real store; it may die just before or after a commit of a tick or of a receipt."""

    killer: Killer

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with super().begin() as tx:
            yield tx
            self.killer.passes("tick:before_commit")
        self.killer.passes("tick:after_commit")

    def delivered(self, key: str, at: datetime, receipt: str) -> None:
        super().delivered(key, at, receipt)
        self.killer.passes("receipt:after")


class KilledChannel:
    """The real channel; it may die just before or after the message is out."""

    def __init__(self, channel: Channel, killer: Killer) -> None:
        self._channel, self._killer = channel, killer

    def send(self, notification: Notification) -> str:
        self._killer.passes("send:before")
        receipt = self._channel.send(notification)
        self._killer.passes("send:after")
        return receipt

    def close(self) -> None:
        self._channel.close()


def plant(url: str) -> Plant:
    steps = tuple(EscalationStep(after=timedelta(minutes=10 * i), channel="hook") for i in range(STEPS))
    return Plant(
        site=Site(id="demo", name="Demo", zone=ZoneInfo("Europe/Berlin")),
        equipment={m: Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT) for m in MACHINES},
        channels={"hook": ChannelConfig(id="hook", kind="webhook", options={"url": url})},
        escalations={"std": Escalation(id="std", name="Standard", steps=steps)},
        alert_rules={
            "stop": AlertRule(id="stop", name="Stop", longer_than=timedelta(minutes=5), escalation="std")
        },
    )


def main(url: str, hook: str, minute: int, point: str, hit: int) -> None:
    now = T0 + timedelta(minutes=minute)
    running = minute >= END
    machines = [
        MachineStatus(
            equipment=m,
            state=MachineState.RUNNING if running else MachineState.DOWN,
            since=now if running else T0,
            reason=None,
            category=TimeCategory.RUNNING if running else TimeCategory.UNPLANNED_DOWNTIME,
        )
        for m in MACHINES
    ]
    killer = Killer(point, hit)
    store = KilledAlerts(Database(url))
    store.killer = killer
    webhook = discover()["webhook"].create(plant(hook).channels["hook"])
    made = {"hook": KilledChannel(webhook, killer)}
    stop = Event()
    sender = Thread(
        target=Dispatcher(store, made, lambda: now, poll=timedelta(milliseconds=10)).run, args=(stop,)
    )
    sender.start()
    engine = Engine(plant(hook), store)
    while True:
        engine.tick(machines, {}, now)
        if point == "none" and not store.waiting_channels():
            break
        stop.wait(0.01)
    stop.set()
    sender.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
