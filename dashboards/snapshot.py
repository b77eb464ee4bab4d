"""The board at one instant, from ledger rows, orders and alerts. Pure: everything it needs is handed in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import hypot
from typing import Any

import polars as pl

from analytics.figures.losses import pareto
from analytics.figures.summary import summarise
from analytics.forecast.finish import ShiftForecast, forecast_shifts
from analytics.ledger.firstcause import SPEED, WAITING, Cause, causes_now
from dashboards.figures import cause_doing
from dashboards.view import (
    AlertView,
    BoardSnapshot,
    KpiView,
    LineView,
    LossView,
    MachineView,
    OrderView,
    ShiftView,
)
from execution.progress import counting_machines
from plant.model import Plant
from plant.states import MachineState, TimeCategory

NO_DATA = timedelta(seconds=5)
"""A machine that is not known to be connected, and from which nothing has arrived for this long, shows "no data"."""
STRIP = timedelta(hours=2)
"""How far the strip at the foot of a tile looks back."""
STRIP_STEP = 30
"""Seconds by which the strips move on."""
TOP = 3
"""Losses named beside the downtime."""

_PLANNED = (TimeCategory.NOT_SCHEDULED.value, TimeCategory.PLANNED_DOWNTIME.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What is known at `now`."""

    plant: Plant
    now: datetime
    revision: int
    shift: ShiftView | None
    period: pl.DataFrame
    """`plant.frames.LEDGER` of the running shift up to now (of the plant's day outside shifts)."""
    recent: pl.DataFrame
    """All rows at hand up to now: what forecasts look back over."""
    strip: pl.DataFrame
    """Rows of `plant.frames.LEDGER` that touch the last `STRIP`."""
    heard: Mapping[str, datetime]
    """When something last arrived from each machine."""
    orders: Mapping[str, OrderView]
    """The order each machine works on."""
    alerts: Sequence[AlertView]
    feeds: Mapping[str, str] = field(default_factory=dict)
    """The source each machine's state comes from."""
    reached: Collection[str] = ()
    """Machines whose source is connected: silence is no sign of a dead line."""
    unread: Mapping[str, int] = field(default_factory=dict)
    """How many signals of a machine give no value."""


def build(inputs: Inputs) -> BoardSnapshot:
    """The snapshot. A figure that cannot be computed is None."""
    plant, period = inputs.plant, inputs.period
    paces = forecast_shifts(inputs.recent, plant, inputs.now, [m.id for m in plant.machines()])
    machines = _machines(inputs, paces)
    tiles = {tile["id"]: tile for tile in machines}
    ends = _ends(plant)
    lines = _lines(inputs, tiles, ends)
    whole = summarise(period, [], plant)
    sums: Mapping[str, Any] = next(whole.iter_rows(named=True), {})
    losses = pareto(period)
    uncoded = losses.filter(pl.col("reason").is_null())
    stopped, untold = int(losses["duration"].sum()), int(uncoded["duration"].sum())
    counted = [paces[m] for line in lines for m in ends[line["id"]] if m in paces]
    return BoardSnapshot(
        revision=inputs.revision,
        time=iso(inputs.now),
        site={"id": plant.site.id, "name": plant.site.name, "zone": plant.site.zone.key},
        shift=inputs.shift,
        kpi=kpi_view(sums),
        target_oee=plant.settings.target_oee,
        convention=plant.settings.convention.value,
        good=sum(line["good"] for line in lines),
        target=_sum(_goal(plant, p.target) for p in counted),
        expected=_sum(_goal(plant, p.expected) for p in counted),
        forecast=_sum(p.forecast for p in counted),
        forecast_low=_bound(counted, -1),
        forecast_high=_bound(counted, 1),
        downtime=sums.get("unplanned_downtime", 0) / 1e6,
        planned=sums.get("busy", 0) / 1e6,
        top=[loss_view(plant, row) for row in losses.head(TOP).iter_rows(named=True)],
        stops=int(losses["count"].sum()),
        uncoded=int(uncoded["count"].sum()),
        uncoded_share=untold / stopped if stopped else None,
        lines=lines,
        machines=machines,
        alerts=list(inputs.alerts),
    )


def iso(at: datetime) -> str:
    """ISO 8601 as the views want it."""
    return at.isoformat()


