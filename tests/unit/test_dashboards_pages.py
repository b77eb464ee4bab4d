"""The pages without a browser: discovery, callbacks that cannot block, what each page says."""

import inspect
import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import plotly.io
import polars as pl
import pytest
from plotly import graph_objects

from analytics.figures.losses import six_big_losses, waterfall
from dashboards import charts, figures, losspanels, parts, words
from dashboards.app import create_app
from dashboards.live import Broadcast
from dashboards.pages import discover
from dashboards.ports import Refused
from dashboards.view import ShiftView
from plant.frames import Window
from plant.states import TimeCategory


def text_of(component: Any) -> str:
    """Every piece of text in a component tree."""
    if component is None:
        return ""
    if isinstance(component, str | int | float):
        return str(component)
    if isinstance(component, list | tuple):
        return " ".join(text_of(child) for child in component)
    return text_of(getattr(component, "children", None))


def test_callbacks_never_block_the_event_loop(board_backend: Any) -> None:
    app = create_app(board_backend, Broadcast()).state.dash
    found = {name: entry["callback"] for name, entry in app.callback_map.items() if entry.get("callback")}
    assert len(found) >= 5
    assert not [name for name, function in found.items() if not inspect.iscoroutinefunction(function)]


def test_pages_are_found_and_ordered() -> None:
    assert [page.title for page in discover()] == [
        "Board",
        "Losses",
        "KPIs",
        "Trends",
        "SPC",
        "Improve",
        "Alerts",
        "Shift",
        "Orders",
        "Sources",
        "Add a machine",
    ]


@pytest.mark.parametrize(
    ("path", "query", "says"),
    [
        ("/losses", {}, ["Tool breakage", "No reason yet", "Give reason"]),
        ("/losses", {"window": "last", "machine": "machining"}, ["CNC-1", "Whole line"]),
        ("/losses", {"reason": "jam"}, ["Stops: Feeder jam", "Show all stops"]),
        (
            "/losses",
            {"stop": "filler|2026-03-04T08:57:00Z"},
            ["Filler, stop of 09:57: what was it?", "Nobody has said anything of it"],
        ),
        (
            "/losses",
            {"measure": "cost", "step": "speed"},
            ["No machine that stopped has a price yet", "cost_per_hour", "slower cycles", "Ledger rows"],
        ),
        (
            "/losses",
            {"step": "minor_stops_idling", "measure": "count", "sort": "longest"},
            ["Stops: Minor stops and idling", "is the biggest", "of all stops", "Ideal time of good parts"],
        ),
        (
            "/alerts",
            {},
            ["next Jan Novák at 10:12", "Acknowledged 09:33 by Ana Silva", "Order WO-10421: 12 min late"],
        ),
        ("/alerts", {"alert": "a1"}, ["down for longer than 5 min"]),
        ("/shift", {}, ["Early, Wednesday 04 March 2026", "Bottling", "WO-10420", "without a reason"]),
        (
            "/shift",
            {"day": "2026-03-03"},
            ["Early, Tuesday 03 March 2026", "1 restatement below", "As reported", "Ana Silva re-coded"],
        ),
        (
            "/shift",
            {"start": "2026-03-02T05:00:00Z"},
            ["Early, Monday 02 March 2026", "Nothing was recorded in this shift"],
        ),
        ("/shift", {"day": "2026-01-03"}, ["No shift on Saturday 03 January 2026", "calendar"]),
        ("/shift", {"day": "2027-01-03"}, ["This day has not come yet"]),
        (
            "/improve",
            {"window": "shift"},
            ["Why OEE changed", "points above", "CNC-1 held it up", "Best shown", "Right"],
        ),
        ("/improve", {"window": "last", "machine": "press-1"}, ["two machines or more", "No cycle times"]),
        (
            "/kpis",
            {"kpi": "oee", "of": "bottling"},
            [
                "Machining",
                "Together",
                "as Nakajima / Vorne",
                "OEE: Bottling",
                "ideal time of good parts",
                "Six big losses",
            ],
        ),
        (
            "/kpis",
            {"window": "week", "by": "day", "set": "failures", "convention": "iso22400", "kpi": "mttr"},
            ["as ISO 22400", "MTBF", "MTTR: Together", "failures that ended", "Breakdowns"],
        ),
        (
            "/kpis",
            {"by": "order", "set": "yield", "kpi": "rolled_throughput_yield", "of": ""},
            ["No order", "one line"],
        ),
        ("/orders", {}, ["WO-10420", "12 min late", "Finish"]),
        ("/orders", {"machine": "palletiser"}, ["WO-10440", "Start"]),
    ],
)
def test_pages_say(board_backend: Any, path: str, query: dict[str, str], says: list[str]) -> None:
    page = next(p for p in discover() if p.path == path)
    text = text_of(page.layout(board_backend, query, "dark"))
    for piece in says:
        assert piece in text


@pytest.mark.parametrize("measure", figures.MEASURES)
def test_a_bar_of_the_pareto_holds_the_minutes_of_its_stops(board_backend: Any, measure: str) -> None:
    ledger = board_backend.ledger(parts.period(board_backend, "last"))
    bars = figures.losses(ledger, board_backend.plant, measure)
    for loss in bars:
        stops = figures.stops(ledger, key=loss.key)
        assert loss.seconds == pytest.approx(stops["seconds"].sum())
        assert loss.count == stops.height
    assert sum(loss.seconds for loss in bars) == pytest.approx(figures.stops(ledger)["seconds"].sum())
    coded = [loss.amount(measure) for loss in bars[:-1]]
    assert bars[-1].uncoded and coded == sorted(coded, reverse=True)


