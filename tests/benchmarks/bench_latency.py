"""How long a change on a machine is on its way: to the spool, on disk, and to the board of a viewer.

`python tests/benchmarks/bench_latency.py` runs an OPC UA server that is not written in Python (open62541) with 200 machines
x 10 signals, all written once a second, a collector process, the server, and one viewer of the live board. Everything
on this machine. Beside the times stands what they cannot be below: publishing interval, linger of the spool, ticks.
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))
from devices.opcua_servers import Open62541, ServerOptions

from collectors.emit import LINGER
from collectors.spool import Spool

MACHINES, SIGNALS = 200, 10
TYPES = ("Boolean", "UInt32", *["Double"] * (SIGNALS - 2))
SECONDS = float(os.environ.get("LINESIDE_BENCH_SECONDS", "30"))
RATE = float(os.environ.get("LINESIDE_BENCH_RATE", "1"))
WARM_UP = 15.0
HEAD = """schema = 1
[site]
id = "works"
name = "Works"
zone = "UTC"
[settings]
micro_stop = "0s"
[[source]]
id = "plc"
protocol = "opcua"
url = "{url}"
security = "None"
"""


def plant(server: Open62541) -> str:
    found = [HEAD.format(url=server.url)]
    for machine in range(MACHINES):
        name = f"m{machine:03}"
        found.append(
            f'[[equipment]]\nid = "{name}"\nname = "{name}"\nlevel = "WorkUnit"\nstale_after = "1min"\n'
        )
        for number in range(SIGNALS):
            role = ("state", "good")[number] if number < 2 else "process_value"
            address = server.address(f"v{machine * SIGNALS + number}")
            found.append(
                f'[[signal]]\nequipment = "{name}"\nid = "s{number}"\nrole = "{role}"\nsource = "plc"\n'
                f'address = "{address}"\n'
            )
            if number == 0:
                found.append('states = { "0" = "down", "1" = "running" }\n')
    return "".join(found)


@contextlib.contextmanager
def child(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "infra", *argv])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def percent(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def say(what: str, values: Sequence[float], floor: str) -> None:
    if not values:
        print(f"{what:28} nothing measured")
        return
    print(
        f"{what:28} median {1000 * statistics.median(values):6.0f} ms   p99 {1000 * percent(values, 0.99):6.0f} ms   "
        f"max {1000 * max(values):6.0f} ms   {len(values):7} changes   ({floor})"
    )


def to_disk(path: Path, folder: Path) -> list[float]:
    """Collect without anybody who takes from the spool: a file's own time is when it was renamed into place."""
    with child("collect", str(path), "--data", str(folder), "--process", "collect"):
        time.sleep(WARM_UP)
        began = datetime.now(UTC)
        time.sleep(SECONDS)
    spool, found = Spool(folder / "spool"), []
    for entry in spool.pending():
        written = entry.path.stat().st_mtime
        rows = spool.read(entry).filter(pl.col("time") >= began, pl.col("signal") == "s0")
        found += [written - at.timestamp() for at in rows["time"]]
    return found


def to_board(path: Path, folder: Path) -> list[float]:
    """From the change's own time to when a viewer's stream brings it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found: list[float] = []
    with child("up", str(path), "--data", str(folder), "--port", str(port)) as process:
        url = f"http://127.0.0.1:{port}/api/v1/board"
        while process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url).json()["machines"]:
                    break
            time.sleep(0.2)
        time.sleep(WARM_UP)
        until = time.monotonic() + SECONDS
        with httpx.stream("GET", f"{url}/stream", timeout=60) as stream:
            event = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: ") and event == "delta":
                    now = time.time()
                    for machine in json.loads(line[6:]).get("machines", {}).get("changed", ()):
                        if machine.get("since") and "state" in machine:
                            found.append(now - datetime.fromisoformat(machine["since"]).timestamp())
                if time.monotonic() > until:
                    break
    return found


def main() -> None:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    server = Open62541(options=ServerOptions(variables=MACHINES * SIGNALS, rate=RATE, types=TYPES))
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(60)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "plant.toml"
            path.write_text(plant(server))
            print(f"{MACHINES} machines x {SIGNALS} signals, each written {RATE:g} times a second")
            disk = to_disk(path, Path(folder) / "collected")
            say("on disk in the spool", disk, f"target p99 250 ms; linger {1000 * LINGER:.0f} ms")
            board = to_board(path, Path(folder) / "served")
            say(
                "on a viewer's board",
                board,
                "target p99 1000 ms; a tick after every arrival, at most one a second",
            )
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(60)


if __name__ == "__main__":
    main()
