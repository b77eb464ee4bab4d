"""The sources as people see them, from status files as collectors write them: what is wrong, in words, everywhere."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from collectors.gaps import Gap, record
from dashboards.view import SourceDetail
from infra import sourcemetrics
from infra.cli.doctor import _collectors as doctor
from infra.cli.sources import run as run_sources
from infra.collecting import read_collecting
from infra.folder import DataFolder
from infra.sourcemetrics import SourceMetrics
from infra.sources import RECENT, SETTLE, source_views
from infra.sourcewatch import SourceWatch
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, Source, StateMapping
from plant.states import MachineState

NOW = datetime.now(UTC)
"""When the test began: what the commands are told is compared with the clock."""
MINUTE = timedelta(minutes=1)
SIGNALS = (
    Signal(
        id="state",
        equipment="press",
        role=Role.STATE,
        source="plc",
        address="1",
        states={"3": StateMapping(state=MachineState.RUNNING)},
    ),
    Signal(id="good", equipment="press", role=Role.GOOD, source="plc", address="2"),
    Signal(id="heat", equipment="press", role=Role.PROCESS_VALUE, source="plc", address="3", unit="°C"),
    Signal(id="fault", equipment="press", role=Role.ALARM, source="plc", address="4"),
)
PLANT = Plant(
    site=Site(id="demo", name="Demo", zone=ZoneInfo("UTC")),
    equipment={
        "press": Equipment(
            id="press", name="Press", level=EquipmentLevel.WORK_UNIT, stale_after=timedelta(seconds=30)
        )
    },
    sources={
        "plc": Source(id="plc", protocol="modbus"),
        "other": Source(id="other", protocol="opcua", process="second"),
    },
    signals={(s.equipment, s.id): s for s in SIGNALS},
)

Told = dict[str, Any]


@pytest.fixture(autouse=True)
def _now() -> None:
    global NOW
    NOW = datetime.now(UTC)


def seen(value: float | str | None, quality: int = 0, age: float = 1.0) -> Told:
    at = (NOW - timedelta(seconds=age)).isoformat()
    return {"samples": 9, "rate": 1.0, "time": at, "received": at, "value": value, "quality": quality}


def told(**changes: Any) -> Told:
    """What a collector says of a source that is well."""
    return {
        "protocol": "modbus",
        "connected": True,
        "detail": "connected to 10.0.0.3:502",
        "since": (NOW - 5 * MINUTE).isoformat(),
        "bad": {},
        "notes": {},
        "overflows": {},
        "overruns": 0,
        "samples": 27,
        "rate": 3.0,
        "last_sample": (NOW - timedelta(seconds=1)).isoformat(),
        "lag": 0.25,
        "gaps": 0,
        "signals": {
            "press.state": seen(3.0),
            "press.good": seen(12.0),
            "press.heat": seen(71.5),
            "press.fault": NEVER,
        },
        **changes,
    }


NEVER: Told = {"samples": 0, "rate": 0.0, "time": None, "received": None, "value": None, "quality": None}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    with DataFolder(tmp_path / "data") as made:
        return made


def write(folder: DataFolder, source: Told | None, age: float = 0.5, problem: str = "") -> None:
    said = {
        "time": NOW - timedelta(seconds=age),
        "pid": 1,
        "spool": {"problem": problem},
        "sources": {"plc": source} if source else {},
    }
    (folder.collectors / "collect.json").write_bytes(orjson.dumps(said))


def plc(folder: DataFolder, **given: Any) -> SourceDetail:
    return source_views(read_collecting(folder.collectors), given.pop("lost", []), PLANT, NOW, **given)[0]


def test_a_source_that_is_well_has_nothing_to_say(folder: DataFolder) -> None:
    write(folder, told())
    view = plc(folder)
    assert (view["state"], view["problems"], view["rate"], view["lag"]) == ("ok", [], 3.0, 0.25)
    assert view["counts"] == {"ok": 3, "uncertain": 0, "bad": 0, "silent": 1}, "no fault has happened yet"
    state, _, heat, _ = view["signal_list"]
    assert (state["meaning"], heat["unit"], heat["value"]) == ("running", "°C", 71.5)


def without(signal: str, **others: Any) -> Callable[[Told], None]:
    def change(source: Told) -> None:
        source["signals"][signal] = NEVER
        source.update(others)

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda s: s["bad"].update({"press.good": "illegal address"}),
            "1 signal without a value (press.good): illegal",
        ),
        (lambda s: s["signals"].update({"press.state": seen(7.0)}), '"7" is none of its states'),
        (lambda s: s["signals"].update({"press.state": seen(None, 2)}), "the newest sample has no value"),
        (
            lambda s: s["signals"].update({"press.state": seen(3.0, age=31)}),
            "nothing has come from 1 signal (press.state)",
        ),
        (without("press.heat"), "nothing has come from 1 signal (press.heat)"),
        (lambda s: s.update(overruns=4), "4 polls left out"),
        (lambda s: s["overflows"].update({"press.good": 2}), "dropped values 2 times"),
    ],
)
def test_what_is_not_well_is_said_and_makes_the_source_one_to_look_at(
    folder: DataFolder, change: Callable[[Told], None], problem: str
) -> None:
    source = told()
    change(source)
    write(folder, source)
    view = plc(folder)
    assert view["state"] == "look"
    assert len(view["problems"]) == 1 and problem in view["problems"][0]


def test_an_uncertain_value_is_a_value(folder: DataFolder) -> None:
    write(
        folder,
        told(
            bad={"press.heat": "the server says Uncertain"},
            signals=told()["signals"] | {"press.heat": seen(70, 1)},
        ),
    )
    view = plc(folder)
    assert (view["state"], view["counts"]["uncertain"], view["signal_list"][2]["value"]) == ("ok", 1, 70)


def test_just_connected_it_may_not_have_said_everything(folder: DataFolder) -> None:
    source = told(since=(NOW - SETTLE / 2).isoformat())
    without("press.good")(source)
    write(folder, source)
    assert plc(folder)["state"] == "ok"


def test_away_is_said_with_the_reason_and_every_signal_has_no_value(folder: DataFolder) -> None:
    write(folder, told(connected=False, detail="10.0.0.3:502 refuses; trying again every 4 s"))
    view = plc(folder)
    assert (view["state"], view["counts"]["bad"]) == ("away", 4)
    assert view["problems"] == ["10.0.0.3:502 refuses; trying again every 4 s"]


def test_a_process_that_does_not_answer_says_so_for_all_its_sources(folder: DataFolder) -> None:
    write(folder, told(), age=40)
    view = plc(folder)
    assert (view["state"], view["connected"], view["rate"]) == ("away", False, 0.0)
    assert 'process "collect" has not answered for 40 s' in view["detail"]
    other = source_views(read_collecting(folder.collectors), [], PLANT, NOW)[1]
    assert 'process "second" has not started yet' in other["detail"]


def test_a_full_spool_is_a_problem_of_every_source(folder: DataFolder) -> None:
    write(folder, told(), problem="the spool is full")
    assert plc(folder)["problems"] == ["nothing more is taken from it: the spool is full"]


def test_gaps_of_the_last_day_are_those_of_the_source_and_of_its_whole_process(folder: DataFolder) -> None:
    def gap(source: str, hours: float, collector: str = "collect") -> Gap:
        at = NOW - timedelta(hours=hours)
        return Gap(collector, at - MINUTE, at, 5, f"lost {hours} h ago", at, source, ("press.good",))

    write(folder, told())
    lost = [gap("plc", 1), gap("plc", 25), gap("other", 1), gap("", 2), gap("", 2, "second")]
    view = plc(folder, lost=lost)
    assert [(g["why"], g["whole"]) for g in view["gap_list"]] == [
        ("lost 1 h ago", False),
        ("lost 2 h ago", True),
    ]
    assert view["problems"] == ["2 gaps in the last 24 h, at least 10 samples: lost 1 h ago"]


def test_overruns_long_ago_are_counted_but_no_problem(folder: DataFolder) -> None:
    watch = SourceWatch(folder)
    write(folder, told(overruns=4))
    watch.look(NOW)
    assert watch.views(PLANT, NOW)[0]["state"] == "look"
    watch.look(NOW + RECENT)
    write(folder, told(overruns=4))
    later = NOW + RECENT
    assert (
        source_views(watch.processes, [], PLANT, NOW, watch._risen | {("plc", "overruns"): NOW - RECENT})[0][
            "state"
        ]
        == "ok"
    )
    watch.look(later)
    write(folder, told(overruns=1))
    watch.look(later)
    assert watch._risen["plc", "overruns"] == later, "the process was started again and counts from 0"


def test_machines_are_reached_only_while_their_process_writes(folder: DataFolder) -> None:
    watch = SourceWatch(folder)
    write(folder, told(bad={"press.good": "no such register"}))
    watch.look(NOW)
    assert watch.reached(PLANT, NOW) == {"press"}
    assert watch.unread(PLANT, NOW) == {"press": 1}
    assert watch.reached(PLANT, NOW + timedelta(seconds=6)) == set()
    write(folder, told(connected=False))
    watch.look(NOW)
    assert watch.reached(PLANT, NOW) == set()


def test_metrics_of_sources_and_signals(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, told(bad={"press.good": "no"}, overruns=2, overflows={"press.good": 3}))
    record(folder.spool, [Gap("collect", NOW, NOW, 0, "cut", NOW, "plc")])
    watch, registry = SourceWatch(folder), CollectorRegistry()
    watch.look(NOW)
    SourceMetrics(lambda: watch.views(PLANT, NOW), watch.gaps, registry)
    lines = generate_latest(registry).decode().splitlines()
    for line in (
        'lineside_source_connected{protocol="modbus",source="plc"} 1.0',
        'lineside_source_connected{protocol="opcua",source="other"} 0.0',
        'lineside_source_samples_total{source="plc"} 27.0',
        'lineside_source_lag_seconds{source="plc"} 0.25',
        'lineside_source_bad_signals{source="plc"} 1.0',
        'lineside_source_overruns_total{source="plc"} 2.0',
        'lineside_source_overflows_total{source="plc"} 3.0',
        'lineside_source_gaps_total{source="plc"} 1.0',
        'lineside_signal_quality{equipment="press",signal="good",source="plc"} 2.0',
        'lineside_signal_quality{equipment="press",signal="heat",source="plc"} 0.0',
        "lineside_signals_without_series 0.0",
    ):
        assert line in lines
    assert any(
        line.startswith('lineside_signal_age_seconds{equipment="press",signal="heat"') for line in lines
    )
    monkeypatch.setattr(sourcemetrics, "MOST_SIGNALS", 3)
    lines = generate_latest(registry).decode().splitlines()
    assert "lineside_signals_without_series 4.0" in lines
    assert not any(line.startswith("lineside_signal_") for line in lines)


def test_doctor_says_what_is_wrong_of_each_source(folder: DataFolder) -> None:
    write(folder, told(bad={"press.good": "illegal address"}, notes={"press.heat": "slower than asked"}))
    found = {f.what: (f.ok, f.detail) for f in doctor(folder, None)}
    assert found["source plc"][0] is False
    assert found["signal press.good"] == (False, "illegal address")
    assert found["signal press.heat"] == (True, "slower than asked")
    write(folder, told())
    (well,) = doctor(folder, None)
    assert (well.what, well.ok) == ("source plc", True) and "3.0 samples/s, lag 0.2 s" in well.detail
    write(folder, told(), age=40)
    assert [f.what for f in doctor(folder, None)] == ["collectors collect"]


def test_the_command_prints_all_one_and_json(folder: DataFolder, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, told(bad={"press.good": "illegal address"}))
    assert run_sources(None, folder.root, None, False, False) == 1
    said = capsys.readouterr().out
    assert (
        "plc: 2 signals" not in said and "plc: 1 signal without a value (press.good): illegal address" in said
    )
    assert run_sources(None, folder.root, "plc", False, False) == 1
    assert "71.5" in capsys.readouterr().out
    assert run_sources(None, folder.root, "plc", False, True) == 1
    (view,) = json.loads(capsys.readouterr().out)
    assert view["counts"]["bad"] == 1
    assert run_sources(None, folder.root, "none", False, False) == 2
    assert "there are plc" in capsys.readouterr().err


def test_a_plant_with_2000_signals_is_cheap(folder: DataFolder) -> None:
    machines = [f"m{n}" for n in range(200)]
    signals = {
        (m, f"s{k}"): Signal(id=f"s{k}", equipment=m, role=Role.PROCESS_VALUE, source=m)
        for m in machines
        for k in range(10)
    }
    plant = replace(
        PLANT,
        equipment={m: replace(PLANT.equipment["press"], id=m) for m in machines},
        sources={m: Source(id=m, protocol="opcua") for m in machines},
        signals=signals,
    )
    sources = {m: told(signals={f"{m}.s{k}": seen(1.0) for k in range(10)}) for m in machines}
    file = {"time": NOW, "pid": 1, "spool": {}, "sources": sources}
    (folder.collectors / "collect.json").write_bytes(orjson.dumps(file))
    watch = SourceWatch(folder)
    began = datetime.now(UTC)
    watch.look(NOW)
    views = watch.views(plant, NOW)
    assert len(views) == 200 and {v["state"] for v in views} == {"ok"}
    assert datetime.now(UTC) - began < timedelta(seconds=1), "it is done once a second"
    assert watch.views(plant, NOW) is views, "whoever looks in the same second is given the same"
