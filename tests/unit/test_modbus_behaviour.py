"""What registers did, without a device."""

import numpy as np
import pytest

from collectors.modbus.behaviour import Did, chosen, did, favoured, pairs

SECONDS = np.arange(0, 10, 0.5)
COUNT = len(SECONDS)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([7] * COUNT, Did.CONSTANT),
        ((65_530 + np.arange(COUNT) // 2 * 2) % 65_536, Did.COUNTER),  # starts at 0 again
        (1000 + np.floor(SECONDS), Did.CLOCK),
        ([3] * 7 + [6] * (COUNT - 7), Did.TOGGLED),
        ([3, 3, 6, 6, 9, 9, 3, 3, 6, 6] * 2, Did.FEW),
        (500 + 100 * np.sin(SECONDS), Did.VARIED),
        ([0, 1] * (COUNT // 2), Did.TOGGLED),
    ],
)
def test_what_a_series_did(values: list[float], what: Did) -> None:
    assert did(SECONDS, np.array(values, dtype=np.float64), 65_536) is what


def test_noise_is_no_number_and_neighbours_share_no_register() -> None:
    chance = np.random.default_rng(1)
    high = chance.integers(0x3F80, 0x4600, COUNT).astype(
        np.float64
    )  # as float32 between 1 and 8192, all over the place
    low = chance.integers(0, 65_536, COUNT).astype(np.float64)
    assert [pair for pair in pairs(SECONDS, high, low) if pair.plausible > 0.5] == []
    temperature = (70 + np.sin(SECONDS)).astype(">f4").view(">u2").astype(np.float64).reshape(-1, 2)
    columns = [temperature[:, 0], temperature[:, 1], np.full(COUNT, 16_400.0)]
    found = {at: pairs(SECONDS, columns[at], columns[at + 1]) for at in (0, 1)}
    order = favoured(list(found.values()))
    told = chosen(found, order)
    assert order == "ABCD" and list(told) == [0]
    assert (told[0][0].kind, told[0][0].byte_order) == ("float32", "ABCD")
    assert chosen({0: found[0], 1: found[0]}, order).keys() == {0}, "the better one has the register"
