"""All sources of a plant in one process: supervised, spooled, reported, and stopped cleanly by SIGTERM."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from collectors import watch
from collectors.gaps import gaps
from collectors.ports import Emit
from collectors.runner import run_collectors
from collectors.shdr.client import ShdrCollector
from collectors.spool import Spool
from plant.frames import SAMPLES, empty
from plant.model import Plant, Role, Signal, Site, Source, StateMapping
from plant.states import MachineState

ROOT = Path(__file__).parents[2]
DEADLINE = 40.0


def plant(**options: dict[str, object]) -> Plant:
    """A plant with one shdr source per keyword, each with the state of a machine of the same name."""
    return Plant(
        site=Site(id="s", name="S", zone=ZoneInfo("Europe/Berlin")),
        sources={name: Source(id=name, protocol="shdr", options=given) for name, given in options.items()},
        signals={
            (name, "state"): Signal(
                id="state", equipment=name, role=Role.STATE, source=name, address="execution"
            )
            for name in options
        },
    )


def run(made: Plant, folder: Path, file: Path) -> Coroutine[Any, Any, None]:
    return run_collectors(lambda: made, "collect", Spool(folder / "spool", "plant"), file, folder)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


def status(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {"sources": {}}


def spooled(directory: Path) -> pl.DataFrame:
    reader = Spool(directory)
    return pl.concat([reader.read(entry) for entry in reader.pending()])


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "recording.txt"
    path.write_text(
        "2026-01-31T06:00:00Z|execution|ACTIVE\n2026-01-31T06:00:05Z|execution|STOPPED\nnonsense\n"
    )
    return str(path)


def test_a_failing_collector_is_started_again_and_the_others_go_on(
    tmp_path: Path, recording: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fails = ShdrCollector.run, ["first", "second"]

    async def failing(self: ShdrCollector, emit: Emit) -> None:
        if self._source.id == "bad" and fails:
            raise RuntimeError(fails.pop(0))
        await real(self, emit)

    monkeypatch.setattr(ShdrCollector, "run", failing)
    monkeypatch.setattr(watch, "DROP_AFTER", 0.0)
    file = tmp_path / "run" / "status.json"
    overdue = Spool(tmp_path / "spool", "earlier")
    overdue.append(empty(SAMPLES))
    os.utime(overdue.pending()[0].path, (1e9, 1e9))

    async def main() -> None:
        made = plant(good={"file": recording}, bad={"file": recording})
        task = asyncio.create_task(run(made, tmp_path, file))
        await until(lambda: status(file)["sources"].get("good", {}).get("samples") == 2)
        await until(lambda: status(file)["sources"]["bad"]["samples"] == 2)
        await until(lambda: [gap.collector for gap in gaps(tmp_path / "spool")] == ["earlier"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert fails == []
    got = spooled(tmp_path / "spool").filter(pl.col("equipment") == "bad")
    assert got["text"].to_list() == ["ACTIVE", "STOPPED"]
    said = status(file)
    spool = said["spool"]
    assert spool["problem"] == spool["alarm"] == "" and spool["batches"] > 0 and said["pid"] > 0
    assert (
        set(spool["waiting"]) == {"batches", "samples", "bytes", "oldest"}
        and spool["max_bytes"] == 4_000_000_000
    )
    good = said["sources"]["good"]
    assert good["protocol"] == "shdr" and good["last_sample"] == "2026-01-31T06:00:05+00:00"
    lag = datetime.fromisoformat(said["time"]) - datetime(2026, 1, 31, 6, 0, 5, tzinfo=UTC)
    assert good["lag"] == pytest.approx(lag.total_seconds(), abs=60)
    assert good["signals"]["good.state"] | {"rate": 0.0, "received": ""} == {
        "samples": 2,
        "rate": 0.0,
        "time": "2026-01-31T06:00:05+00:00",
        "received": "",
        "value": "STOPPED",
        "quality": 0,
    }


def test_wrong_sources_are_all_named_before_anything_starts(tmp_path: Path) -> None:
    made = plant(a={"prot": 1}, b={"host": "h"})
    unknown = Source(id="c", protocol="carrier-pigeon")
    made = Plant(site=made.site, sources={**made.sources, "c": unknown}, signals=made.signals)
    with pytest.raises(ValueError, match="carrier-pigeon") as caught:
        asyncio.run(run(made, tmp_path, tmp_path / "status.json"))
    assert 'unknown option "prot"' in str(caught.value) and "there are folder, http, " in str(caught.value)
    assert list(tmp_path.iterdir()) == []


PROCESS = """
import asyncio, sys
from pathlib import Path
from zoneinfo import ZoneInfo
from collectors.runner import run_collectors
from collectors.spool import Spool
from plant.model import Plant, Role, Signal, Site, Source

