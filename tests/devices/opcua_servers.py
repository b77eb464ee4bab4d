"""OPC UA servers that are not written in Python, for what the tests and benchmarks must not take from asyncua's.

`NodeOpcUa` is npm's node-opcua; `infra/scripts/npm.sh` installs it. `Open62541` is Debian's open62541, in C;
`infra/scripts/open62541.sh` builds it.
"""

import asyncio
import json
import signal
import socket
import subprocess
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asyncua import ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from devices.base import NAMESPACE

ROOT = Path(__file__).resolve().parents[2]
READY = 60.0
"""Seconds a server may take to start: it makes keys at the first."""


@dataclass(slots=True)
class ServerOptions:
    """What is asked of a server."""

    variables: int = 0
    """Simulated variables "v0", "v1" ...; the k-th writing gives k as far as its type holds it, with its own time."""
    rate: float = 10.0
    """Writings a second of every simulated variable; 0: none."""
    types: tuple[str, ...] = ("Double",)
    """OPC UA's names of their types, in turns. Also "Double[]"."""
    history: int = 0
    """Values of each variable kept for HistoryRead; 0: there is no history."""
    security: tuple[tuple[str, str], ...] = (("None", "None"),)
    """Endpoints: policy ("None", "Basic256Sha256", ...) and mode ("None", "Sign", "SignAndEncrypt")."""
    user: str | None = None
    """The only user let in; None: anybody."""
    password: str | None = None
    trust_everybody: bool = True
    """Take any client certificate; otherwise only those in `trusted` of the server."""
    sampling: float = 0.0
    """The shortest sampling interval in ms; 0: each writing is seen."""
    queue_size: int = 100_000
    """The longest queue of a monitored item."""
    items_per_subscription: int = 100_000
    namespace: str = NAMESPACE


class ServerProcess:
    """A server in a process of its own, on a port that stays its own.

    It has the variables "m.state" (Int32) and "m.order" (String), written by `put`, and the simulated ones. So it is a
    `devices.base.Device` too. Its certificate and what it trusts outlive `stop` and `kill`.
    """

    def __init__(self, port: int = 0, options: ServerOptions | None = None) -> None:
        self.asked = options or ServerOptions()
        self.port = port or _free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}/"
        self.state, self.order = self.address("m.state"), self.address("m.order")
        self.wrong = self.address("m.nothing")
        self._temporary = TemporaryDirectory(prefix="lineside-opcua-server-")
        self.folder = Path(self._temporary.name)
        """Where it keeps certificates."""
        self._process: subprocess.Popen[str] | None = None

    def address(self, name: str) -> str:
        """The address of a variable as the plant file writes it."""
        return f"nsu={self.asked.namespace};s={name}"

    def options(self) -> dict[str, object]:
        """The options of a source that collects from it."""
        return {"url": self.url, "publishing_interval": "50ms"}

    async def start(self) -> None:
        """Returns when it serves. Raises RuntimeError with what the server said."""
        await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """End it in good order: it closes its sessions."""
        await asyncio.to_thread(self._end, signal.SIGTERM)

    async def kill(self) -> None:
        """End it at once, as a power cut would."""
        await asyncio.to_thread(self._end, signal.SIGKILL)

    def freeze(self) -> None:
        """It keeps its connections and does nothing."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on after `freeze`."""
        self._running().send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._running().pid

    async def put(self, state: int, order: str, time: datetime) -> None:
        """Write both variables of a `Device`."""
        await self.write({"m.state": state, "m.order": order}, time)

    async def write(self, values: dict[str, object], time: datetime, status: str = "Good") -> None:
        """Write variables by name, with the source's time and status; returns when it is done."""
        milliseconds = (time - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)
        for line in self.lines(values, milliseconds, status):
            answer = await asyncio.to_thread(self._ask, line)
            if answer != {"done": True}:
                raise RuntimeError(f"{type(self).__name__} did not write {values}: {answer}")

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def lines(self, values: dict[str, object], milliseconds: float, status: str) -> list[str]:
        """How it is told to write variables; one answer each."""
        raise NotImplementedError

    def _start(self) -> None:
        if self._process is not None:
            raise RuntimeError("it runs already")
        self._process = subprocess.Popen(
            self.command(), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        late = threading.Timer(READY, self._process.kill)
        late.start()
        try:
            self._answer()
        finally:
            late.cancel()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._running(), None
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def _ask(self, line: str) -> Any:
        stdin = self._running().stdin
        assert stdin is not None
        stdin.write(line + "\n")
        stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        process = self._running()
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        code = process.wait()
        self._process = None
        raise RuntimeError(f"{type(self).__name__} ended with {code}; what it says stands above")

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} is not running")
        return self._process


