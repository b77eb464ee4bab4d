"""The collector processes of a plant: which there are, and what they say of themselves in the data folder."""

import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from infra.folder import DataFolder
from infra.supervisor import Supervisor
from plant.model import Plant, Source

STALE = timedelta(seconds=10)
"""A status file older than this: its process is gone or stuck."""


@dataclass(frozen=True, slots=True)
class CollectorProcess:
    """One collector process."""

    name: str
    time: datetime
    """When it wrote this."""
    pid: int
    spool: Mapping[str, Any]
    """`problem` ("" or why nothing is acknowledged), `batches` written, and `collectors.watch.SpoolWatch.status`."""
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By source id, as `collectors.runner.Collecting.status` says; times in ISO 8601."""

    def stale(self, now: datetime) -> bool:
        """Whether nobody has written it lately."""
        return now - self.time > STALE


def read_collecting(directory: Path) -> list[CollectorProcess]:
    """All collector processes that ever wrote into that folder (`DataFolder.collectors`), by name. A file that is being
    replaced or was damaged is left out."""
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            said = orjson.loads(path.read_bytes())
            time = datetime.fromisoformat(said["time"])
            found.append(CollectorProcess(path.stem, time, said["pid"], said["spool"], said["sources"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


class CollectorProcesses:
    """The children that collect, one per name in the plant file's `process`."""

    def __init__(
        self,
        children: Supervisor,
        path: Path,
        folder: DataFolder,
        overrides: Mapping[str, Mapping[str, object]],
    ) -> None:
        self._children, self._folder = children, folder
        options = ("--data", str(folder.root), "--options", json.dumps(overrides))
        self._argv = ("-m", "infra", "collect", str(path), *options)
        self._names: set[str] = set()

    def follow(self, plant: Plant) -> None:
        """Have the processes that plant needs, and tell those that run already that it may have changed."""
        wanted = _processes(plant.sources.values())
        for name in self._names - wanted:
            self._children.end(name)
            (self._folder.collectors / f"{name}.json").unlink(missing_ok=True)
        for name in self._names & wanted:
            self._children.signal(name, signal.SIGHUP)
        for name in sorted(wanted - self._names):
            self._children.start(name, *self._argv, "--process", name)
        self._names = wanted


def _processes(sources: Iterable[Source]) -> set[str]:
    """The default one is always there: it looks after the spool, and the first source comes without a wait."""
    return {"collect", *(source.process for source in sources)}
