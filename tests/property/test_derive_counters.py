"""Counters: whatever a counter does that it can do, the parts come out exact; what it cannot do books nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.facts.counters import ROUNDING, SLACK
from pipelines.derive import facts
from pipelines.fold import Fold
from plant.frames import SAMPLES, Window
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState
from tests.examples import examples

START = datetime(2026, 3, 2, 6, tzinfo=UTC)


def plant(modulus: int | None) -> Plant:
    running = {"1": StateMapping(state=MachineState.RUNNING)}
    second = timedelta(seconds=1)
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={"m": Equipment(id="m", name="m", level=EquipmentLevel.WORK_UNIT)},
        signals={
            ("m", "state"): Signal(id="state", equipment="m", role=Role.STATE, states=running),
            ("m", "good"): Signal(
                id="good", equipment="m", role=Role.GOOD, modulus=modulus, min_cycle=second
            ),
        },
    )


def increments(readings: list[tuple[int, int]], modulus: int | None) -> pl.DataFrame:
    rows = [
        (START + timedelta(seconds=t), "m", "good", float(v), None, 0, START + timedelta(seconds=t))
        for t, v in readings
    ]
    samples = pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")
    return facts(samples, plant(modulus), START + timedelta(days=30)).increments


pace = st.tuples(st.integers(1, 30), st.floats(0, 1))
"""Seconds to the next reading, and how busy the machine was: at most one part a second."""


@examples(60)
@given(st.sampled_from([64, 100, 256, 65_536]), st.integers(0, 65_535), st.lists(pace, max_size=40))
def test_rollovers_are_exact(modulus: int, first: int, paces: list[tuple[int, float]]) -> None:
    made, second, readings = first % modulus, 0, [(0, first % modulus)]
    for span, busy in paces:
        made, second = made + int(span * busy), second + span
        readings.append((second, made % modulus))
    found = increments(readings, modulus)
    assert found["quantity"].sum() == made - first % modulus
    assert set(found["flag"].drop_nulls()) <= {"rollover"}


@examples(60)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 1000)), min_size=1, max_size=40))
def test_no_reading_shows_more_parts_than_there_was_time_for(readings: list[tuple[int, int]]) -> None:
    second, series = 0, []
    for span, value in readings:
        second += span
        series.append((second, value))
    found = increments(series, None)
    spans = dict(
        zip((START + timedelta(seconds=s) for s, _ in series), (s for s, _ in readings), strict=True)
    )
    for time, quantity, flag in found.select("time", "quantity", "flag").iter_rows():
        assert 0 <= quantity <= SLACK + spans[time]
        assert flag != "implausible" or quantity == 0
    assert found.height == sum(a != b for (_, a), (_, b) in pairwise(readings))


@dataclass
class Machine:
    """What really happened: when each part was made, and when somebody set the counter to 0."""

    made: list[float]
    resets: list[float]

    def parts(self, begin: float, end: float) -> int:
        return sum(begin < t <= end for t in self.made)

    def shows(self, second: float, first: int, modulus: int | None) -> int:
        since = max((t for t in self.resets if t <= second), default=None)
        value = first + self.parts(-1, second) if since is None else self.parts(since, second)
        return value if modulus is None else value % modulus


@st.composite
def machine(draw: st.DrawFn, resets: bool) -> Machine:
    """Makes at most one part a second, in bursts with pauses."""
    now, made = 0.0, []
    for pause, burst in draw(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 25)), max_size=12)):
        now += pause
        for _ in range(burst):
            now += draw(st.sampled_from([1.0, 1.0, 1.2, 3.0]))
            made.append(now)
    times = st.floats(1, max(now, 2), allow_nan=False)
    return Machine(made, sorted(draw(st.lists(times, max_size=3))) if resets else [])


@st.composite
def arriving(
    draw: st.DrawFn, shown: Callable[[float], int], longest: int
) -> tuple[list[float], list[tuple[float, float | None, int]]]:
    """Seconds of the usable readings, and all samples as they come: read at any times at most `longest` apart, some
    without a value or BAD, some sent again, in any order."""
    second, read = 0.0, []
    for span in draw(st.lists(st.integers(1, longest), min_size=1, max_size=25)):
        read.append(second)
        second += span
    samples: list[tuple[float, float | None, int]] = [(t, float(shown(t)), 0) for t in read]
    # What is said in between says nothing: a lost connection, a BAD value that would be absurd.
    for t in draw(st.lists(st.sampled_from(read), max_size=5)):
        samples.append((t + 0.5, *draw(st.sampled_from([(None, 0), (None, 2), (999_999.0, 2)]))))
    again = draw(st.lists(st.sampled_from(samples), max_size=8))
    return read, draw(st.permutations([*samples, *again]))


def booked(samples: list[tuple[float, float | None, int]], modulus: int | None) -> dict[float, int]:
    """Parts by the second of the reading, taken live in small batches; the same as from all at once."""
    of = plant(modulus)
    rows = [
        (START + timedelta(seconds=t), "m", "good", v, None, q, START + timedelta(seconds=t))
        for t, v, q in samples
    ]
    frame = pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")
    stored = frame.clear()

    def history(equipment: Sequence[str], window: Window) -> pl.DataFrame:
        return stored.filter(pl.col("time").is_between(window.start, window.end, closed="left"))

    fold = Fold(of, history, START, checkpoint_every=timedelta(seconds=30))
    for place in range(0, frame.height, 7):
        stored = frame[: place + 7].unique(maintain_order=True)
        fold.accept(frame[place : place + 7])
    until = START + timedelta(days=30)
    found = facts(frame, of, until).increments
    assert_frame_equal(fold.facts(until).increments, found)
    times = ((t - START).total_seconds() for t in found["time"])
    return dict(zip(times, found["quantity"], strict=True))


@examples(25)
@given(machine(resets=False), st.sampled_from([None, 64, 100, 65_536]), st.integers(0, 90), st.data())
def test_every_part_counts_once_whatever_comes_late_twice_or_not_at_all(
    truth: Machine, modulus: int | None, first: int, data: st.DataObject
) -> None:
    # As far apart as a reading can be and still tell every part: a modulus may not pass unseen.
    longest = 60 if modulus in (64, 100) else 600
    shown = partial(truth.shows, first=first, modulus=modulus)
    read, samples = data.draw(arriving(shown, longest))
    found = booked(samples, modulus)
    for before, now in pairwise(read):
        assert found.get(now, 0) == truth.parts(before, now)
    assert sum(found.values()) == truth.parts(read[0], read[-1])


@examples(25)
@given(machine(resets=True), st.integers(0, 90), st.data())
def test_a_reset_loses_what_nobody_saw_and_never_invents(
    truth: Machine, first: int, data: st.DataObject
) -> None:
    shown = partial(truth.shows, first=first, modulus=None)
    read, samples = data.draw(arriving(shown, 600))
    found = booked(samples, None)
    for before, now in pairwise(read):
        made, reset = truth.parts(before, now), any(before < t <= now for t in truth.resets)
        assert found.get(now, 0) <= made
        if not reset:
            assert found.get(now, 0) == made


@examples(25)
@given(
    st.sampled_from([None, 64, 65_536]),
    st.lists(
        st.tuples(
            st.integers(1, 200),
            st.one_of(st.integers(-5, 300), st.floats(0, 300), st.just(1e300)),
            st.integers(0, 2),
        ),
        max_size=40,
    ),
)
def test_no_noise_makes_more_parts_than_there_was_time_for(
    modulus: int | None, noise: list[tuple[int, float, int]]
) -> None:
    second, samples = 0.0, []
    for span, value, quality in noise:
        second += span
        samples.append((second, float(value), quality))
    usable = [
        t for t, v, q in samples if q < 2 and round(v) >= 0 and abs(v - round(v)) <= ROUNDING and v < 2**53
    ]
    found = booked(samples, modulus)
    for time, parts in found.items():
        before = max((t for t in usable if t < time), default=None)
        assert 0 <= parts <= (0 if before is None else SLACK + time - before)
