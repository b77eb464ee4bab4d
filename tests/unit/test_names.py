"""Our generic top-level names are ours: no other distribution may shadow them (docs/adr/0002)."""

from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("plant", "analytics", "execution", "collectors", "pipelines", "alerting", "dashboards", "infra")


@pytest.mark.parametrize("name", NAMES)
def test_the_package_is_ours_alone(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None
    assert Path(spec.origin).parent == ROOT / name
    assert set(packages_distributions().get(name, ["lineside"])) == {"lineside"}
