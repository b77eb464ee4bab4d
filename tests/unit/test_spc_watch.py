"""A chart with frozen limits raises an alert when its newest point breaks a rule, and only then."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import polars as pl
import pytest
from sqlalchemy.exc import DatabaseError

from alerting.alert import OrderContext
from alerting.rules import evaluate
from analytics.spc.study import Exclusion, Frozen, key
from dashboards import spc
from dashboards.ports import Refused
from infra.records.audit import Audit
from infra.records.database import Database, RecordsError, upgrade
from infra.records.spc import SpcRecords
from infra.spcwatch import SpcWatch, machine_of, statuses, with_orders, with_spc
from plant.frames import Window
from plant.model import ControlChart

SUBJECT = "@spc:filler/temperature"
CHART = spc.Asked(machine="filler", signal="temperature")


@pytest.fixture
def database(tmp_path: Path) -> Any:
    found = Database(f"sqlite:///{tmp_path / 'records.db'}")
    upgrade(found)
    yield found
    found.close()


def frozen(center: float, sigma: float, valid_from: datetime) -> Frozen:
    estimate = {
        "center": center,
        "sigma": sigma,
        "overall": sigma,
        "points": 9,
        "values": 9,
        "freedom": 8.0,
        "how": "",
    }
    return Frozen(
        study=key(ControlChart()),
        valid_from=valid_from,
        estimate=estimate,
        window_start=valid_from,
        window_end=valid_from,
        at=valid_from,
        user="ana",
        why="",
    )


def watch(backend: Any, database: Database, limits: Frozen) -> SpcWatch:
    backend.freeze_limits("filler", "temperature", limits)
    with database.begin() as connection:
        SpcRecords(connection).freeze("filler", "temperature", limits)
    return SpcWatch(backend, database)


def test_without_frozen_limits_nothing_is_watched(board_backend: Any, database: Database) -> None:
    found = SpcWatch(board_backend, database)
    found.look(board_backend.now())
    assert found.found == {} and with_spc(board_backend.plant, found.found) is board_backend.plant


def test_out_of_control_is_an_alert_of_its_machine_and_order(board_backend: Any, database: Database) -> None:
    now = board_backend.now()
    found = watch(board_backend, database, frozen(10, 1, now - timedelta(days=1)))
    found.look(now)
    out = found.found[SUBJECT]
    assert out is not None and "three sigma" in out.why
    plant = with_spc(board_backend.plant, found.found)
    assert [(c.rule, c.equipment) for c in evaluate(plant, statuses(found.found, now), now)] == [
        ("@spc", SUBJECT)
    ]
    assert machine_of(SUBJECT) == "filler"
    order = OrderContext(order="WO-1", material="p40", due=None, finish=None, slack=None)
    assert with_orders({"filler": order}, found.found)[SUBJECT] == order
    found.look(now + timedelta(minutes=5))
    again = found.found[SUBJECT]
    assert again is not None and again.since == out.since, "it is the same alert"


def test_in_control_is_none(board_backend: Any, database: Database) -> None:
    now = board_backend.now()
    found = watch(board_backend, database, frozen(10, 1, now + timedelta(hours=1)))
    found.look(now)
    assert found.found == {SUBJECT: None}
    assert evaluate(with_spc(board_backend.plant, found.found), statuses(found.found, now), now) == []


def test_limits_of_another_setting_are_not_used(board_backend: Any, database: Database) -> None:
    now = board_backend.now()
    limits = frozen(10, 1, now - timedelta(days=1))
    other = Frozen(**{**{n: getattr(limits, n) for n in Frozen.__slots__}, "study": "xbar_r by count size 5"})
    found = watch(board_backend, database, other)
    found.look(now)
    assert found.found == {}


def test_records_come_back_in_order_and_cannot_be_changed(database: Database) -> None:
    at = datetime(2026, 3, 4, 9, tzinfo=UTC)
    limits = [frozen(10, 1, at), frozen(11, 2, at)]
    entry = Exclusion(time=at, excluded=True, at=at, user="ana", why="gauge dropped")
    with database.begin() as connection:
        records = SpcRecords(connection)
        for one in limits:
            records.freeze("filler", "temperature", one)
        records.exclude("filler", "temperature", entry)
        assert records.limits("filler", "temperature", limits[0].study) == limits
        assert records.exclusions("filler", "temperature") == [entry]
        assert records.exclusions("filler", "pressure") == []
        assert Audit(connection).of("filler/temperature") == [], "the backend writes it"
    for statement in ("UPDATE spc_limits SET why = 'x'", "DELETE FROM spc_exclusions"):
        with pytest.raises(DatabaseError, match="append-only"), database.begin() as connection:
            connection.exec_driver_sql(statement)


def test_freezing_and_leaving_out_need_something_to_go_by(board_backend: Any) -> None:
    now = board_backend.now()
    window = Window(now - timedelta(hours=3), now)
    shown = spc.find(board_backend, CHART, window)
    limits = spc.freezing(shown, window, now, "ana", "good day")
    assert limits.valid_from == now and limits.estimate["center"] == pytest.approx(71.5, abs=3)
    first = shown.study.points["time"][0]
    with pytest.raises(Refused, match="Say why"):
        spc.excluding(shown, first, True, now, "ana", " ")
    with pytest.raises(Refused, match="no such point"):
        spc.excluding(shown, now, True, now, "ana", "why")
    board_backend.exclude_point("filler", "temperature", spc.excluding(shown, first, True, now, "ana", "why"))
    again = spc.find(board_backend, CHART, window)
    assert again.study.points.filter(pl.col("excluded"))["time"].to_list() == [first]
    assert [e.why for e in again.exclusions] == ["why"]


@pytest.mark.parametrize("fails", (False, True))
def test_looks_that_take_long_are_further_apart(
    board_backend: Any, database: Database, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    watching, waited = SpcWatch(board_backend, database), list[float | None]()

    def slow(_now: datetime) -> None:
        sleep(0.25)
        if fails:
            raise RecordsError("away")

    class Stop(Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            return len(waited) == 2

    monkeypatch.setattr(watching, "look", slow)
    watching.run(Stop())
    assert waited[0] == 2.0
    assert waited[1] == 2.0 if fails else waited[1] >= 9 * 0.25
