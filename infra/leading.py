"""One leader per records database: of several processes that could do a job one does it, the others stand by."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

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

    The same data folder on the same machine is the same holder, so a restart goes on at once. `waits` is told once who
    leads instead. A leader that loses its lease, because it slept or lost the database, is ended by SIGTERM:
    another one may have taken over.
    """
    lease = Lease(database, job, f"{socket.gethostname()}:{folder.root}", LENGTH)
    told = False
    while lease.hold() is None:
        if not told:
            waits(lease.holder() or "another process")
            told = True
        time.sleep(LOOK)
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


def _keep(lease: Lease, job: str, ended: threading.Event) -> None:
    while not ended.wait(EVERY):
        try:
            if lease.hold() is None:
                log.error("another process leads %s now: this one ends", job)
                os.kill(os.getpid(), signal.SIGTERM)
                return
        except (SQLAlchemyError, RecordsError) as error:
            log.warning("the lease of %s cannot be kept now: %s", job, error)
