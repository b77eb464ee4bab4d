"""What a backfill is cut into: samples of a few machines and one UTC day, thinned out by whoever is free."""

import hashlib
import io
import json
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl

from analytics.facts.readings import series
from infra.folder import DataFolder
from infra.historians.segments import Folder
from infra.ledger.joined import components, part_of
from infra.ledger.rederive import discrete_signals
from infra.plantfile import with_secrets
from infra.records.ledger import DAY, days_of
from infra.stores import open_historian
from pipelines.ports import HistorianError
from pipelines.thin import thin
from plant.frames import SAMPLES, Window, empty
from plant.model import Plant
from plant.parse import PlantErrors

FORMAT = 1
"""Another number when the same samples are thinned out to other rows: nothing kept is used any more."""
ASSUMED_ROWS = 50_000
"""Samples of a machine and day where the historian does not tell."""
PARTITION_ROWS = 4_000_000
"""About the samples of one partition at most: seconds of work."""
TASK_ROWS = 4_000_000
"""About the samples of a task: partitions are handed out together, so that handing out costs nothing beside the work."""
TASK_PARTITIONS = 64
READ_ROWS = 1_000_000
"""About the samples read at once, which bounds a worker's memory."""
MOST_MACHINES = 16
"""Of one partition: their facts over all days are held at once."""


class BackfillError(Exception):
    """The backfill cannot be made; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Samples of some machines in a window inside one UTC day."""

    machines: tuple[str, ...]
    window: Window


class Task(NamedTuple):
    """What a worker is asked for; it can be sent to another process or machine."""

    plant: Plant
    """Its secrets not resolved: those do not travel."""
    root: Path
    partitions: Sequence[Partition]
    machines_at_once: int


class Thinned(NamedTuple):
    """What a worker answers."""

    files: list[bytes]
    """Of each partition, its thinned samples as Parquet."""
    samples: int
    """How many were read."""
    seconds: float
    """How long it worked."""


class Sizes(NamedTuple):
    """How many samples there are, about."""

    total: int
    of_machine_day: int


def sizes(plant: Plant, folder: DataFolder, window: Window) -> Sizes:
    """Judged by the names of the historian's files, else assumed."""
    machine_days = max(1, len(plant.machines()) * -(-(window.end - window.start) // DAY))
    if plant.historian.kind != "parquet":
        return Sizes(machine_days * ASSUMED_ROWS, ASSUMED_ROWS)
    total = sum(segment.rows for segment in Folder(folder.historian).list(window))
    # To a power of two, so that a few more samples do not cut everything anew.
    return Sizes(total, 1 << max(0, (total // machine_days).bit_length() - 1))


def groups(plant: Plant, machines: Sequence[str], of_machine_day: int) -> list[list[str]]:
    """The machines in groups that are derived together: whole components, as many as make a partition."""
    most = max(1, min(MOST_MACHINES, PARTITION_ROWS // max(of_machine_day, 1)))
    found: list[list[str]] = []
    for component in components(plant):
        if not set(component) & set(machines):
            continue
        if found and len(found[-1]) + len(component) <= most:
            found[-1].extend(component)
        else:
            found.append(list(component))
    return found


def days(machines: Sequence[str], window: Window) -> list[Partition]:
    """The partitions of a group."""
    return [
        Partition(tuple(machines), Window(day, min(day + DAY, window.end)))
        for day in days_of(window)
        if day < window.end
    ]


def tasks(plant: Plant, root: Path, partitions: Sequence[Partition], of_machine_day: int) -> list[Task]:
    """The partitions, handed out in pieces of about a second's work."""
    found: list[Task] = []
    at_once = max(1, READ_ROWS // max(of_machine_day, 1))
    todo: list[Partition] = []
    rows = 0
    for number, partition in enumerate(partitions):
        todo.append(partition)
        rows += len(partition.machines) * of_machine_day
        if rows >= TASK_ROWS or len(todo) == TASK_PARTITIONS or number == len(partitions) - 1:
            found.append(Task(plant, root, todo, at_once))
            todo, rows = [], 0
    return found


def identities(plant: Plant, folder: DataFolder, window: Window) -> Mapping[date, str] | None:
    """What the samples of each UTC day are by; another text where they may have become others. None: the historian does
    not tell."""
    if plant.historian.kind != "parquet":
        return None
    names: dict[date, list[str]] = {}
    for segment in Folder(folder.historian).list(window):
        names.setdefault(date.fromisoformat(segment.path.parent.name), []).append(segment.path.name)
    return {day: _digest(sorted(of_day)) for day, of_day in names.items()}


def file_name(plant: Plant, partition: Partition, identity: str) -> str:
    """Of the partition's thinned samples: another one where they may be others."""
    known = series(part_of(plant, partition.machines)).drop("code").write_json()
    window = partition.window
    told = [
        FORMAT,
        list(partition.machines),
        window.start.isoformat(),
        window.end.isoformat(),
        known,
        identity,
    ]
    return f"{window.start:%Y-%m-%d}.{_digest(told)}.parquet"


def thin_out(task: Task) -> Thinned:
    """Read and thin out. Runs in workers; raises BackfillError."""
    begun = time.perf_counter()
    folder = DataFolder(task.root)
    if task.plant.historian.kind == "parquet" and not folder.historian.is_dir():
        raise BackfillError(
            f"the worker on {socket.gethostname()} does not see {folder.historian}: mount the data folder there under the "
            "same path, or use a historian it can reach over the network"
        )
    files, samples = [], 0
    try:
        historian = open_historian(with_secrets(task.plant), folder)
        try:
            for machines, window in ((p.machines, p.window) for p in task.partitions):
                kept = [empty(SAMPLES)]
                part = part_of(task.plant, machines)
                signals = discrete_signals(part)
                for first in range(0, len(machines), task.machines_at_once):
                    of = machines[first : first + task.machines_at_once]
                    read = historian.read(window, of, signals)
                    samples += read.height
                    kept.append(thin(read.lazy(), part).collect())
                files.append(_encoded(pl.concat(kept)))
        finally:
            historian.close()
    except (HistorianError, PlantErrors) as error:
        raise BackfillError(f"on {socket.gethostname()}: {error}") from None
    return Thinned(files, samples, time.perf_counter() - begun)


def _encoded(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]
