"""That samples are not stored reaches people as an alert: raised, escalated, over; and only by the rule for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from alerting.engine import Engine
from alerting.memory import MemoryAlerts
from collectors.gaps import Gap, record
from collectors.spool import Waiting
from infra.folder import DataFolder
from infra.metrics import Metrics
from infra.runtime import Runtime
from infra.storing import Trouble
from infra.storingalert import LONGER_THAN, STORING, storing_status, with_storing
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

T0 = datetime(2026, 11, 22, 13, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STEPS = tuple(EscalationStep(after=n * 10 * MINUTE, channel="hook") for n in range(2))
PLANT = Plant(
    site=Site(id="demo", name="Demo", zone=ZoneInfo("UTC")),
    equipment={"press": Equipment(id="press", name="Press", level=EquipmentLevel.WORK_UNIT)},
    channels={"hook": ChannelConfig(id="hook", kind="webhook")},
    escalations={i: Escalation(id=i, name=i, steps=STEPS[: 1 + (i == "most")]) for i in ("least", "most")},
    alert_rules={
        "slow": AlertRule(id="slow", name="Slow", longer_than=MINUTE, severity="low", escalation="least"),
        "down": AlertRule(id="down", name="Down", longer_than=MINUTE, severity="high", escalation="most"),
    },
)


def test_the_alert_is_raised_once_escalated_and_over_when_samples_are_stored_again() -> None:
    store = MemoryAlerts()
    engine = Engine(with_storing(PLANT), store)

    def tick(at: datetime, away: datetime | None, full: datetime | None = None) -> None:
        engine.tick([storing_status(away, full, at)], {}, at)

    tick(T0, None)
    tick(T0 + LONGER_THAN / 2, T0)
    assert store.active() == []
    tick(T0 + LONGER_THAN, T0)
    (alert,) = store.active()
    assert (alert.rule, alert.equipment, alert.steps_done) == (STORING, STORING, 1), "no rule of the plant's"
    tick(T0 + 12 * MINUTE, T0, T0 + 11 * MINUTE)
    (alert,) = store.active()
    assert alert.steps_done == 2 and "nearly full" in str(alert.reason_name)
    tick(T0 + 13 * MINUTE, None)
    assert store.active() == []


def test_after_a_restart_the_alert_goes_on_as_the_same_one() -> None:
    store = MemoryAlerts()
    Engine(with_storing(PLANT), store).tick([storing_status(T0, None, T0 + MINUTE)], {}, T0 + MINUTE)
    (before,) = store.active()
    again = Engine(with_storing(PLANT), store)
    again.tick([], {}, T0 + 3 * MINUTE)
    again.tick([storing_status(T0 + 4 * MINUTE, None, T0 + 5 * MINUTE)], {}, T0 + 5 * MINUTE)
    assert [alert.id for alert in store.active()] == [before.id]


def test_a_plant_without_rules_still_shows_the_alert() -> None:
    store = MemoryAlerts()
    bare = replace(PLANT, alert_rules={})
    Engine(with_storing(bare), store).tick([storing_status(None, T0, T0 + MINUTE)], {}, T0 + MINUTE)
    assert [alert.policy for alert in store.active()] == [()]


@contextmanager
def started(folder: Path) -> Iterator[Runtime]:
    with DataFolder(folder) as data:
        runtime = Runtime(replace(PLANT, channels={}, escalations={}), data, "", Metrics.unregistered())
        yield runtime
        runtime.stop()


def test_a_running_plant_shows_it_on_the_board_and_knows_nothing_before_it_tried(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with started(tmp_path) as runtime:
        trouble = Trouble(now - 2 * MINUTE, "away", 3, now + MINUTE)
        runtime._storing.trouble = trouble
        runtime.tick(now)
        assert runtime.snapshot()["alerts"] == []
        runtime._storing.tried = True
        runtime.tick(now)
        (alert,) = runtime.snapshot()["alerts"]
        assert alert["title"].startswith("Storing of samples stopped: The historian does not take them")
        runtime.replace_plant(runtime.plant)
        assert len(runtime.snapshot()["alerts"]) == 1
        assert [m["id"] for m in runtime.snapshot()["machines"]] == []
        runtime._storing.trouble = None
        runtime._storing.attempt(now)
        runtime.tick(now + MINUTE)
        assert runtime.snapshot()["alerts"] == []


@pytest.mark.parametrize("up", [True, False])
def test_the_metrics_say_what_waits_and_what_is_lost(tmp_path: Path, up: bool) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.count_gaps(tmp_path)
    record(tmp_path, [Gap("line", T0, T0 + MINUTE, 7, "damaged", T0)])
    metrics.observe_storing(Waiting(3, 30, 4096, T0 - MINUTE), up, T0)
    said = generate_latest(registry).decode()
    for line in (
        "spool_batches 3.0",
        "spool_bytes 4096.0",
        "spool_oldest_age_seconds 60.0",
        f"historian_up {float(up)}",
        "gaps 1.0",
    ):
        assert f"\nlineside_{line}\n" in said
