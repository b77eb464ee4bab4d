"""A plant run by one process with a collector process beside it, or in parts, each a process of its own.

Parts work on one data folder: `collect` fills the spool, `derive` holds the folder's lock and owns everything derived,
`serve` asks it (`infra.remote`), `alert` sends what waits in the outbox.
"""

import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from dashboards.app import create_app
from dashboards.live import Broadcast
from dashboards.ports import Backend
from dashboards.server import Server
from infra.backend import PlantBackend
from infra.collecting import CollectorProcesses
from infra.delivery import Delivery
from infra.folder import DataFolder
from infra.leading import leading
from infra.ledger.closing import close_shifts
from infra.onboarding.looks import Looks
from infra.plantfile import PlantWatch, with_options, with_secrets
from infra.records.alerts import SqlAlerts
from infra.records.database import upgrade
from infra.remote import BackendServer, RemoteBackend
from infra.runtime import Runtime
from infra.schedule import scheduler
from infra.spcwatch import SpcWatch
from infra.stores import open_database
from infra.supervisor import Supervisor
from plant.model import Plant
from plant.parse import PlantErrors

log = logging.getLogger(__name__)

WATCH_EVERY = 1.0
"""Seconds between two looks at the child processes and the plant file."""

Overrides = Mapping[str, Mapping[str, object]]
"""Options of sources and channels, by id."""


class AddressError(Exception):
    """The server may not or cannot listen there; the message says why and what to do."""


def check_address(host: str, port: int) -> None:
    """Raises AddressError for an address that is not loopback or a port that is taken."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise AddressError(
            f"Lineside listens on loopback only, not on {host}: it has no sign-in yet, so anybody who can reach it could "
            "change records. Use --host 127.0.0.1, and a tunnel for other machines."
        )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AddressError(
                f"Port {port} is taken: stop what uses it, or choose another one with --port."
            ) from error


def serve(
    plant: Plant,
    path: Path,
    folder: DataFolder,
    host: str,
    port: int,
    overrides: Overrides,
    prepare: Callable[[Runtime], None] = lambda runtime: None,
    ready: Callable[[], None] = lambda: None,
    waits: Callable[[str], None] = lambda leader: None,
) -> None:
    """Run all parts of the plant until SIGINT or SIGTERM. `folder` is locked by the caller.

    `overrides` are options of sources and channels that replace the plant file's; `plant` has them already.
    `prepare` is called before the first tick; `ready`, in a thread of its own, when the server answers; `waits`, with
    the name of the leader, when another machine leads this plant.
    """
    with (
        _led(plant, folder, ("derive", "alert"), waits),
        _deriving(plant, path, folder, f"http://{host}:{port}", overrides, prepare) as runtime,
    ):
        children = Supervisor(folder.logs)
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(WATCH_EVERY):
                children.watch()
                alive = all(children.running().values())
                runtime.note_problem(
                    "collectors", None if alive else "the collector process is being started again"
                )

        try:
            processes = CollectorProcesses(children, path, folder, overrides)
            processes.follow(plant)
            runtime.on_replaced(lambda: processes.follow(runtime.plant))
            threading.Thread(target=watch, daemon=True).start()
            looks = None if overrides else Looks(path, folder.root)  # with overrides it is the demo
            _web(PlantBackend(runtime, looks), runtime.broadcast, host, port, ready)
        finally:
            ended.set()
            children.stop()


def derive(plant: Plant, path: Path, folder: DataFolder, url: str, waits: Callable[[str], None]) -> None:
    """The part that derives, until SIGINT or SIGTERM. `folder` is locked by the caller.

    `url` is where people find the pages: messages link there.
    """
    with (
        _led(plant, folder, ("derive",), waits),
        _deriving(plant, path, folder, url, {}, deliver=False) as runtime,
    ):
        server = BackendServer(PlantBackend(runtime, Looks(path, folder.root)), folder.derive)
        try:
            _until_told()
        finally:
            server.close()


def serve_pages(folder: DataFolder, host: str, port: int, waiting: Callable[[], None]) -> None:
    """The part that serves pages and API, until SIGINT or SIGTERM."""
    broadcast = Broadcast()
    backend = RemoteBackend(folder.derive, broadcast)
    try:
        if backend.start(waiting):
            _web(cast(Backend, backend), broadcast, host, port)
    finally:
        backend.stop()


def alert(plant: Plant, path: Path, folder: DataFolder, waits: Callable[[str], None]) -> None:
    """The part that sends messages, until SIGINT or SIGTERM."""
    resolved = with_secrets(plant)
    with closing(open_database(resolved, folder)) as database, _led(plant, folder, ("alert",), waits):
        delivery = Delivery(SqlAlerts(database))
        delivery.use(resolved)
        try:
            with _watching(
                path, {}, lambda changed: delivery.use(with_secrets(changed)), lambda problem: None
            ):
                _until_told()
        finally:
            delivery.stop()


def collect(plant: Plant, path: Path, folder: DataFolder) -> None:
    """The part that collects, until SIGINT or SIGTERM: the collectors run in children, made anew when they die."""
    children = Supervisor(folder.logs)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_EVERY):
            children.watch()

    try:
        processes = CollectorProcesses(children, path, folder, {})
        processes.follow(plant)
        threading.Thread(target=watch, daemon=True).start()
        with _watching(path, {}, processes.follow, lambda problem: None):
            _until_told()
    finally:
        ended.set()
        children.stop()


@contextmanager
def _led(
    plant: Plant, folder: DataFolder, jobs: Sequence[str], waits: Callable[[str], None]
) -> Iterator[None]:
    """Lead these jobs on the plant's records."""
    with closing(open_database(with_secrets(plant), folder)) as database, ExitStack() as held:
        upgrade(database)
        for job in jobs:
            held.enter_context(leading(database, job, folder, waits))
        yield


