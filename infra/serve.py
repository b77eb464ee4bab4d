"""One plant, served: the address it may listen on, its collector process, the web server, and a clean end."""

import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from dashboards.app import create_app
from dashboards.server import Server
from infra.backend import PlantBackend
from infra.folder import DataFolder
from infra.runtime import Runtime
from infra.schedule import scheduler
from infra.supervisor import Supervisor
from plant.model import Plant

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
    options: Mapping[str, Mapping[str, object]],
    prepare: Callable[[Runtime], None] = lambda runtime: None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the plant until SIGINT or SIGTERM. `folder` is locked by the caller.

    `options` override source options in the collector process, as `plant` has them already. `prepare` is called before
    the first tick, `ready` after it in a thread of its own.
    """
    runtime = Runtime(plant, folder, f"http://{host}:{port}")
    children = Supervisor(folder.logs)
    jobs = scheduler(runtime)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_EVERY):
            children.watch()

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
            json.dumps(options),
        )
        jobs.start()
        for target in (watch, ready):
            threading.Thread(target=target, daemon=True).start()
        Server(create_app(PlantBackend(runtime), runtime.broadcast), runtime.broadcast, host, port).run()
    finally:
        ended.set()
        if jobs.running:
            jobs.shutdown(wait=False)
        children.stop()
        runtime.stop()