def kpi_view(row: Mapping[str, Any]) -> KpiView:
    """The KPIs of one row of `analytics.figures.summary.summarise`, rounded so that a viewer is sent what he can see."""

    def shown(kpi: str) -> float | None:
        value = row.get(kpi)
        return None if value is None else round(value, 4)

    return KpiView(
        oee=shown("oee"),
        availability=shown("availability"),
        performance=shown("performance"),
        quality=shown("quality"),
        coverage=shown("coverage"),
    )


def loss_view(plant: Plant, row: Mapping[str, Any]) -> LossView:
    """A bar from a row of `analytics.figures.losses.pareto`."""
    reason = plant.reasons.get(row["reason"]) if row["reason"] else None
    name = reason.name if reason else row["reason"] or "No reason given"
    return LossView(reason=row["reason"], name=name, seconds=row["duration"] / 1e6, count=row["count"])


def flow(plant: Plant, machines: Sequence[str]) -> list[str]:
    """Machines in the order the material flows through them; those not linked keep their place."""
    placed: list[str] = []
    waiting = list(machines)
    while waiting:
        ready = [m for m in waiting if not set(plant.equipment[m].upstream) & set(waiting)]
        placed += ready[:1] or waiting[:1]
        waiting.remove(placed[-1])
    return placed


def _goal(plant: Plant, parts: int | None) -> int | None:
    """What the target OEE makes of parts at the ideal rate."""
    return None if parts is None else round(parts * plant.settings.target_oee)


def _machines(inputs: Inputs, paces: Mapping[str, ShiftForecast]) -> list[MachineView]:
    plant = inputs.plant
    rows = {r["equipment"]: r for r in summarise(inputs.period, ["equipment"], plant).iter_rows(named=True)}
    latest = {r["equipment"]: r for r in inputs.strip.group_by("equipment").last().iter_rows(named=True)}
    strips = _strips(inputs.strip, inputs.now)
    ringing: dict[str, int] = {}
    for alert in inputs.alerts:
        ringing[alert["equipment"]] = ringing.get(alert["equipment"], 0) + 1
    shown = {m.id: _shown(inputs, m.id, latest.get(m.id)) for m in plant.machines()}
    silent = [machine for machine, state in shown.items() if state == "no_data"]
    causes = causes_now(inputs.strip, plant, silent)
    found: list[MachineView] = []
    for machine in plant.machines():
        now_row, sums = latest.get(machine.id), rows.get(machine.id, {})
        heard = inputs.heard.get(machine.id)
        state = shown[machine.id]
        pace = paces.get(machine.id)
        reason = plant.reasons.get(now_row["reason"]) if now_row and now_row["reason"] else None
        wants_reason = state == MachineState.DOWN.value and reason is None and now_row is not None
        since = heard if state == "no_data" else now_row["stop_start"] if now_row else None
        found.append(
            MachineView(
                id=machine.id,
                name=machine.name,
                description=machine.description,
                line=plant.line_of(machine.id),
                state=state,
                since=iso(since) if since else None,
                reason=reason.name if reason else None,
                cause=_cause(plant, state, now_row, reason.name if reason else None, causes.get(machine.id)),
                stop_start=iso(now_row["stop_start"]) if wants_reason and now_row else None,
                last_sample=iso(heard) if heard else None,
                kpi=kpi_view(sums),
                good=sums.get("good", 0),
                reject=sums.get("reject", 0),
                target=_goal(plant, pace.target) if pace else None,
                expected=_goal(plant, pace.expected) if pace else None,
                order=inputs.orders.get(machine.id),
                strip=strips.get(machine.id, []),
                alerts=ringing.get(machine.id, 0),
                source=inputs.feeds.get(machine.id),
                unread=inputs.unread.get(machine.id, 0),
            )
        )
    return found


def _shown(inputs: Inputs, machine: str, row: Mapping[str, Any] | None) -> str:
    """The state a tile shows: the machine's own, but calm where nothing is wrong with standing still."""
    heard = inputs.heard.get(machine)
    if row is None or heard is None:
        return "no_data"
    if machine not in inputs.reached and inputs.now - heard > NO_DATA:
        return "no_data"
    state: str = row["state"]
    calm = (MachineState.RUNNING.value, MachineState.MAINTENANCE.value, MachineState.UNKNOWN.value)
    if row["category"] in _PLANNED and state not in calm:
        return MachineState.PLANNED_STOP.value
    return "no_data" if state == MachineState.UNKNOWN.value else state


