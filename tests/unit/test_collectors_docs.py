"""docs/collectors.md says every protocol there is, and its examples are right."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from collectors import discover
from plant.model import Role, Signal, Source

TEXT = (Path(__file__).parents[2] / "docs" / "collectors.md").read_text(encoding="utf-8")


def test_every_protocol_is_written_down() -> None:
    """Their options are in docs/plant-file.md (test_plant_docs)."""
    assert [protocol for protocol in discover() if f"| `{protocol}` |" not in TEXT] == []


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
def test_examples_pass_the_check(example: str) -> None:
    document = tomllib.loads(example)
    (source,) = document["source"]
    options = {key: value for key, value in source.items() if key not in ("id", "protocol")}
    signals = tuple(
        Signal(id=s["id"], equipment=s["equipment"], role=Role(s["role"]), address=s["address"])
        for s in document.get("signal", ())
    )
    made = Source(id=source["id"], protocol=source["protocol"], options=options)
    assert discover()[made.protocol].check(made, signals) == []


def test_looking_for_protocols_loads_no_client_library() -> None:
    code = (
        "import sys; from collectors import discover; discover(); "
        "print(*(name in sys.modules for name in ('asyncua', 'pymodbus', 'paho')))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]
