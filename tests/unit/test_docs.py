"""The documents say what is so: links lead somewhere, commands exist, promises name tests that are there."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from infra.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(document: Path) -> None:
    commands = getattr(get_command(app), "commands")  # noqa: B009 (typed as a plain command)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    text = document.read_text()
    for name, rest in re.findall(r"(?:^|`)lineside ([a-z]+)([^\n`]*)", text, re.M):
        assert name in commands, f"{document.name} shows `lineside {name}`"
        command, words = commands[name], rest.split()
        if below := getattr(command, "commands", None):
            assert words and words[0] in below, f"{document.name} shows `lineside {name}{rest}`"
            command = below[words[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
            assert option in known, f"{document.name} shows `lineside {name} {option}`"
    for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.M):
        assert target in targets, f"{document.name} shows `make {target}`"


def test_every_promise_names_a_test_that_is_there() -> None:
    named = re.findall(r"`(tests/[^`]+\.py)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert len(named) >= 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 100
