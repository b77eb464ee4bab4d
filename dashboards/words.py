"""Numbers, lengths and times as people read them: the server's half of assets/format.js."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from analytics.forecast.finish import Cause
from dashboards.view import ShiftView

NONE = "–"
_THIN, _MINUS = "\u2009", "\u2212"


def number(value: float | None) -> str:
    """1234 -> 1 234 with thin spaces and a true minus."""
    if value is None:
        return NONE
    return f"{round(value):,}".replace(",", _THIN).replace("-", _MINUS)


def value(measured: float | None) -> str:
    """A measured value to four digits: 3.142, 0.001234, 12 346."""
    if measured is None:
        return NONE
    if 1000 <= abs(measured) < 1e12:
        return number(measured)
    return f"{measured:.4g}".replace("-", _MINUS)


def percent(ratio: float | None, places: int = 1) -> str:
    """0.8345 -> 83.5 %."""
    return NONE if ratio is None else f"{ratio * 100:.{places}f} %"


def points(share: float | None) -> str:
    """0.028 -> +2.8; a share's change in percentage points."""
    return NONE if share is None else f"{share * 100:+.1f}".replace("-", _MINUS)


def length(seconds: float | None) -> str:
    """42 s, 12 min, 1 h 5 min, 3 d 4 h."""
    if seconds is None:
        return NONE
    whole = round(abs(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    hours, rest = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def slack(seconds: float | None) -> str:
    """12 min late, on time, 35 min early; nothing without a due date."""
    if seconds is None:
        return ""
    if abs(seconds) < 60:
        return "on time"
    return f"{length(seconds)} {'late' if seconds < 0 else 'early'}"


def moment(at: datetime | str | None, zone: ZoneInfo, now: datetime | None = None) -> str:
    """The plant's wall time: 14:05, with the date in front when it is not `now`'s day."""
    if at is None:
        return NONE
    local = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(zone)
    if now is not None and local.date() == now.astimezone(zone).date():
        return local.strftime("%H:%M")
    return local.strftime("%d %b %H:%M")


def shift_name(shift: ShiftView) -> str:
    """Early, or Early, crew A."""
    return f"{shift['name']}, crew {shift['crew']}" if shift["crew"] else shift["name"]


def wall(at: datetime, zone: ZoneInfo) -> str:
    """Naive wall time for Plotly, which would ignore an offset."""
    return at.astimezone(zone).replace(tzinfo=None).isoformat()


def utc(at: datetime) -> str:
    """ISO 8601 in UTC, short enough for an address."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def between(early: str | None, late: str | None, zone: ZoneInfo, now: datetime | None = None) -> str:
    """13:40 to 15:05, with no end while nobody can say one; nothing where there is too little to tell."""
    if early is None:
        return ""
    first = moment(early, zone, now)
    return f"{first} to {moment(late, zone, now)}" if late else f"not before {first}"


_CAUSES = {
    Cause.OVERDUE: "Its due time has passed",
    Cause.TIME: "Too little planned time is left, even at the ideal rate",
    Cause.STOP: "Its machine stands still: such a stop lasts about {wait} more",
    Cause.QUEUE: "What is to be made before it takes too long",
    Cause.RATE: "At the rate of the last hours it takes too long",
}


def at_risk(cause: Cause, wait: timedelta) -> str:
    """Why an order is at risk of being late."""
    return _CAUSES[cause].format(wait=length(wait.total_seconds()))
