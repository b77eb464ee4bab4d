"""Runs Debian's PostgreSQL in a folder of its own, on a free loopback port, with fsync."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

USER = "lineside"
_OWNER = "postgres"
_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_INSTALL = "is not installed: run `make services` (Debian: apt-get install postgresql)"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "10min",
    "log_min_messages": "warning",
}


class ServerError(Exception):
    """The server could not be started; the message says what to do."""


@dataclass(slots=True)
class PostgresServer:
    """A PostgreSQL whose superuser is `USER`, signing in with the password."""

    folder: Path
    port: int
    password: str = "lineside-test"
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def url(self, database: str = "postgres") -> str:
        """What `infra.records.database.Database` takes."""
        return f"postgresql://{USER}:{quote(self.password)}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template0") -> str:
        """Create a database, empty or as a copy of another one nobody is connected to. Its URL."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(database), sql.Identifier(template)))
        return self.url(database)

    def start(self) -> None:
        """Start it if it does not run and wait until it answers; after a kill it recovers first. Raises ServerError with
        the end of the log."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self.process is None or self.process.poll() is not None:
                self._spawn()
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            # What a killed server's own processes still hold is let go of in a moment.
            held = (
                self.process is not None and self.process.poll() is not None and "still in use" in self._log()
            )
            if time.monotonic() > deadline or (
                self.process is not None and self.process.poll() is not None and not held
            ):
                raise ServerError(f"PostgreSQL did not start in {self.folder}: {self._log()}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; what was committed stays in the folder for another `start`.

        Args:
            how: SIGINT takes leave of everybody, SIGQUIT and SIGKILL do not.
        """
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def initialise(self) -> None:
        """Make the data directory. Raises ServerError."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        self._own(secret)
        command = [
            *(_program("initdb"), "--pgdata", str(self.folder / "data"), "--username", USER, "--no-sync"),
            *(
                "--pwfile",
                str(secret),
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C.UTF-8",
            ),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **_as_owner(self.folder))
        if done.returncode:
            raise ServerError(f"initdb failed in {self.folder}: {' '.join(done.stderr.split())}")

    def _spawn(self) -> None:
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": str(self.folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "output.log").open("wb") as log:
            self.process = subprocess.Popen(
                [_program("postgres"), "-D", str(self.folder / "data"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_as_owner(self.folder),
            )

    def _own(self, path: Path) -> None:
        owner = _owner()
        if owner is not None:
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _log(self) -> str:
        return " | ".join((self.folder / "output.log").read_text(errors="replace").splitlines()[-5:])


@contextlib.contextmanager
def running(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL with a cluster of its own in that folder, stopped at the end. Started by root it runs as the user
    postgres, who is given the folder and must be able to reach it. Raises ServerError."""
    for program in ("initdb", "postgres"):
        _program(program)
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = PostgresServer(folder=folder, port=port)
    server._own(folder)
    if not (folder / "data").exists():
        server.initialise()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _program(name: str) -> str:
    """The newest version Debian has installed beside each other, else the one on the path."""
    found = [p for p in _DEBIAN.glob(f"*/bin/{name}") if re.fullmatch(r"\d+", p.parts[-3])]
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    program = str(newest) if newest else shutil.which(name)
    if program is None:
        raise ServerError(f"PostgreSQL's {name} {_INSTALL}")
    return program


def _owner() -> pwd.struct_passwd | None:
    """Who the server runs as when this is root, which PostgreSQL refuses to run as."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_OWNER)
    except KeyError:
        raise ServerError(f"there is no user {_OWNER} to run PostgreSQL as: {_INSTALL}") from None


def _as_owner(folder: Path) -> dict[str, Any]:
    owner = _owner()
    if owner is None:
        return {"cwd": folder}
    return {"cwd": folder, "user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
