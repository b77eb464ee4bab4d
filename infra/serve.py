"""One plant, served: the address it may listen on, its collector process, the web server, and a clean end."""

import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from dashboards.app import create_app
from dashboards.server import Server
from infra.backend import PlantBackend
from infra.closing import close_shifts
from infra.folder import DataFolder
from infra.plantfile import PlantWatch, with_options
from infra.runtime import Runtime
from infra.schedule import scheduler
from infra.supervisor import Supervisor
from plant.model import Plant
from plant.parse import PlantErrors

log = logging.getLogger(__name__)

WATCH_EVERY = 1.0
"""Seconds between two looks at the child processes."""


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
    overrides: Mapping[str, Mapping[str, object]],
    prepare: Callable[[Runtime], None] = lambda runtime: None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the plant until SIGINT or SIGTERM. `folder` is locked by the caller.

    `overrides` are options of sources and channels that replace the plant file's; `plant` has them already.
    `prepare` is called before the first tick; `ready`, in a thread of its own, when the server answers.
    """
    runtime = Runtime(plant, folder, f"http://{host}:{port}")
    children = Supervisor(folder.logs)
    jobs = scheduler(runtime)
    ended = threading.Event()
    changes = PlantWatch(path)

    def watch() -> None:
        while not ended.wait(WATCH_EVERY):
            children.watch()
            alive = all(children.running().values())
            runtime.note_problem(
                "collectors", None if alive else "the collector process is being started again"
            )
            match changes.look():
                case Plant() as changed:
                    log.info("the plant file has changed; going on with it")
                    runtime.replace_plant(with_options(changed, overrides))
                    runtime.note_problem("plant file", None)
                    children.restart("collect")
                case PlantErrors() as errors:
                    log.error("the plant file has changed and has errors; the old one stays: %s", errors)
                    runtime.note_problem("plant file", f"changed, with errors; the old one runs. {errors}")

    try:
        prepare(runtime)
        runtime.start()
        children.start(
            "collect",
            "-m",
            "infra",
            "collect",
            str(path),
            "--data",
            str(folder.root),
            "--options",
            json.dumps(overrides),
        )
        close_shifts(runtime, datetime.now(UTC))
        jobs.start()
        server = Server(create_app(PlantBackend(runtime), runtime.broadcast), runtime.broadcast, host, port)

        def announce() -> None:
            while not server.started:
                if ended.wait(0.05):
                    return
            ready()

        for target in (watch, announce):
            threading.Thread(target=target, daemon=True).start()
        server.run()
    finally:
        ended.set()
        if jobs.running:
            jobs.shutdown(wait=False)
        children.stop()
        runtime.stop()
