"""Trends: steps people can name, gaps that stay gaps, what the page says, and the API's answers and refusals."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from fastapi.testclient import TestClient
from plotly import graph_objects

from dashboards import charts, trends
from dashboards.app import create_app
from dashboards.live import Broadcast
from dashboards.pages.trends import layout, zoomed
from dashboards.params import typed_window
from dashboards.ports import Refused
from dashboards.words import value
from plant.frames import TREND, Window
from plant.model import Role

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)


def series(*minutes: float) -> pl.DataFrame:
    rows = [(NOON + m * MINUTE, "filler", "temperature", m, m - 1, m + 1, 3) for m in minutes]
    return pl.DataFrame(rows, schema=dict(TREND), orient="row")


def tree(component: Any) -> Iterator[Any]:
    """A component and everything in it."""
    yield component
    children = getattr(component, "children", None)
    for child in children if isinstance(children, list | tuple) else [children]:
        if child is not None:
            yield from tree(child)


def said(component: Any) -> str:
    return " ".join(str(part) for part in tree(component) if isinstance(part, str))


def figure(component: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(p.figure for p in tree(component) if getattr(p, "id", None) == "trend")
    return found


@pytest.mark.parametrize(
    ("hours", "seconds"), [(0.01, 1), (4, 30), (8, 60), (24, 120), (168, 900), (720, 3600), (9600, 43_200)]
)
def test_a_window_has_about_600_steps_of_a_length_with_a_name(hours: float, seconds: int) -> None:
    window = Window(NOON, NOON + timedelta(hours=hours))
    assert trends.bucket(window) == timedelta(seconds=seconds)
    if hours > 1:
        assert 400 < hours * 3600 / seconds < 900


def test_a_missing_step_cuts_the_line() -> None:
    first, second = trends.pieces(series(0, 1, 2, 4, 5), MINUTE)
    assert first["mean"].to_list() == [0, 1, 2]
    assert first["end"].to_list() == [NOON + m * MINUTE for m in (1, 2, 3)]
    assert second["mean"].to_list() == [4, 5]


def test_a_slow_signal_is_cut_where_it_is_slower_than_usual() -> None:
    first, second = trends.pieces(series(0, 5, 10, 15, 40, 45), MINUTE)
    assert first["end"].to_list() == [NOON + m * MINUTE for m in (5, 10, 15, 20)]
    assert second["mean"].to_list() == [40, 45]
    assert [p.height for p in trends.pieces(series(3), MINUTE)] == [1]


def test_a_sample_a_bucket_may_come_a_little_late() -> None:
    once = series(0, 1, 3, 4, 7).with_columns(count=pl.lit(1, pl.Int64))
    assert [p["mean"].to_list() for p in trends.pieces(once, MINUTE)] == [[0, 1, 3, 4], [7]]


def test_nothing_is_drawn_across_a_gap() -> None:
    shown = [charts.Trend("temperature", "°C", trends.pieces(series(0, 1, 10, 11), MINUTE))] * 2
    shifts = [
        {"id": str(n), "name": f"<b>S{n}", "start": (NOON + timedelta(hours=8 * n)).isoformat(),
         "end": (NOON + timedelta(hours=8 * n + 8)).isoformat(), "crew": None}
        for n in range(2)
    ]  # fmt: skip
    window = Window(NOON, NOON + timedelta(hours=10))
    chart = charts.trends(shown, shifts, window, BERLIN, "dark")  # type: ignore[arg-type]
    graph_objects.Figure(chart)
    for trace in chart["data"]:
        runs, run = [], []
        for at, level in zip(trace["x"], trace["y"], strict=True):
            assert (at is None) == (level is None)
            if at is None:
                runs, run = [*runs, run], []
            else:
                run.append(at[11:16])
        assert [(min(r), max(r)) for r in runs] == [("13:00", "13:02"), ("13:10", "13:12")]
    band = chart["data"][0]
    assert (min(y for y in band["y"] if y is not None), max(y for y in band["y"] if y is not None)) == (
        -1,
        12,
    )
    [shade] = chart["layout"]["shapes"]
    assert (shade["x0"][11:16], shade["x1"][11:16]) == ("13:00", "21:00")
    assert "&lt;b&gt;S0" in [note["text"] for note in chart["layout"]["annotations"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_draws_every_signal_with_its_unit_and_numbers(board_backend: Any, theme: str) -> None:
    page = layout(board_backend, {"window": "day"}, theme)
    chart = figure(page)
    graph_objects.Figure(chart)
    names = [note["text"] for note in chart["layout"]["annotations"]]
    assert any("temperature" in n and "°C" in n for n in names)
    assert any("pressure" in n and "bar" in n for n in names)
    assert {"Early", "Late", "Night, crew C"} <= set(names)
    assert len(chart["data"]) == 4
    text = said(page)
    for piece in ("Filler: 03 Mar 10:03 – 04 Mar 10:03", "Mean of every 2 min", "°C", "ago", "✓ temperature"):
        assert piece in text


def test_the_numbers_are_those_of_the_samples(board_backend: Any) -> None:
    page = layout(board_backend, {"machine": "cnc-1", "window": "week"}, "light")
    now = board_backend.now()
    samples = board_backend.measured.read(Window(now - timedelta(days=7), now), ["cnc-1"])["value"]
    text = said(page)
    for number in (samples.min(), samples.mean(), samples.max(), samples[-1]):
        assert value(number) in text
    assert f"{samples.len():,}".replace(",", "\u2009") in text


def test_signals_are_chosen_in_the_address(board_backend: Any) -> None:
    page = layout(board_backend, {"signals": "pressure"}, "light")
    assert len(figure(page)["data"]) == 2
    hrefs = [p.href for p in tree(page) if getattr(p, "href", "").startswith("/trends")]
    assert any("signals=pressure%2Ctemperature" in href for href in hrefs)
    with pytest.raises(Refused, match="signals: 'speed' is not one of temperature, pressure"):
        layout(board_backend, {"signals": "speed"}, "light")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"machine": "machining"}, "CNC-1: 04 Mar"),
        ({"machine": "capper"}, "Capper has no measured values. These have: Filler, CNC-1."),
        (
            {"from": "2026-03-04T07:00:00Z", "to": "2026-03-04T07:10:00Z"},
            "No numbers in this window. The last sample came 07:32.",
        ),
        ({"from": "2025-03-04T07:00:00Z", "to": "2025-03-04T07:10:00Z"}, "Nothing had come by then"),
    ],
)
def test_the_page_says_what_there_is(board_backend: Any, query: dict[str, str], text: str) -> None:
    assert text in said(layout(board_backend, query, "light"))


def test_a_plant_without_measured_values_is_told_how_to_get_some(board_backend: Any) -> None:
    plant = board_backend.plant
    board_backend.plant = replace(
        plant, signals={k: s for k, s in plant.signals.items() if s.role is not Role.PROCESS_VALUE}
    )
    assert 'role = "process_value"' in said(layout(board_backend, {}, "light"))


def test_times_typed_are_the_plants() -> None:
    window = typed_window("2026-03-04 06:00", " 2026-03-04 07:30 ", BERLIN)
    assert window == Window(NOON.replace(hour=5), NOON.replace(hour=6, minute=30))
    for start, end, problem in (
        ("yesterday", "2026-03-04 06:00", "From: write it like"),
        ("2026-03-04 06:00", "2026-03-04 06:00", "To: give a time after From"),
        ("2020-03-04 06:00", "2026-03-04 06:00", "To: at most 400 days"),
    ):
        with pytest.raises(Refused, match=problem):
            typed_window(start, end, BERLIN)


def test_only_a_drag_across_the_chart_zooms() -> None:
    drag = {"xaxis.range[0]": "2026-03-04 13:00:00.1234", "xaxis.range[1]": "2026-03-04 14:00"}
    assert zoomed(drag, BERLIN) == Window(NOON, NOON + timedelta(hours=1))
    assert zoomed(drag | {"xaxis.range[1]": "2026-03-04 13:00:05"}, BERLIN) is None
    for other in (None, {}, {"autosize": True}, {"xaxis.autorange": True}):
        assert zoomed(other, BERLIN) is None


def test_values_have_four_digits() -> None:
    shown = [value(v) for v in (None, 71.504, -0.0012345, 0.0, 12345.6, 1e15)]
    assert shown == ["–", "71.5", "\u22120.001234", "0", "12\u2009346", "1e+15"]


@pytest.fixture
def client(board_backend: Any) -> Iterator[TestClient]:
    with TestClient(create_app(board_backend, Broadcast()), base_url="http://127.0.0.1:8000") as client:
        yield client


def test_the_api_gives_the_same_steps(client: TestClient, board_backend: Any) -> None:
    window = Window(NOON.replace(hour=5), NOON.replace(hour=7))
    query = {"equipment": "bottling", "from": window.start.isoformat(), "to": window.end.isoformat()}
    answer = client.get("/api/v1/trend", params=query | {"signals": "pressure", "every": "600"}).json()
    rows = board_backend.trend(window, timedelta(minutes=10), ["filler"], ["pressure"])
    assert answer["every"] == 600
    given = [(r["equipment"], r["signal"], r["count"]) for r in answer["rows"]]
    assert given == list(rows.select("equipment", "signal", "count").iter_rows())
    assert [r["mean"] for r in answer["rows"]] == pytest.approx(rows["mean"].to_list())
    default = client.get("/api/v1/trend", params=query).json()
    assert default["every"] == 10
    assert {r["signal"] for r in default["rows"]} == {"pressure", "temperature"}


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("", "equipment: Field required"),
        ("equipment=mixer", "equipment: the plant has no 'mixer'"),
        ("equipment=filler&signals=speed", "signals: 'speed' is not one of good, pressure"),
        ("equipment=capper", "signals: none of this equipment"),
        ("equipment=filler&every=0", "every: Input should be greater"),
        ("equipment=filler&from=2026-02-04T06:00:00Z&every=1", "every: that is up to"),
        ("equipment=filler&from=yesterday", "from: 'yesterday' is not a time"),
    ],
)
def test_the_api_refuses_by_name(client: TestClient, query: str, problem: str) -> None:
    answer = client.get(f"/api/v1/trend?{query}")
    assert answer.status_code == 400
    assert problem in answer.json()["error"]
