"""The picture of an order's forecast, and which orders are at risk."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.orderforecast import at_risk, forecast, picture, scale, sentence
from dashboards.view import OrderView

NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")
minutes = st.integers(-300, 100_000)


def order(
    finish: float | None = 60,
    early: float | None = 50,
    late: float | None = 80,
    due: float | None = 70,
    **more: Any,
) -> OrderView:
    """A running one; times in minutes from now."""

    def at(after: float | None) -> str | None:
        return None if after is None else (NOW + timedelta(minutes=after)).isoformat()

    slack = None if due is None or finish is None else 60 * (due - finish)
    return (
        OrderView(  # type: ignore[typeddict-item]
            id="A",
            state="running",
            quantity=100,
            good=40,
            start=at(-60),
            due=at(due),
            finish_present=at(finish),
            finish_early=at(early),
            finish_late=at(late),
            slack=slack,
            risk=0.1,
            why=None,
        )
        | more
    )


def marks(of: OrderView) -> list[tuple[str, float, float]]:
    """Class, left and width, in per cent, of what is drawn."""
    drawn = picture(of, ZONE, NOW).children[0].children
    return [(m.className, float(m.style["left"][:-1]), float(m.style.get("width", "0%")[:-1])) for m in drawn]


def test_the_part_of_the_range_that_is_late_is_marked() -> None:
    assert marks(order()) == [
        ("range", 62.5, 25.0),
        ("range after", 87.5, 12.5),
        ("due", 87.5, 0),
        ("finish", 75.0, 0),
    ]


@pytest.mark.parametrize(
    ("of", "classes"),
    [
        (order(due=90), ["range", "due", "finish"]),
        (order(due=-5), ["range after", "due", "finish"]),
        (order(due=None), ["range", "finish"]),
        (order(early=None, late=None), ["due", "finish"]),
        (order(late=None), ["range", "range after open", "due", "finish"]),
        (order(late=100_000), ["range", "range after open", "due", "finish"]),
        (order(late=None, due=500), ["range", "range after open", "due", "finish"]),
    ],
    ids=["in time", "overdue", "no due", "no range", "no end", "far end", "no end, due late"],
)
def test_what_is_drawn(of: OrderView, classes: list[str]) -> None:
    assert [name for name, *_ in marks(of)] == classes


@given(
    finish=minutes,
    before=st.none() | st.integers(0, 10_000),
    after=st.none() | st.integers(0, 10_000),
    due=st.none() | minutes,
)
def test_everything_is_inside_and_in_its_order(
    finish: int, before: int | None, after: int | None, due: int | None
) -> None:
    early = None if before is None else finish - before
    late = None if early is None or after is None else finish + after
    of = order(finish, early, late, due)
    at = scale(of, NOW)
    assert at.end > NOW
    assert 0 <= at.finish <= 1 and (at.due is None or 0 <= at.due <= 1)
    if at.band:
        first, last = at.band
        assert 0 <= first <= at.finish <= last <= 1
    if due is not None and due > 0 and at.due is not None:
        assert (at.due < at.finish) <= (due < finish) and (at.finish < at.due) <= (finish < due)
    inside = [m for m in marks(of) if m[0].startswith("range")]
    assert sum(width for _, _, width in inside) == pytest.approx(
        100 * (at.band[1] - at.band[0]) if at.band else 0, abs=0.02
    )
    assert all(left + width <= 100.01 for _, left, width in inside)


def test_the_picture_is_told_in_words() -> None:
    assert (
        sentence(order(), ZONE, NOW)
        == "Expected to finish 11:00, in 8 of 10 cases 10:50 to 11:20; due 11:10."
    )
    drawn = picture(order(), ZONE, NOW).children[0]
    assert drawn.role == "img" and getattr(drawn, "aria-label") == drawn.title == sentence(order(), ZONE, NOW)


@pytest.mark.parametrize(
    ("of", "risky"),
    [
        (order(), False),
        (order(why="It takes too long"), True),
        (order(finish=72), True),
        (order(finish=70.5), False),
        (order(due=None), False),
        (order(why="It takes too long", good=100), False),
        (order(state="waiting", due=-1), True),
        (order(state="waiting", due=1), True),
        (order(state="waiting"), False),
        (order(state="waiting", finish=None, due=1), False),
        (order(state="waiting", why="What is to be made before it takes too long"), True),
        (order(state="held", due=1), False),
        (order(state="held", due=-1), True),
        (order(state="waiting", due=None), False),
        (order(state="completed", due=-1), False),
    ],
)
def test_orders_at_risk(of: OrderView, risky: bool) -> None:
    assert at_risk(of, NOW) is risky


def test_what_is_held_or_made_has_no_picture() -> None:
    assert forecast(order())
    assert not forecast(order(finish=None))
    assert not forecast(order(good=100))
    assert forecast(order(state="waiting"))
    assert not forecast(order(state="held"))