@contextmanager
def _deriving(
    plant: Plant,
    path: Path,
    folder: DataFolder,
    url: str,
    overrides: Overrides,
    prepare: Callable[[Runtime], None] = lambda runtime: None,
    *,
    deliver: bool = True,
) -> Iterator[Runtime]:
    """A started runtime with its schedule, which follows the plant file."""
    runtime = Runtime(plant, folder, url)
    jobs = scheduler(runtime)
    try:
        prepare(runtime)
        runtime.start(deliver=deliver)
        runtime.watch_spc(SpcWatch(PlantBackend(runtime), runtime.database))
        close_shifts(runtime, datetime.now(UTC))
        jobs.start()
        with _watching(
            path,
            overrides,
            runtime.replace_plant,
            lambda problem: runtime.note_problem("plant file", problem),
        ):
            yield runtime
    finally:
        if jobs.running:
            jobs.shutdown(wait=False)
        runtime.stop()


@contextmanager
def _watching(
    path: Path,
    overrides: Overrides,
    changed: Callable[[Plant], None],
    problem: Callable[[str | None], None],
) -> Iterator[None]:
    """Look at the plant file every second; a good change goes to `changed`, a bad one is told to `problem`."""
    ended = threading.Event()
    changes = PlantWatch(path)

    def look() -> None:
        match changes.look():
            case Plant() as plant:
                log.info("the plant file has changed; going on with it")
                changed(with_options(plant, overrides))
                problem(None)
            case PlantErrors() as errors:
                raise errors

    def watch() -> None:
        while not ended.wait(WATCH_EVERY):
            try:
                look()
            except PlantErrors as errors:
                log.error("the plant file has changed and has errors; the old one stays: %s", errors)
                problem(f"changed, with errors; the old one runs. {errors}")
            except Exception as error:
                log.exception("the changed plant file cannot be used")
                problem(f"changed, and cannot be used; the old one runs. {type(error).__name__}: {error}")

    threading.Thread(target=watch, name="plant file", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _web(
    backend: Backend, broadcast: Broadcast, host: str, port: int, ready: Callable[[], None] = lambda: None
) -> None:
    """Serve pages and API until SIGINT or SIGTERM."""
    server = Server(create_app(backend, broadcast), broadcast, host, port)
    ended = threading.Event()

    def announce() -> None:
        while not server.started:
            if ended.wait(0.05):
                return
        ready()

    threading.Thread(target=announce, daemon=True).start()
    # uvicorn raises the signal that stopped it once more when it has ended, which would end us before we clean up.
    signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        server.run()
    finally:
        ended.set()


def _until_told() -> None:
    """Wait for SIGINT or SIGTERM. In the main thread only."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    while not told.wait(WATCH_EVERY):
        pass
