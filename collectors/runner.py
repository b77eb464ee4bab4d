"""Running the collectors of one process, each on its own feet, with a status file for the others."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import orjson

from collectors import discover
from collectors.connection import FIRST_DELAY, MAX_DELAY, utc_now
from collectors.emit import SourceEmit, SpoolEmit
from collectors.ports import Collector
from collectors.spool import Spool
from collectors.watch import SpoolWatch
from plant.changes import collected
from plant.model import Plant, Signal, Source

log = logging.getLogger(__name__)

STATUS_EVERY = 1.0
STOP_WITHIN = 4.0
"""Seconds the collectors have to let go of their sources."""
LOOK_EVERY = 5.0
"""Seconds between two looks at what waits in the spool."""


async def run_collectors(
    read: Callable[[], Plant], process: str, spool: Spool, status_file: Path, folder: Path
) -> None:
    """Collect from the plant's sources of that process into the spool until SIGTERM, SIGINT or cancellation.

    On SIGHUP the plant is read again: sources that have changed are started anew, the others are not touched. An
    exception in one collector restarts that one, with back-off. `status_file` is replaced every second: JSON with
    `time`, `pid`, `spool` and `sources`, as `Collecting.status` says.

    Raises ValueError when at the start a source's protocol, options or addresses are wrong (what `check` found, all
    of it); later such a plant is logged and the old one stays.
    """
    emit, watch = SpoolEmit(spool), SpoolWatch(spool, utc_now())
    collecting = Collecting(process, emit, folder)
    collecting.prepare(read())
    write_status = partial(_write_status, collecting, emit, watch, status_file)
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number, event in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGHUP, again)):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
            loop.add_signal_handler(number, event.set)
            # The parent blocks it until there is somebody to hear it (infra.supervisor).
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    await collecting.apply()
    others = [
        asyncio.create_task(_report(write_status, status_file), name="status"),
        asyncio.create_task(_look_after(watch), name="spool"),
        asyncio.create_task(_follow(collecting, read, again), name="plant file"),
    ]
    try:
        await stop.wait()
    finally:
        for task in others:
            task.cancel()
        hung = await collecting.stop()
        await emit.close()
        await asyncio.to_thread(write_status)
        if hung and stop.is_set():
            # A client library that waits for a server which has gone would keep the process for ever.
            log.error("%s did not end in time", ", ".join(hung))
            logging.shutdown()
            os._exit(1)


@dataclass(slots=True)
class _Running:
    source: Source
    signals: tuple[Signal, ...]
    collector: Collector
    emit: SourceEmit
    task: asyncio.Task[None] | None = None


class Collecting:
    """The collectors of one process as they run now."""

    def __init__(self, process: str, emit: SpoolEmit, folder: Path) -> None:
        self._process, self._emit, self._folder = process, emit, folder
        self._running: dict[str, _Running] = {}
        self._wanted: dict[str, _Running] = {}

    def prepare(self, plant: Plant) -> None:
        """Make what the plant wants; nothing runs differently before `apply`. Raises ValueError."""
        wanted: dict[str, _Running] = {}
        problems: list[str] = []
        for source in plant.sources.values():
            if source.process != self._process:
                continue
            _, signals = wants = collected(plant, source.id)
            now = self._running.get(source.id)
            if now is not None and (now.source, now.signals) == wants:
                wanted[source.id] = now
                continue
            module = discover().get(source.protocol)
            if module is None:
                known = ", ".join(sorted(discover()))
                problems.append(f'source "{source.id}": no protocol "{source.protocol}"; there are {known}')
                continue
            try:
                collector = module.create(source, signals, self._folder)
            except ValueError as error:
                problems.append(str(error))
            else:
                emit = SourceEmit(self._emit, source.id, signals)
                wanted[source.id] = _Running(source, signals, collector, emit)
        if problems:
            raise ValueError("\n".join(problems))
        self._wanted = wanted

    async def apply(self) -> None:
        """Stop what is no longer wanted, then start what is new."""
        gone = [r for r in self._running.values() if self._wanted.get(r.source.id) is not r]
        for name in await _end([r.task for r in gone if r.task]):
            log.error("%s did not end in time", name)
        for name, running in self._wanted.items():
            if running.task is None:
                running.task = asyncio.create_task(
                    _supervise(name, running.collector, running.emit), name=f"collector {name}"
                )
        self._running = self._wanted

    async def stop(self) -> list[str]:
        """End all; the names of those that did not within STOP_WITHIN."""
        return await _end([r.task for r in self._running.values() if r.task])

    def status(self, now: datetime) -> dict[str, object]:
        """Per source: its protocol, `collectors.ports.SourceStatus`, `samples`, `rate`, `last_sample`, `lag`, `gaps`
        (all of `collectors.seen.Seen`) and `signals`: per "equipment.signal" what `collectors.seen.SignalSeen` says."""
        sources: dict[str, object] = {}
        for name, running in self._running.items():
            seen = running.emit.seen
            seen.look(now)
            sources[name] = {
                "protocol": running.source.protocol,
                **asdict(running.collector.status),
                "samples": seen.samples,
                "rate": seen.rate,
                "last_sample": seen.last_sample,
                "lag": seen.lag,
                "gaps": seen.gaps,
                "signals": seen.signals,
            }
        return sources


async def _end(tasks: list[asyncio.Task[None]]) -> list[str]:
    if not tasks:
        return []
    for task in tasks:
        task.cancel()
    _, hung = await asyncio.wait(tasks, timeout=STOP_WITHIN)
    return sorted(task.get_name() for task in hung)


async def _follow(collecting: Collecting, read: Callable[[], Plant], again: asyncio.Event) -> None:
    while True:
        await again.wait()
        again.clear()
        try:
            collecting.prepare(await asyncio.to_thread(read))
        except Exception as error:
            log.error("the changed plant file cannot be used; the old one stays: %s", error)
        else:
            await collecting.apply()


async def _supervise(name: str, collector: Collector, emit: SourceEmit) -> None:
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


def _write_status(collecting: Collecting, emit: SpoolEmit, watch: SpoolWatch, status_file: Path) -> None:
    now = utc_now()
    said = {
        "time": now,
        "pid": os.getpid(),
        "spool": {"problem": emit.problem, "batches": emit.batches, **watch.status()},
        "sources": collecting.status(now),
    }
    temporary = status_file.with_name(status_file.name + ".tmp")
    status_file.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(orjson.dumps(said))
    temporary.rename(status_file)
