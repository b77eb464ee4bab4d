"""What a control chart shows of itself: hours in one call, numbers that do not touch, bars of whole steps."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics.figures.buckets import edges
from analytics.spc.charts import POINTS
from analytics.spc.study import study
from dashboards import spc
from dashboards.spccharts import _apart, _bars, control
from infra.spcwatch import _subject, machine_of
from plant.frames import Window
from plant.model import ControlChart

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ZONE = ZoneInfo("Europe/Berlin")


def drawn(values: list[float]) -> Any:
    rows = [
        {"time": T0 + MINUTE * i, "end": T0 + MINUTE * i, "n": 1, "mean": v} for i, v in enumerate(values)
    ]
    window = Window(T0, T0 + MINUTE * len(values))
    found = study(pl.DataFrame(rows, schema=POINTS), ControlChart(), [], [], window)
    return control(found, "mm", ZONE, "light")


def test_rejects_by_hour_are_those_of_each_hour_from_one_ledger(board_backend: Any) -> None:
    asked = spc.chosen(board_backend.plant, "filler", spc.REJECTS, "hour", "np")
    now, whole = board_backend.now(), board_backend.ledger
    window = Window(now - timedelta(hours=10), now)
    calls = []

    def once(*args: Any) -> pl.DataFrame:
        calls.append(args)
        found: pl.DataFrame = whole(*args)
        return found

    board_backend.ledger = once
    points = spc.find(board_backend, asked, window).study.points
    assert len(calls) == 1
    full = edges(Window(now - timedelta(hours=11), now), ZONE, "hour")
    each = {a: whole(Window(a, b), ["filler"]) for a, b in pairwise(full)}
    expected = {
        a: int(rows["reject"].sum()) for a, rows in each.items() if rows["good"].sum() and a >= window.start
    }
    assert dict(zip(points["time"], points["value"], strict=True)) == expected and len(expected) > 5


def test_numbers_of_rules_do_not_touch_and_each_shows_the_first_rule() -> None:
    calm = [10.0, 10.4, 9.6, 10.2, 9.8] * 20
    traces = drawn([*calm, *[13.0 + i / 100 for i in range(20)]])["data"]
    marked = next(t for t in traces if t["mode"] == "markers+text" and t["yaxis"] == "y")
    assert len(marked["text"]) > 10
    at = [datetime.fromisoformat(x) for x, text in zip(marked["x"], marked["text"], strict=True) if text]
    assert len(at) > 5 and min(b - a for a, b in pairwise(at)) >= 5 * MINUTE, "13 of 190 pixels"
    assert set(marked["text"]) <= {"", *"12345678"}


def test_labels_of_limits_are_apart() -> None:
    assert _apart([10.0, 100.0, 200.0], 30) == [10.0, 100.0, 200.0]
    close = _apart([100.0, 105.0, 110.0], 30)
    assert all(b - a >= 29 for a, b in pairwise(close)) and close[1] == pytest.approx(105.0, abs=8)


def test_a_chart_shows_all_of_its_points_and_limits() -> None:
    figure = drawn([10.0, 10.4, 9.6, 10.2, 9.8, 40.0])
    low, high = figure["layout"]["yaxis"]["range"]
    assert low < 9.6 and high > 40.0
    first, last = figure["layout"]["xaxis"]["range"]
    assert first < "2026-03-02T01:00:00" and last > "2026-03-02T01:05:00"


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([5.0] * 7, [7]),
        ([1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0, 5.0], [1, 2, 3, 2, 1]),
        ([0.1, 0.2, 0.2, 0.3], [1, 2, 1]),
    ],
)
def test_bars_of_values_in_steps_are_the_steps(values: list[float], bars: list[int]) -> None:
    begin, width, heights = _bars(values)
    assert heights == bars
    assert begin + width / 2 == pytest.approx(min(values))


def test_no_value_is_lost_between_the_bars() -> None:
    values = [(i * 7919 % 1000) / 1000 + i * 1e-7 for i in range(500)]
    begin, width, heights = _bars(values)
    assert sum(heights) == 500 and begin == min(values) and begin + width * len(heights) >= max(values) - 1e-9


def test_the_subject_of_an_alert_is_short_enough_and_names_its_machine() -> None:
    machine, test = "m" * 64, f"{spc.INSPECTION}{'t' * 50}"
    subject = _subject(machine, test)
    assert len(subject) == 80 and machine_of(subject) == machine
    assert subject != _subject(machine, test[:-1]), "another one"
    assert _subject("press", "force") == "@spc:press/force"
