"""`python -m collectors.simulator`: the simulated plant behind real servers, each in a process of its own.

Prints {"opcua": port, "modbus": port} when both serve, {"done": true} when `--until` is reached. Ends on
SIGTERM, when a server dies (exit code 1), or when the process that started it is gone.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time

from collectors.simulator.serve import build, modbus_machines, opcua_machines, parser, say
from collectors.simulator.truth import TruthLines

_PARENT_CHECK = 0.5
"""Seconds between two looks whether the parent still lives."""


async def _serve(modules: list[str], arguments: list[str], epoch: float | None) -> int:
    parent = os.getppid()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pipe = asyncio.subprocess.PIPE
    servers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments, stdin=pipe, stdout=pipe, start_new_session=True
        )
        for module in modules
    ]
    watch = asyncio.create_task(_watch_parent(parent, stop))
    work = asyncio.create_task(_drive(servers, epoch))
    await asyncio.wait((asyncio.create_task(stop.wait()), work), return_when=asyncio.FIRST_COMPLETED)
    watch.cancel()
    for server in servers:
        if server.returncode is None and server.stdin is not None:
            server.stdin.close()
    await asyncio.gather(*(server.wait() for server in servers))
    if stop.is_set():
        work.cancel()
        return 0
    await work
    return 1


async def _drive(servers: list[asyncio.subprocess.Process], epoch: float | None) -> None:
    """Start them on a common epoch (None: now that they are ready) and report for them, until one ends."""
    ready = await asyncio.gather(*(_line(server) for server in servers))
    if None in ready:
        return
    say({name: port for ports in ready if ports for name, port in ports.items()})
    common = time.monotonic() if epoch is None else epoch
    for server in servers:
        if server.stdin is not None:
            server.stdin.write(f"{common}\n".encode())
            await server.stdin.drain()
    lines = [asyncio.create_task(_line(server)) for server in servers]
    finished = 0
    for line in asyncio.as_completed(lines):
        if await line is None:
            return
        finished += 1
    if finished == len(servers):
        say({"done": True})
    await asyncio.wait(
        [asyncio.create_task(server.wait()) for server in servers], return_when=asyncio.FIRST_COMPLETED
    )


async def _line(server: asyncio.subprocess.Process) -> dict[str, object] | None:
    """The next line of a server; None when it ended without."""
    line = await server.stdout.readline() if server.stdout is not None else b""
    return dict(json.loads(line)) if line else None


async def _watch_parent(parent: int, stop: asyncio.Event) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(_PARENT_CHECK)
    stop.set()


def main() -> int:
    """Run the servers that the chosen machines need."""
    arguments = sys.argv[1:]
    options = parser()
    args = options.parse_args(arguments)
    epoch = None
    if args.live_from:
        # "now" is settled here, once for all servers: the later of two --from counts.
        epoch = time.monotonic()
        arguments = [*arguments, "--from", args.live_from.isoformat()]
    try:
        build(args, TruthLines(()))
    except (OSError, ValueError) as error:
        options.error(str(error))
    modules = []
    if opcua_machines(args.machines):
        modules.append("collectors.simulator.opcua_server")
    if modbus_machines(args.machines):
        modules.append("collectors.simulator.modbus_server")
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_serve(modules, arguments, epoch))
    return 0


if __name__ == "__main__":
    sys.exit(main())
