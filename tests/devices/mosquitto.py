"""A Mosquitto broker of the tests' own. `infra/scripts/services.sh` installs it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PROGRAMS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
READY = 15.0
USER, PASSWORD = "tester", "a-password-of-the-tests"


@dataclass(slots=True)
class BrokerOptions:
    """What is asked of the broker."""

    queued: int = 100_000
    """Messages it keeps for a client that is away."""
    inflight: int = 20
    """Messages without an acknowledgement it sends to a client of MQTT 3.1.1 (Mosquitto's own default)."""
    tls: Path | None = None
    """A folder with ca.pem, server.pem and server.key; then it speaks nothing but TLS."""
    client_certificates: bool = False
    """TLS: only clients with a certificate of that ca."""


class Mosquitto:
    """A broker on a loopback port that stays its own, with a user and a password; what it keeps survives `kill`."""

    def __init__(self, port: int = 0, options: BrokerOptions | None = None) -> None:
        self.port = port or _free_port()
        self.asked = options or BrokerOptions()
        self._temporary = TemporaryDirectory(prefix="lineside-mosquitto-")
        self.folder = Path(self._temporary.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._write_files()

    def options(self) -> dict[str, object]:
        """The options of a source that reads from it."""
        return {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}

    def start(self) -> None:
        """Returns when it takes connections. Raises RuntimeError with what it said."""
        program = _program("mosquitto")
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=log, stderr=log)
        until = time.monotonic() + READY
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"mosquitto did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End it in good order: it writes what it keeps."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def forget(self) -> None:
        """Delete what it keeps."""
        (self.folder / "mosquitto.db").unlink(missing_ok=True)

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

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("mosquitto is not running")
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._running(), None
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _write_files(self) -> None:
        passwords = self.folder / "passwords"
        passwords.touch(0o600)
        subprocess.run([_program("mosquitto_passwd"), "-b", passwords, USER, PASSWORD], check=True)
        lines = [
            f"listener {self.port} 127.0.0.1",
            "user root",
            "allow_anonymous false",
            f"password_file {passwords}",
            "persistence true",
            f"persistence_location {self.folder}/",
            f"max_inflight_messages {self.asked.inflight}",
            f"max_queued_messages {self.asked.queued}",
            "max_connections 50",
            "memory_limit 500000000",
            "log_type error",
            "log_type warning",
        ]
        if (tls := self.asked.tls) is not None:
            lines += [f"cafile {tls}/ca.pem", f"certfile {tls}/server.pem", f"keyfile {tls}/server.key"]
            lines += [f"require_certificate {str(self.asked.client_certificates).lower()}"]
        self._config = self.folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")


def _program(name: str) -> str:
    found = shutil.which(name, path=PROGRAMS)
    if found is None:
        raise RuntimeError(f"{name} is missing: run infra/scripts/services.sh")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