def test_money_on_an_axis_has_its_currency() -> None:
    loss = figures.Loss("jam", "Jam", 60.0, 1, 5.0, TimeCategory.UNPLANNED_DOWNTIME, False)
    for measure, currency, title in (
        ("cost", "EUR", "cost (EUR)"),
        ("cost", "", "cost"),
        ("count", "EUR", "stops"),
    ):
        chart = charts.pareto([loss], "light", measure, currency=currency)
        assert chart["layout"]["xaxis"]["title"]["text"] == title


def test_a_shift_is_named_with_its_crew() -> None:
    shift = ShiftView(id="n", name="Night", start="", end="", crew="C")
    assert words.shift_name(shift) == "Night, crew C"
    assert words.shift_name({**shift, "crew": None}) == "Night"


def test_a_step_of_the_waterfall_holds_the_minutes_of_its_stops(board_backend: Any) -> None:
    ledger = board_backend.ledger(parts.period(board_backend, "today"))
    steps = {s["step"]: s["duration"] for s in waterfall(ledger, board_backend.plant).rows(named=True)}
    for step, categories in losspanels.STOPPED.items():
        stops = figures.stops(ledger, categories)
        assert stops["duration"].sum() == sum(steps[c] for c in categories), step


def test_a_loss_below_zero_says_why(board_backend: Any) -> None:
    """Nine times the parts as the machines could make, and more good ones than parts."""
    rows = board_backend.ledger(parts.period(board_backend, "today"))
    plant = board_backend.plant
    fine = text_of(losspanels.falling(plant, rows, "/losses", {}))
    made = pl.col("good") + pl.col("reject") + pl.col("rework")
    much = rows.with_columns(
        good=made * 3, reject=-made, ideal=pl.col("ideal") * 9, ideal_good=pl.col("ideal") * 13
    )
    told = text_of(losspanels.falling(plant, much, "/losses", {}))
    listed = text_of(losspanels.six_big(board_backend, six_big_losses(much, plant)))
    for text in (told, listed):
        assert "An ideal cycle is too slow" in text and "more good parts were counted than parts" in text
    assert "below zero" not in fine
    bars = re.findall(
        r"'left': '([-.0-9]+)%', 'width': '([-.0-9]+)%'", str(losspanels.falling(plant, much, "/losses", {}))
    )
    assert bars and all(
        float(left) >= 0 <= float(width) and float(left) + float(width) < 100.01 for left, width in bars
    )


def test_stops_come_ten_at_a_time_and_every_one_once(board_backend: Any) -> None:
    losses = next(p for p in discover() if p.path == "/losses")
    query = {"window": "day", "sort": "longest"}
    pages = [text_of(losses.layout(board_backend, {**query, "page": str(n)}, "light")) for n in (1, 2, 99)]
    stops = figures.stops(board_backend.ledger(parts.period(board_backend, "day")))
    assert f"1 to 10 of {stops.height}" in pages[0]
    assert f"11 to 20 of {stops.height}" in pages[1]
    assert f"to {stops.height} of {stops.height}" in pages[2]


@pytest.mark.parametrize("query", [{"start": "2026-03-03T05:01:00Z"}, {"start": "soon"}, {"day": "3 March"}])
def test_a_shift_that_never_was_is_refused(board_backend: Any, query: dict[str, str]) -> None:
    shift = next(p for p in discover() if p.path == "/shift")
    with pytest.raises(Refused, match=next(iter(query))):
        shift.layout(board_backend, query, "light")


@pytest.mark.parametrize(
    "query",
    [{"measure": "weight"}, {"step": "busy"}, {"step": "gone"}, {"sort": "up"}, {"page": "0"}, {"page": "x"}],
)
def test_what_the_losses_page_cannot_show_is_refused(board_backend: Any, query: dict[str, str]) -> None:
    losses = next(p for p in discover() if p.path == "/losses")
    with pytest.raises(Refused, match=next(iter(query))):
        losses.layout(board_backend, query, "light")


def test_charts_are_valid_figures_in_plant_time(board_backend: Any) -> None:
    ledger = board_backend.ledger(parts.period(board_backend, "shift"))
    chart = charts.timeline(ledger, board_backend.plant, "light")
    graph_objects.Figure(chart)
    graph_objects.Figure(charts.pareto(figures.losses(ledger, board_backend.plant), "dark"))
    first = min(base for trace in chart["data"] for base in trace["base"])
    assert first == "2026-03-04T06:00:00"
    assert plotly.io.to_json(chart)


def test_periods(board_backend: Any) -> None:
    early = datetime(2026, 3, 4, 5, tzinfo=UTC)
    assert parts.period(board_backend, "shift").start == early
    assert parts.period(board_backend, "last") == Window(datetime(2026, 3, 3, 21, tzinfo=UTC), early)
    assert parts.period(board_backend, "today").start == datetime(2026, 3, 3, 23, tzinfo=UTC)
    with pytest.raises(Refused, match="window: 'year' is not one of"):
        parts.period(board_backend, "year")


def test_words() -> None:
    assert words.number(-1234567) == "\u22121\u2009234\u2009567"
    assert [words.length(s) for s in (42, 720, 3900, 7200, 266400)] == [
        "42 s",
        "12 min",
        "1 h 5 min",
        "2 h",
        "3 d 2 h",
    ]
    assert [words.slack(s) for s in (-720, 5, 2100, None)] == ["12 min late", "on time", "35 min early", ""]
    at = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    berlin = ZoneInfo("Europe/Berlin")
    assert words.moment(at, berlin, at) == "01:59"
    assert words.wall(datetime(2026, 3, 29, 1, 0, tzinfo=UTC), berlin) == "2026-03-29T03:00:00"
    assert words.percent(None) == words.number(None) == words.NONE
