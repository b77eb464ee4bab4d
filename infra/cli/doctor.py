"""`lineside doctor`: what is installed, configured and reachable, and what to do about the rest."""

import importlib.metadata
import json as jsonlib
import os
import platform
import shutil
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from collectors.gaps import gaps
from collectors.spool import size_text
from dashboards.view import SourceDetail
from infra.cli.opcua import certificate_findings
from infra.cli.sources import sources_of
from infra.cli.spool import dead_letter_of, spool_of
from infra.collecting import read_collecting
from infra.folder import DataFolder
from infra.historians.segments import Folder
from infra.plantfile import load, with_secrets
from infra.records.database import RecordsError
from infra.records.status import status
from infra.stores import open_database, open_historian
from pipelines.ports import HistorianError
from plant.model import Plant, Source
from plant.parse import PlantErrors

PACKAGES = (
    "lineside",
    "polars",
    "dash",
    "plotly",
    "pandas",
    "asyncua",
    "pymodbus",
    "influxdb-client",
    "apscheduler",
)
DISK_LOW = 1 << 30
"""Bytes free below which the historian will soon stop."""
WAITS_LONG = timedelta(minutes=5)
"""Nobody takes what has waited for so long."""
SHOWN = 10
"""Damaged files, signals and gaps of a source named one by one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    ok: bool
    detail: str


def run(path: Path | None, data: Path, port: int, json: bool) -> int:
    """Print the findings; 1 when one is not well."""
    findings = [*_installation(), *_clock(), *_data(data, path), _port(port)]
    if path is not None:
        findings += _plant(path, DataFolder(data))
    else:
        findings += _certificates(DataFolder(data))
    if json:
        print(jsonlib.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            table.add_row("[green]ok[/]" if finding.ok else "[red]look[/]", finding.what, finding.detail)
        Console().print(table)
    return 0 if all(finding.ok for finding in findings) else 1


def _installation() -> Iterator[Finding]:
    yield Finding("python", True, platform.python_version())
    for name in PACKAGES:
        try:
            yield Finding(name, True, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, False, "not installed: run `make setup`")


def _clock() -> Iterator[Finding]:
    now = datetime.now(UTC)
    zone = time.strftime("%Z")
    synchronised = Path("/run/systemd/timesync/synchronized").exists()
    yield Finding(
        "clock",
        True,
        f"{now:%Y-%m-%d %H:%M:%S} UTC, zone of this machine {zone}"
        + ("" if synchronised else "; no time service seen: have NTP keep it right"),
    )


def _data(data: Path, plant: Path | None) -> Iterator[Finding]:
    folder = DataFolder(data)
    if not folder.root.exists():
        yield Finding("data folder", True, f"{data} does not exist yet; it is made by `lineside up`")
        return
    writable = os.access(folder.root, os.W_OK)
    yield Finding(
        "data folder", writable, str(data) if writable else f"{data} cannot be written: check its owner"
    )
    free = shutil.disk_usage(folder.root).free
    yield Finding("disk", free > DISK_LOW, f"{free / (1 << 30):.1f} GiB free")
    yield from _spool(folder)
    yield from _damaged(folder.historian)
    yield from _collectors(folder, plant)


def _spool(folder: DataFolder) -> Iterator[Finding]:
    now = datetime.now(UTC)
    spool = spool_of(folder)
    try:
        seen, each = spool.waiting(), spool.waiting_by_collector()
        lost = [gap for gap in gaps(folder.spool) if gap.recorded_at > now - timedelta(days=1)]
        refused = dead_letter_of(folder).files()
    except OSError as error:
        yield Finding("spool", False, f"cannot be read ({error}): check its owner")
        return
    what = f"{seen.batches:,} batches ({seen.rows:,} samples, {size_text(seen.bytes)}) wait"
    alarms = [alarm for waiting in each.values() if (alarm := spool.alarm(waiting, now))]
    if alarms:
        yield Finding("spool", False, alarms[0])
    elif seen.oldest and now - seen.oldest > WAITS_LONG:
        since = f"{seen.oldest:%Y-%m-%d %H:%M} UTC"
        yield Finding("spool", False, f"{what} since {since}: is `lineside up` running?")
    else:
        yield Finding("spool", True, what if seen.batches else "empty: the historian has taken everything")
    rows = sum(gap.rows for gap in lost)
    details = f"{len(lost):,} in the last day, {rows:,} samples known to be lost: see `lineside spool status`"
    yield Finding("gaps", not lost, details if lost else "none in the last day")
    count = sum(file.rows for file in refused)
    yield Finding("refused samples", not count, f"{count:,}: see `lineside spool dead`" if count else "none")


def _damaged(historian: Path) -> Iterator[Finding]:
    missing = Folder(historian).missing()
    for one in missing[:SHOWN]:
        yield Finding(
            "history",
            False,
            f"{one.rows:,} samples between {one.first:%Y-%m-%d %H:%M:%S} and {one.last:%Y-%m-%d %H:%M:%S} UTC were"
            f" in the damaged {one.path}: restore that file from a backup as {one.home}, or delete it",
        )
    if len(missing) > SHOWN:
        rest = missing[SHOWN:]
        yield Finding("history", False, f"{len(rest)} more damaged files in {rest[0].path.parent}")


def _collectors(folder: DataFolder, path: Path | None) -> Iterator[Finding]:
    now = datetime.now(UTC)
    processes = read_collecting(folder.collectors)
    for process in processes:
        if process.stale(now):
            age = (now - process.time).total_seconds()
            yield Finding(
                f"collectors {process.name}",
                False,
                f"last heard of {age:.0f} s ago: start them with `lineside up`",
            )
    try:
        plant = load(path) if path else None
    except PlantErrors:
        plant = None
    answering = {process.name for process in processes if not process.stale(now)}
    for view in sources_of(folder, plant):
        if view["process"] in answering:
            yield from _source(view)


def _source(view: SourceDetail) -> Iterator[Finding]:
    what = f"source {view['id']}"
    lag = "" if view["lag"] is None else f", lag {view['lag']:.1f} s"
    well = f"{view['detail']}; {view['signals']} signals, {view['rate']:.1f} samples/s{lag}"
    yield Finding(what, not view["problems"], "; ".join(view["problems"]) or well)
    if not view["connected"]:
        return
    worse = [s for s in view["signal_list"] if s["state"] not in ("ok", "silent") or s["overflows"]]
    for signal in worse[:SHOWN]:
        said = signal["problem"] or "its value comes"
        dropped = (
            f"; values were dropped by the source {signal['overflows']} times" if signal["overflows"] else ""
        )
        yield Finding(f"signal {signal['id']}", False, f"{said}{dropped}")
    if len(worse) > SHOWN:
        yield Finding(what, False, f"{len(worse) - SHOWN} more signals: see `lineside sources {view['id']}`")
    noted = [s for s in view["signal_list"] if s["note"] and s not in worse]
    for signal in noted[:SHOWN]:
        yield Finding(f"signal {signal['id']}", True, str(signal["note"]))
    for gap in view["gap_list"][:SHOWN]:
        times = f"{gap['first'][:19]} to {gap['last'][:19]} UTC".replace("T", " ")
        yield Finding(f"gap {view['id']}", False, f"{times}: {gap['why']}")


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return Finding(f"port {port}", True, "in use: by a running Lineside, or start with --port")
    return Finding(f"port {port}", True, "free")


def _plant(path: Path, folder: DataFolder) -> Iterator[Finding]:
    try:
        plant = load(path)
    except PlantErrors as error:
        yield Finding("plant file", False, f"{len(error.errors)} errors: see `lineside check {path}`")
        return
    yield Finding(
        "plant file",
        True,
        f"{plant.site.name}: {len(plant.machines())} machines, {len(plant.signals)} signals",
    )
    try:
        plant = with_secrets(plant)
    except PlantErrors as errors:
        for missing in errors.errors:
            yield Finding("secret", False, f"{missing.path}: {missing.problem}. {missing.fix}")
        return
    yield from stores(plant, folder)
    yield from _certificates(folder, plant.sources)
    for source in plant.sources.values():
        yield _reachable(plant, source)


def _certificates(folder: DataFolder, sources: Collection[str] | None = None) -> Iterator[Finding]:
    for found in certificate_findings(folder.root, datetime.now(UTC), sources):
        yield Finding(*found)


def stores(plant: Plant, folder: DataFolder) -> Iterator[Finding]:
    """What the stores say themselves; one in a data folder that is not there yet has nothing to say."""
    if plant.historian.kind != "parquet" or folder.historian.is_dir():
        try:
            with closing(open_historian(plant, folder)) as historian:
                health = historian.health()
            yield Finding("historian", health.ok, health.detail)
        except HistorianError as error:
            yield Finding("historian", False, str(error))
    if plant.records.url is not None or folder.records.is_file():
        yield _records(plant, folder)


def _records(plant: Plant, folder: DataFolder) -> Finding:
    try:
        with closing(open_database(plant, folder)) as database:
            found = status(database)
    except RecordsError as error:
        return Finding("records", False, str(error))
    old = (
        ""
        if found.current
        else f", schema {found.schema or 'none'}: `lineside db upgrade` or a start makes it {found.newest}"
    )
    return Finding("records", found.current, f"{found.name}, {found.server}{old}")


def _reachable(plant: Plant, source: Source) -> Finding:
    what = f"source {source.id} ({source.protocol})"
    options = source.options
    url = urlsplit(str(options["url"])) if "url" in options else None
    host = url.hostname if url else options.get("host")
    port = url.port if url else options.get("port")
    if not host or not port:
        return Finding(what, True, "nothing to connect to")
    try:
        socket.create_connection((str(host), int(str(port))), timeout=2).close()
    except OSError as error:
        return Finding(
            what,
            False,
            f"{host}:{port} does not answer ({error.strerror or error}): is it on and its port open?",
        )
    return Finding(what, True, f"{host}:{port} answers")
