"""One leader per records database: of several processes that could do a job one does it, the others stand by."""

import fcntl
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO

from sqlalchemy.exc import SQLAlchemyError

from infra.folder import DataFolder
from infra.records.database import Database, RecordsError
from infra.records.lease import Lease

log = logging.getLogger(__name__)

LENGTH = timedelta(seconds=15)
"""After the leader's last sign of life until another one takes over."""
EVERY = 4.0
"""Seconds between two signs of life."""
LOOK = 1.0
"""Seconds between two looks whether the leader is gone."""


@contextmanager
def leading(database: Database, job: str, folder: DataFolder, waits: Callable[[str], None]) -> Iterator[None]:
    """Wait until this process leads the job ("derive", "alert"), and lead it.

    On one data folder a file lock keeps a second process out; between folders the lease does, whose holder is the
    folder, so that a restart goes on at once. `waits` is told once who leads instead. A leader that finds another one
    in its place, because it slept or lost the database for too long, is ended by SIGTERM; until it can ask it goes on.
    """
    told = False

    def wait(leader: str) -> None:
        nonlocal told
        if not told:
            waits(leader)
            told = True
        time.sleep(LOOK)

    with (folder.root / f"lock.{job}").open("w") as lock:
        while not _locked(lock):
            wait(f"another process on {folder.root}")
        lease = Lease(database, job, f"{socket.gethostname()}:{folder.root}:{_id(folder)}", LENGTH)
        while lease.hold() is None:
            wait(lease.holder() or "another process")
        with _kept(lease, job):
            yield


@contextmanager
def _kept(lease: Lease, job: str) -> Iterator[None]:
    """Show signs of life; let the next one lead at once at the end."""
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lease, job, ended), name=f"lead {job}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(timeout=5)
        try:
            lease.release()
        except (SQLAlchemyError, RecordsError) as error:
            log.warning("the lease of %s ends by itself in %s: %s", job, LENGTH, error)


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _id(folder: DataFolder) -> str:
    """What tells this data folder from one of the same path on a machine of the same name."""
    path = folder.root / "id"
    with suppress(FileExistsError), path.open("x") as file:
        file.write(secrets.token_hex(4))
    return path.read_text()


def _keep(lease: Lease, job: str, ended: threading.Event) -> None:
    while not ended.wait(EVERY):
        try:
            if lease.hold() is None:
                log.error("another process leads %s now: this one ends", job)
                os.kill(os.getpid(), signal.SIGTERM)
                return
        except (SQLAlchemyError, RecordsError) as error:
            log.warning("the lease of %s cannot be kept now: %s", job, error)
