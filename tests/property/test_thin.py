"""Facts of thinned samples are the facts of all of them, wherever the samples were cut to be thinned."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.derive import Facts, facts
from pipelines.thin import thin
from plant.expressions import parse
from plant.frames import BAD, SAMPLES
from plant.model import (
    CycleGaps,
    CycleKind,
    Equipment,
    EquipmentLevel,
    Plant,
    Role,
    Signal,
    Site,
    StateMapping,
    StateRule,
)
from plant.states import MachineState
from tests.examples import examples

START = datetime(2026, 3, 28, 22, tzinfo=UTC)
STATES = {
    "3": StateMapping(state=MachineState.RUNNING),
    "5": StateMapping(state=MachineState.DOWN, reason="jam"),
    "1.5": StateMapping(state=MachineState.SETUP),
    "hold": StateMapping(state=MachineState.BLOCKED),
}
SECOND = timedelta(seconds=1)
RULES = tuple(
    StateRule(when=when, condition=parse(when), means=StateMapping(state=state))
    for when, state in (("n >= 4 and not st == 'hold'", MachineState.RUNNING), ("n < 4", MachineState.DOWN))
)


def plant(stale: Sequence[float | None]) -> Plant:
    """Machine a tells its counts as "n", which on machine b is a process value. The states of c, d and e are told from
    other signals."""
    signals = [
        *(Signal(id="st", equipment=m, role=Role.STATE, states=STATES) for m in "ab"),
        *(Signal(id="or", equipment=m, role=Role.ORDER) for m in "ab"),
        Signal(id="n", equipment="a", role=Role.GOOD, modulus=64, min_cycle=SECOND),
        Signal(id="r", equipment="a", role=Role.REJECT),
        Signal(id="n", equipment="b", role=Role.PROCESS_VALUE),
        Signal(id="t", equipment="b", role=Role.TOTAL, min_cycle=SECOND),
        Signal(id="n", equipment="c", role=Role.PROCESS_VALUE, decides=True),
        Signal(id="st", equipment="c", role=Role.ALARM, decides=True),
        Signal(id="cy", equipment="d", role=Role.CYCLE),
        Signal(id="cy", equipment="e", role=Role.CYCLE, cycle=CycleKind.PULSE),
        Signal(id="ma", equipment="e", role=Role.MATERIAL),
    ]
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={
            m: Equipment(
                id=m,
                name=m,
                level=EquipmentLevel.WORK_UNIT,
                stale_after=None if seconds is None else timedelta(seconds=seconds),
                micro_stop=timedelta(seconds=30),
                states=RULES if m == "c" else (),
                cycle_gaps=CycleGaps() if m in "de" else None,
            )
            for m, seconds in zip("abcde", stale, strict=True)
        },
        signals={(s.equipment, s.id): s for s in signals},
    )


PLANTS = [
    plant(stale)
    for stale in ((None,) * 5, (40, None, 50, None, 30), (7, 0.5, 3, 9, 9), (60, 600, 60, 60, 60))
]
VALUES: dict[str, Sequence[float | str | None]] = {
    "st": [3, 3, 3, 5, 99, 1.5, "hold", "hold", None],
    "or": ["A", "A", "B", " A ", "", None],
    "n": [3, 4, 4, 60, 1.5, -1, None],
    "r": [0, 1, 2, 2, 2**53, None],
    "t": [7, 8, 8, 9, 2.5, None],
    "cy": [0, 0, 1, 1, 2.5, None],
    "ma": ["p", "p", "q"],
    "zz": [1],
}


@st.composite
def histories(draw: st.DrawFn) -> pl.DataFrame:
    """Runs of repeated samples, as machines send them; also of a machine and a signal the plant does not have."""
    rows = []
    for machine in draw(st.sets(st.sampled_from("abcdex"), max_size=3)):
        for signal in draw(st.sets(st.sampled_from(list(VALUES)))):
            micros = draw(st.sampled_from([0, -(10**15), 10**9]))
            for _ in range(draw(st.integers(1, 6))):
                value = draw(st.sampled_from(VALUES[signal]))
                quality = draw(st.sampled_from([0, 0, 0, 1, BAD]))
                for step in draw(
                    st.lists(st.sampled_from([1, 300_000, 10**6, 9 * 10**6, 70 * 10**6]), max_size=9)
                ):
                    micros += step
                    number, text = (None, value) if isinstance(value, str) else (value, None)
                    at = START + timedelta(microseconds=micros)
                    rows.append((at, machine, signal, number, text, quality, at + SECOND))
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row").sort("equipment", "signal", "time")


def derived(samples: pl.DataFrame, of: Plant, until: float = 86_400) -> Facts:
    return facts(samples, of, START + timedelta(seconds=until))


def assert_same(left: Facts, right: Facts) -> None:
    assert_frame_equal(left.intervals, right.intervals)
    assert_frame_equal(left.increments, right.increments)
    assert_frame_equal(left.runs, right.runs)
    assert_frame_equal(left.signalled, right.signalled)


@examples(30)
@given(histories(), st.sampled_from(PLANTS), st.sampled_from(["streaming", "in-memory"]), st.floats(0, 200))
def test_thinned_samples_are_samples_with_the_same_facts(
    samples: pl.DataFrame, of: Plant, engine: str, until: float
) -> None:
    kept = thin(samples.lazy(), of).collect(engine=engine)  # type: ignore[call-overload]
    assert kept.schema == samples.schema
    assert_frame_equal(
        kept, samples.join(kept, on=["equipment", "signal", "time"], how="semi", maintain_order="left")
    )
    assert_same(derived(kept, of), derived(samples, of))
    assert_same(derived(kept, of, until), derived(samples, of, until))
    again = thin(kept.lazy(), of).collect()
    assert again.height <= kept.height
    assert_same(derived(again, of), derived(samples, of))


@examples(30)
@given(histories(), st.sampled_from(PLANTS), st.data())
def test_spans_of_time_can_be_thinned_apart(samples: pl.DataFrame, of: Plant, data: st.DataObject) -> None:
    times = samples["time"].to_list() or [START]
    edges = [START - timedelta(days=20_000), *sorted(data.draw(st.lists(st.sampled_from(times), max_size=3)))]
    edges.append(START + timedelta(days=20_000))
    parts = [samples.filter(pl.col("time").is_between(*span, closed="left")) for span in pairwise(edges)]
    kept = pl.concat([thin(part.lazy(), of).collect() for part in parts])
    assert_same(derived(kept, of), derived(samples, of))


def test_what_repeats_is_dropped() -> None:
    of = replace(PLANTS[3], signals={s: v for s, v in PLANTS[3].signals.items() if s[1] == "st"})
    times = [START + n * SECOND for n in range(6000)]
    repeats = pl.DataFrame({"time": times}).select(
        pl.col("time").cast(SAMPLES["time"]),
        equipment=pl.lit("a"),
        signal=pl.lit("st"),
        value=pl.when(pl.int_range(pl.len()) < 3000).then(3.0).otherwise(5.0),
        text=pl.lit(None, pl.String),
        quality=pl.lit(0, pl.UInt8),
        received=pl.col("time").cast(SAMPLES["time"]),
    )
    kept = thin(repeats.lazy(), of).collect()
    assert {times[0], times[2999], times[3000], times[5999]} <= set(kept["time"])
    assert kept.height < 6000 * 2 / 33 + 10  # two for each 2^25 microseconds
    assert_same(derived(kept, of), derived(repeats, of))
