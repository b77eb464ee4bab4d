"""`lineside demo`: a simulated plant over real protocols, and Lineside on it."""

import json
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from collectors.simulator.faults import demo_script
from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.simulator.orders import demo_orders, write_orders
from collectors.spool import Spool
from execution.importing import import_orders, read_order_rows
from infra.demo.sinks import Sinks
from infra.folder import DataFolder, FolderError
from infra.logs import log_to_file
from infra.plantfile import load, with_options
from infra.records.orders import ExecutionStores
from infra.runtime import Runtime
from infra.serve import AddressError, check_address, serve
from infra.supervisor import ChildFailedError, Supervisor
from plant.model import Plant

PLANT = Path(__file__).parents[1] / "demo" / "plant.toml"
MARK = "demo"
"""File that says a data folder is a demo's, so that it may be emptied."""
BROKEN_FOR = timedelta(minutes=9)
"""How long the press has been down when the demo starts."""
CONNECT_WITHIN = 60.0
"""Seconds the collectors have to connect before the history is no longer carried on for them."""


def run(data: Path, host: str, port: int, seed: int, hours: float) -> int:
    """Serve until it is stopped. 1 when it cannot start; one sentence says why."""
    console = Console(stderr=True)
    if not 0 < hours <= 24:
        console.print(f"--hours {hours} is not possible: choose more than 0, up to 24.")
        return 1
    try:
        check_address(host, port)
        _empty(data)
        with DataFolder(data) as folder:
            (folder.root / MARK).touch()
            log_to_file(folder.logs / "server.log")
            _run(folder, console, host, port, seed, timedelta(hours=hours))
    except (AddressError, FolderError, ChildFailedError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
    return 0


def _empty(data: Path) -> None:
    """A demo starts afresh. Raises FolderError rather than touch a folder that is not a demo's."""
    folder = DataFolder(data)
    if not folder.root.exists() or not any(folder.root.iterdir()):
        return
    if not (folder.root / MARK).exists():
        raise FolderError(
            f"{data} holds something that is not a demo's: choose another folder with --data FOLDER."
        )
    with folder:
        pass  # not in use
    shutil.rmtree(folder.root)


def _run(folder: DataFolder, console: Console, host: str, port: int, seed: int, history: timedelta) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    start = now - history
    orders = demo_orders(start)
    script = demo_script(now - BROKEN_FOR)
    order_file, script_file = folder.root / "orders.csv", folder.root / "script.json"
    with order_file.open("w", newline="", encoding="utf-8") as file:
        write_orders(orders, file)
    script_file.write_text(
        json.dumps(
            [
                {
                    "equipment": s.equipment,
                    "at": s.at.isoformat(),
                    "state": s.state,
                    "duration": s.duration.total_seconds(),
                }
                for s in script
            ]
        )
    )
    plcs = Supervisor(folder.logs)
    try:
        with (
            console.status(
                "Starting the simulated PLCs and three hours of history ..."
                if history == timedelta(hours=3)
                else "Starting the simulated PLCs and their history ..."
            ),
            Sinks(folder.root / "messages") as sinks,
        ):
            arguments = ["--seed", str(seed), "--start", start.isoformat(), "--from", "now"]
            files = [
                "--orders",
                str(order_file),
                "--script",
                str(script_file),
                "--truth",
                str(folder.root / "truth"),
            ]
            ready = plcs.start("plcs", "-m", "collectors.simulator", *arguments, *files)
            past = Simulation(seed, start, orders=orders, script=script)
            spool = Spool(folder.spool, "history")
            _feed(past, spool, now)
            ports = _ports(ready.readline(), folder)
            options: dict[str, dict[str, object]] = {
                "line-plc": {"url": f"opc.tcp://127.0.0.1:{ports['opcua']}/"},
                "cnc-plc": {"url": f"opc.tcp://127.0.0.1:{ports['opcua']}/"},
                "press-plc": {"port": ports["modbus"]},
            }
            channels: dict[str, dict[str, object]] = {
                "hook": {"url": f"http://127.0.0.1:{sinks.webhook}/alerts"},
                "mail": {"port": sinks.mail},
            }
            plant = with_options(load(PLANT), options | channels)
            _feed(past, spool, datetime.now(UTC))

            def started(runtime: Runtime) -> None:
                _import(runtime, plant, order_file)
                console.print(f"\n  Lineside is live:  http://{host}:{port}\n", highlight=False, style="bold")
                console.print(
                    f"  Messages it sends arrive in {folder.root / 'messages'}. Ctrl-C stops everything.",
                    highlight=False,
                )
                _carry_on(past, spool, folder)

            serve(plant, PLANT, folder, host, port, options, started)
    finally:
        plcs.stop()


def _ports(line: str, folder: DataFolder) -> Mapping[str, int]:
    if not line:
        raise ChildFailedError(f"The simulated PLCs did not start: see {folder.logs / 'plcs.log'}.")
    ports: dict[str, int] = json.loads(line)
    return ports


def _feed(past: Simulation, spool: Spool, until: datetime) -> None:
    for batch in frames(past, until):
        spool.append(batch)


def _carry_on(past: Simulation, spool: Spool, folder: DataFolder) -> None:
    """The same simulation runs here and in the PLCs: go on with it until the collectors are connected, so that there
    is no gap between the history and the live data."""
    deadline = time.monotonic() + CONNECT_WITHIN
    while time.monotonic() < deadline:
        _feed(past, spool, datetime.now(UTC))
        if folder.collectors.exists():
            sources = json.loads(folder.collectors.read_text())["sources"].values()
            if sources and all(source["connected"] and source["samples"] for source in sources):
                break
        time.sleep(1)
    _feed(past, spool, datetime.now(UTC))
    spool.close()


def _import(runtime: Runtime, plant: Plant, file: Path) -> None:
    rows = read_order_rows(file.name, file.read_bytes(), {}, plant, plant.site.zone)
    with runtime.database.begin() as connection:
        import_orders(ExecutionStores(connection), file.name, rows, "demo", datetime.now(UTC))
