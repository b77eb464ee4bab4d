"""The section of the plant file that is written for a new machine: good, explained, all or nothing."""

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors.onboarding.found import Kind, Offer, Step, Variable
from collectors.onboarding.propose import MachineProposal, propose
from infra.onboarding.text import Chosen, cycle_of, in_words
from infra.onboarding.write import WriteError, draft, including, write
from infra.plantfile import load
from plant.model import Role

NOW = datetime(2026, 3, 4, 9, 3, tzinfo=UTC)
NODE = "nsu=urn:m;s="
OFFER = Offer(
    url="opc.tcp://plc:4840",
    protocol="opcua",
    options={"url": "opc.tcp://plc:4840", "user": "u", "password": {"env": "PLC_PASSWORD"}},
    product="Maker, PLC, 1.2",
    name="PLC Halle 2",
    variables=tuple(
        Variable(
            address=NODE + name,
            path=(Step(name="Presse 3"), Step(name=name)),
            data_type=data_type,
            kind=kind,
            unit=unit,
            value=value,
        )
        for name, data_type, kind, unit, value in (
            ("State", "Int32", Kind.INTEGER, "", 3),
            ("GoodParts", "UInt16", Kind.INTEGER, "", 5),
            ("Temperature", "Double", Kind.FLOAT, "°C", 4.5),
        )
    ),
)
PLANT = """# my plant
schema = 1  # the version
[site]
id = "s"
name = "Site"
zone = "Europe/Berlin"

[[equipment]]
id = "presse-3"
name = "The other press 3"
level = "WorkUnit"
"""


def machine() -> MachineProposal:
    (found,) = propose(OFFER, {NODE + "State": [(0.0, 3), (5.0, 4)]}, 10).machines
    return found


def chosen(cycle: timedelta | None = timedelta(seconds=2.4)) -> list[Chosen]:
    return [Chosen(machine=machine(), cycle=cycle)]


def test_a_new_plant_file_is_whole_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    assert write(draft(path, OFFER, chosen()), NOW) == [path]
    plant = load(path)
    (press,) = plant.machines()
    assert (press.id, press.name, press.material) == ("presse-3", "Presse 3", "presse-3-part")
    assert {(s.id, str(s.role), s.address) for s in plant.signals.values()} == {
        ("state", "state", NODE + "State"),
        ("good", "good", NODE + "GoodParts"),
        ("temperature", "process_value", NODE + "Temperature"),
    }
    assert plant.signals["presse-3", "good"].modulus == 65536
    assert plant.signals["presse-3", "temperature"].unit == "°C"
    assert plant.sources["plc-halle-2"].options == dict(OFFER.options)
    assert plant.materials["presse-3-part"].ideal_cycles[0].cycle == timedelta(seconds=2.4)
    text = path.read_text()
    assert '# Presse 3/GoodParts: "goodparts" in its name is a word for good parts.' in text
    assert '"4" = "down"  # nothing says what it means: please check' in text
    assert max(map(len, text.splitlines())) <= 120


def test_an_existing_plant_file_gets_an_included_one_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(PLANT)
    added = tmp_path / "sources" / "plc-halle-2.toml"
    assert write(draft(path, OFFER, chosen()), NOW) == [added, path]
    plant = load(path)
    assert [m.id for m in plant.machines()] == ["presse-3-2"]  # the id was taken
    assert path.read_text().startswith(
        '# my plant\nschema = 1  # the version\ninclude = ["sources/*.toml"]\n'
    )
    assert (tmp_path / "plant.toml.20260304T090300Z.bak").read_text() == PLANT
    before = path.read_text()
    other = replace(OFFER, options={**OFFER.options, "url": "opc.tcp://other:4840"})
    assert write(draft(path, other, chosen()), NOW) == [tmp_path / "sources" / "plc-halle-2-2.toml"]
    assert (path.read_text(), len(load(path).machines())) == (before, 2)


