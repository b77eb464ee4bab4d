"""The plant file on disk: includes, reload, secrets, `lineside check`, the plants Lineside brings."""

import json
from pathlib import Path

import pytest

import infra
from infra.cli.check import run
from infra.plantfile import PlantFile, load, with_options, with_secrets
from plant.model import Role
from plant.parse import PlantErrors
from plant.states import MachineState

INFRA = Path(infra.__file__).parent
DEMO = INFRA / "demo" / "plant.toml"
NIST = INFRA / "examples" / "nist-mazak" / "plant.toml"

MAIN = """
schema = 1
include = ["lines/*.toml"]
[site]
id = "s"
name = "Site"
zone = "UTC"
[[source]]
id = "adapter"
protocol = "shdr"
host = { env = "ADAPTER_HOST" }
"""
LINE = """
[[equipment]]
id = "lathe"
name = "Lathe"
level = "WorkUnit"
[[signal]]
equipment = "lathe"
id = "state"
role = "state"
source = "adapter"
address = "execution"
states = { ACTIVE = "running" }
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "one.toml").write_text(LINE)
    path = tmp_path / "plant.toml"
    path.write_text(MAIN)
    return path


def broken(path: Path) -> list[tuple[str, str, str]]:
    with pytest.raises(PlantErrors) as caught:
        load(path)
    assert all(e.fix for e in caught.value.errors)
    return [(e.file, e.path, e.problem) for e in caught.value.errors]


def test_included_files_are_part_of_the_plant(main: Path) -> None:
    assert [m.id for m in load(main).machines()] == ["lathe"]


def test_a_byte_order_mark_is_no_error(main: Path) -> None:
    main.write_text("\ufeff" + MAIN, encoding="utf-8")
    assert load(main).site.id == "s"


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    ((file, _, problem),) = broken(tmp_path / "none.toml")
    assert (file, "there is no file" in problem) == ("none.toml", True)


def test_a_syntax_error_names_its_line_in_every_file(main: Path) -> None:
    main.write_text(MAIN + "id = = 1\n")
    (main.parent / "lines" / "one.toml").write_bytes(b"\xff\xfe")
    (main.parent / "lines" / "two.toml").write_text("[[reason\n")
    # Without the main file nothing is known of its includes.
    ((file, _, problem),) = broken(main)
    assert (file, "line 12," in problem) == ("plant.toml", True)
    main.write_text(MAIN)
    assert [(f, "UTF-8" in p or "line 1" in p) for f, _, p in broken(main)] == [
        ("lines/one.toml", True),
        ("lines/two.toml", True),
    ]


def test_an_include_that_matches_nothing_comes_with_the_other_errors(main: Path) -> None:
    main.write_text(MAIN.replace("lines/*.toml", "line/*.toml").replace('zone = "UTC"', 'zone = "UTX"'))
    assert [(p, "nothing matches" in text) for _, p, text in broken(main)] == [
        ("include[0]", True),
        ("site.zone", False),
    ]


@pytest.mark.parametrize("pattern", ["/etc/*.toml", "", "**x"])
def test_a_pattern_that_is_none_is_an_error(main: Path, pattern: str) -> None:
    main.write_text(MAIN.replace("lines/*.toml", pattern))
    assert broken(main)[0][1] == "include[0]"


def test_unknown_protocols_and_kinds_name_the_known_ones(main: Path) -> None:
    channel = '[[channel]]\nid = "c"\nkind = "webhok"\n'
    main.write_text(MAIN.replace('"shdr"', '"carrier-pigeon"') + channel)
    with pytest.raises(PlantErrors) as caught:
        load(main)
    first, second = caught.value.errors
    assert (first.path, second.path) == ("channel[0].kind", "source[0].protocol")
    assert '"webhook"' in first.fix
    assert "shdr" in second.fix


def test_what_a_protocol_says_stands_at_the_option_or_the_signal(main: Path) -> None:
    main.write_text(MAIN + 'port = "x"\n')
    line = main.parent / "lines" / "one.toml"
    line.write_text(LINE.replace('"execution"', '"a|b"'))
    assert [(f, p) for f, p, _ in broken(main)] == [
        ("plant.toml", "source[0].port"),
        ("lines/one.toml", "signal[0].address"),
    ]


def test_a_reload_with_errors_keeps_the_plant(main: Path) -> None:
    file = PlantFile(main)
    before = file.plant
    main.write_text(MAIN.replace('name = "Site"', "name = 1"))
    errors = file.reload()
    assert isinstance(errors, PlantErrors)
    assert [e.path for e in errors.errors] == ["site.name"]
    assert file.plant is before
    main.write_text(MAIN.replace('name = "Site"', 'name = "New"'))
    assert file.reload() is file.plant
    assert file.plant.site.name == "New"


def test_secrets_are_read_at_start_and_a_missing_one_is_named(main: Path) -> None:
    plant = load(main)
    assert with_secrets(plant, {"ADAPTER_HOST": "mill"}).sources["adapter"].options == {"host": "mill"}
    with pytest.raises(PlantErrors, match="ADAPTER_HOST is not set") as caught:
        with_secrets(plant, {})
    assert caught.value.errors[0].path == 'source "adapter": host'
    with pytest.raises(PlantErrors, match="ADAPTER_HOST is empty"):
        with_secrets(plant, {"ADAPTER_HOST": ""})


def test_options_are_replaced_by_id(main: Path) -> None:
    changed = with_options(load(main), {"adapter": {"port": 1234}})
    assert changed.sources["adapter"].options == {"host": {"env": "ADAPTER_HOST"}, "port": 1234}
    with pytest.raises(KeyError, match="adaptor"):
        with_options(changed, {"adaptor": {}})


def test_check_prints_a_summary_or_the_errors(main: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, as_json=False) == 0
    assert "no errors" in capsys.readouterr().out
    main.write_text(MAIN.replace('"UTC"', '"[bold]UTC"'))  # what looks like markup is printed as it is
    assert run(main, as_json=False) == 1
    out = capsys.readouterr().out
    assert "plant.toml: site.zone" in out
    assert "[bold]UTC" in out
    assert out.endswith("1 error\n")


def test_check_as_json_is_for_scripts(main: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["errors"], answer["plant"]["machines"]) == (True, [], 1)
    main.write_text(MAIN.replace("schema = 1", "schema = 9"))
    assert run(main, as_json=True) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["plant"]) == (False, None)
    assert answer["errors"][0].keys() == {"file", "path", "problem", "fix"}


TOLD = """
schema = 1
site = { id = "s", name = "Works", zone = "UTC" }
[[equipment]]
id = "mill"
name = "Mill"
level = "WorkUnit"
stale_after = "30s"
states = [{ when = "spindle > 100", state = "running" }, { state = "down" }]
[[equipment]]
id = "press"
name = "Press"
level = "WorkUnit"
state_from = "cycles"
[[signal]]
equipment = "press"
id = "strokes"
role = "total"
[[signal]]
equipment = "mill"
id = "spindle"
role = "process_value"
"""


def test_check_explains_states_that_no_signal_tells(main: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main.write_text(TOLD)
    assert run(main, as_json=False) == 0
    out = capsys.readouterr().out
    assert (
        "Mill (mill): its state is told from spindle. The first that holds:\n  running: spindle > 100\n"
        in out
    )
    assert "  down: otherwise\n" in out
    assert "silent for 30 s" in out
    assert "its state is told from the time between its parts (strokes)" in out
    assert "No material has an ideal cycle on it" in out
    assert "Without stale_after" in out
    cycle = 'ideal_cycle = [{ equipment = "press", cycle = "2s" }]'
    main.write_text(f'{TOLD}[[material]]\nid = "cap"\nname = "Cap"\n{cycle}\n')
    assert run(main, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)["plant"]["told"]["press"]
    assert told[1].startswith(
        "cap: up to 2 s running, up to 3.4 s slow, up to 12 s a micro-stop, longer idle"
    )


def test_the_demo_plant_is_whole() -> None:
    plant = load(DEMO)
    assert len(plant.machines()) == 9
    for machine in plant.machines():
        roles = {s.role for s in plant.signals_of(machine.id)}
        assert roles == {Role.STATE, Role.GOOD, Role.REJECT, Role.ORDER, Role.PROCESS_VALUE}, machine.id
        assert any(c.equipment == machine.id for m in plant.materials.values() for c in m.ideal_cycles)
        assert machine.calendar
        assert machine.stale_after
    assert plant.line_of("filler") == "bottling"
    rule = plant.alert_rules["long-stop"]
    assert rule.escalation
    assert len(plant.escalations[rule.escalation].steps) == 3


def test_the_nist_machine_is_never_running_but_when_active() -> None:
    plant = load(NIST)
    states = plant.signals["mazak-03", "execution"].states
    assert [raw for raw, m in states.items() if m.state is MachineState.RUNNING] == ["ACTIVE"]
    assert {m.reason for m in states.values()} - {None} == set(plant.reasons)
    machine = plant.equipment["mazak-03"]
    assert (machine.calendar, machine.stale_after) == (None, None)
    assert machine.micro_stop is not None
    assert not machine.micro_stop
