"""The backend of a plant in another process of this machine: pages and API are served apart from the derivation.

The process that derives listens on a loopback port of its own and writes port and key into the data folder, readable by
its user only; who serves reads them at every connect, so either may be started anew at any time. Messages are
pickled, and only between those who know the key.
"""

import contextlib
import json
import logging
import os
import pickle
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any, NamedTuple

from dashboards.live import Broadcast
from dashboards.ports import Backend, Refused, Unavailable
from dashboards.view import BoardSnapshot
from plant.model import Plant

log = logging.getLogger(__name__)

METHODS = frozenset(name for name in dir(Backend) if not name.startswith("_"))
"""What may be asked: the port, and nothing else."""
FOLLOW = 1.0
"""Seconds a follower waits for the next snapshot before it asks again."""
LOOK = 0.05
"""Seconds between two looks for one."""
AGAIN = 1.0
"""Seconds between two tries to reach the process that derives."""
CONNECT = 5.0
"""Seconds the other side has to answer a connect."""
TIMEOUT = 60.0
"""Seconds an answer may take."""
AWAY = "The process that derives this plant's figures cannot be reached; it is tried again. Is it running?"


class News(NamedTuple):
    """What a follower is told."""

    snapshot: BoardSnapshot
    plant: Plant | None
    """The plant, when it is another one than the follower has."""
    version: int


class BackendServer:
    """Answers for a backend until it is closed. One thread per connection."""

    def __init__(self, backend: Backend, address_file: Path) -> None:
        self._backend, self._file = backend, address_file
        self._key = secrets.token_bytes(32)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._plant: Plant | None = None
        self._version = 0
        self._lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        """Of those who ask now."""
        _write_private(
            address_file, json.dumps({"port": self.port, "key": self._key.hex(), "pid": os.getpid()})
        )
        threading.Thread(target=self._accept, name="remote", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Answer nobody any more."""
        self._file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # close alone does not wake who accepts
        self._socket.close()
        for client in list(self.connections):
            # Whose thread closes it: closed here, its number could be another file's while that thread still reads.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.connections.add(client)
        with client, Connection(os.dup(client.fileno())) as connection:
            try:
                deliver_challenge(connection, self._key)
                answer_challenge(connection, self._key)
                while True:
                    connection.send(self._answer(*connection.recv()))
            except (EOFError, OSError, AuthenticationError):
                return
            finally:
                self.connections.discard(client)

    def _answer(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bool, Any]:
        try:
            if name == "follow":
                return True, self._follow(*args)
            if name not in METHODS:
                raise ValueError(f"a backend has no {name!r}")
            found = getattr(self._backend, name)
            return True, found(*args, **kwargs) if callable(found) else found
        except (Refused, Unavailable, ValueError) as error:
            return False, error
        except Exception:
            log.exception("%s failed", name)
            return False, Unavailable("This failed where the figures are derived; its log says why.")

    def _follow(self, revision: int, version: int) -> News:
        """The next snapshot after that revision, or the present one when there is none for a while."""
        until = time.monotonic() + FOLLOW
        while (snapshot := self._backend.snapshot())["revision"] == revision and time.monotonic() < until:
            time.sleep(LOOK)
        with self._lock:
            plant = self._backend.plant
            if plant is not self._plant:
                self._plant, self._version = plant, self._version + 1
            return News(snapshot, None if version == self._version else plant, self._version)


class RemoteBackend:
    """`dashboards.ports.Backend` of a `BackendServer`, and its snapshots in `broadcast`.

    While nobody answers, reads raise Unavailable; plant and snapshot are those seen last.
    """

    def __init__(self, address_file: Path, broadcast: Broadcast) -> None:
        self._file, self._broadcast = address_file, broadcast
        self._local = threading.local()
        self._news: News | None = None
        self._revision = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)

    def start(self, waiting: Callable[[], None]) -> bool:
        """Wait for the first snapshot, then follow. `waiting` is called once when that takes a while.

        False: stopped meanwhile.
        """
        began, told = time.monotonic(), False
        self._thread.start()
        while self._news is None and not self._stop.wait(LOOK):
            if not told and time.monotonic() - began > AGAIN:
                waiting()
                told = True
        return self._news is not None

    def stop(self) -> None:
        """Follow no more."""
        self._stop.set()

    @property
    def plant(self) -> Plant:
        """As it was last seen."""
        assert self._news is not None and self._news.plant is not None, "start() waits for it"
        return self._news.plant

    def now(self) -> datetime:
        """This machine's time."""
        return datetime.now(UTC)

    def snapshot(self) -> BoardSnapshot:
        """The last one seen."""
        assert self._news is not None, "start() waits for it"
        return self._news.snapshot

    def health(self) -> Mapping[str, object]:
        """Of the process that derives; that it does not answer is an answer."""
        try:
            found: Mapping[str, object] = self._call("health")
        except Unavailable as error:
            return {"ok": False, "derivation": {"ok": False, "detail": str(error)}}
        return found

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(name)
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        try:
            ok, answer = self._asked(name, args, kwargs)
        except (
            OSError,
            EOFError,
            AuthenticationError,
            ValueError,
            KeyError,
            pickle.UnpicklingError,
        ) as error:
            raise Unavailable(AWAY) from error
        if not ok:
            raise answer
        return answer

    def _asked(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bool, Any]:
        """Over this thread's connection. It is made anew when it has ended, and nothing is asked twice."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.poll():
            connection.close()  # nothing was asked, so this is its end
            connection = self._local.connection = None
        if connection is None:
            connection = self._local.connection = _connected(self._file)
        try:
            connection.send((name, args, kwargs))
            if not connection.poll(TIMEOUT):
                raise TimeoutError
            answer: tuple[bool, Any] = connection.recv()
            return answer
        except BaseException:
            connection.close()
            self._local.connection = None
            raise

    def _follow(self) -> None:
        seen, version = -1, -1
        while not self._stop.is_set():
            try:
                news: News = self._call("follow", seen, version)
            except Unavailable as error:
                log.warning("%s", error)
                seen = version = -1
                self._stop.wait(AGAIN)
                continue
            except Exception:
                log.exception("a snapshot cannot be used")
                self._stop.wait(AGAIN)
                continue
            if news.snapshot["revision"] == seen and news.plant is None:
                continue
            seen, version = news.snapshot["revision"], news.version
            plant = news.plant or (self._news.plant if self._news else None)
            # Theirs begins at 1 again after a restart; ours goes on, and so do the viewers.
            self._revision += 1
            snapshot: BoardSnapshot = {**news.snapshot, "revision": self._revision}
            self._news = News(snapshot, plant, version)
            self._broadcast.publish(snapshot)


def _connected(address_file: Path) -> Connection:
    address = json.loads(address_file.read_text())
    key = bytes.fromhex(address["key"])
    found = socket.create_connection(("127.0.0.1", int(address["port"])), timeout=CONNECT)
    found.settimeout(None)
    connection = Connection(found.detach())
    try:
        if not connection.poll(CONNECT):
            raise TimeoutError("it listens and says nothing: somebody else has taken the port")
        answer_challenge(connection, key)
        deliver_challenge(connection, key)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
