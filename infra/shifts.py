"""Which shift the plant is in: instances of the calendar most machines work by."""

from datetime import datetime, timedelta

from dashboards.view import ShiftView
from plant.calendar import ShiftInstance, shift_instances
from plant.frames import Window
from plant.model import Plant, WorkCalendar

LONGEST = timedelta(hours=24)
"""No shift is longer."""


def main_calendar(plant: Plant) -> WorkCalendar | None:
    """The calendar of most machines; None: they work around the clock."""
    hours = plant.by_calendar(machine.id for machine in plant.machines())
    return max(hours, key=lambda one: len(one[1]))[0] if hours else None


def instances(plant: Plant, window: Window) -> list[ShiftInstance]:
    """Shift instances of the main calendar that touch the window, oldest first."""
    calendar = main_calendar(plant)
    return shift_instances(calendar, plant.site.zone, window) if calendar else []


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
