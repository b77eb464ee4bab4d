"""What both simulator servers share: their command line, the pace of simulated time, the truth file.

A server process is driven by its parent over the standard streams. It prints one JSON line when it is ready,
waits for the parent's line with the common epoch, and ends when its standard input does: it never outlives
the parent.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Protocol

from collectors.simulator.codes import MACHINES, PRESS
from collectors.simulator.faults import parse_script
from collectors.simulator.model import Simulation
from collectors.simulator.orders import load_orders
from collectors.simulator.truth import TruthLines

_TICK = 0.02
"""Seconds between two looks at the clock."""

_BURST = 0.25
"""Seconds of catching up after which the network gets its turn."""


class Server(Protocol):
    """One protocol server over the simulation."""

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1; port 0 takes a free one. The port taken."""

    async def publish(self, sim: Simulation) -> None:
        """Show the current readings."""

    async def stop(self) -> None:
        """Stop listening."""


def parser() -> argparse.ArgumentParser:
    """The options of the simulator; the same for the whole and for each server process."""
    options = argparse.ArgumentParser(
        prog="python -m collectors.simulator",
        description="Serve a simulated plant over OPC UA and Modbus TCP.",
    )
    add = options.add_argument
    add("--seed", type=int, default=1)
    add("--start", type=_time, required=True, help="ISO 8601 time with zone at which the simulation begins")
    add(
        "--from",
        dest="live_from",
        type=_time,
        help='the simulated time at the launch, "now" for the real one; what is before is simulated at once',
    )
    add("--until", type=_time, help="stop there and keep serving the last readings")
    add("--speed", type=float, default=1.0, help="simulated seconds per second")
    add("--period", type=float, default=1.0, help="sample period in simulated seconds")
    add(
        "--heartbeat",
        type=float,
        default=5.0,
        help="OPC UA: seconds after which unchanged values are sent again",
    )
    add("--opcua-port", type=int, default=0)
    add("--modbus-port", type=int, default=0)
    add("--truth", type=Path, help="folder for the truth logs")
    add("--script", type=Path, help="JSON file with forced stops")
    add("--orders", type=Path, help="CSV file with orders (default: demo orders from the start)")
    add("--machines", nargs="+", choices=MACHINES, default=list(MACHINES), metavar="MACHINE")
    return options


def _time(text: str) -> datetime:
    if text == "now":
        return datetime.now(UTC)
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text}: a zone is needed, as in 2026-01-05T06:00:00+00:00")
    return time.astimezone(UTC)


def opcua_machines(machines: Sequence[str]) -> tuple[str, ...]:
    """Those of the machines that the OPC UA server serves: all but the press."""
    return tuple(m for m in machines if m != PRESS)


def modbus_machines(machines: Sequence[str]) -> tuple[str, ...]:
    """Those of the machines that the Modbus server serves: the press."""
    return tuple(m for m in machines if m == PRESS)


def build(args: argparse.Namespace, truth: TruthLines) -> Simulation:
    """The simulation the options describe. Raises ValueError naming what is wrong in which file."""
    script = parse_script(json.loads(args.script.read_bytes())) if args.script else ()
    orders = None
    if args.orders:
        with args.orders.open(newline="", encoding="utf-8") as file:
            orders = load_orders(file)
    period = timedelta(seconds=args.period)
    return Simulation(args.seed, args.start, orders=orders, script=script, period=period, truth=truth)


async def run(
    args: argparse.Namespace, name: str, machines: Sequence[str], port: int, server: Server
) -> None:
    """Serve until the standard input ends or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    truth = TruthLines(machines if args.truth else ())
    sim = build(args, truth)
    with _truth_file(args.truth, name) as file:

        def flush() -> None:
            if file is not None:
                file.write(truth.drain())
                file.flush()

        if args.live_from:
            sim.advance_to(min(args.live_from, args.until) if args.until else args.live_from)
        await server.publish(sim)
        say({name: await server.start(port)})
        epoch = await stdin.readline()
        if epoch:
            ended = asyncio.create_task(_at_end(stdin, stop))
            pace = Pace(args.live_from or args.start, args.speed, float(epoch), args.until)
            await drive(sim, server, pace, flush, stop)
            ended.cancel()
        flush()
    await server.stop()


def say(message: dict[str, object]) -> None:
    """One JSON line on the standard output, at once."""
    print(json.dumps(message), flush=True)


def _truth_file(folder: Path | None, name: str) -> AbstractContextManager[IO[bytes] | None]:
    if folder is None:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"truth-{name}.jsonl").open("wb")


async def _at_end(stdin: asyncio.StreamReader, stop: asyncio.Event) -> None:
    while await stdin.readline():
        pass
    stop.set()


class Pace:
    """Simulated time: `origin` at the monotonic time `epoch`, `speed` seconds per second, until `until`."""

    def __init__(self, origin: datetime, speed: float, epoch: float, until: datetime | None) -> None:
        if speed <= 0:
            raise ValueError(f"simulation: a speed of {speed} is not possible, it must be more than 0")
        self._origin = origin
        self._speed = speed
        self._epoch = epoch
        self.until = until

    def at(self, monotonic: float) -> datetime:
        """The simulated time at a monotonic time."""
        now = self._origin + timedelta(seconds=(monotonic - self._epoch) * self._speed)
        return now if self.until is None else min(now, self.until)


async def drive(
    sim: Simulation, server: Server, pace: Pace, flush: Callable[[], None], stop: asyncio.Event
) -> None:
    """Take the simulation along with the clock, publishing every step, until `stop`.

    `flush` writes the truth; it comes before the readings, so nobody can have read what the truth lacks.
    """
    done = False
    while not stop.is_set():
        target = pace.at(time.monotonic())
        pause = time.monotonic() + _BURST
        while sim.now + sim.period <= target and not stop.is_set():
            sim.step()
            flush()
            await server.publish(sim)
            if time.monotonic() > pause:
                await asyncio.sleep(0)
                pause = time.monotonic() + _BURST
        if not done and pace.until is not None and target >= pace.until:
            done = True
            flush()
            say({"done": True})
        try:
            await asyncio.wait_for(stop.wait(), _TICK)
        except TimeoutError:
            continue
