"""Modbus devices that are not written in Python, for what the tests and benchmarks must not take from pymodbus' server.

`LibModbus` (C; `infra/scripts/libmodbus.sh` builds it), over TCP or on a serial line, and `JsModbus` (npm's jsmodbus;
`infra/scripts/npm.sh` installs it), over TCP or RTU over TCP. `SerialLine` puts serial devices on the network, as a serial
device server does: it passes on bytes and knows nothing of Modbus.
"""

import asyncio
import os
import pty
import signal
import socket
import subprocess
import threading
import tty
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
READY = 30.0
"""Seconds a server may take to start."""


class ModbusProcess:
    """A device in a process of its own, on a port that stays its own. What was put into it it forgets when it ends."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._process: subprocess.Popen[str] | None = None

    def options(self, **more: object) -> dict[str, object]:
        """Of the source that collects from it."""
        return {"host": "127.0.0.1", "port": self.port, **more}

    async def start(self) -> None:
        """Returns when it serves. Raises RuntimeError with what is missing."""
        await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """End it at once: connections are reset."""
        await asyncio.to_thread(self._end)

    def freeze(self) -> None:
        """It keeps its connections and does nothing."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on after `freeze`."""
        self._running().send_signal(signal.SIGCONT)

    def put(self, unit: int, area: str, address: int, values: Iterable[int]) -> None:
        """Write registers or bits; done when it returns."""
        self.tell("put", unit, area, address, *values)

    def tell(self, *words: object) -> str:
        """Give it a command of its program (tests/servers); its answer without the "ok"."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(" ".join(map(str, words)) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().split()
        if answer[:1] != ["ok"]:
            raise RuntimeError(f"{type(self).__name__} does not take {words}: {answer}")
        return " ".join(answer[1:])

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def _start(self) -> None:
        if self._process is not None:
            raise RuntimeError("it runs already")
        self._process = subprocess.Popen(
            self.command(), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        late = threading.Timer(READY, self._process.kill)
        late.start()
        assert self._process.stdout is not None
        try:
            if self._process.stdout.readline() != "ok\n":
                raise RuntimeError(f"{type(self).__name__} does not start; what it says stands above")
        finally:
            late.cancel()

    def _end(self) -> None:
        process, self._process = self._running(), None
        process.kill()
        process.send_signal(signal.SIGCONT)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return self._process


class LibModbus(ModbusProcess):
    """Debian's libmodbus, over TCP. A unit is there once something was put into it, with 65536 addresses in each area."""

    def command(self) -> list[str]:
        return [_libmodbus(), "tcp", str(self.port)]

    def requests(self) -> int:
        """How many reads came since it was asked this last."""
        return int(self.tell("requests"))


class SerialLibModbus(ModbusProcess):
    """One unit of libmodbus' on a serial line."""

    def __init__(self, line: "SerialLine", unit: int) -> None:
        super().__init__()
        self._line, self._unit = line, unit

    def command(self) -> list[str]:
        return [_libmodbus(), "rtu", self._line.device, str(self._unit)]


class JsModbus(ModbusProcess):
    """npm's jsmodbus. It answers reads beyond its `registers` with too few values and no exception."""

    def __init__(self, framing: str = "tcp", registers: int = 200) -> None:
        super().__init__()
        self._framing, self._registers = framing, registers

    def command(self) -> list[str]:
        if not (ROOT / "node_modules" / "jsmodbus").is_dir():
            raise RuntimeError("jsmodbus is missing: run infra/scripts/npm.sh")
        return ["node", "tests/servers/jsmodbus.cjs", str(self.port), self._framing, str(self._registers)]


class SerialLine:
    """A serial line (a pseudo terminal) that anybody can reach at a TCP port: whoever connects hears all bytes from the
    device, also answers to what another connection asked.

    `deaf`: requests to these units are not heard by the device; libmodbus' takes what follows a request to another unit
    for that unit's answer, whatever it is.
    """

    def __init__(self, deaf: tuple[int, ...] = ()) -> None:
        self.port = 0
        self._deaf = deaf
        self._line, device = pty.openpty()
        tty.setraw(self._line)
        tty.setraw(device)
        self._keep = device
        """Held open, so that the line does not end between two devices."""
        self.device = os.ttyname(device)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: Any = None

    def options(self, **more: object) -> dict[str, object]:
        """Of the source that collects from it."""
        return {"host": "127.0.0.1", "port": self.port, "framing": "rtu", **more}

    async def start(self) -> None:
        """Listen."""
        asyncio.get_running_loop().add_reader(self._line, self._heard)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End for good."""
        asyncio.get_running_loop().remove_reader(self._line)
        self._server.close()
        for writer in self._writers:
            writer.close()
        os.close(self._line)
        os.close(self._keep)

    def _heard(self) -> None:
        data = os.read(self._line, 4096)
        for writer in self._writers:
            writer.write(data)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(4096):
                if data[0] not in self._deaf:
                    os.write(self._line, data)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _libmodbus() -> str:
    server = ROOT / "build" / "libmodbus" / "server"
    if not server.exists():
        raise RuntimeError("the libmodbus server is missing: run infra/scripts/libmodbus.sh")
    return str(server)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
