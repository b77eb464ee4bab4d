"""The read models of the page KPIs: figures of groups, and what is behind one of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from analytics.figures.buckets import EVERY
from analytics.figures.explain import Explanation, Side, explain
from analytics.figures.losses import SIX_BIG_LOSSES
from analytics.figures.reliability import WAITS
from analytics.figures.summary import DIMENSIONS, with_keys
from analytics.kpis import Kpi, catalogue
from dashboards import params, parts, words
from dashboards.figures import UNCODED, bucket_edges, cut_ledger, loss_name
from dashboards.ports import Backend, Refused
from plant.frames import TIME, Window
from plant.model import Convention, Plant
from plant.states import TimeCategory

WINDOWS = {
    "shift": "This shift",
    "last": "Last shift",
    "today": "Today",
    "week": "7 days",
    "month": "30 days",
    "quarter": "91 days",
}
GROUPS = {
    "": "Whole plant",
    "line": "Line",
    "equipment": "Machine",
    "shift_start": "Shift",
    "order": "Order",
    "product": "Product",
    "day": "Day",
}
SETS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "oee": ("OEE", ("oee", "availability", "performance", "quality", "coverage")),
    "time": (
        "Use of time",
        (
            "utilisation",
            "ooe",
            "teep",
            "nee",
            "utilisation_efficiency",
            "technical_efficiency",
            "setup_ratio",
        ),
    ),
    "orders": (
        "Orders",
        ("throughput", "allocation_ratio", "allocation_efficiency", "production_process_ratio"),
    ),
    "yield": (
        "Yield",
        ("first_pass_yield", "rolled_throughput_yield", "scrap_ratio", "rework_ratio", "fall_off_ratio"),
    ),
    "failures": ("Failures", ("mtbf", "mttr", "mtta", "corrective_maintenance_ratio")),
}
"""What the page shows at once: name and KPI ids."""
CONVENTIONS = {Convention.NAKAJIMA: "Nakajima / Vorne", Convention.ISO22400: "ISO 22400"}
NOBODY = {
    "order": "No order",
    "product": "No product",
    "shift_start": "Outside the shifts",
    "line": "No line",
}

TERMS = {
    "running": "running",
    "micro_stop": "micro-stops",
    "changeover": "changeover",
    "known": "planned busy time less unknown",
    "busy": "planned busy time",
    "duration": "calendar time",
    "rated_ideal": "ideal time of all parts",
    "rated_ideal_good": "ideal time of good parts",
    "rated_running": "running, rated",
    "rated_micro_stop": "micro-stops, rated",
    "rated_changeover": "changeover, rated",
    "rated_known": "planned busy time less unknown, rated",
    "rated_operations": "planned busy time and planned downtime less unknown, rated",
    "rated_calendar": "calendar time less unknown, rated",
    "known_good": "good",
    "known_reject": "reject",
    "known_rework": "rework",
    "order_busy": "busy time of orders",
    "order_running": "running on orders",
    "order_good": "good, of orders",
    "order_reject": "reject, of orders",
    "order_rework": "rework, of orders",
    "failures": "failures",
    "repairs": "failures that ended",
    "repair_time": "how long these took",
    "acknowledged": "alerts acknowledged",
    "wait": "time until they were",
    "entered": "parts the first step made",
    "rolled_yield": "first pass yields of the steps, multiplied",
    "yield_steps": "one line",
}
"""Columns of a summary in words; the elements of ISO 22400-2 stand for themselves."""


def window(backend: Backend, query: Mapping[str, str]) -> Window:
    """The window of `from` and `to`, or one of `WINDOWS`.

    Raises:
        Refused: neither.
    """
    if "from" in query:
        return params.window(backend, query["from"], query.get("to"))
    name = query.get("window", "shift")
    if name in ("month", "quarter"):
        return Window(backend.now() - timedelta(days=30 if name == "month" else 91), backend.now())
    if name not in WINDOWS:
        raise Refused(f"window: {name!r} is not one of {', '.join(WINDOWS)}")
    return parts.period(backend, name)


def waits(backend: Backend, span: Window, machines: Sequence[str] | None) -> pl.DataFrame:
    """`analytics.figures.reliability.WAITS` of alerts raised in the window, of these machines."""
    plant = backend.plant
    rows = [
        (a["equipment"], plant.line_of(a["equipment"]), _instant(a["raised"]), _instant(a["acknowledged"]))
        for a in backend.alerts(include_resolved=True)
        if a["equipment"] in plant.equipment and (machines is None or a["equipment"] in machines)
    ]
    frame = pl.DataFrame(rows, schema=dict(WAITS), orient="row")
    return frame.filter(pl.col("raised").is_between(span.start, span.end, closed="left"))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parts.utc(text)


def table(
    backend: Backend,
    span: Window,
    machines: Sequence[str] | None,
    by: Sequence[str],
    convention: Convention,
    kpis: Sequence[str],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The groups' figures, and those of everything together (one row, or none)."""
    groups = figures(backend, span, machines, by, convention, kpis)
    return groups, figures(backend, span, machines, (), convention, kpis) if by else groups


def figures(
    backend: Backend,
    span: Window,
    machines: Sequence[str] | None,
    by: Sequence[str],
    convention: Convention,
    kpis: Sequence[str],
) -> pl.DataFrame:
    """The groups' figures (`analytics.figures.summary.summarise`), with the coverage.

    Raises:
        Refused: too many hours or days.
    """
    bucket_edges(backend, span, by)
    alerts = waits(backend, span, machines)
    return backend.summary(span, list(by), {*kpis, "coverage"}, convention, machines, alerts)


