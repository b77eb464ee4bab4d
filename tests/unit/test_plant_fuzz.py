"""Whatever a plant file holds, the answer is a plant or a list of errors that each name a place."""

import copy
import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import infra
from plant.parse import PlantErrors, parse

DEMO = Path(infra.__file__).parent / "demo"
FILES = [DEMO / "plant.toml", *sorted(DEMO.glob("lines/*.toml"))]
BASE: dict[str, Any] = {f.name: tomllib.loads(f.read_text(encoding="utf-8")) for f in FILES}

words = st.sampled_from(
    ["", " ", "state", "running", "filler", "bottling", "jam", "06:00", "2min", "mail", "a b", "\0"]
)
scalars = st.one_of(
    words,
    st.text(max_size=8),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from([date(2026, 1, 1), datetime(2026, 1, 1), time(1), date.min, datetime.max]),  # noqa: DTZ001, DTZ901
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(words | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def spoil(document: Any, data: st.DataObject) -> None:
    """Replace, remove or add something somewhere."""
    while isinstance(document, dict | list) and document:
        keys: list[Any] = list(document) if isinstance(document, dict) else list(range(len(document)))
        key = data.draw(st.sampled_from(keys))
        if (
            not isinstance(document[key], dict | list)
            or not document[key]
            or data.draw(st.integers(0, 3)) == 0
        ):
            act = data.draw(st.sampled_from(["replace", "remove", "add"]))
            if act == "remove":
                del document[key]
            elif act == "add" and isinstance(document, dict):
                document[data.draw(st.text(max_size=6))] = data.draw(values)
            else:
                document[key] = data.draw(values)
            return
        document = document[key]


@given(st.data())
def test_a_spoilt_plant_file_is_a_plant_or_errors(data: st.DataObject) -> None:
    documents = copy.deepcopy(BASE)
    for _ in range(data.draw(st.integers(1, 4))):
        spoil(documents[data.draw(st.sampled_from(list(documents)))], data)
    try:
        plant = parse(documents)
    except PlantErrors as errors:
        assert errors.errors
        for error in errors.errors:
            assert error.file in documents
            assert error.path
            assert error.problem
            assert error.fix
    else:
        assert all(m.micro_stop is not None for m in plant.machines())
