"""docs/plant-file.md names every table, key, word and option of the plant file, and no other."""

import re
import tomllib
from pathlib import Path

import pytest

import alerting.channels
import collectors
from infra import stores
from infra.plantfile import load
from plant.model import (
    BreakRule,
    ChannelConfig,
    ChartKind,
    Convention,
    CycleKind,
    EquipmentLevel,
    HistorianConfig,
    OrderSource,
    Role,
    RuleSet,
    Signal,
    Source,
    SpoolConfig,
    Subgrouping,
)
from plant.parsing.keys import KEYS
from plant.parsing.people import Severity
from plant.parsing.values import CENTURY, duration, size
from plant.states import MachineState

TEXT = (Path(__file__).parents[2] / "docs" / "plant-file.md").read_text(encoding="utf-8")
SECTIONS = {m[1]: m[2] for m in re.finditer(r"^##+ (.+?)\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)}
HEADINGS = {
    "": "Top level",
    "site": "`[site]`",
    "settings": "`[settings]`",
    "historian": "`[historian]`",
    "records": "`[records]`",
    "spool": "`[spool]`",
    "signal.states": "`[signal.states]`",
    "signal.spc": "`[signal.spc]`",
    "equipment.cycle_gaps": "`[equipment.cycle_gaps]`",
    "material.ideal_cycle": "`ideal_cycle` of a material",
    "calendar.shift.breaks": "`breaks` of a shift",
    "calendar.exception.shifts": "`shifts` of an exception",
    "calendar.exception.closed": "`closed` of an exception",
    "escalation.steps": "`steps` of an escalation",
}


def documented(heading: str, first: str) -> list[str]:
    """The first column of the table of that section whose first heading is `first`."""
    rows = SECTIONS[heading].partition(f"| {first} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE)


@pytest.mark.parametrize("kind", [kind for kind in KEYS if KEYS[kind]])
def test_every_key_is_documented(kind: str) -> None:
    assert documented(HEADINGS.get(kind, f"`[[{kind}]]`"), "key") == list(KEYS[kind])


@pytest.mark.parametrize(
    "kind",
    [
        MachineState,
        EquipmentLevel,
        Role,
        Convention,
        BreakRule,
        Severity,
        CycleKind,
        OrderSource,
        ChartKind,
        RuleSet,
        Subgrouping,
    ],
)
def test_every_word_is_documented(kind: type[Role]) -> None:
    assert [word for word in kind if f"`{word}`" not in TEXT] == []


def options(answer: list[str]) -> set[str]:
    """The options a check names when it is given one it does not know."""
    (message,) = (a for a in answer if "nonsense" in a)
    return set(filter(None, re.split(r", ", re.split(r"it knows ?|use one of ", message)[1])))


def test_every_option_of_every_protocol_is_documented() -> None:
    known = collectors.discover()
    for name, module in known.items():
        answer = module.check(Source(id="s", protocol=name, options={"nonsense": 1}), ())
        assert options(answer) == set(documented(f"Protocol `{name}`", "option"))
        assert f"`{name}`" in SECTIONS["`[[source]]`"]
        given = Signal(id="s", equipment="e", role=Role.GOOD, source="s", collect={"nonsense": 1})
        answer = module.check(Source(id="s", protocol=name), (given,))
        assert options(answer) == set(documented(f"Protocol `{name}`", "`collect` of a signal"))
    assert {h for h in SECTIONS if h.startswith("Protocol")} == {f"Protocol `{name}`" for name in known}


def test_every_option_of_every_channel_is_documented() -> None:
    known = alerting.channels.discover()
    for name, module in known.items():
        answer = module.check(ChannelConfig(id="c", kind=name, options={"nonsense": 1}))
        assert options(answer) == set(documented(f"Kind `{name}`", "option"))
    assert {h for h in SECTIONS if h.startswith("Kind")} == {f"Kind `{name}`" for name in known}


def test_every_option_of_every_historian_is_documented() -> None:
    answer = stores.check_historian(HistorianConfig(kind="influxdb", options={"nonsense": 1}))
    assert options(answer) == set(documented("Historian `influxdb`", "option"))
    assert all(f"`{kind}`" in SECTIONS["`[historian]`"] for kind in stores.KINDS)


def test_the_documented_defaults_of_the_stores_are_the_defaults() -> None:
    def default(heading: str, key: str) -> str:
        (row,) = re.findall(rf"^\| `{key}` \| `(.+?)` \|", SECTIONS[heading], re.MULTILINE)
        return str(tomllib.loads(f"x = {row}")["x"])

    assert default("`[historian]`", "kind") == HistorianConfig().kind
    assert duration(default("`[historian]`", "keep"), CENTURY) == HistorianConfig().keep
    assert size(default("`[spool]`", "max_size")) == SpoolConfig().max_bytes
    assert duration(default("`[spool]`", "max_age")) == SpoolConfig().max_age


def test_the_smallest_plant_is_one(tmp_path: Path) -> None:
    first, *others = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "plant.toml"
    path.write_text(first)
    assert [m.id for m in load(path).machines()] == ["lathe"]
    assert all(tomllib.loads(block) for block in others)
