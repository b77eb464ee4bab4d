"""Running all collectors of a plant in one process, each on its own feet, with a status file for the
others."""

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path

from collectors import discover
from collectors.connection import FIRST_DELAY, MAX_DELAY, utc_now
from collectors.emit import SpoolEmit
from collectors.ports import Collector
from collectors.spool import Spool
from collectors.watch import SpoolWatch
from plant.model import Plant, Source

log = logging.getLogger(__name__)

STATUS_EVERY = 1.0
STOP_WITHIN = 4.0
"""Seconds the collectors have to let go of their sources."""
LOOK_EVERY = 5.0
"""Seconds between two looks at what waits in the spool."""


async def run_collectors(plant: Plant, spool: Spool, status_file: Path) -> None:
    """Collect from every source of the plant into the spool until SIGTERM, SIGINT or cancellation.

    An exception in one collector restarts that one, with back-off. `status_file` is replaced every second:
    JSON with `time`, `pid`, `spool` (`problem`: "" or why nothing is acknowledged, `batches` written, and what
    `SpoolWatch.status` says) and `sources` by id: protocol and the fields of `collectors.ports.SourceStatus`,
    times in ISO 8601, and `lag`: seconds from the newest sample's time to now, null when there is none.

    Raises ValueError when a source's protocol, options or addresses are wrong (what `check` found, all of
    it).
    """
    collectors = _create(plant)
    emit, watch = SpoolEmit(spool), SpoolWatch(spool, utc_now())
    write_status = partial(_write_status, plant, collectors, emit, watch, status_file)
    tasks = [
        asyncio.create_task(_supervise(name, collector, emit), name=f"collector {name}")
        for name, collector in collectors.items()
    ]
    tasks.append(asyncio.create_task(_report(write_status, status_file), name="status"))
    tasks.append(asyncio.create_task(_look_after(watch), name="spool"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        _, hung = await asyncio.wait(tasks, timeout=STOP_WITHIN)
        await emit.close()
        await asyncio.to_thread(write_status)
        if hung and stop.is_set():
            # A client library that waits for a server which has gone would keep the process for ever.
            log.error("%s did not end in time", ", ".join(sorted(task.get_name() for task in hung)))
            logging.shutdown()
            os._exit(1)


def status_of(
    plant: Plant, collectors: dict[str, Collector], emit: SpoolEmit, watch: SpoolWatch, now: datetime
) -> dict[str, object]:
    """What the status file says."""
    sources: dict[str, object] = {}
    for name, collector in collectors.items():
        last = collector.status.last_sample
        lag = None if last is None else (now - last).total_seconds()
        sources[name] = {"protocol": plant.sources[name].protocol, **asdict(collector.status), "lag": lag}
    return {
        "time": now,
        "pid": os.getpid(),
        "spool": {"problem": emit.problem, "batches": emit.batches, **watch.status()},
        "sources": sources,
    }


def _create(plant: Plant) -> dict[str, Collector]:
    found: dict[str, Collector] = {}
    problems: list[str] = []
    for source in plant.sources.values():
        module = discover().get(source.protocol)
        if module is None:
            known = ", ".join(sorted(discover()))
            problems.append(f'source "{source.id}": no protocol "{source.protocol}"; there are {known}')
            continue
        try:
            found[source.id] = module.create(source, _signals(plant, source))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return found


def _signals(plant: Plant, source: Source) -> tuple[object, ...]:
    return tuple(s for s in plant.signals.values() if s.source == source.id)


async def _supervise(name: str, collector: Collector, emit: SpoolEmit) -> None:
    delay = FIRST_DELAY
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        try:
            await collector.run(emit)
            reason = "it stopped"
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic inside polars is no Exception
            log.exception("collector %s failed", name)
            reason = f"{type(error).__name__}: {error}"
        if clock() - started > MAX_DELAY:
            delay = FIRST_DELAY
        collector.status.connected = False
        collector.status.since = utc_now()
        collector.status.detail = f"failed ({reason}); starting again in {delay:g} s"
        await asyncio.sleep(delay)
        delay = min(2 * delay, MAX_DELAY)


async def _look_after(watch: SpoolWatch) -> None:
    said = ""
    while True:
        try:
            await asyncio.to_thread(watch.look, utc_now())
            said = ""
        except OSError as error:
            if said != str(error):
                said = str(error)
                log.error("cannot look at the spool: %s", error)
        await asyncio.sleep(LOOK_EVERY)


async def _report(write_status: Callable[[], None], status_file: Path) -> None:
    said = ""
    while True:
        try:
            await asyncio.to_thread(write_status)
            said = ""
        except OSError as error:
            if said != str(error):
                said = str(error)
                log.error("cannot write the status file %s: %s", status_file, error)
        await asyncio.sleep(STATUS_EVERY)


def _write_status(
    plant: Plant, collectors: dict[str, Collector], emit: SpoolEmit, watch: SpoolWatch, status_file: Path
) -> None:
    text = json.dumps(status_of(plant, collectors, emit, watch, utc_now()), default=_iso)
    temporary = status_file.with_name(status_file.name + ".tmp")
    status_file.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_text(text, encoding="utf-8")
    temporary.rename(status_file)


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"cannot be said in JSON: {value!r}")