def test_a_machine_is_not_added_twice_and_a_second_one_shares_its_source(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    write(draft(path, OFFER, chosen()), NOW)
    with pytest.raises(
        WriteError, match=r"Presse 3 is in the plant already, leave it out: Presse 3 \(presse-3\)"
    ):
        draft(path, OFFER, chosen())
    moved = tuple(
        replace(v, address=v.address + "B", path=(Step(name="Presse 4"), v.path[-1])) for v in OFFER.variables
    )
    second = replace(OFFER, variables=moved)
    (found,) = propose(second, {}, 0).machines
    files = write(draft(path, second, [Chosen(machine=found, cycle=None)]), NOW)
    assert [f.name for f in files] == ["plc-halle-2-presse-4.toml", "plant.toml"]
    plant = load(path)
    assert (list(plant.sources), [m.id for m in plant.machines()]) == (
        ["plc-halle-2"],
        ["presse-3", "presse-4"],
    )


def test_nothing_is_written_that_is_not_a_good_plant_file(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(PLANT.replace("WorkUnit", "Machine"))
    with pytest.raises(WriteError, match="has errors"):
        draft(path, OFFER, chosen())
    path.write_text(PLANT)
    leftover = tmp_path / "sources" / "plc-halle-2.toml"
    leftover.parent.mkdir()
    leftover.write_text("old")
    with pytest.raises(WriteError, match="exists already"):
        draft(path, OFFER, chosen())
    leftover.unlink()
    stateless = propose(OFFER, {}, 0).machines[0]
    stateless = MachineProposal(
        id="p", name="p", why="", signals=tuple(s for s in stateless.signals if s.role is not Role.STATE)
    )
    with pytest.raises(WriteError, match="state signal"):
        draft(path, OFFER, [Chosen(machine=stateless, cycle=None)])
    assert path.read_text() == PLANT and not list(leftover.parent.iterdir())


def test_without_an_ideal_cycle_the_file_says_what_is_missing(tmp_path: Path) -> None:
    ready = draft(tmp_path / "plant.toml", OFFER, chosen(cycle=None))
    assert ready.plant.materials == {}
    assert "no ideal cycle, so no performance" in ready.section


INCLUDES = [
    ("schema = 1\n", 'schema = 1\ninclude = ["sources/*.toml"]\n'),
    ('schema = 1\ninclude = ["a.toml"]\n', 'schema = 1\ninclude = ["sources/*.toml", "a.toml"]\n'),
    (
        'include = [\n  "a.toml",\n]\nschema = 1\n',
        'include = ["sources/*.toml", \n  "a.toml",\n]\nschema = 1\n',
    ),
    ("include = []\nschema = 1\n", 'include = ["sources/*.toml", ]\nschema = 1\n'),
    ('schema = 1\ninclude = ["sources/*.toml"]\n', 'schema = 1\ninclude = ["sources/*.toml"]\n'),
]


@pytest.mark.parametrize(("before", "after"), INCLUDES)
def test_the_main_file_includes_the_section(before: str, after: str) -> None:
    assert including(before) == after


def test_an_include_that_cannot_be_changed_safely_is_left_to_people() -> None:
    with pytest.raises(WriteError, match="by hand"):
        including('"include" = ["a.toml"]\nschema = 1\n')


def test_what_a_server_says_cannot_leave_its_place(tmp_path: Path) -> None:
    evil = 'x"\n[evil]\nq = "q"\n#\x00\x7f\u2028'
    variables = tuple(
        Variable(
            address=NODE + name + '"\\',  # one that has line ends is no node id
            path=(Step(name=evil), Step(name=f"{name} {evil}")),
            data_type="String" if name == "State" else "Int32",
            kind=Kind.TEXT if name == "State" else Kind.INTEGER,
            value=evil if name == "State" else 1,
            unit=evil,
            description=evil,
        )
        for name in ("State", "Good")
    )
    offer = Offer(
        url=OFFER.url,
        protocol="opcua",
        options={"url": OFFER.url},
        product=evil,
        name=evil,
        variables=variables,
    )
    found = propose(offer, {}, 0)
    assert [m.name for m in found.machines] == [evil]
    ready = draft(tmp_path / "plant.toml", offer, [Chosen(machine=m, cycle=None) for m in found.machines])
    assert [e.name for e in ready.plant.equipment.values()] == [evil]
    assert set(tomllib.loads(ready.section)) == {"schema", "site", "source", "equipment", "signal"}


CYCLES = [
    ("2.4s", 2.4),
    ("2,4", 2.4),
    ("500 ms", 0.5),
    ("30/min", 2.0),
    ("1200/h", 3.0),
    ("1min 30s", 90),
    ("3", 3),
]


@pytest.mark.parametrize(("text", "seconds"), CYCLES)
def test_ideal_cycles_as_people_say_them(text: str, seconds: float) -> None:
    assert cycle_of(text).total_seconds() == seconds
    assert cycle_of(in_words(cycle_of(text))) == cycle_of(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "30/week", "0/min", "nan", "1e400/s", "2d", "1/"])
def test_what_is_no_cycle_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no ideal cycle"):
        cycle_of(text)
