"""`lineside demo`: a simulated plant over real protocols, and Lineside on it."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console

from collectors.simulator.faults import ForcedStop, demo_script
from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.simulator.orders import demo_orders, write_orders
from collectors.spool import Spool
from execution.importing import import_orders, read_order_rows
from infra.collecting import read_collecting
from infra.demo.sinks import Sinks
from infra.folder import DataFolder, FolderError
from infra.logs import log_to_file
from infra.plantfile import load, with_options
from infra.records.orders import ExecutionStores
from infra.runtime import Runtime
from infra.serve import AddressError, check_address, serve
from infra.supervisor import ChildFailedError, Supervisor

PLANT = Path(__file__).parents[1] / "demo" / "plant.toml"
MARK = "demo"
"""File that says a data folder is a demo's, so that it may be emptied."""
ORDERS = "orders.csv"
BROKEN_FOR = timedelta(minutes=9)
"""How long the press has been down when the demo starts."""
AHEAD = 12.0
"""Hours of orders the plant still has before it."""
CONNECT_WITHIN = 60.0
"""Seconds the collectors have to connect before the history is no longer carried on for them."""


def run(data: Path, host: str, port: int, seed: int, hours: float) -> int:
    """Serve until it is stopped. 1 when it cannot start; one sentence says why."""
    console = Console(stderr=True, soft_wrap=True)
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
    script = demo_script(now - BROKEN_FOR)
    orders = demo_orders(start, hours=history / timedelta(hours=1) + AHEAD)
    files = _write_inputs(folder.root, orders, script)
    plcs = Supervisor(folder.logs)
    try:
        with Sinks(folder.root / "messages") as sinks:
            console.print("Starting the simulated PLCs and the history of their plant ...")
            arguments = ["--seed", str(seed), "--start", start.isoformat(), "--from", "now", *files]
            listening = plcs.start("plcs", "-m", "collectors.simulator", *arguments)
            past = Simulation(seed, start, orders=orders, script=script)
            spool = Spool(folder.spool, "history")
            _feed(past, spool, now)
            ports = _ports(listening.readline(), folder)
            opcua = {"url": f"opc.tcp://127.0.0.1:{ports['opcua']}/"}
            overrides: dict[str, Mapping[str, object]] = {
                "line-plc": opcua,
                "cnc-plc": opcua,
                "press-plc": {"port": ports["modbus"]},
                "hook": {"url": f"http://127.0.0.1:{sinks.webhook}/alerts"},
                "mail": {"port": sinks.mail},
            }
            plant = with_options(load(PLANT), overrides)
            _feed(past, spool, datetime.now(UTC))

            def ready() -> None:
                console.print(f"\n  Lineside is live:  http://{host}:{port}\n", highlight=False, style="bold")
                console.print(
                    f"  Its messages arrive in {folder.root / 'messages'}. Ctrl-C stops everything."
                )
                _carry_on(past, spool, folder)

            serve(
                plant,
                PLANT,
                folder,
                host,
                port,
                overrides,
                partial(_import, file=folder.root / ORDERS),
                ready,
            )
    finally:
        plcs.stop()


def _write_inputs(
    root: Path, orders: Sequence[Mapping[str, object]], script: Sequence[ForcedStop]
) -> tuple[str, ...]:
    """The same orders and forced stops for the PLCs; the options that name the files."""
    with (root / ORDERS).open("w", newline="", encoding="utf-8") as file:
        write_orders(orders, file)
    forced = [
        {
            "equipment": s.equipment,
            "at": s.at.isoformat(),
            "state": s.state,
            "duration": s.duration.total_seconds(),
        }
        for s in script
    ]
    (root / "script.json").write_text(json.dumps(forced))
    given = {"orders": root / ORDERS, "script": root / "script.json", "truth": root / "truth"}
    return tuple(part for name, path in given.items() for part in (f"--{name}", str(path)))


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
        sources = [s for process in read_collecting(folder.collectors) for s in process.sources.values()]
        if sources and all(source["connected"] and source["samples"] for source in sources):
            break
        time.sleep(1)
    _feed(past, spool, datetime.now(UTC))
    spool.close()


def _import(runtime: Runtime, file: Path) -> None:
    plant = runtime.plant
    rows = read_order_rows(file.name, file.read_bytes(), {}, plant, plant.site.zone)
    with runtime.database.begin() as connection:
        import_orders(ExecutionStores(connection), file.name, rows, "demo", datetime.now(UTC))