class NodeOpcUa(ServerProcess):
    """npm's node-opcua: about 50k values a second; subscriptions wait a lifetime, sessions can be taken up again."""

    def command(self) -> list[str]:
        if not (ROOT / "node_modules" / "node-opcua").is_dir():
            raise RuntimeError("node-opcua is missing: run infra/scripts/npm.sh")
        asked = asdict(self.asked) | {"port": self.port, "folder": str(self.folder)}
        return ["node", "tests/servers/node_opcua.cjs", json.dumps(asked)]

    def lines(self, values: dict[str, object], milliseconds: float, status: str) -> list[str]:
        return [json.dumps({"put": values, "time": milliseconds, "status": status})]

    async def close_sessions(self) -> None:
        """End all sessions, and their subscriptions, as an administrator would."""
        await asyncio.to_thread(self._ask, json.dumps({"close_sessions": True}))

    @property
    def certificate(self) -> Path:
        """Its certificate (PEM), from the first start on."""
        return self.folder / "pki" / "own" / "certs" / "certificate.pem"

    @property
    def trusted(self) -> Path:
        """The folder of client certificates it trusts."""
        return self.folder / "pki" / "trusted" / "certs"


class Open62541(ServerProcess):
    """Debian's open62541, in C: over 300k values a second. `write` takes numbers for all variables but "m.order"."""

    async def start(self) -> None:
        if any(policy != "None" for policy, _ in self.asked.security) and not self.certificate.is_file():
            await self._make_certificate()
        await super().start()

    def command(self) -> list[str]:
        program = ROOT / "build" / "open62541" / "server"
        if not program.is_file():
            raise RuntimeError("open62541's server is missing: run infra/scripts/open62541.sh")
        asked = {
            "port": self.port,
            "variables": self.asked.variables,
            "rate": self.asked.rate,
            "types": ",".join(self.asked.types),
            "history": self.asked.history,
            "security": ",".join(f"{policy}:{mode}" for policy, mode in self.asked.security),
            "user": self.asked.user or "",
            "password": self.asked.password or "",
            "sampling": self.asked.sampling,
            "queue_size": self.asked.queue_size,
            "items_per_subscription": self.asked.items_per_subscription,
            "namespace": self.asked.namespace,
            "certificate": self.certificate,
            "key": self.folder / "own.key.der",
        }
        if not self.asked.trust_everybody:
            for folder in (self.trusted, self.folder / "issuers", self.folder / "revoked"):
                folder.mkdir(parents=True, exist_ok=True)
            asked |= {
                "trusted": self.trusted,
                "issuers": self.folder / "issuers",
                "revoked": self.folder / "revoked",
            }
        return [str(program), *(f"{key}={value}" for key, value in asked.items())]

    def lines(self, values: dict[str, object], milliseconds: float, status: str) -> list[str]:
        code = getattr(ua.StatusCodes, status)
        return [f"{name}\t{milliseconds!r}\t{code}\t{value}" for name, value in values.items()]

    @property
    def certificate(self) -> Path:
        """Its certificate (DER), from the first start on."""
        return self.folder / "own.der"

    @property
    def trusted(self) -> Path:
        """The folder of client certificates (DER) it trusts, read at each connection."""
        return self.folder / "trusted"

    async def _make_certificate(self) -> None:
        pem, key = self.folder / "own.key.pem", self.folder / "own.key.der"
        uri = "urn:127.0.0.1:lineside:open62541"
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        await setup_self_signed_certificate(
            pem, self.certificate, uri, "127.0.0.1", usage, {"commonName": "open62541"}
        )
        loaded = serialization.load_pem_private_key(pem.read_bytes(), None)
        form = serialization.PrivateFormat.TraditionalOpenSSL
        key.write_bytes(loaded.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption()))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
