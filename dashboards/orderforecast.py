"""The forecast of an order as a picture: from now on, when it will be done in 8 of 10 cases, against when it is due."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dash import html
from dash.development.base_component import Component

from dashboards import parts, words
from dashboards.view import OrderView

LATE = timedelta(minutes=1)
"""Less is in time: a forecast is not better than that."""
AHEAD = 2
"""The picture ends at most so many times as far from now as the due time or the expected finish."""
_LEFT, _RIGHT = 0.3, 0.7
"""A label of the due time between them leaves room for those of both ends."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where things are in the picture: shares of its width, which is from now (0) to `end` (1)."""

    end: datetime
    finish: float
    band: tuple[float, float] | None
    """The finish lies in it in 8 of 10 cases; None: too little to tell."""
    open: bool
    """The band goes on beyond the picture."""
    due: float | None
    """0 when it has passed."""


def forecast(order: OrderView) -> bool:
    """Whether it runs or waits and there is an expected finish to show."""
    told = order["state"] in ("running", "waiting") and not made(order)
    return told and order["finish_present"] is not None


def made(order: OrderView) -> bool:
    """All of it is made."""
    return order["good"] >= order["quantity"]


def late(order: OrderView) -> bool:
    """Expected after it is due."""
    return order["slack"] is not None and order["slack"] < -LATE.total_seconds()


def at_risk(order: OrderView, now: datetime) -> bool:
    """Likely to be late, as the forecast says or because its time has passed before it began."""
    if (
        order["state"] in ("running", "waiting")
        and not made(order)
        and (order["why"] is not None or late(order))
    ):
        return True
    return overdue(order, now)


def overdue(order: OrderView, now: datetime) -> bool:
    """It does not run though its time has passed."""
    passed = order["due"] is not None and parts.utc(order["due"]) < now
    return order["state"] in ("waiting", "held") and passed


def scale(order: OrderView, now: datetime) -> Scale:
    """Of an order with a `forecast`."""
    assert order["finish_present"] is not None
    finish = parts.utc(order["finish_present"])
    due = parts.utc(order["due"]) if order["due"] else None
    early = parts.utc(order["finish_early"]) if order["finish_early"] else None
    latest = parts.utc(order["finish_late"]) if order["finish_late"] else None
    far = max(finish, due or finish, now + LATE)
    furthest = now + AHEAD * (far - now)
    end = far if early is None else max(far, min(latest or furthest, furthest))

    def share(at: datetime) -> float:
        return min(max((at - now) / (end - now), 0.0), 1.0)

    return Scale(
        end=end,
        finish=share(finish),
        band=None if early is None else (share(early), share(latest or end)),
        open=early is not None and (latest is None or latest > end),
        due=None if due is None else share(due),
    )


def picture(order: OrderView, zone: ZoneInfo, now: datetime) -> Component:
    """Of an order with a `forecast`: the band, red where it is after the due time, the expected finish, the due time."""
    at = scale(order, now)
    drawn: list[Component] = []
    if at.band is not None:
        first, last = at.band
        turn = min(max(at.due, first), last) if at.due is not None else last
        pieces = [
            (name, a, b) for name, a, b in (("range", first, turn), ("range after", turn, last)) if b > a
        ]
        drawn += [
            html.I(
                className=f"{name} open" if at.open and b == last else name,
                style={"left": _percent(a), "width": _percent(b - a)},
            )
            for name, a, b in pieces
        ]
    if at.due is not None:
        drawn.append(html.U(className="due", style={"left": _percent(at.due)}))
    drawn.append(html.B(className="finish", style={"left": _percent(at.finish)}))
    said = sentence(order, zone, now)
    return html.Div(
        [
            html.Div(drawn, className="forecast", role="img", title=said, **{"aria-label": said}),
            html.Div(_labels(order, at, zone, now), className="forecast-axis", **{"aria-hidden": "true"}),
        ]
    )


def _labels(order: OrderView, at: Scale, zone: ZoneInfo, now: datetime) -> list[Component]:
    labels = []
    if at.due is None or at.due > _LEFT:
        labels.append(html.Span("now", className="first"))
    if at.due is None or at.due < _RIGHT:
        labels.append(html.Span(words.moment(at.end, zone, now), className="last"))
    if at.due is not None:
        side = "first" if at.due < _LEFT / 2 else "last" if at.due > 1 - _LEFT / 2 else ""
        text = f"{'due' if at.due else 'was due'} {words.moment(order['due'], zone, now)}"
        place = {} if side else {"left": _percent(at.due)}
        labels.append(html.Span(text, className=side or "between", style=place))
    return labels


def sentence(order: OrderView, zone: ZoneInfo, now: datetime) -> str:
    """The picture in words."""
    text = f"Expected to finish {words.moment(order['finish_present'], zone, now)}"
    if between := words.between(order["finish_early"], order["finish_late"], zone, now):
        text += f", in 8 of 10 cases {between}"
    if order["due"]:
        text += f"; due {words.moment(order['due'], zone, now)}"
    return f"{text}."


def key() -> Component:
    """What the picture's marks mean."""
    marks = (
        ("range", "finish, in 8 of 10 cases"),
        ("range after", "of it, late"),
        ("finish", "expected finish"),
        ("due", "due"),
    )
    return html.Div(
        [html.Span([html.I(className=name, **{"aria-hidden": "true"}), text]) for name, text in marks],
        className="forecast-key",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"
