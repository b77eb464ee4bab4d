"""Counters: whatever a counter does that it can do, the parts come out exact; what it cannot do books nothing."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.counters import SLACK
from pipelines.derive import facts
from plant.frames import SAMPLES
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site, StateMapping
from plant.states import MachineState

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


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([64, 100, 256, 65_536]), st.integers(0, 65_535), st.lists(pace, max_size=40))
def test_rollovers_are_exact(modulus: int, first: int, paces: list[tuple[int, float]]) -> None:
    made, second, readings = first % modulus, 0, [(0, first % modulus)]
    for span, busy in paces:
        made, second = made + int(span * busy), second + span
        readings.append((second, made % modulus))
    found = increments(readings, modulus)
    assert found["quantity"].sum() == made - first % modulus
    assert set(found["flag"].drop_nulls()) <= {"rollover"}


@settings(max_examples=60, deadline=None)
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
