"""What an OPC UA notification costs the client, from the socket to the disk.

`python tests/benchmarks/bench_opcua.py` runs asyncua's own way (a subscription with a handler, nothing kept) and
Lineside's (publish pump, decoder, samples, fsynced spool) against servers not written in Python, each client in a
process of its own on one core. CPU is that process's, over the same number of seconds. Nothing may be missing: the
servers count, and what the spool holds is looked at afterwards. Needs infra/scripts/open62541.sh and npm.sh.
"""

import asyncio
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from asyncua import Client

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from devices.opcua_servers import NodeOpcUa, Open62541, ServerOptions, ServerProcess

from collectors.emit import SourceEmit, SpoolEmit
from collectors.opcua import create
from collectors.spool import Spool
from plant.model import Role, Signal, Source

WARM_UP, SECONDS = 4.0, 10.0
ONE_TYPE, TYPES = ("Double",), ("Double", "Int32", "Boolean", "UInt16", "String")
COUNTED = {"Double", "Int32"}
"""Types whose values say how often they were written."""


@dataclass(frozen=True)
class Run:
    """Variables of these types, written so many times a second."""

    server: type[ServerProcess]
    variables: int
    rate: float
    types: Sequence[str] = ONE_TYPE
    both: bool = True
    """With asyncua's own way; it does not follow the highest rates."""


RUNS = (
    Run(Open62541, 1000, 20),
    Run(Open62541, 1000, 20, TYPES),
    Run(Open62541, 1000, 100, both=False),
    Run(Open62541, 1000, 100, TYPES, both=False),
    Run(Open62541, 1000, 250, both=False),
    Run(NodeOpcUa, 1000, 20),
)


class Handler:
    """asyncua's way: called once for each notification."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, Any]] = []
        self.lags: list[float] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.rows.append((node, value))
        if len(self.rows) % 1000 == 0:
            self.lags.append(_age(data.monitored_item.Value.SourceTimestamp))


async def stock(url: str, names: Sequence[str], folder: Path) -> dict[str, float]:
    """asyncua's own subscription."""
    handler = Handler()
    client = Client(url)
    async with client:
        index = await client.get_namespace_index("urn:lineside:test")
        subscription = await client.create_subscription(100, handler)
        nodes = [client.get_node(f"ns={index};s={name}") for name in names]
        await subscription.subscribe_data_change(nodes, queuesize=1000, sampling_interval=0.0)
        measured = await _measure(lambda: len(handler.rows), handler.lags)
    counted: dict[Any, list[float]] = {}
    for node, value in handler.rows:
        if not isinstance(value, str | bool) and value > 0:
            counted.setdefault(node, []).append(float(value))
    return measured | {"missing": sum(max(v) - min(v) + 1 - len(set(v)) for v in counted.values())}


class Kept:
    """The spool, and how old what it was given is when it is on disk."""

    def __init__(self, emit: SourceEmit) -> None:
        self.rows, self.lags = 0, list[float]()
        self._emit, self.gap = emit, emit.gap

    async def __call__(self, samples: pl.DataFrame) -> None:
        await self._emit(samples)
        self.rows += samples.height
        newest = samples["time"].max()
        assert isinstance(newest, datetime)
        self.lags.append(_age(newest))


async def lineside(url: str, names: Sequence[str], folder: Path) -> dict[str, float]:
    """The collector as `lineside up` runs it."""
    signals = tuple(
        Signal(
            id=name,
            equipment=f"machine-{place // 10}",
            role=Role.STATE if place % 10 == 0 else Role.PROCESS_VALUE,
            source="s",
            address=f"nsu=urn:lineside:test;s={name}",
        )
        for place, name in enumerate(names)
    )
    spool = Spool(folder / "spool", "bench")
    spooling = SpoolEmit(spool)
    source = SourceEmit(spooling, "s", signals)
    kept = Kept(source)
    collector = create(
        Source(id="s", protocol="opcua", options={"url": url, "security": "None"}), signals, folder
    )
    collecting = asyncio.create_task(collector.run(kept))
    looking = asyncio.create_task(_look(source))
    measured = await _measure(lambda: kept.rows, kept.lags)
    if not collector.status.connected:
        raise RuntimeError(collector.status.detail)
    for task in (looking, collecting):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await spooling.close()
    reader = Spool(folder / "spool")
    stored = pl.concat([reader.read(entry) for entry in reader.pending()])
    counted = stored.filter(pl.col("value") > 0).group_by("signal")
    missing = counted.agg(pl.col("value").max() - pl.col("value").min() + 1 - pl.col("value").n_unique())
    of_counted = missing.filter(pl.col("signal").is_in([n for n in names if _counted(n)]))["value"].sum()
    return measured | {"missing": of_counted, "gaps": source.seen.gaps}


