"""What a cell of an order list says: numbers, times and names as people and their programs write them."""

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from plant.calendar import to_utc

MAX_QUANTITY = 10**12
MAX_ID = 64
_EXCEL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 (wall time, like the cells)
_SERIALS = (Decimal(20_000), Decimal(80_000))
"""Excel day numbers of 1954 and 2119: what a number in a date column can be."""
_YEARS = range(1970, 2120)
_ERRORS = ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!")
_CLOCK = r"(?:[T ]+(?P<h>\d{1,2}):(?P<n>\d{2})(?::(?P<s>\d{2})(?:[.,]\d+)?)?)?"
_ISO = re.compile(r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})" + _CLOCK)
_POINTS = re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})" + _CLOCK)
_SLASHES = re.compile(r"(?P<a>\d{1,2})[/-](?P<b>\d{1,2})[/-](?P<y>\d{4})" + _CLOCK)
_COMPACT = re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})" + _CLOCK)
_DATE_FIX = "write it as 2026-12-31 or 2026-12-31 14:00"


class CellError(Exception):
    """The cell cannot be understood; `fix` says how to write it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.fix = fix


def identifier(cell: object) -> str:
    """An order number, an id or a name. Excel's 4711.0 is 4711."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise CellError("this is no number or name", "format the cell as text")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    text = str(cell).strip()
    _no_excel_error(text)
    if not text or len(text) > MAX_ID:
        raise CellError(f"it has {len(text)} characters", f"use 1 to {MAX_ID}")
    if not text.isprintable():
        raise CellError("it holds characters that cannot be seen", "type it in again")
    if text[0] in "=+-@":
        raise CellError(f"it begins with {text[0]!r}, like a formula", "use the value itself")
    return text


def quantity(cell: object) -> int:
    """A positive whole number of parts."""
    number = whole(cell)
    if not 0 < number <= MAX_QUANTITY:
        raise CellError("it is not a number of parts to make", f"use 1 to {MAX_QUANTITY}")
    return number


def whole(cell: object) -> int:
    """A whole number; 12,0 and 12.0 and 1 200 and 1.200,0 are."""
    number = _decimal(cell)
    if not number.is_finite() or abs(number) > MAX_QUANTITY:
        raise CellError("it is out of all bounds", f"use at most {MAX_QUANTITY}")
    if number != number.to_integral_value():
        raise CellError("it is not a whole number", "parts are counted in wholes; round it")
    return int(number)


def instant(cell: object, zone: ZoneInfo, *, end_of_day: bool) -> datetime | None:
    """A time, in UTC; None for SAP's 00000000.

    Args:
        cell: text, an Excel date, or an Excel day number.
        zone: of wall times; those the clock change skips or repeats follow `plant.calendar.to_utc`.
        end_of_day: whether a date without a time (in Excel also one at midnight) is the end of that day.
    """
    if isinstance(cell, str) and set(cell) == {"0"} and len(cell) == 8:
        return None
    parsed = _wall(cell)
    if parsed.year not in _YEARS:
        raise CellError(f"the year {parsed.year} cannot be meant", _DATE_FIX)
    if parsed.tzinfo is not None:
        return parsed.astimezone(UTC)
    if end_of_day and parsed.time() == time() and not _has_clock(cell):
        parsed += timedelta(days=1)
    return to_utc(parsed, zone)


def _wall(cell: object) -> datetime:
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime.combine(cell, time())
    if isinstance(cell, str):
        _no_excel_error(cell)
        written = _written(cell)
        if written is not None:
            return written
    try:
        serial = _decimal(cell)
    except CellError:
        raise CellError("this is no date", _DATE_FIX) from None
    if not (serial.is_finite() and _SERIALS[0] <= serial <= _SERIALS[1]):
        raise CellError("this is no date", _DATE_FIX)
    seconds = (serial * 86_400).to_integral_value()  # a double holds a day number to about a microsecond
    return _EXCEL_EPOCH + timedelta(seconds=int(seconds))


def _written(text: str) -> datetime | None:
    for pattern in (_ISO, _POINTS, _COMPACT):
        if match := pattern.fullmatch(text):
            return _datetime(match["y"], match["m"], match["d"], match)
    if match := _SLASHES.fullmatch(text):
        first, second = int(match["a"]), int(match["b"])
        if first <= 12 and second <= 12 and first != second:
            raise CellError("day and month could be either way round", _DATE_FIX)
        month, day = (first, second) if second > 12 else (second, first)
        return _datetime(match["y"], str(month), str(day), match)
    try:
        zoned = datetime.fromisoformat(text)
    except ValueError:
        return None
    return zoned if zoned.tzinfo is not None else None


def _datetime(year: str, month: str, day: str, clock: re.Match[str]) -> datetime:
    hour, minute, second = (int(clock[name] or 0) for name in "hns")
    try:
        return datetime(int(year), int(month), int(day), hour, minute, second)  # noqa: DTZ001 (wall time)
    except ValueError as error:
        raise CellError(f"there is no such date or time ({error})", _DATE_FIX) from error


def _has_clock(cell: object) -> bool:
    return isinstance(cell, str) and ":" in cell


def _decimal(cell: object) -> Decimal:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise CellError("this is no number", "use digits")
    text = str(cell).strip()
    _no_excel_error(text)
    plain = re.sub(r"(?<=\d)[ \u202f'’](?=\d{3}(?!\d))", "", text)
    if isinstance(cell, str):
        if re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", plain):
            bare = re.sub(r"[.,]", "", plain)
            short = re.split(r"[.,]", plain)[0]
            raise CellError(f"it could be {bare} or {short}", f"write {bare} or {short}")
        if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?", plain):
            plain = plain.replace(".", "").replace(",", ".")
        elif re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", plain):
            plain = plain.replace(",", "")
        elif re.fullmatch(r"[+-]?\d+,\d+", plain):
            plain = plain.replace(",", ".")
        if not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", plain):
            raise CellError("this is no number", "use digits, without a unit")
    try:
        return Decimal(plain)
    except InvalidOperation:
        raise CellError("this is no number", "use digits, without a unit") from None


def _no_excel_error(text: str) -> None:
    if text.upper() in _ERRORS:
        raise CellError("the spreadsheet has an error here", "correct its formula")
