"""Looking at the collector processes of a running plant once a second, for everybody who wants to know."""

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from collectors.gaps import NAME, Gap, gaps
from dashboards.view import SourceDetail
from infra.blindalert import feeds
from infra.collecting import CollectorProcess, read_collecting
from infra.folder import DataFolder
from infra.sources import source_views
from plant.model import Plant

COUNTERS = ("overruns", "overflows")
FRESH = timedelta(seconds=5)
"""A process that has said nothing for longer may be stuck."""


class SourceWatch:
    """`look` every second; the rest is as of then. Thread-safe."""

    def __init__(self, folder: DataFolder) -> None:
        self.processes: list[CollectorProcess] = []
        self._folder = folder
        self._lock = threading.Lock()
        self._looked = 0
        self._made: tuple[int, Plant, list[SourceDetail]] | None = None
        self._counted: dict[tuple[str, str], int] = {}
        self._risen: dict[tuple[str, str], datetime] = {}
        self._files: object = None
        self._gaps: list[Gap] = []

    def look(self, now: datetime) -> None:
        """Read what the processes wrote."""
        found = read_collecting(self._folder.collectors)
        for process in found:
            for source, said in process.sources.items():
                for counter in COUNTERS:
                    self._count((source, counter), said, now)
        with self._lock:
            self.processes = found
            self._looked += 1

    def views(self, plant: Plant, now: datetime) -> list[SourceDetail]:
        """All sources; made once for each look."""
        with self._lock:
            if self._made is None or self._made[0] != self._looked or self._made[1] is not plant:
                lost = self._recorded()
                self._made = self._looked, plant, source_views(self.processes, lost, plant, now, self._risen)
            return self._made[2]

    def reached(self, plant: Plant, now: datetime) -> set[str]:
        """Machines whose state comes from a source that is connected, as its process said a moment ago."""
        fresh = {process.name for process in self.processes if now - process.time <= FRESH}
        sources = {v["id"] for v in self.views(plant, now) if v["connected"] and v["process"] in fresh}
        return {machine for machine, source in feeds(plant).items() if source in sources}

    def unread(self, plant: Plant, now: datetime) -> dict[str, int]:
        """How many signals of each machine give no value."""
        found: Counter[str] = Counter()
        for view in self.views(plant, now):
            found.update(s["equipment"] for s in view["signal_list"] if s["state"] == "bad")
        return dict(found)

    def gaps(self) -> list[Gap]:
        """All that are recorded."""
        with self._lock:
            return self._recorded()

    def _recorded(self) -> list[Gap]:
        files = []
        for path in sorted(self._folder.spool.glob(f"*/{NAME}")):
            about = path.stat()
            files.append((path, about.st_mtime_ns, about.st_size))
        if files != self._files:
            self._gaps, self._files = gaps(self._folder.spool), files
        return self._gaps

    def _count(self, key: tuple[str, str], said: Mapping[str, Any], now: datetime) -> None:
        given = said.get(key[1], 0)
        number = sum(given.values()) if isinstance(given, Mapping) else int(given)
        before = self._counted.get(key, 0)
        if number > (before if number >= before else 0):  # a process that was started again counts from 0
            self._risen[key] = now
        self._counted[key] = number