async def _look(source: SourceEmit) -> None:
    while True:
        await asyncio.sleep(1)
        source.seen.look(datetime.now(UTC))


async def _measure(rows: Any, lags: list[float]) -> dict[str, float]:
    deadline = time.monotonic() + 60
    while not rows():
        if time.monotonic() > deadline:
            raise RuntimeError("nothing came within a minute")
        await asyncio.sleep(0.1)
    await asyncio.sleep(WARM_UP)
    lags.clear()
    first, cpu, began = rows(), time.process_time(), time.perf_counter()
    await asyncio.sleep(SECONDS)
    came, used, passed = rows() - first, time.process_time() - cpu, time.perf_counter() - began
    return {
        "rate": came / passed,
        "us": used / came * 1e6,
        "cpu": used / passed,
        "lag": statistics.median(lags),
        "worst": max(lags),
    }


def _age(time_: datetime) -> float:
    at = time_ if time_.tzinfo else time_.replace(tzinfo=UTC)
    return (datetime.now(UTC) - at).total_seconds()


def _counted(name: str) -> bool:
    types = os.environ["BENCH_TYPES"].split(",")
    return types[int(name[1:]) % len(types)] in COUNTED


def client(mode: str, run: Run, url: str) -> dict[str, Any]:
    """Run a client in a process of its own."""
    with tempfile.TemporaryDirectory(dir=".", prefix="var-bench-") as folder:
        asked = [sys.executable, __file__, mode, url, str(run.variables), folder]
        environment = os.environ | {"BENCH_TYPES": ",".join(run.types), "POLARS_MAX_THREADS": "1"}
        done = subprocess.run(asked, env=environment, stdout=subprocess.PIPE, check=True, timeout=180)
    return dict(json.loads(done.stdout))


async def compare(run: Run) -> None:
    server = run.server(0, ServerOptions(variables=run.variables, rate=run.rate, types=tuple(run.types)))
    await server.start()
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.suppress(OSError):
        os.sched_setaffinity(server.pid, {cores[0]})
    kind = "one type" if len(run.types) == 1 else f"{len(run.types)} types"
    print(f"{run.server.__name__}, {run.variables * run.rate:,.0f} notifications a second, {kind}:")
    measured = {}
    try:
        for mode in ("stock", "lineside") if run.both else ("lineside",):
            got = measured[mode] = await asyncio.to_thread(client, mode, run, server.url)
            print(
                f"  {mode:9}{got['us']:6.2f} us CPU each, {got['rate']:9,.0f}/s at {got['cpu']:4.0%} of a core,",
                f"{got['missing']:,.0f} missing, {got['lag']:.2f} s old (at most {got['worst']:.2f})",
            )
        if run.both:
            print(f"  {measured['stock']['us'] / measured['lineside']['us']:.1f} x less")
    finally:
        await server.stop()


def main() -> None:
    if len(sys.argv) > 1:
        logging.basicConfig(level=logging.ERROR)
        mode, url, variables, folder = sys.argv[1:]
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        take = {"stock": stock, "lineside": lineside}[mode]
        names = [f"v{n}" for n in range(int(variables))]
        print(json.dumps(asyncio.run(take(url, names, Path(folder)))))
        return
    for run in RUNS:
        asyncio.run(compare(run))


if __name__ == "__main__":
    main()
