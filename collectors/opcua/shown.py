"""What people are shown of each signal: why it gives no value, what the server does differently, what it dropped."""

from collections.abc import Mapping

import polars as pl
from asyncua import ua

from collectors.opcua.notifications import OVERFLOW
from collectors.opcua.wanted import key_of
from collectors.ports import SourceStatus
from collectors.samples import TEXT_ROLES
from plant.model import Signal


class Shown:
    """Keeps `bad`, `notes` and `overflows` of a source's status."""

    def __init__(self, status: SourceStatus) -> None:
        self._status = status
        self.missing: set[str] = set()
        """Signals the server refused."""
        self._statuses: dict[str, int] = {}
        """Signals whose last value was not good, with its status."""
        self._texts: set[int] = set()
        self._numbers: set[int] = set()
        """Handles by what their last value was."""
        self._made: dict[str, str] = {}
        self._changed: dict[str, str] = {}

    def created(self, key: str, note: str) -> None:
        """The server gives it, with that difference from what was asked."""
        if key in self.missing:
            self.missing.discard(key)
            self._status.bad.pop(key, None)
        self._made[key] = note
        self._say(key)

    def refused(self, why: Mapping[str, str]) -> list[str]:
        """The server does not give these; those of which that is new."""
        new = [key for key, reason in why.items() if self._status.bad.get(key) != reason]
        for key in new:
            self._status.bad[key] = why[key]
        self.missing |= why.keys()
        return new

    def values(self, items: pl.DataFrame, signals: Mapping[int, Signal]) -> None:
        """Look at values as they came (`collectors.opcua.publish.NOTIFICATIONS`)."""
        if self._statuses or items["status"].max() >= 2**30:  # type: ignore[operator]
            self._look_at_statuses(items, signals)
        self._look_at_types(items, signals)

    def overflowed(self, items: pl.DataFrame, signals: Mapping[int, Signal]) -> set[str]:
        """Count the values before which the server dropped others; their signals."""
        some = items.filter(pl.col("status") & OVERFLOW == OVERFLOW)
        if some.is_empty():
            return set()
        found = set()
        for handle, times in some.group_by("handle").len().iter_rows():
            if (signal := signals.get(handle)) is not None:
                key = key_of(signal)
                self._status.overflows[key] = self._status.overflows.get(key, 0) + times
                found.add(key)
        return found

    def _look_at_statuses(self, items: pl.DataFrame, signals: Mapping[int, Signal]) -> None:
        last = items.unique("handle", keep="last").select("handle", "status")
        for handle, status in last.iter_rows():
            if (signal := signals.get(handle)) is None:
                continue
            key = key_of(signal)
            if status >= 2**30:
                self._statuses[key] = status
                self._status.bad[key] = f"the server says {ua.StatusCode(status).name}"
            elif key in self._statuses:
                del self._statuses[key]
                self._status.bad.pop(key, None)

    def _look_at_types(self, items: pl.DataFrame, signals: Mapping[int, Signal]) -> None:
        for column, mine, others in (
            ("value", self._numbers, self._texts),
            ("text", self._texts, self._numbers),
        ):
            handles = set(items.filter(pl.col(column).is_not_null())["handle"].unique().to_list())
            for handle in handles & others:
                others.discard(handle)
                signal = signals.get(handle)
                if signal is not None and signal.role not in TEXT_ROLES:
                    was, now = ("text", "a number") if column == "value" else ("a number", "text")
                    self._changed[key_of(signal)] = f"its type changed: it was {was} and is {now}"
                    self._say(key_of(signal))
            mine |= handles

    def _say(self, key: str) -> None:
        said = "; ".join(filter(None, (self._made.get(key, ""), self._changed.get(key, ""))))
        if said:
            self._status.notes[key] = said
        else:
            self._status.notes.pop(key, None)
