"""Runs Debian's InfluxDB 1.6 behind a small proxy, in a folder of its own, on free loopback ports."""

import contextlib
import os
import shutil
import socket
import string
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infra.historians.influx.provisioning import Admin, ProvisionError, provision
from infra.historians.influx.settings import InfluxSettings

DATABASE = "signals"
RETENTION = "raw"
_HERE = Path(__file__).parent
_ADDRESS_SPACE = 9_000_000_000
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_INSTALL = "is not installed: run `make services` (Debian: apt-get install influxdb nginx-light)"


class ServerError(Exception):
    """The server could not be started; the message says what to do."""


@dataclass(slots=True)
class InfluxServer:
    """A running InfluxDB behind the proxy. `url` speaks both `/api/v2/write` and InfluxQL `/query`."""

    folder: Path
    port: int
    influx_port: int
    rpc_port: int
    user: str = "lineside"
    password: str = "lineside-test"
    bucket: str = f"{DATABASE}/{RETENTION}"
    influxd: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    nginx: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """InfluxDB 1.x's form of a token."""
        return f"{self.user}:{self.password}"

    @property
    def settings(self) -> InfluxSettings:
        """How Lineside signs in."""
        return InfluxSettings(
            url=self.url, bucket=self.bucket, token=self.token, user=self.user, password=self.password
        )

    def start(self) -> None:
        """Start what does not run of influxd and the proxy, wait until both answer. Raises ServerError with
        the end of the log."""
        if self.influxd is None or self.influxd.poll() is not None:
            limited = [_program("prlimit"), f"--as={_ADDRESS_SPACE}"]
            command = [*limited, _program("influxd"), "-config", self._filled("influxd.conf")]
            self.influxd = self._spawn(command)
        self._await(f"http://127.0.0.1:{self.influx_port}/ping", self.influxd, "influxd")
        if self.nginx is None or self.nginx.poll() is not None:
            # nginx looks for its compiled-in error log before it has read the file.
            log = f"{self.folder}/nginx.log"
            self.nginx = self._spawn(
                [_program("nginx"), "-e", log, "-p", f"{self.folder}/", "-c", self._filled("nginx.conf")]
            )
        self._await(f"{self.url}/ping", self.nginx, "nginx")

    def stop(self) -> None:
        """Stop both; what was acknowledged stays in the folder for another `start`."""
        for process in (self.nginx, self.influxd):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def provision(self) -> None:
        """Create what Lineside needs there, as `lineside provision` does; samples are kept for ever."""
        try:
            provision(self.settings, None, Admin(user="admin", password=self.password))
        except ProvisionError as error:
            raise ServerError(str(error)) from error

    def empty(self) -> None:
        """Make the database anew: no samples, and the grants that are lost with a database."""
        answer = httpx.post(
            f"{self.url}/query",
            data={"q": f"DROP DATABASE {DATABASE}"},
            auth=("admin", self.password),
            timeout=30,
            trust_env=False,
        )
        if answer.status_code != httpx.codes.OK or "error" in answer.text:
            raise ServerError(f"InfluxDB refused to drop {DATABASE}: {answer.text.strip()}")
        self.provision()

    def _filled(self, name: str) -> str:
        values = {k: getattr(self, k) for k in ("folder", "port", "influx_port", "rpc_port")}
        target = self.folder / name
        target.write_text(string.Template((_HERE / name).read_text(encoding="utf-8")).substitute(values))
        return str(target)

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "output.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _await(self, url: str, process: "subprocess.Popen[bytes]", name: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, timeout=2, trust_env=False).is_success:
                    return
            time.sleep(0.02)
        log = (self.folder / "output.log").read_text(errors="replace").splitlines()[-5:]
        raise ServerError(f"{name} did not answer at {url}: " + " | ".join(log))


@contextlib.contextmanager
def running(folder: Path) -> Iterator[InfluxServer]:
    """A provisioned InfluxDB in that folder, stopped at the end. Raises ServerError."""
    with starting(folder) as server:
        server.provision()
        yield server


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[InfluxServer]:
    """An InfluxDB in that folder that has no users yet, stopped at the end. Raises ServerError."""
    for program in ("influxd", "nginx", "prlimit"):
        _program(program)
    folder = folder.absolute()  # nginx takes relative paths from its own folder
    folder.mkdir(parents=True, exist_ok=True)
    port, influx_port, rpc_port = _free_ports(3)
    server = InfluxServer(folder=folder, port=port, influx_port=influx_port, rpc_port=rpc_port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise ServerError(f"{name} {_INSTALL}")
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
