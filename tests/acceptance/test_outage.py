"""A plant whose InfluxDB goes away: the board does not notice, and everything is there afterwards."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from collectors.spool import Spool
from infra.folder import DataFolder
from infra.influxdb.server import InfluxServer, running
from infra.metrics import Metrics
from infra.runtime import Runtime
from infra.storingalert import STORING
from plant.frames import GOOD, SAMPLES, Window
from plant.model import Equipment, EquipmentLevel, HistorianConfig, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState

pytestmark = [pytest.mark.server, pytest.mark.slow]

STATES = {"1": StateMapping(state=MachineState.RUNNING), "0": StateMapping(state=MachineState.DOWN)}


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with running(tmp_path_factory.mktemp("influx")) as server:
        yield server


def plant_on(server: InfluxServer) -> Plant:
    options = {
        "url": server.url,
        "bucket": server.bucket,
        "user": server.user,
        "password": server.password,
        "timeout": "5s",
    }
    return Plant(
        site=Site(id="works", name="Works", zone=ZoneInfo("UTC")),
        equipment={"press": Equipment(id="press", name="Press", level=EquipmentLevel.WORK_UNIT)},
        signals={
            ("press", "state"): Signal(id="state", equipment="press", role=Role.STATE, states=STATES),
            ("press", "good"): Signal(id="good", equipment="press", role=Role.GOOD),
        },
        historian=HistorianConfig(kind="influxdb", options=options),
    )


class Press:
    """Says its state and counts, a sample of each at a time."""

    def __init__(self, folder: DataFolder, name: str) -> None:
        self.spool = Spool(folder.spool, name)
        self.sent: list[tuple[datetime, str, str, float, None, int, datetime]] = []

    def say(self, state: str, good: int, at: datetime | None = None) -> None:
        now = datetime.now(UTC)
        at = at or now
        rows = [
            (at, "press", "state", float(state), None, GOOD, now),
            (at, "press", "good", float(good), None, GOOD, now),
        ]
        self.spool.append(pl.DataFrame(rows, schema=dict(SAMPLES), orient="row"))
        self.sent += rows


def until(holds: Callable[[], bool], seconds: float = 40) -> float:
    """How long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.05)
    return time.monotonic() - began


def shown(runtime: Runtime) -> str:
    return str(runtime.snapshot()["machines"][0]["state"])


def alerts(runtime: Runtime) -> list[str]:
    return [a["id"] for a in runtime.snapshot()["alerts"] if a["equipment"] == STORING]


def test_the_board_goes_on_while_influxdb_is_away_and_nothing_is_missing_afterwards(
    tmp_path: Path, influx: InfluxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.storingalert.LONGER_THAN", timedelta(seconds=1))
    influx.start()
    influx.empty()
    plant = plant_on(influx)
    with DataFolder(tmp_path / "data") as folder:
        press = Press(folder, "line")
        runtime = Runtime(plant, folder, "", Metrics.unregistered())
        runtime.start()
        press.say("1", 1)
        until(lambda: shown(runtime) == "running" and not press.spool.pending())
        assert runtime.health()["ok"]

        influx.stop()
        press.say("0", 2)
        assert until(lambda: shown(runtime) == "down") < 5
        until(lambda: "nothing is stored since" in str(runtime.health()["historian"]))
        assert "is it running" in str(runtime.health()["historian"])
        # A late sample needs the history nobody can ask now; the board goes on without it.
        late = press.sent[0][0] + timedelta(milliseconds=1)
        press.say("0", 1, at=late)
        press.say("1", 3)
        assert until(lambda: shown(runtime) == "running") < 5
        assert press.spool.pending()

        until(lambda: len(alerts(runtime)) == 1)
        told = alerts(runtime)

        # Started anew, it begins with what waits.
        runtime.stop()
        runtime = Runtime(plant, folder, "", Metrics.unregistered())
        runtime.start()
        assert shown(runtime) == "running"
        assert "lack" in str(runtime.health()["history"])
        press.say("0", 4)
        assert until(lambda: shown(runtime) == "down") < 5

        until(lambda: "nothing is stored since" in str(runtime.health()["historian"]))
        assert alerts(runtime) == told, "the same alert, not another one"

        influx.start()
        until(lambda: bool(runtime.health()["ok"]) and not press.spool.pending())
        until(lambda: not alerts(runtime))
        now = datetime.now(UTC)
        window = Window(now - timedelta(hours=1), now)
        stored = runtime.historian.read(window)
        sent = pl.DataFrame(press.sent, schema=dict(SAMPLES), orient="row").sort(
            "equipment", "signal", "time"
        )
        assert stored.equals(sent)
        lived = runtime.ledger(window, now)
        runtime.stop()

        again = Runtime(plant, folder, "", Metrics.unregistered())
        assert again.ledger(window, now).equals(lived), "live knows all that is stored"
        again.stop()


def test_a_wrong_password_is_told_and_mended_without_a_loss(tmp_path: Path, influx: InfluxServer) -> None:
    influx.start()
    influx.empty()
    plant = plant_on(influx)
    wrong = replace(
        plant, historian=replace(plant.historian, options={**plant.historian.options, "password": "wrong"})
    )
    with DataFolder(tmp_path / "data") as folder:
        press = Press(folder, "line")
        runtime = Runtime(wrong, folder, "", Metrics.unregistered())
        runtime.start()
        press.say("1", 1)
        until(lambda: shown(runtime) == "running")
        until(lambda: "password" in str(runtime.health()["historian"]))
        runtime.stop()
        runtime = Runtime(plant, folder, "", Metrics.unregistered())
        runtime.start()
        until(lambda: not press.spool.pending())
        assert runtime.historian.last(datetime.now(UTC))["value"].to_list() == [1.0, 1.0]
        runtime.stop()
