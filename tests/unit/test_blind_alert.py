"""A machine nobody sees is an alert: raised once, after a while, for what is away as a whole; over when data is back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from alerting.engine import Engine
from alerting.memory import MemoryAlerts
from dashboards.pages.alerts import layout as inbox
from infra.alertviews import alert_view
from infra.blindalert import BLIND, BlindWatch, with_blind
from infra.collecting import CollectorProcess
from infra.folder import DataFolder
from infra.metrics import Metrics
from infra.runtime import Runtime
from infra.sources import source_views
from infra.storingalert import with_storing
from plant.model import (
    AlertRule,
    ChannelConfig,
    Equipment,
    EquipmentLevel,
    Escalation,
    EscalationStep,
    Plant,
    Role,
    Settings,
    Signal,
    Site,
    Source,
)

T0 = datetime(2026, 11, 22, 13, tzinfo=UTC)
SECOND, AFTER = timedelta(seconds=1), timedelta(seconds=30)
MACHINES = ("filler", "capper", "press", "scale")
FED = {"filler": "line", "capper": "line", "press": "press"}
PLANT = Plant(
    site=Site(id="demo", name="Demo", zone=ZoneInfo("UTC")),
    equipment={m: Equipment(id=m, name=m.title(), level=EquipmentLevel.WORK_UNIT) for m in MACHINES},
    sources={s: Source(id=s, protocol="opcua") for s in ("line", "press")},
    signals={
        (m, "state"): Signal(id="state", equipment=m, role=Role.STATE, source=FED.get(m)) for m in MACHINES
    },
    channels={"hook": ChannelConfig(id="hook", kind="webhook")},
    escalations={"e": Escalation(id="e", name="e", steps=(EscalationStep(after=SECOND, channel="hook"),))},
    alert_rules={"down": AlertRule(id="down", name="Down", longer_than=SECOND, escalation="e")},
)


class Told:
    """A plant whose collectors and ledger say what a test has them say."""

    def __init__(self, store: MemoryAlerts, started: datetime = T0, plant: Plant = PLANT) -> None:
        self.plant, self.store = plant, store
        self.away: dict[str, datetime] = {}
        self.bad: set[str] = set()
        self.silent_since: datetime | None = None
        self.heard: dict[str, datetime] = {}
        self.detail = "connection refused"
        self.derived: set[str] = set()
        """Machines whose state the ledger knows all the same."""
        self._watch = BlindWatch(started)
        self._engine = Engine(with_blind(with_storing(plant), {}), store)

    def tick(self, now: datetime) -> list[str]:
        """What stands on the alerts that are open."""
        told = {}
        for source in self.plant.sources:
            since = self.away.get(source)
            signals = {
                f"{m}.state": {
                    "samples": 1,
                    "rate": 1.0,
                    "time": now.isoformat(),
                    "received": now.isoformat(),
                    "value": None if since or m in self.bad else 3.0,
                    "quality": 2 if since or m in self.bad else 0,
                }
                for m, s in FED.items()
                if s == source
            }
            told[source] = {
                "protocol": "opcua",
                "connected": since is None,
                "detail": f"{self.detail}; trying again every 4 s" if since else "connected",
                "since": (since or T0).isoformat(),
                "signals": signals,
            }
        process = CollectorProcess("collect", self.silent_since or now, 1, {}, told)
        views = source_views([process], [], self.plant, now)
        unknown = self.bad | {m for m, s in FED.items() if s in self.away}
        statuses = self._watch.statuses(self.plant, [process], views, self.heard, unknown - self.derived, now)
        self._engine.plant = with_blind(with_storing(self.plant), self._watch.why)
        self._engine.tick(statuses, {}, now)
        return sorted(alert_view(alert)["title"] for alert in self.store.active())


def test_a_source_that_is_away_is_one_alert_that_names_its_machines() -> None:
    site = Told(MemoryAlerts())
    assert site.tick(T0) == []
    site.away = {"line": T0 + SECOND}
    assert site.tick(T0 + AFTER) == []
    expected = ["Source line without data: connection refused; nothing is known of Filler, Capper"]
    assert site.tick(T0 + SECOND + AFTER) == expected
    (alert,) = site.store.active()
    assert (alert.rule, alert.severity, alert.steps_done) == (BLIND, "high", 0)
    site.tick(T0 + AFTER + 5 * SECOND)
    assert site.store.active()[0].steps_done == 1, "escalated like any other"
    site.away = {}
    assert site.tick(T0 + 2 * AFTER) == []
    assert site.store.alerts(include_returned=True)[0].returned_because == "stop_ended"


def test_a_collector_that_restarts_again_and_again_does_not_start_the_clock_anew() -> None:
    site = Told(MemoryAlerts())
    for second in range(40):
        at = T0 + second * SECOND
        site.away = {"press": at}
        found = site.tick(at)
    assert len(found) == 1


def test_the_alert_says_the_last_reason_before_it_was_raised_and_keeps_it() -> None:
    site = Told(MemoryAlerts())
    site.away, site.detail = {"press": T0}, "connecting"
    site.tick(T0)
    site.detail = "no route to host"
    site.tick(T0 + AFTER - SECOND)
    site.detail = "no route to host, 12 tries"
    raised = site.tick(T0 + AFTER)
    assert raised == ["Source press without data: no route to host; nothing is known of Press"]
    site.detail = "connection refused"
    assert site.tick(T0 + 2 * AFTER) == raised


def test_a_machine_whose_state_still_holds_is_not_blind() -> None:
    site = Told(MemoryAlerts())
    site.bad = site.derived = {"press"}
    site.tick(T0)
    assert site.tick(T0 + 2 * AFTER) == []


def test_a_process_that_does_not_answer_is_one_alert_and_its_sources_are_none() -> None:
    site = Told(MemoryAlerts())
    site.tick(T0)
    site.silent_since = T0
    assert site.tick(T0 + AFTER - SECOND) == []
    title = "Collector process collect without data: it does not answer; nothing is known of Filler, Capper, Press"
    assert site.tick(T0 + AFTER) == [title]
    site.silent_since = None
    assert site.tick(T0 + AFTER + SECOND) == []


def test_after_the_start_the_collectors_have_time_to_come() -> None:
    site = Told(MemoryAlerts(), started=T0)
    site.silent_since = T0 - timedelta(days=1)
    assert site.tick(T0) == site.tick(T0 + AFTER - SECOND) == []
    assert len(site.tick(T0 + AFTER)) == 1


def test_a_machine_whose_state_has_no_value_is_an_alert_of_its_own() -> None:
    site = Told(MemoryAlerts())
    site.tick(T0)
    site.bad = {"capper"}
    site.tick(T0 + SECOND)
    assert site.tick(T0 + SECOND + AFTER) == ["Capper without data: no state: the newest sample has no value"]
    assert alert_view(site.store.active()[0])["equipment"] == "capper", "it counts on the machine's tile"
    site.away = {"line": T0 + 2 * AFTER}
    site.tick(T0 + 2 * AFTER)
    assert len(site.store.active()) == 1, "held: nobody knows"
    site.away, site.bad = {}, set()
    assert site.tick(T0 + 3 * AFTER) == []


def test_the_alert_survives_a_restart_as_the_same_one() -> None:
    store = MemoryAlerts()
    site = Told(store)
    site.away = {"press": T0}
    site.tick(T0)
    site.tick(T0 + AFTER)
    (before,) = store.active()
    again = Told(store, T0 + 2 * AFTER)
    again.silent_since = T0 + AFTER
    again.tick(T0 + 2 * AFTER)
    again.silent_since, again.away = None, {"press": T0 + 2 * AFTER}
    again.tick(T0 + 2 * AFTER + SECOND)
    assert [alert.id for alert in store.active()] == [before.id]
    again.away = {}
    assert again.tick(T0 + 3 * AFTER) == []


def test_a_machine_that_somebody_else_feeds_is_not_blind() -> None:
    site = Told(MemoryAlerts())
    site.away = {"press": T0}
    for second in range(0, 60, 3):
        site.heard = {"press": T0 + second * SECOND}
        assert site.tick(T0 + second * SECOND) == []


@pytest.mark.parametrize(
    "plant",
    [
        replace(PLANT, settings=Settings(blind_after=timedelta(0))),
        replace(PLANT, signals={k: replace(s, source=None) for k, s in PLANT.signals.items()}),
    ],
    ids=["switched off", "imported only"],
)
def test_nothing_is_raised_where_it_is_not_wanted(plant: Plant) -> None:
    site = Told(MemoryAlerts(), plant=plant)
    site.away = {"line": T0}
    site.tick(T0)
    assert site.tick(T0 + 10 * AFTER) == []


def test_the_plants_own_rules_stay_with_its_own_machines() -> None:
    ruled = with_blind(PLANT, {})
    assert set(ruled.alert_rules["down"].equipment) == set(MACHINES)
    assert set(ruled.alert_rules[BLIND].equipment).isdisjoint(MACHINES)


def test_a_running_plant_shows_it_and_the_tile_says_no_data(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    plant = replace(PLANT, channels={}, escalations={}, settings=Settings(blind_after=2 * SECOND))
    with DataFolder(tmp_path) as folder:
        runtime = Runtime(plant, folder, "", Metrics.unregistered())
        told = {
            "protocol": "opcua",
            "connected": False,
            "detail": "no route to host",
            "since": (now - AFTER).isoformat(),
        }

        def write(connected: bool) -> None:
            sources = {s: {**told, "connected": connected} for s in plant.sources}
            said = {"time": now, "pid": 1, "spool": {}, "sources": sources}
            (folder.collectors / "collect.json").write_bytes(orjson.dumps(said))

        write(connected=False)
        runtime.tick(now)
        runtime.tick(now + 3 * SECOND)
        titles = {alert["title"] for alert in runtime.snapshot()["alerts"]}
        assert titles == {
            "Source line without data: no route to host; nothing is known of Filler, Capper",
            "Source press without data: no route to host; nothing is known of Press",
        }
        assert {m["state"] for m in runtime.snapshot()["machines"]} == {"no_data"}
        runtime.replace_plant(runtime.plant)
        assert len(runtime.snapshot()["alerts"]) == 2
        write(connected=True)
        runtime.tick(now + 4 * SECOND)
        assert {alert["title"] for alert in runtime.snapshot()["alerts"]} == set()
        runtime.stop()


@pytest.mark.parametrize(
    ("equipment", "link"),
    [
        ("@source:press", "press"),
        ("@collector:collect", "bottling-plc"),
        ("filler", "bottling-plc"),
        ("@source:gone", ""),
    ],
)
def test_the_inbox_leads_to_the_source(board_backend: Any, equipment: str, link: str) -> None:
    known = board_backend._alerts["a1"]
    board_backend._alerts = {"b": {**known, "id": "b", "rule": BLIND, "equipment": equipment}}
    page = str(inbox(board_backend, {}, "light"))
    assert (f"/sources?source={link}'" in page) == bool(link)