def _cause(
    plant: Plant,
    state: str,
    row: Mapping[str, Any] | None,
    reason: str | None,
    cause: Cause | None,
) -> str | None:
    """One short line on why the machine is not running."""
    if state in WAITING:
        return (_waits_for(plant, cause) if cause else None) or reason
    if state == MachineState.PLANNED_STOP.value and reason is None and row is not None:
        return "Not scheduled" if row["category"] == TimeCategory.NOT_SCHEDULED.value else "Break"
    if state == MachineState.DOWN.value:
        return reason or "Needs a reason"
    if state == MachineState.SETUP.value:
        return reason or "Changeover"
    return None if state == MachineState.RUNNING.value else reason


def _waits_for(plant: Plant, cause: Cause) -> str | None:
    """What the tile of a machine that waits says: "Waiting for Filler: Hydraulic pressure"."""
    if cause.equipment is None:
        return None
    if cause.category in WAITING:
        return "Nothing comes from outside" if cause.category == WAITING[0] else "Nothing is taken away"
    name = plant.equipment[cause.equipment].name
    return (
        f"Waiting for {name}"
        if cause.category == SPEED
        else f"Waiting for {name}: {cause_doing(plant, cause.category, cause.reason)}"
    )


def _strips(strip: pl.DataFrame, now: datetime) -> dict[str, list[tuple[str, str, str]]]:
    """Per machine (start, end, category), neighbours of one category merged. The edges that move with the clock are
    moved in steps, so that an unchanged strip need not be sent every second."""
    if strip.is_empty():
        return {}
    step = timedelta(seconds=STRIP_STEP)
    end = now - timedelta(seconds=now.timestamp() % STRIP_STEP)
    held = strip.with_columns(
        start=pl.max_horizontal("start", pl.lit(end - STRIP + step, strip.schema["start"])),
        end=pl.min_horizontal("end", pl.lit(end, strip.schema["end"])),
    ).filter(pl.col("start") < pl.col("end"))
    rows = held.sort("equipment", "start").with_columns(run=pl.struct("equipment", "category").rle_id())
    merged = rows.group_by("run", maintain_order=True).agg(
        pl.col("equipment", "category", "start").first(), pl.col("end").last()
    )
    found: dict[str, list[tuple[str, str, str]]] = {}
    for equipment, category, start, end in merged.select("equipment", "category", "start", "end").iter_rows():
        found.setdefault(equipment, []).append((iso(start), iso(end), category))
    return found


def _lines(
    inputs: Inputs, tiles: Mapping[str, MachineView], ends: Mapping[str, Sequence[str]]
) -> list[LineView]:
    plant = inputs.plant
    rows = {r["line"]: r for r in summarise(inputs.period, ["line"], plant).iter_rows(named=True)}
    members: dict[str, list[str]] = {}
    for machine in plant.machines():
        members.setdefault(plant.line_of(machine.id), []).append(machine.id)
    found: list[LineView] = []
    for line, machines in members.items():
        materials = {order["material_name"] for m in machines if (order := tiles[m]["order"])}
        found.append(
            LineView(
                id=line,
                name=plant.equipment[line].name,
                material=materials.pop() if len(materials) == 1 else None,
                kpi=kpi_view(rows.get(line, {})),
                good=sum(tiles[m]["good"] for m in ends[line]),
                target=_sum(tiles[m]["target"] for m in ends[line]),
                machines=flow(plant, machines),
            )
        )
    return found


def _ends(plant: Plant) -> dict[str, list[str]]:
    """Per line the machines whose counts are its output."""
    lines = {
        line: set(counting_machines(plant, line)) for line in {plant.line_of(m.id) for m in plant.machines()}
    }
    found: dict[str, list[str]] = {line: [] for line in lines}
    for machine in plant.machines():
        line = plant.line_of(machine.id)
        if machine.id in lines[line]:
            found[line].append(machine.id)
    return found


def _bound(counted: Sequence[ShiftForecast], side: int) -> int | None:
    """An end of the interval of all output together: what machines make varies independently. None unless all say one."""
    said = [p for p in counted if p.forecast is not None and p.spread is not None]
    if not said or len(said) < sum(p.forecast is not None for p in counted):
        return None
    total, made = sum(p.forecast or 0 for p in said), sum(p.good for p in said)
    return max(made, round(total + side * hypot(*(p.spread or 0.0 for p in said))))


def _sum(values: Any) -> int | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None
