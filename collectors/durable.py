"""Files that are there, whole, after kill -9 and a power cut."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes | memoryview, *, private: bool = False) -> None:
    """Create or replace a file: under its name there is the old content or all of the new one, on disk when
    this returns. Raises OSError: nothing has changed. What a killed writer leaves ends in `.tmp`.
    `private`: only its owner can read it, from the first byte on."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        if private:
            temporary.unlink(missing_ok=True)  # what a killed writer left may be readable by others
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | (os.O_EXCL if private else 0)
        descriptor = os.open(temporary, flags, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Create a folder and what is missing above it, so that they survive a power cut."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames and removals in a folder survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
