"""Reading what a request asks for; every refusal names the parameter and says what would do."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import orjson

from dashboards.ports import Backend, Refused
from dashboards.trends import ROLES as TREND_ROLES
from plant.frames import Window
from plant.model import Plant, Signal

LONGEST = timedelta(days=400)
"""The longest window one request may ask for."""
SHORTEST = timedelta(seconds=10)
"""The shortest one that people choose on a page."""
TYPED = "%Y-%m-%d %H:%M"
TYPED_SECONDS = f"{TYPED}:%S"
"""How fields show times that people change."""

_SPACE_FOR_PLUS = re.compile(r" (\d\d:?\d\d)$")


def query(search: str | None) -> dict[str, str]:
    """The query of an address, as Dash has it."""
    return dict(parse_qsl((search or "").lstrip("?"), max_num_fields=50))


def instant(name: str, text: str) -> datetime:
    """An ISO 8601 time with a zone, in UTC.

    Raises:
        Refused: it is none, or says no zone.
    """
    try:
        # An unescaped + in an address arrives as a space.
        time = datetime.fromisoformat(_SPACE_FOR_PLUS.sub(r"+\1", text))
    except ValueError:
        raise Refused(f"{name}: {text!r} is not a time; write it like 2026-03-01T06:00:00Z") from None
    if time.tzinfo is None:
        raise Refused(f"{name}: {text!r} says no zone; add Z for UTC or an offset like +01:00")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise Refused(f"{name}: {text!r} is outside of the years 1 to 9999") from None


def window(backend: Backend, start: str | None, end: str | None) -> Window:
    """[from, to): by default the running shift up to now, or the last eight hours outside a shift.

    Raises:
        Refused: a time that is none, the wrong way round, or too long.
    """
    to = instant("to", end) if end else backend.now()
    if start:
        since = instant("from", start)
    else:
        shift = backend.snapshot()["shift"]
        since = datetime.fromisoformat(shift["start"]).astimezone(UTC) if shift else to - timedelta(hours=8)
        since = since if since < to else to - timedelta(hours=8)
    if since >= to:
        raise Refused(f"from: {since.isoformat()} is not before to, {to.isoformat()}; swap them")
    if to - since > LONGEST:
        raise Refused(f"from: the window is {(to - since).days} days long; ask for at most {LONGEST.days}")
    return Window(since, to)


def typed_time(text: str, start: datetime, zone: ZoneInfo) -> datetime:
    """A time as people type it, in the plant's zone: 14:05, 14:05:30, or with the date before it. Without a date, the first
    one after `start`.

    Raises:
        Refused: it is none.
    """
    given = text.strip()
    local = start.astimezone(zone)
    try:
        if len(given) > 8:
            return datetime.fromisoformat(given).replace(tzinfo=zone).astimezone(UTC)
        at = datetime.combine(local.date(), time.fromisoformat(given), zone)
    except (ValueError, OverflowError):
        raise Refused(f"{text!r} is no time: write it as 14:05:30, or 2026-03-04 14:05:30.") from None
    return (at if at >= local else at + timedelta(days=1)).astimezone(UTC)


def exact_time(name: str, text: str, zone: ZoneInfo) -> datetime:
    """A date and a time of the plant as people type them.

    Raises:
        Refused: it is none.
    """
    try:
        at = datetime.fromisoformat(text.strip())
        if len(text.strip()) >= len("2026-03-04 14:05"):
            return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Refused(f"{name}: {text!r} is no time; write it as 2026-03-04 14:05:30.")


def typed_window(start: str, end: str, zone: ZoneInfo) -> Window:
    """Two wall times of the plant as people type them.

    Raises:
        Refused: one that is none, or too near or too far from the other.
    """
    times = []
    for name, text in (("From", start), ("To", end)):
        try:
            times.append(datetime.strptime(text.strip(), TYPED).replace(tzinfo=zone).astimezone(UTC))
        except (ValueError, OverflowError):
            raise Refused(f"{name}: write it like 2026-03-01 06:00") from None
    if times[1] - times[0] < SHORTEST:
        raise Refused("To: give a time after From")
    if times[1] - times[0] > LONGEST:
        raise Refused(f"To: at most {LONGEST.days} days after From")
    return Window(*times)


def machines(plant: Plant, equipment: Iterable[str]) -> list[str] | None:
    """The machines at or below the given equipment; None (every machine) when nothing is given.

    Raises:
        Refused: equipment the plant does not have.
    """
    asked = [part for text in equipment for part in text.split(",") if part]
    if not asked:
        return None
    unknown = [e for e in asked if e not in plant.equipment]
    if unknown:
        raise Refused(
            f"equipment: the plant has no {unknown[0]!r}; it has {', '.join(sorted(plant.equipment))}"
        )
    below = frozenset().union(*(plant.below(e) for e in asked))
    return [machine.id for machine in plant.machines() if machine.id in below]


def signals(plant: Plant, machines: Iterable[str], asked: Sequence[str]) -> list[Signal]:
    """Those signals of the machines; the ones a trend can show when nothing is asked for.

    Raises:
        Refused: a signal none of the machines has, or no signal at all.
    """
    every = [signal for machine in machines for signal in plant.signals_of(machine)]
    names = choices("signals", asked, sorted({signal.id for signal in every}))
    found = [s for s in every if (s.id in names if names else s.role in TREND_ROLES)]
    if not found:
        raise Refused("signals: none of this equipment is a process value or a cycle time; name others")
    return found


def choices(name: str, asked: Sequence[str], allowed: Sequence[str]) -> list[str]:
    """Values separated by commas, each one of `allowed`.

    Raises:
        Refused: one that is not.
    """
    values = [part for text in asked for part in text.split(",") if part]
    for value in values:
        if value not in allowed:
            raise Refused(f"{name}: {value!r} is not one of {', '.join(allowed)}")
    return values


def mapping(name: str, text: str | None) -> dict[str, str]:
    """A JSON object of texts.

    Raises:
        Refused: it is none.
    """
    if not text:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise Refused(f'{name}: write a JSON object of texts, like {{"quantity": "Qty"}}')
    return value
