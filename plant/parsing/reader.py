"""Reading one table of a plant file: typed access to its keys that notes what is wrong and goes on.

A value that is missing or wrong reads as a stand-in of the right type, so that one pass finds every
error; nothing built from a stand-in leaves, because `plant.parse.parse` raises when there are errors.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from enum import StrEnum
from typing import TypeVar

from plant.parsing.keys import KEYS, OPEN
from plant.parsing.problems import PlantError, suggestion
from plant.parsing.values import YEAR, clock, duration, size

E = TypeVar("E", bound=StrEnum)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_MISSING = object()
_YEARS = range(1970, 2201)


def join(path: str, key: str | int) -> str:
    """The path of a key or a list entry below `path`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    word = key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{path}.{word}" if path else word


def shown(value: object) -> str:
    """A value as an error message shows it, never longer than a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


class Table:
    """One table. `ok` turns False when a key of it is wrong; checks of several keys then keep quiet."""

    def __init__(
        self, errors: list[PlantError], file: str, path: str, kind: str, data: Mapping[str, object]
    ) -> None:
        self.errors = errors
        self.file = file
        self.path = path
        self.kind = kind
        self.data = data
        self.ok = True
        if kind not in OPEN:
            for key in data:
                if key not in KEYS[kind]:
                    known = f"Remove it; known here: {', '.join(KEYS[kind])}"
                    self.error(key, f'unknown key "{key}"', suggestion(key, KEYS[kind], known))

    def error(self, key: str | int | Iterable[str | int], problem: str, fix: str) -> None:
        """Note an error at a key of this table, or at a path of keys and positions."""
        path = self.path
        for part in (key,) if isinstance(key, str | int) else key:
            path = join(path, part)
        self.ok = False
        self.errors.append(PlantError(self.file, path, problem, fix))

    def options(self) -> dict[str, object]:
        """The keys that are not the table's own: options of a source, a channel or the historian.

        A secret stays what it is in the file, {env = "NAME"}: it is read when the plant is started.
        """
        found = {k: v for k, v in self.data.items() if k not in KEYS[self.kind]}
        for key, value in found.items():
            self._check_secret(key, value)
        return found

    def secret(self, key: str) -> object:
        """Text or a secret, {env = "NAME"}; None when left out."""
        value = self._get(key)
        if isinstance(value, Mapping):
            if "env" not in value:
                self._wrong(key, value, "a text", f'Write {key} = "..." or {key} = {{ env = "NAME" }}')
            self._check_secret(key, value)
            return value
        return self.text(key) if key in self.data else None

    def text(self, key: str, default: str | None = None) -> str:
        """Text. Without a default the key must be there and not be blank."""
        value = self._get(key, required=default is None)
        if value is _MISSING:
            return default or ""
        if not isinstance(value, str):
            self._wrong(key, value, "text", 'Write it in quotes, such as "..."')
            return default or ""
        if default is None and not value.strip():
            self.error(key, "is blank", "Write a text")
        return value

    def identifier(self, key: str = "id") -> str:
        """An id: letters, digits, "_", "-", "."; up to 64. It becomes part of addresses and stored series."""
        value = self.text(key)
        if value.strip() and not _ID.fullmatch(value):
            self.error(
                key,
                f"{shown(value)} is not an id",
                "Use letters, digits, '-', '_' and '.', 64 at most, no spaces",
            )
            return ""
        return value.strip()

    def optional(self, key: str) -> str | None:
        """Text that may be left out, but not be blank."""
        return self.text(key) or None if key in self.data else None

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self._get(key)
        if value is _MISSING:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(key, value, "a number", "Write it without quotes, such as 0.5")
            return default
        if not abs(value) < 1e300:
            self.error(key, f"{value} is not a finite number", "Write a finite number")
            return default
        return float(value)

    def amount(self, key: str) -> float | None:
        """A number of zero or more, None when left out."""
        if self._get(key) is _MISSING:
            return None
        amount = self.number(key, 0.0)
        if amount < 0:
            self.error(key, f"{amount:g} is less than nothing", "Write zero or more")
        return amount

    def integer(self, key: str) -> int | None:
        """A whole number, None when left out."""
        value = self._get(key)
        if value is _MISSING:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(key, value, "a whole number", "Write it without quotes, such as 65536")
            return None
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._get(key)
        if value is _MISSING:
            return default
        if not isinstance(value, bool):
            self._wrong(key, value, "true or false", "Write true or false, without quotes")
            return default
        return value

    def choice(self, key: str, kind: type[E], default: E | None = None) -> E:
        """One of the words of an enum. Without a default the key must be there."""
        value = self.text(key, None if default is None else default.value)
        found = self.word(key, value, kind) if value.strip() else None
        return found or default or next(iter(kind))

    def word(self, key: str | Iterable[str | int], value: object, kind: type[E]) -> E | None:
        """A word of an enum, or None and an error."""
        words = [str(w) for w in kind]
        if isinstance(value, str) and value in words:
            return kind(value)
        fix = suggestion(value, words, "") if isinstance(value, str) else ""
        self.error(key, f"{shown(value)} is not one of {', '.join(words)}", fix or "Use one of these words")
        return None

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty when left out."""
        value = self._get(key)
        if value is _MISSING:
            return ()
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self._wrong(key, value, "a list of texts", f'Write {key} = ["...", "..."]')
            return ()
        for index, text in enumerate(value):
            if text in value[:index]:
                self.error((key, index), f'"{text}" is listed twice', "Remove one")
        return tuple(value)

    def duration(self, key: str, *, zero: bool = True, longest: timedelta = YEAR) -> timedelta | None:
        """A length of time, None when left out. `zero`: whether no time at all makes sense."""
        value = self._get(key)
        if value is _MISSING:
            return None
        example = 'Write a number and a unit (us, ms, s, min, h, d), such as "250ms", "15s" or "2min"'
        if not isinstance(value, str):
            self._wrong(key, value, "a duration", example)
            return None
        try:
            found = duration(value, longest)
        except ValueError as error:
            self.error(key, str(error), example)
            return None
        if not zero and not found:
            self.error(key, f'"{value}" is no time at all', 'Write a duration above zero, such as "15s"')
            return None
        return found

    def required_duration(self, key: str, *, zero: bool = True) -> timedelta:
        """A length of time that must be there."""
        if key not in self.data:
            self._get(key, required=True)
        return self.duration(key, zero=zero) or timedelta(0)

    def size(self, key: str) -> int | None:
        """A number of bytes, None when left out."""
        value = self._get(key)
        if value is _MISSING:
            return None
        example = 'Write a number and a unit (kB, MB, GB, TB), such as "500MB" or "4GB"'
        if not isinstance(value, str):
            self._wrong(key, value, "a size", example)
            return None
        try:
            return size(value)
        except ValueError as error:
            self.error(key, str(error), example)
            return None

    def clock(self, key: str) -> time:
        """A wall time that must be there; TOML's own local time is as good as a text."""
        value = self._get(key, required=True)
        if isinstance(value, time):
            return value
        if value is not _MISSING:
            try:
                return clock(value if isinstance(value, str) else shown(value))
            except ValueError as error:
                self.error(key, str(error), 'Write hours and minutes, such as "06:00"')
        return time(0)

    def date(self, key: str) -> date | None:
        """A TOML date or date-time in a year a plant can be in, None when left out."""
        value = self._get(key)
        if value is _MISSING:
            return None
        if not isinstance(value, date):
            self._wrong(key, value, "a date", "Write it without quotes, such as 2026-12-25")
            return None
        if value.year not in _YEARS:
            years = f"{_YEARS.start} to {_YEARS.stop - 1}"
            self.error(key, f"the year {value.year} is out of range", f"Use a year from {years}")
            return None
        return value

    def tables(self, key: str, kind: str | None = None) -> list["Table"]:
        """The tables of a list, [[key]] or key = [{ ... }]; empty when left out."""
        value = self._get(key)
        if value is _MISSING:
            return []
        kind = kind or (f"{self.kind}.{key}" if self.kind else key)
        if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
            self._wrong(key, value, "a list of tables", f"Write {key} = [{{ ... }}] or [[...]] tables")
            return []
        return [self.child((key, i), kind, v) for i, v in enumerate(value)]

    def table(self, key: str, *, required: bool = False) -> "Table | None":
        """The table [key], None when it is not there or is not a table."""
        value = self._get(key, required=required)
        if value is _MISSING:
            return None
        if not isinstance(value, Mapping):
            self._wrong(key, value, "a table", f"Write it as [{key}]")
            return None
        return self.child((key,), key, value)

    def child(self, at: Iterable[str | int], kind: str, data: Mapping[str, object]) -> "Table":
        """A table inside this one."""
        path = self.path
        for part in at:
            path = join(path, part)
        return Table(self.errors, self.file, path, kind, data)

    def _get(self, key: str, *, required: bool = False) -> object:
        if key not in KEYS[self.kind]:
            raise KeyError(f"{key} is not declared for {self.kind or 'the file'} in plant.parsing.keys")
        if key in self.data:
            return self.data[key]
        if required:
            self.error(key, f'"{key}" is missing', f"Add {key} to {self.path or 'the file'}")
        return _MISSING

    def _check_secret(self, key: str, value: object) -> None:
        if isinstance(value, Mapping) and "env" in value:
            name = value["env"]
            if set(value) != {"env"} or not isinstance(name, str) or not _BARE.fullmatch(name):
                self.error(key, f"{shown(value)} is not a secret", 'Write { env = "NAME_OF_A_VARIABLE" }')

    def _wrong(self, key: str, value: object, wanted: str, fix: str) -> None:
        self.error(key, f"{shown(value)} is not {wanted}", fix)
