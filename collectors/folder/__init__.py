"""A folder into which other programs put finished CSV and Parquet files, in long or wide format.

Options: `path`; `format` ("long": a row per sample; "wide": a column per signal); `settle` ("2s": a file is finished
when it has not changed for so long); `poll` ("1s"); `after` ("move" to done/, or "delete"); `zone` ("UTC": of times
without an offset); `delimiter` (",") and `decimal` (".") of CSV; `time_column` ("time", wide only).
A signal's address is the name in the column `signal` (long), or the heading of its column (wide).
"""

from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from collectors.options import read_collect, read_options
from plant.model import Signal, Source
from plant.parsing.options import one_of, period, seconds, text

if TYPE_CHECKING:
    from collectors.folder.client import FolderCollector

__all__ = ["check", "create"]


def _zone(value: object) -> str:
    given = text(value)
    try:
        ZoneInfo(given)
    except (KeyError, OSError, ValueError):
        raise ValueError('write a zone like "Europe/Berlin"') from None
    return given


def _delimiter(value: object) -> str:
    if (
        not isinstance(value, str)
        or len(value) != 1
        or not value.isascii()
        or value in '"\r\n'
        or value.isalnum()
    ):
        raise ValueError('write one character, such as ";" or "\\t"')
    return value


READERS = {
    "path": text,
    "format": one_of("long", "wide"),
    "settle": seconds,
    "poll": period,
    "after": one_of("move", "delete"),
    "zone": _zone,
    "delimiter": _delimiter,
    "decimal": one_of(".", ","),
    "time_column": text,
}
DEFAULTS = {
    "format": "long",
    "settle": "2s",
    "poll": "1s",
    "after": "move",
    "zone": "UTC",
    "delimiter": ",",
    "decimal": ".",
    "time_column": "time",
}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    options, problems = read_options(source, READERS, DEFAULTS)
    wide, of_times = options.get("format") == "wide", options.get("time_column", "").strip().lower()
    if "time_column" in source.options and not wide:
        problems.append(f'source "{source.id}": "time_column" is for format = "wide"; leave it out')
    if options.get("decimal") == options.get("delimiter", ""):
        problems.append(
            f'source "{source.id}": delimiter and decimal are both {options.get("decimal")!r}; files with a decimal '
            'comma are separated by something else, mostly delimiter = ";"'
        )
    seen: dict[object, Signal] = {}
    for signal in signals:
        problems += read_collect(signal, "folder", {}, {})[1]
        name = f'signal "{signal.equipment}.{signal.id}"'
        heading = signal.address.strip().lower()
        if not heading:
            problems.append(f"{name}: the address is empty; write the name the files have for it")
        elif wide and heading == of_times:
            problems.append(
                f"{name}: its address is the column of the times; write the heading of its own column"
            )
        other = seen.setdefault(heading if wide else (signal.equipment, heading), signal)
        if other is not signal:
            problems.append(
                f'{name}: its address "{signal.address}" is also that of {other.equipment}.{other.id}; '
                "give each a name of its own"
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "FolderCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.folder.client import FolderCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return FolderCollector(source, signals, options)
