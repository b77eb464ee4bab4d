"""Where all the time went: the waterfall from calendar time to good parts, the six big losses, and what is behind each."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from dash import dcc, html
from dash.development.base_component import Component

from analytics.figures.losses import STEPS, waterfall, waterfall_rows
from dashboards import kpitables, parts, words
from dashboards.charts import SHOWN
from dashboards.kpitables import CONVENTIONS
from dashboards.pages import Query
from dashboards.ports import Backend
from plant.model import Plant
from plant.states import TimeCategory

NAMES: Mapping[str, str] = {
    "calendar": "Calendar time",
    **{category.value: name for category, (name, _) in SHOWN.items()},
    "busy": "Planned busy time",
    "running": "Running",
    "unrated": "No ideal cycle",
    "speed": "Speed loss",
    "ideal": "Ideal time of all parts",
    "startup_rejects": "Start-up rejects",
    "process_defects": "Rejects and rework",
    "ideal_good": "Ideal time of good parts",
}
"""Of the steps of the waterfall."""
LOWERS: Mapping[str, str] = {
    "schedule": "before OEE begins",
    "unknown": "no data, in no figure but coverage",
    "availability": "lowers availability",
    "performance": "lowers performance",
    "quality": "lowers quality",
    "unrated": "nobody can say how fast it should be",
}
STOPPED: Mapping[str, Sequence[TimeCategory]] = {
    "planned_downtime": (TimeCategory.PLANNED_DOWNTIME,),
    "unplanned_downtime": (TimeCategory.UNPLANNED_DOWNTIME,),
    "changeover": (TimeCategory.CHANGEOVER,),
    "starved": (TimeCategory.STARVED,),
    "blocked": (TimeCategory.BLOCKED,),
    "micro_stop": (TimeCategory.MICRO_STOP,),
    "minor_stops_idling": (TimeCategory.MICRO_STOP, TimeCategory.STARVED, TimeCategory.BLOCKED),
}
"""The steps that are stops, and of the six big losses the one that is several steps."""
BEHIND: Mapping[str, str] = {
    "breakdowns": "unplanned_downtime",
    "setup_adjustment": "changeover",
    "minor_stops_idling": "minor_stops_idling",
    "reduced_speed": "speed",
    "process_defects": "process_defects",
    "startup_rejects": "startup_rejects",
}
"""What each of the six big losses leads to."""
SPANS = 15
"""Times without data listed, the longest."""


def step_name(step: str) -> str:
    """A step, or the big loss that is several, in words."""
    return "Minor stops and idling" if step == "minor_stops_idling" else NAMES[step]


def known(step: str) -> bool:
    """Whether a page can show what is behind it."""
    return step in STOPPED or (step in STEPS and STEPS[step][0] is not None)


def falling(plant: Plant, ledger: pl.DataFrame, path: str, query: Query) -> Component:
    """The waterfall, a bar and a link for each loss."""
    title = "Where the time went"
    if ledger.is_empty():
        return parts.panel(title, html.P("Nothing is known of this window.", className="empty"))
    steps = waterfall(ledger, plant).rows(named=True)
    whole = max(
        step["duration"] for step in steps
    )  # more than the calendar time where performance is far above 1
    rows, level = [], 0
    for step in steps:
        total = step["kind"] == "total"
        level = step["duration"] if total else level - step["duration"]
        if total or step["duration"]:
            rows.append(_row(step, level, whole, path, query))
    machines = ledger["equipment"].n_unique()
    return parts.panel(
        title,
        html.P(_told(plant, steps, machines), className="note"),
        *_impossible({step["step"]: step["duration"] for step in steps}),
        html.Div(rows, className="waterfall"),
        extra=html.Span(f"as {CONVENTIONS[plant.settings.convention]}", className="muted"),
    )


def _row(step: Mapping[str, Any], level: int, whole: int, path: str, query: Query) -> Component:
    name, amount, total = NAMES[step["step"]], step["duration"], step["kind"] == "total"
    low, high = (max(0, at) for at in sorted((0, amount) if total else (level, level + amount)))
    place = {"left": f"{100 * low / whole:.3f}%", "width": f"{100 * (high - low) / whole:.3f}%"}
    rows = f"{words.number(step['rows'])} {'row' if step['rows'] == 1 else 'rows'}"
    cells = [
        html.Span([name, None if total else html.Small(LOWERS[step["factor"]])], className="what"),
        html.Span(html.I(style=place, **{"data-step": step["step"]}), className="track"),
        html.Span([kpitables.time(amount), html.Small(rows)], className="amount"),
    ]
    if total:
        return html.Div(cells, className="fall total")
    chosen = query.get("step") == step["step"]
    target = parts.link(path, query, step=None if chosen else step["step"], reason=None, stop=None, page=None)
    return dcc.Link(cells, href=target, className="fall chosen" if chosen else "fall")


def _told(plant: Plant, steps: Sequence[Mapping[str, Any]], machines: int) -> str:
    of = {step["step"]: step["duration"] for step in steps}
    losses = [
        s for s in steps if s["kind"] == "loss" and s["factor"] not in ("schedule", "unknown", "unrated")
    ]
    most = max(losses, key=lambda step: step["duration"])
    counted = f"{machines} machines together" if machines > 1 else "One machine"
    text = f"{counted}: of {kpitables.time(of['busy'])} planned, {kpitables.time(of['ideal_good'])} made good parts."
    if most["duration"] > 0:
        share = words.percent(most["duration"] / (of["busy"] - of["unknown"]), 0)
        name = NAMES[most["step"]]
        text += f" The largest loss is {name.lower()}, {kpitables.time(most['duration'])} or {share} of what is known"
        text += f"; it {LOWERS[most['factor']]}."
    return f"{text} Choose a bar to see what is in it."


def six_big(backend: Backend, losses: pl.DataFrame, href: Any = None) -> Component:
    """The six big losses (`analytics.figures.losses.six_big_losses`) and with what they add up to. `href(step)`: the address
    that shows what is behind one."""
    found = kpitables.six_big(losses)
    whole = sum(row["duration"] for row in found)
    title = "Six big losses"
    if not whole:
        return parts.panel(title, html.P("No planned time is known in this window.", className="empty"))
    money = any(row["cost"] is not None for row in found)
    largest = max((row["duration"] for row in found if row["lost"]), default=0) or 1

    def name(row: Mapping[str, Any]) -> Component | str:
        text: str = row["name"]
        return dcc.Link(text, href=href(BEHIND[row["loss"]])) if href and row["loss"] in BEHIND else text

    rows = [
        (
            html.Div([name(row), html.Small(row["what"], className="muted")], className="two"),
            parts.bar(row["duration"] / largest, "bad") if row["lost"] else "",
            kpitables.time(row["duration"]),
            words.percent(row["duration"] / whole),
            words.number(row["parts"]) if row["lost"] else "",
            *([kpitables.money(backend.plant, row["cost"]) if row["lost"] else ""] if money else []),
        )
        for row in found
    ]
    heads = ("Of the planned time known", "", "Time", "Share", "Parts", *(["Cost"] if money else []))
    note = html.P(f"They add up to {kpitables.time(whole)}, to the microsecond.", className="note")
    table = parts.table(heads, rows, "", numeric=(2, 3, 4, 5))
    doubts = _impossible({BEHIND.get(row["loss"], row["loss"]): row["duration"] for row in found})
    return parts.panel(title, table, note, *doubts, priced(backend.plant), name="six-big")


def _impossible(amounts: Mapping[str, int]) -> list[Component]:
    """Why an amount is below zero, and what to do about it."""
    texts = []
    if amounts["speed"] < 0:
        texts.append(
            f"{NAMES['speed']} is below zero: what was counted takes {words.length(-amounts['speed'] / 1e6)} longer at the "
            "ideal cycle than the machines ran. An ideal cycle is too slow, or a counter counts too much: see Improve."
        )
    texts += [
        f"{NAMES[step]} are below zero: more good parts were counted than parts in all. Compare the good counter with the "
        "total counter."
        for step in ("startup_rejects", "process_defects")
        if amounts[step] < 0
    ]
    if amounts["ideal_good"] < 0:
        texts.append(
            "Good parts are below zero: more rejects were counted than parts in all. Compare the reject counter with the "
            "total counter."
        )
    return [html.P(text, className="late") for text in texts]


def priced(plant: Plant) -> Component | None:
    """How to have losses in money, while some machine or product has no price."""
    machines = [m.name for m in plant.machines() if m.cost_per_hour is None]
    materials = [m.name for m in plant.materials.values() if m.value is None]
    if not machines and not materials:
        return None
    wanted = []
    if machines:
        wanted.append(f"cost_per_hour at [[equipment]] ({_some(machines)})")
    if materials:
        wanted.append(f"value at [[material]] ({_some(materials)})")
    return html.P(f"For losses in money set in the plant file: {' and '.join(wanted)}.", className="note")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{', '.join(names[:2])} and {len(names) - 2} others"


def behind(
    backend: Backend, ledger: pl.DataFrame, step: str, path: str, query: Query, extra: Any
) -> Component:
    """What is in a step that is no stop: times without data to say something of, or the machines and products."""
    plant = backend.plant
    rows = waterfall_rows(ledger, plant, step)
    if step == TimeCategory.UNKNOWN.value:
        return _unknown(backend, rows, path, query, extra)
    made = pl.col("good") + pl.col("reject") + pl.col("rework")
    groups = rows.group_by("equipment", "material").agg(
        pl.col("amount").sum(),
        rows=pl.len(),
        made=made.sum(),
        bad=(pl.col("reject") + pl.col("rework")).sum(),
    )
    largest = max((abs(a) for a in groups["amount"]), default=1) or 1
    cells = [
        (
            dcc.Link(
                plant.equipment[row["equipment"]].name,
                href=parts.link(path, query, machine=row["equipment"], page=None),
            ),
            plant.materials[row["material"]].name if row["material"] in plant.materials else words.NONE,
            parts.bar(row["amount"] / largest, "bad"),
            kpitables.time(row["amount"]),
            words.number(row["made"]),
            words.number(row["bad"]),
            words.number(row["rows"]),
        )
        for row in groups.sort("amount", "equipment", descending=[True, False]).iter_rows(named=True)
    ]
    return parts.panel(
        step_name(step),
        html.P(_why(step), className="note"),
        parts.table(
            ("Machine", "Product", "", "Time", "Parts made", "Of them bad", "Ledger rows"),
            cells,
            "Nothing in this window.",
            numeric=(3, 4, 5, 6),
        ),
        extra=extra,
        name="stops",
    )


def _why(step: str) -> str:
    return {
        "not_scheduled": "Outside the shifts of the calendar. Nothing was lost, and it is in no OEE.",
        "unrated": "Running without an ideal cycle of the product on that machine: set ideal_cycle at [[material]].",
        "speed": "Running time less the ideal time of the parts made in it: slower cycles, short waits no signal shows.",
        "startup_rejects": "The ideal time of the rejects made in a changeover or soon after one.",
        "process_defects": "The ideal time of rejects and rework made at other times.",
    }[step]


def _unknown(backend: Backend, rows: pl.DataFrame, path: str, query: Query, extra: Any) -> Component:
    plant, zone, now = backend.plant, backend.plant.site.zone, backend.now()
    spans = (
        rows.sort("equipment", "start")
        .with_columns(
            apart=(
                (pl.col("equipment") != pl.col("equipment").shift())
                | (pl.col("start") != pl.col("end").shift())
            ).fill_null(True)
        )
        .group_by("equipment", part=pl.col("apart").cum_sum())
        .agg(pl.col("start").first(), pl.col("end").last(), pl.col("amount").sum())
        .sort("amount", "equipment", descending=[True, False])
    )

    def say(machine: str, start: datetime, end: datetime) -> Component:
        about = f"{machine}|{words.utc(start)}|{words.utc(end)}"
        return dcc.Link(
            "Say what it did", href=parts.link(path, query, say=about, stop=None), className="button small"
        )

    cells = [
        (
            plant.equipment[machine].name,
            words.moment(start, zone, now),
            words.moment(end, zone, now),
            kpitables.time(amount),
            say(machine, start, end),
        )
        for machine, _, start, end, amount in spans.head(SPANS).iter_rows()
    ]
    more = f" The {SPANS} longest are listed." if spans.height > SPANS else ""
    return parts.panel(
        "Unknown",
        html.P(
            "No data said what the machine did. If somebody knows, it can be said here; until then it is in no figure but "
            f"coverage.{more}",
            className="note",
        ),
        parts.table(("Machine", "From", "To", "Length", ""), cells, "Everything is known.", numeric=(3,)),
        extra=extra,
        name="stops",
    )
