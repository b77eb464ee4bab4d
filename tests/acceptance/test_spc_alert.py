"""Control charts on a running plant: out of frozen limits is one alert, told once, over in control; inspections are kept."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from analytics.spc.charts import Estimate
from analytics.spc.inspections import Inspection, standing
from analytics.spc.study import Frozen, key
from collectors.spool import Spool
from infra.backend import PlantBackend
from infra.demo.sinks import Sinks
from infra.folder import DataFolder
from infra.metrics import Metrics
from infra.plantfile import load
from infra.records.audit import Audit
from infra.runtime import Runtime
from infra.spcwatch import SpcWatch
from plant.frames import SAMPLES, Window

PLANT = """
schema = 1

[site]
id = "works"
name = "Works"
zone = "Europe/Berlin"

[[equipment]]
id = "press"
name = "Press"
level = "WorkUnit"

[[source]]
id = "plc"
protocol = "modbus"
host = "127.0.0.1"

[[signal]]
equipment = "press"
id = "state"
role = "state"
source = "plc"
address = "holding:0:uint16"
states = { "1" = "running", "2" = "down" }

[[signal]]
equipment = "press"
id = "force"
role = "process_value"
unit = "kN"
source = "plc"
address = "holding:1:float32"
spc = { by = "count", rules = "western_electric" }

[[channel]]
id = "hook"
kind = "webhook"
url = "http://127.0.0.1:PORT"

[[escalation]]
id = "quality"
name = "Quality"
steps = [{ after = "0s", channel = "hook" }]

[[alert]]
id = "stopped"
name = "Stopped"
longer_than = "1h"
escalation = "quality"
"""
CALM = (10.4, 9.7, 10.2, 9.9)
"""Breaks no rule of the frozen limits, 10 and 1, however often."""


def wait(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What it says as soon as it says something."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)
    return found


class Press:
    """A running plant whose press is heard of through the spool."""

    def __init__(self, runtime: Runtime, folder: DataFolder, messages: Path, watch: SpcWatch) -> None:
        self.runtime, self.backend, self.watch = runtime, PlantBackend(runtime), watch
        self._spool = Spool(folder.spool, "plc")
        self._messages = messages

    def says(self, signal: str, *values: float) -> None:
        """Samples up to now, 10 ms apart."""
        now = datetime.now(UTC)
        rows = [
            {
                "time": now - timedelta(milliseconds=10 * (len(values) - 1 - i)),
                "equipment": "press",
                "signal": signal,
                "value": value,
                "quality": 0,
                "received": now,
            }
            for i, value in enumerate(values)
        ]
        self._spool.append(pl.DataFrame(rows, schema=SAMPLES))

    def alerts(self, state: str) -> list[Any]:
        return [a for a in self.backend.alerts(include_resolved=True) if a["state"] == state]

    def told(self) -> list[str]:
        """The kind of each message that was delivered."""
        return [
            orjson.loads(file.read_bytes())["kind"] for file in sorted(self._messages.glob("*-webhook.json"))
        ]


@pytest.fixture
def press(tmp_path: Path) -> Iterator[Press]:
    messages = tmp_path / "messages"
    file = tmp_path / "plant.toml"
    with Sinks(messages) as sinks, DataFolder(tmp_path / "data") as folder:
        file.write_text(PLANT.replace("PORT", str(sinks.webhook)))
        runtime = Runtime(load(file), folder, "http://127.0.0.1:1", Metrics.unregistered())
        runtime.start()
        watch = SpcWatch(PlantBackend(runtime), runtime.database)
        runtime.watch_spc(watch)
        yield Press(runtime, folder, messages, watch)
        runtime.stop()


@pytest.mark.slow
def test_out_of_control_is_raised_once_told_once_and_over_in_control(press: Press) -> None:
    now = datetime.now(UTC)
    press.says("state", 1.0)
    given = Estimate(center=10, sigma=1, overall=1, points=25, values=25, freedom=20, how="MR-bar/1.128")
    limits = Frozen(
        study=key(press.backend.plant.signals["press", "force"].spc),
        valid_from=now,
        estimate=given.to_json(),
        window_start=now - timedelta(hours=1),
        window_end=now,
        at=now,
        user="ana",
        why="good week",
    )
    press.backend.freeze_limits("press", "force", limits)
    time.sleep(0.3)
    press.says("force", *islice(cycle(CALM), 12))
    wait(lambda: press.watch.found == {"@spc:press/force": None})
    assert press.alerts("unacknowledged") == []
    press.says("force", 10.2, 13.6)
    alert = wait(lambda: press.alerts("unacknowledged"))[0]
    assert (alert["equipment"], alert["severity"]) == ("press", "medium"), alert
    wait(press.told)
    for value in (13.8, 14.1):
        press.says("force", value)
        time.sleep(2.5)
    assert [a["id"] for a in press.alerts("unacknowledged")] == [alert["id"]], "it stays the same alert"
    assert press.told() == ["raised"], "and is told once"
    press.says("force", *CALM)
    over = wait(lambda: press.alerts("resolved"))
    assert [a["id"] for a in over] == [alert["id"]] and press.alerts("unacknowledged") == []
    wait(lambda: len(press.told()) == 2)
    events = [event["event"] for event in press.backend.alert_history(alert["id"])]
    assert events[0] == "raised" and "returned" in events


def test_an_inspection_posted_twice_is_kept_once_and_noted(press: Press) -> None:
    now = datetime.now(UTC)
    made = Inspection(test="Visual check", time=now, inspected=50, nonconforming=2, at=now, user="ana")
    numbers = {press.backend.record_inspection("press", made, key) for key in ("k1", "k1", "k2")}
    back = replace(made, user="jan", note="counted twice", withdraws=max(numbers))
    press.backend.record_inspection("press", back)
    found = press.backend.inspections(Window(now, now + timedelta(seconds=1)), "press")
    assert [(one.number, one.withdraws) for one in found] == [(1, None), (2, None), (3, 2)]
    assert standing(found) == [replace(made, number=1)]
    with press.runtime.database.read() as connection:
        noted = Audit(connection).of("press/Visual check")
    assert [(entry.action, entry.user) for entry in noted] == [
        ("inspection.record", "ana"),
        ("inspection.record", "ana"),
        ("inspection.withdraw", "jan"),
    ]