source = Source(id="m", protocol="shdr", options={"host": "127.0.0.1", "port": int(sys.argv[1])})
state = Signal(id="state", equipment="m", role=Role.STATE, source="m", address="execution")
plant = Plant(site=Site(id="s", name="S", zone=ZoneInfo("UTC")), sources={"m": source},
              signals={("m", "state"): state})
spool, file = Path(sys.argv[2]), Path(sys.argv[3])
asyncio.run(run_collectors(lambda: plant, "collect", Spool(spool, "plant"), file, spool.parent))
"""


def test_sigterm_stops_cleanly_with_everything_counted_on_disk(tmp_path: Path) -> None:
    file = tmp_path / "status.json"

    async def main() -> int:
        async def adapter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for value in range(1_000_000):
                now = datetime.now(UTC)
                writer.write(f"{now:%Y-%m-%dT%H:%M:%S.%f}Z|execution|{value}\n".encode())
                await writer.drain()
                await asyncio.sleep(0.001)

        server = await asyncio.start_server(adapter, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        command = [sys.executable, "-c", PROCESS, str(port), str(tmp_path / "spool"), str(file)]
        process = subprocess.Popen(command, cwd=ROOT)
        try:
            await until(lambda: status(file)["sources"].get("m", {}).get("samples", 0) > 100)
            process.send_signal(signal.SIGTERM)
            await until(lambda: process.poll() is not None)
        finally:
            process.kill()
            server.close()
        return process.wait()

    assert asyncio.run(main()) == 0
    values = spooled(tmp_path / "spool")["value"].drop_nulls().unique().sort().to_list()
    assert len(values) >= status(file)["sources"]["m"]["samples"] > 100
    assert values == list(range(len(values)))


def test_an_adapter_that_stops_answering_its_heartbeat_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "status.json"

    async def main() -> None:
        async def adapter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"2026-01-31T06:00:00Z|execution|ACTIVE\n* PONG 100\n")
            await reader.read()

        server = await asyncio.start_server(adapter, "127.0.0.1", 0)
        made = plant(m={"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]})
        task = asyncio.create_task(run(made, tmp_path, file))
        await until(lambda: "heartbeat" in status(file)["sources"].get("m", {}).get("detail", ""))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()

    asyncio.run(main())
    assert spooled(tmp_path / "spool")["quality"].to_list()[-1] == 2


def test_a_change_of_the_plant_restarts_only_what_it_touches(tmp_path: Path) -> None:
    """Each start of a collector is a connection to its adapter."""
    file = tmp_path / "status.json"
    connections: Counter[str] = Counter()

    async def main() -> None:
        async def adapter(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections[name] += 1
            writer.write(b"2026-01-31T06:00:00Z|execution|ACTIVE|part_count|7\n")
            await reader.read()
            writer.close()

        servers = {n: await asyncio.start_server(partial(adapter, n), "127.0.0.1", 0) for n in "abc"}
        at = {n: {"host": "127.0.0.1", "port": s.sockets[0].getsockname()[1]} for n, s in servers.items()}
        before, now = plant(a=at["a"], b=at["b"]), {}
        state = replace(
            before.signals["a", "state"], states={"ACTIVE": StateMapping(state=MachineState.RUNNING)}
        )
        count = Signal(id="good", equipment="b", role=Role.GOOD, source="b", address="part_count")
        after = plant(a=at["a"], b=at["b"], c=at["c"])
        after = replace(after, signals={**after.signals, ("a", "state"): state, ("b", "good"): count})
        gone = plant(a=at["a"], c=at["c"])
        broken = plant(a={"port": 99})
        now["plant"] = before
        task = asyncio.create_task(
            run_collectors(lambda: now["plant"], "collect", Spool(tmp_path / "spool", "p"), file, tmp_path)
        )
        await until(lambda: len(connections) == 2 and "b" in status(file)["sources"])
        for now["plant"] in (broken, after):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.2)
        await until(lambda: "b.good" in status(file)["sources"]["b"]["signals"] and connections["c"] == 1)
        now["plant"] = gone
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: set(status(file)["sources"]) == {"a", "c"})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert connections == {"a": 1, "b": 2, "c": 1}


def test_a_process_collects_only_its_own_sources(tmp_path: Path, recording: str) -> None:
    file = tmp_path / "status.json"
    made = plant(mine={"file": recording}, other={"file": recording})
    made = replace(made, sources={**made.sources, "mine": replace(made.sources["mine"], process="x")})

    async def main() -> None:
        task = asyncio.create_task(
            run_collectors(lambda: made, "x", Spool(tmp_path / "spool", "x"), file, tmp_path)
        )
        await until(lambda: status(file)["sources"].get("mine", {}).get("samples") == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert set(status(file)["sources"]) == {"mine"}