def behind(
    backend: Backend,
    span: Window,
    machines: Sequence[str] | None,
    kpi: str,
    convention: Convention,
    by: str = "",
    of: str | None = None,
) -> Explanation:
    """What is behind a figure of everything, or of the group `of` (as `key` writes it).

    Raises:
        Refused: no such KPI or group.
    """
    asked = params.choices("kpi", [kpi], list(catalogue()))
    if len(asked) != 1:
        raise Refused(f"kpi: name one of {', '.join(catalogue())}")
    groups = params.choices("by", [by], list(DIMENSIONS))
    ledger = cut_ledger(backend, span, machines, groups)
    alerts = waits(backend, span, machines)
    if groups and of is not None:
        name = groups[0]
        ledger = (
            with_keys(ledger, [name], backend.plant)
            .filter(pl.col(name).eq_missing(pl.lit(value(name, of))))
            .collect()
        )
        alerts = alerts.filter(pl.col(name) == of) if name in WAITS else alerts.clear()
    return explain(catalogue()[asked[0]], ledger, backend.plant, convention, alerts)


def value(by: str, text: str) -> datetime | str | None:
    """A group out of an address: what `key` wrote.

    Raises:
        Refused: not a time where the groups are times.
    """
    if text == "":
        return None
    return params.instant("of", text) if by in EVERY or by == "shift_start" else text


def key(group: object) -> str:
    """A group in an address; "": none."""
    if group is None:
        return ""
    return words.utc(group) if isinstance(group, datetime) else str(group)


def group_name(plant: Plant, by: str, row: Mapping[str, object]) -> str:
    """A group in words."""
    group = row[by]
    if group is None:
        return NOBODY.get(by, words.NONE)
    if isinstance(group, datetime):
        local = group.astimezone(plant.site.zone)
        return f"{local:%a %d %b}" if by == "day" else f"{local:%a %d %b %H:%M}"
    text = str(group)
    if by in ("equipment", "line") and text in plant.equipment:
        return plant.equipment[text].name
    material = plant.materials.get(text) if by in ("product", "material") else None
    return material.name if material else text


_SECONDS = {"h": 3600, "min": 60}


def shown(kpi: Kpi, value: float | None) -> str:
    """A value with its unit."""
    if value is None:
        return words.NONE
    if kpi.unit == "1":
        return words.percent(value)
    if kpi.unit in _SECONDS:
        return words.length(value * _SECONDS[kpi.unit])
    return f"{words.value(value)} {kpi.unit}"


def amount(side: Side, value: float | None) -> str:
    """An amount of a numerator or denominator: a length of time, parts, a number."""
    if value is None:
        return words.NONE
    if side.unit == "us":
        return time(value)
    if side.unit == "parts":
        return f"{words.number(value)} parts"
    return words.value(value)


def time(microseconds: float) -> str:
    """A length of time; of a speed loss it may be below zero."""
    return ("\u2212" if microseconds < 0 else "") + words.length(microseconds / 1e6)


def money(plant: Plant, cost: float | None) -> str:
    """An amount of money in the site's currency."""
    return words.NONE if cost is None else f"{words.number(cost)} {plant.site.currency}".strip()


REST = {
    "unrated": ("Running without an ideal cycle", "nobody can say how fast it should have been"),
    "ideal_good": ("Good parts", "at their ideal cycle"),
}


def six_big(found: pl.DataFrame) -> list[dict[str, Any]]:
    """`analytics.figures.losses.six_big_losses` with name, what (it is made of) and lost: whether it is one of the six."""
    words_of = {**SIX_BIG_LOSSES, **REST}
    return [
        row
        | {
            "name": words_of[row["loss"]][0],
            "what": words_of[row["loss"]][1],
            "lost": row["loss"] not in REST,
        }
        for row in found.iter_rows(named=True)
        if row["loss"] != "unrated" or row["duration"]
    ]


def term(name: str) -> str:
    """A column of a summary in words."""
    return TERMS.get(name, name)


def cause(plant: Plant, row: Mapping[str, object]) -> str:
    """A group of rows behind a figure in words."""
    if row.get("step"):
        step = str(row["step"])
        return plant.equipment[step].name if step in plant.equipment else step
    reason = row.get("reason")
    if reason is None and row.get("category") == TimeCategory.UNPLANNED_DOWNTIME.value:
        reason = UNCODED
    return loss_name(plant, str(reason)) if reason else ""


CSV_NAMES = ("start", "end")


def csv(found: pl.DataFrame, by: Sequence[str], kpis: Sequence[str]) -> str:
    """A table as CSV: the groups, the time covered, and each KPI with its numerator and denominator."""
    columns = [*by, *CSV_NAMES, *(f"{k}{part}" for k in kpis for part in ("", "_numerator", "_denominator"))]
    timed = [c for c in columns if found.schema[c] == TIME]
    return found.select(columns).with_columns(pl.col(timed).dt.to_string("iso:strict")).write_csv()


def described(kpi: Kpi) -> dict[str, object]:
    """A KPI of the catalogue as JSON."""
    return {
        "id": kpi.id,
        "name": kpi.name,
        "unit": kpi.unit,
        "source": kpi.source,
        "higher_is_better": kpi.higher_is_better,
        "formula": {convention.value: formula.text for convention, formula in kpi.formulas.items()},
    }


def explained(found: Explanation) -> dict[str, object]:
    """An explanation as JSON."""
    return {
        **described(found.kpi),
        "convention": found.convention.value,
        "formula": found.formula,
        "value": found.value,
        "coverage": found.coverage,
        "note": found.note,
        "sides": [
            {
                "name": side.name,
                "amount": side.amount,
                "unit": side.unit,
                "terms": dict(side.terms),
                "groups": side.groups.to_dicts(),
                "rows": side.rows.to_dicts(),
            }
            for side in found.sides
        ],
    }
