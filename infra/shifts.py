"""Which shift the plant is in: instances of the calendar most machines work by."""

from collections import Counter
from datetime import datetime, timedelta

import polars as pl

from analytics.figures.buckets import edges
from dashboards.view import ShiftView
from plant.calendar import ShiftInstance, shift_instances
from plant.frames import TIME, Window
from plant.model import Plant, WorkCalendar

LONGEST = timedelta(hours=24)
"""No shift is longer."""


def main_calendar(plant: Plant) -> WorkCalendar | None:
    """The calendar of most machines, as it holds for most of these; None: they work around the clock."""
    hours = plant.by_calendar(machine.id for machine in plant.machines())
    users = Counter(machine.calendar for machine in plant.machines())
    ranked = sorted(hours, key=lambda one: (users[one[0].id if one[0] else None], len(one[1])), reverse=True)
    return ranked[0][0] if ranked else None


def instances(plant: Plant, window: Window) -> list[ShiftInstance]:
    """Shift instances of the main calendar that touch the window, oldest first."""
    calendar = main_calendar(plant)
    return shift_instances(calendar, plant.site.zone, window) if calendar else []


def all_instances(plant: Plant, window: Window) -> list[tuple[ShiftInstance, list[str]]]:
    """Shift instances of every calendar that touch the window, each with the machines that work in it. Machines without
    a calendar are reported by the shifts of the main one."""
    main = main_calendar(plant)
    found: list[tuple[ShiftInstance, list[str]]] = []
    for calendar, machines in plant.by_calendar(m.id for m in plant.machines()):
        hours = calendar or main
        for instance in shift_instances(hours, plant.site.zone, window) if hours else ():
            found.append((instance, machines))
    return found


def shift_ends(plant: Plant, after: datetime, until: datetime) -> list[datetime]:
    """When shifts of any machine end, after one instant and not after another; in order."""
    if until <= after:
        return []
    ends = {instance.end for instance, _ in all_instances(plant, Window(after, until))}
    return sorted(end for end in ends if after < end <= until)


def shift_edges(plant: Plant, window: Window) -> list[datetime]:
    """Where stored rows are cut: where shifts of any machine begin or end in the window, and at plant-local midnight, so
    that a day is whole rows."""
    found = {at for instance, _ in all_instances(plant, window) for at in (instance.start, instance.end)}
    found |= set(edges(window, plant.site.zone, "day"))
    return sorted(at for at in found if window.start < at < window.end)


def running_shifts(plant: Plant, at: datetime) -> set[tuple[str, str, datetime]]:
    """(line, shift, shift start) of what any machine of the line still works in after that instant."""
    around = Window(at, at + timedelta(microseconds=1))
    return {
        (plant.line_of(machine), instance.shift.id, instance.start)
        for instance, machines in all_instances(plant, around)
        if instance.start < at
        for machine in machines
    }


def working_since(plant: Plant, at: datetime) -> datetime:
    """When the longest running shift of any machine began; that instant itself if none runs."""
    around = Window(at, at + timedelta(microseconds=1))
    return min((instance.start for instance, _ in all_instances(plant, around)), default=at)


def named(plant: Plant, rows: pl.DataFrame) -> pl.DataFrame:
    """Ledger rows with the shift they are reported in: for machines without a calendar that of the main calendar."""
    free = {m.id for m in plant.machines() if plant.calendar_of(m.id) is None}
    if not free or rows.is_empty():
        return rows
    shifts = pl.DataFrame(
        [
            (i.shift.id, i.start, i.end)
            for i in instances(plant, Window(rows["start"].min(), rows["end"].max()))  # type: ignore[arg-type]
        ],
        schema={"main": pl.String, "main_start": TIME, "main_end": TIME},
        orient="row",
    )
    found = rows.with_row_index().sort("start").join_asof(shifts, left_on="start", right_on="main_start")
    by_main = (
        pl.col("equipment").is_in(free) & pl.col("shift").is_null() & (pl.col("start") < pl.col("main_end"))
    ).fill_null(False)
    return (
        found.sort("index")
        .with_columns(
            shift=pl.when(by_main).then("main").otherwise("shift"),
            shift_start=pl.when(by_main).then("main_start").otherwise("shift_start"),
        )
        .select(rows.columns)
    )


def lines_without_calendar(plant: Plant) -> set[str]:
    """Lines all of whose machines are scheduled around the clock: nothing in their rows says which shift it was."""
    bound = {plant.line_of(m.id) for m in plant.machines() if plant.calendar_of(m.id) is not None}
    return {plant.line_of(m.id) for m in plant.machines()} - bound


def shift_views(plant: Plant, window: Window) -> list[ShiftView]:
    """The same, as views."""
    return [shift_view(instance) for instance in instances(plant, window)]


def shift_view(instance: ShiftInstance) -> ShiftView:
    """One shift instance as a view."""
    return ShiftView(
        id=instance.shift.id,
        name=instance.shift.name,
        start=instance.start.isoformat(),
        end=instance.end.isoformat(),
        crew=instance.crew,
    )


def running(plant: Plant, now: datetime) -> ShiftInstance | None:
    """The shift instance that is on now."""
    around = Window(now - LONGEST, now + timedelta(microseconds=1))
    return next((i for i in instances(plant, around) if i.start <= now < i.end), None)


def period(plant: Plant, now: datetime) -> Window:
    """What "this shift" means now: the running shift; outside shifts the plant's day so far, to its end."""
    shift = running(plant, now)
    if shift is not None:
        return Window(shift.start, shift.end)
    midnight = now.astimezone(plant.site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = (midnight + timedelta(hours=26)).replace(hour=0)
    return Window(midnight.astimezone(now.tzinfo), tomorrow.astimezone(now.tzinfo))
