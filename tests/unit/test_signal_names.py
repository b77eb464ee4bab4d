"""Signals are found by their names, however many there are."""

from random import Random

import polars as pl
import pytest

from pipelines.names import Names


@pytest.mark.parametrize("machines", (1, 7, 200, 3000))
def test_rows_of_known_signals_are_found(machines: int) -> None:
    random = Random(machines)
    signals = [f"s{n}" for n in range(machines // 2 + 1)]
    heard = [(f"machine {n}", random.choice(signals)) for n in range(machines)]
    known = [key for key in heard if random.random() < 0.6] or heard
    number = {key: n for n, key in enumerate(known)}
    asked: list[tuple[str | None, str | None]] = [
        *(random.choice(heard) for _ in range(3000)),
        *((random.choice(heard)[0], random.choice(heard)[1]) for _ in range(3000)),
        *((f"x{n}", f"machine {n}") for n in range(300)),
        *(("", "s0"), ("machine 0", ""), ("machine 0", None), (None, "s0")),
    ]
    random.shuffle(asked)
    samples = pl.DataFrame(asked, schema={"equipment": pl.String, "signal": pl.String}, orient="row")
    rows, numbers = Names(known, heard).find(samples)
    assert dict(zip(rows.tolist(), numbers.tolist(), strict=True)) == {
        row: number[key] for row, key in enumerate(asked) if key in number
    }
    assert rows.tolist() == sorted(rows)


def test_of_no_signals_and_of_no_rows_nothing_is_found() -> None:
    none = pl.DataFrame(schema={"equipment": pl.String, "signal": pl.String})
    some = pl.DataFrame({"equipment": ["a"], "signal": ["s"]})
    for names, samples in ((Names(()), some), (Names([("a", "s")]), none), (Names(()), none)):
        rows, numbers = names.find(samples)
        assert len(rows) == len(numbers) == 0
