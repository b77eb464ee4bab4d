"""Raw states of machines in words."""

from dataclasses import dataclass, field

import pytest

from dashboards.improvement import state_name
from plant.model import Role, Signal, StateMapping
from plant.packml import PACKML, named, spellings
from plant.states import MachineState

DOWN = StateMapping(state=MachineState.DOWN)
ALL_OF_PACKML = {
    raw: StateMapping(state=state) for number, (_, state) in PACKML.items() for raw in spellings(number)
}


@dataclass
class OneMachine:
    """As much of a plant as is asked."""

    states: dict[str, StateMapping] = field(default_factory=dict)

    def state_signals(self) -> tuple[Signal, ...]:
        return (Signal(id="state", equipment="filler", role=Role.STATE, states=self.states),)


@pytest.mark.parametrize(
    ("states", "raw", "words"),
    [
        (ALL_OF_PACKML, "11", "Down (PackML Held)"),
        (ALL_OF_PACKML, "HELD", "Down (PackML Held)"),
        (ALL_OF_PACKML | {"99": DOWN}, "99", "Down (code 99, not named in the plant file)"),
        ({"9": DOWN}, "9", "Down (code 9, not named in the plant file)"),
        ({"11": DOWN}, "11", "Down (code 11, not named in the plant file)"),
        ({"INTERRUPTED": DOWN}, "INTERRUPTED", "Down (INTERRUPTED)"),
        ({}, "3417", "Code 3417, not named in the plant file"),
        ({}, "rest", "Rest"),
    ],
)
def test_a_state_has_its_name_or_is_said_to_have_none(
    states: dict[str, StateMapping], raw: str, words: str
) -> None:
    assert state_name(OneMachine(states), "filler", raw) == words  # type: ignore[arg-type]


def test_a_few_numbers_are_not_packml() -> None:
    assert named("6", {"6", "9", "11"}) is None
    assert named("6", ALL_OF_PACKML) == "Execute"
