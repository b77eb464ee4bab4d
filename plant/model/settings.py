"""The site and the plant-wide defaults of the derivation."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class OrderSource(StrEnum):
    """Who says which order and product is on a machine."""

    TERMINAL = "terminal"
    PLC = "plc"
    SCHEDULE = "schedule"


class Convention(StrEnum):
    """Which published OEE arithmetic is used (docs/adr/0004).

    NAKAJIMA: micro-stops are a performance loss (Nakajima 1988, Vorne). ISO22400: they are an
    availability loss, APT is production time only (ISO 22400-2).
    """

    NAKAJIMA = "nakajima"
    ISO22400 = "iso22400"


class BreakRule(StrEnum):
    """What a calendar break does to a machine's time."""

    PLANNED_DOWNTIME = "planned_downtime"
    UNLESS_RUNNING = "unless_running"


class ChangeoverRule(StrEnum):
    """What is a changeover."""

    STATE = "state"
    """A setup state."""
    DETECT = "detect"
    """A setup state; on a machine that has none, a stop in which the product changes."""
    OFF = "off"
    """Nothing: a setup state is downtime like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Plant-wide defaults of the derivation."""

    convention: Convention = Convention.NAKAJIMA
    micro_stop: timedelta = timedelta(minutes=2)
    """A DOWN interval shorter than this, before any cut, is a micro-stop. Zero: there are none."""
    min_running: timedelta = timedelta(0)
    """Running for less than this between two stops, with no part counted, is a piece of the stop before it."""
    changeover: ChangeoverRule = ChangeoverRule.STATE
    startup: timedelta = timedelta(0)
    """Rejects made so soon after a changeover are those of starting up."""
    breaks: BreakRule = BreakRule.PLANNED_DOWNTIME
    orders_from: tuple[OrderSource, ...] = tuple(OrderSource)
    """Who is believed about order and product, the first most; who is left out is not asked."""
    target_oee: float = 0.85
    blind_after: timedelta = timedelta(seconds=30)
    """A machine nothing can be known of for so long is an alert of its own. Zero: it is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The ISA-95 site; wall times in the plant file are in its zone."""

    id: str
    name: str
    zone: ZoneInfo
    currency: str = ""
    """What money is counted in; "": nobody said."""
