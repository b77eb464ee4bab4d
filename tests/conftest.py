"""Shared by the tests: the backend of the pages; empty records databases."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from signal import SIGQUIT
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
from hypothesis import settings

from infra.postgres.server import PostgresServer, running
from infra.records.database import Database, upgrade
from tests.memory import MemoryBackend

# No deadline: the machine may be busy. `quick` is that of `make check`, see tests/examples.py.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=30)
settings.load_profile("full")


@pytest.fixture
def board_backend() -> MemoryBackend:
    """A fresh plant in memory."""
    return MemoryBackend()


@pytest.fixture(scope="session")
def make_board_backend() -> Callable[[], MemoryBackend]:
    """The maker of it, for fixtures that live longer than a test."""
    return MemoryBackend


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test process with a database `migrated` to copy. Not installed: an error, no skip."""
    # Not below pytest's own folder: nobody but its owner reaches that, and root's server runs as another user.
    with TemporaryDirectory(prefix="lineside-postgres-") as folder, running(Path(folder)) as server:
        migrated = Database(server.create("migrated"))
        upgrade(migrated)
        migrated.close()
        yield server
        server.stop(SIGQUIT)  # nobody needs what it holds: no last checkpoint


@pytest.fixture
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., str]:
    """Gives URLs of empty records databases: `records_url("postgresql")`, `records_url("sqlite", migrated=False)`."""
    given = count()

    def url(kind: str, migrated: bool = True) -> str:
        name = f"records_{uuid4().hex[:12]}_{next(given)}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}.db"
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.create(name, "migrated" if migrated else "template0")

    return url
