"""The data folder of one running plant: where everything lives, and the lock that keeps a second instance out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType


class FolderError(Exception):
    """The data folder cannot be used; the message says what to do."""


class DataFolder:
    """Paths inside the data folder, and its lock.

    Entering creates the folder and takes the lock; a folder that cannot be written or is in use raises FolderError.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock: int | None = None

    historian = property(lambda self: self.root / "historian")
    spool = property(lambda self: self.root / "spool")
    dead = property(lambda self: self.root / "dead")
    logs = property(lambda self: self.root / "logs")
    records = property(lambda self: self.root / "records.sqlite")
    ledger = property(lambda self: self.root / "ledger")
    """The stored ledger in columns (`infra.ledger.cache`): may be removed at any time."""
    backfill = property(lambda self: self.root / "backfill")
    """What a backfill has thinned out so far (`infra.backfill`): may be removed, to begin anew."""
    collectors = property(lambda self: self.root / "collectors")
    """What each collector process does now: `<process>.json`, written every second."""
    pki = property(lambda self: self.root / "pki")
    """OPC UA certificates (`collectors.opcua.pki`)."""
    derive = property(lambda self: self.root / "derive.json")
    """Where the process that derives answers; readable by its user only."""
    restoring = property(lambda self: self.root / "restoring")
    """There while a restore is under way or was interrupted."""

    @contextmanager
    def for_restore(self) -> Iterator["DataFolder"]:
        """The lock, for the one thing that may use a folder whose restore was interrupted: the restore again."""
        self._take()
        try:
            yield self
        finally:
            self._release()

    def beside(self) -> "DataFolder":
        """The folder for a process that works beside the one that holds the lock. Raises FolderError."""
        self._make()
        self._refuse_half_restored()
        return self

    def __enter__(self) -> "DataFolder":
        self._take()
        try:
            self._refuse_half_restored()
        except FolderError:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _refuse_half_restored(self) -> None:
        if self.restoring.exists():
            raise FolderError(
                f"A restore into {self.root} was interrupted: repeat it with the same `lineside restore`, or choose "
                "another folder with --data FOLDER."
            )

    def _make(self) -> None:
        try:
            for folder in (self.root, self.historian, self.spool, self.dead, self.logs, self.collectors):
                folder.mkdir(parents=True, exist_ok=True)
            (self.root / "lock").touch()
        except OSError as error:
            raise FolderError(
                f"Cannot write to the data folder {self.root} ({error.strerror}): give another one with --data FOLDER."
            ) from error

    def _take(self) -> None:
        self._make()
        self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = None
            raise FolderError(
                f"Another Lineside is using {self.root}: stop it, or give this one its own folder with --data FOLDER."
            ) from error

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
