"""What people are shown of each signal: why it gives no value, what the server does differently, what it dropped."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from asyncua import ua

from collectors.opcua.notifications import OVERFLOW, there
from collectors.opcua.wanted import key_of
from collectors.ports import SourceStatus
from collectors.samples import TEXT_ROLES
from plant.model import Signal

NUMBER, TEXT = 1, 2


class Shown:
    """Keeps `bad`, `notes` and `overflows` of a source's status."""

    def __init__(self, status: SourceStatus) -> None:
        self._status = status
        self.missing: set[str] = set()
        """Signals the server refused."""
        self._statuses: dict[str, int] = {}
        """Signals whose last value was not good, with its status."""
        self._kinds = np.zeros(0, np.uint8)
        """What the last value was, by handle: 0: there was none."""
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
        found = set()
        if (some := items["status"].to_numpy() & OVERFLOW == OVERFLOW).any():
            for handle, times in items.filter(pl.Series(some)).group_by("handle").len().iter_rows():
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
        value, text = there(items["value"]), there(items["text"])
        said = value | text
        handles, kinds = items["handle"].to_numpy()[said], np.where(value, NUMBER, TEXT)[said]
        if len(handles) and (most := int(handles.max())) >= len(self._kinds):
            self._kinds = np.append(self._kinds, np.zeros(most + 1 - len(self._kinds), np.uint8))
        before = self._kinds[handles]
        self._kinds[handles] = kinds  # of several the last
        for handle in set(handles[(before != kinds) & (before != 0)].tolist()):
            signal = signals.get(handle)
            if signal is not None and signal.role not in TEXT_ROLES:
                changed = ("text", "a number") if self._kinds[handle] == NUMBER else ("a number", "text")
                self._changed[key_of(signal)] = f"its type changed: it was {changed[0]} and is {changed[1]}"
                self._say(key_of(signal))

    def _say(self, key: str) -> None:
        said = "; ".join(filter(None, (self._made.get(key, ""), self._changed.get(key, ""))))
        if said:
            self._status.notes[key] = said
        else:
            self._status.notes.pop(key, None)
