"""The file a backup is: a tar whose members are compressed, and which says of every byte whether it is intact.

The last but one member is `manifest.json`; the last, `sha256`, is the checksum of everything before it.
"""

import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from collectors.durable import sync_directory

FORMAT = 1
MANIFEST = "manifest.json"
DIGEST = "sha256"
_DIGEST_LENGTH = 64
_CHUNK = 1 << 20
_PADDING = 2 * tarfile.RECORDSIZE

Progress = Callable[[str, int, int], None]
"""What is being done, and how much of how much of it, in any unit."""


class BackupError(Exception):
    """A backup cannot be made, read or restored; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside a backup."""

    name: str
    bytes: int
    sha256: str
    rows: int | None = None


def is_batch(member: Member) -> bool:
    """Whether it is a file of samples that wait or were refused."""
    return member.name.startswith(("spool/", "dead/")) and member.name.endswith((".arrow", ".parquet"))


class ArchiveWriter:
    """Writes a backup beside its final name; there is nothing under that name before `finish`."""

    def __init__(self, target: Path) -> None:
        """Raises BackupError: there is such a file already, or it cannot be written."""
        self.target = target
        if target.exists():
            raise BackupError(f"{target} exists already: give another file, no backup is overwritten")
        self._part = target.with_name(target.name + ".part")
        self._hash = hashlib.sha256()
        self.members: list[Member] = []
        with self.explained():
            self._part.unlink(missing_ok=True)
            # The key of our certificate is in it.
            self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        through = cast(IO[bytes], _Hashed(self._file, self._hash))
        self._tar = tarfile.TarFile(mode="w", fileobj=through, format=tarfile.PAX_FORMAT)

    def add(self, name: str, data: bytes | memoryview, rows: int | None = None) -> None:
        """Add a member. Raises BackupError."""
        with self.explained():
            self._tar.addfile(_header(name, len(data)), io.BytesIO(data))
        self.members.append(Member(name, len(data), hashlib.sha256(data).hexdigest(), rows))

    def add_file(self, name: str, path: Path, rows: int | None = None) -> None:
        """Add a file that does not change any more. Raises FileNotFoundError: it has gone; BackupError."""
        with path.open("rb") as file, self.explained():
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256()
            self._tar.addfile(_header(name, size), cast(IO[bytes], _Hashed(file, digest)))
        self.members.append(Member(name, size, digest.hexdigest(), rows))

    def finish(self, manifest: Mapping[str, object]) -> int:
        """Add the manifest, make the file durable and give it its name. Its size. Raises BackupError."""
        said = {**manifest, "format": FORMAT, "members": [asdict(member) for member in self.members]}
        data = json.dumps(said, indent=1).encode()
        with self.explained():
            self._tar.addfile(_header(MANIFEST, len(data)), io.BytesIO(data))
            self._tar.addfile(_header(DIGEST, _DIGEST_LENGTH), io.BytesIO(self._hash.hexdigest().encode()))
            self._tar.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            self._part.rename(self.target)
            sync_directory(self.target.absolute().parent)
        return size

    def abandon(self) -> None:
        """Leave nothing behind; does nothing after `finish`."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def explained(self) -> "_Explained":
        """Turns what the disk says into a BackupError."""
        return _Explained(self.target)


@dataclass(frozen=True, slots=True)
class Archive:
    """A backup that has been found intact."""

    path: Path
    digest: str
    """Names this backup: the checksum of its content."""
    manifest: Mapping[str, Any]
    members: tuple[Member, ...]

    def below(self, folder: str) -> list[Member]:
        """The members in a folder of the archive."""
        return [member for member in self.members if member.name.startswith(f"{folder}/")]

    def contents(self, members: "list[Member]") -> Iterator[tuple[Member, IO[bytes]]]:
        """Those members with their content to be read, one after the other."""
        with tarfile.open(self.path, "r:") as tar:
            for member in members:
                file = tar.extractfile(member.name)
                assert file is not None, "the manifest lists files only"
                yield member, file


def verified(path: Path, progress: Progress) -> Archive:
    """Read every byte of a backup. Raises BackupError: it is not one, is damaged, or of a newer Lineside."""
    try:
        with tarfile.open(path, "r:") as tar, path.open("rb") as file:
            found = tar.getmembers()
            if [info.name for info in found[-2:]] != [MANIFEST, DIGEST]:
                raise BackupError(f"{path} is damaged, cut short, or no Lineside backup: {_OTHER}")
            end = found[-1]
            digest = _digest(file, end.offset, progress)
            if file.read() != _ending(digest, os.fstat(file.fileno()).st_size - end.offset):
                raise BackupError(f"{path} is damaged{_damaged_member(tar, found)}: {_OTHER}")
            manifest = json.loads(_content(tar, found[-2]))
    except FileNotFoundError:
        raise BackupError(f"there is no file {path}: correct the path") from None
    except tarfile.TarError as error:
        raise BackupError(
            f"{path} is not a Lineside backup, or its beginning is damaged: {_OTHER}"
        ) from error
    except OSError as error:
        raise BackupError(
            f"{path} cannot be read ({error.strerror}): check its permissions and disk"
        ) from error
    if manifest["format"] > FORMAT:
        raise BackupError(
            f"{path} was made by Lineside {manifest['lineside']}, which is newer: restore it with that version"
        )
    members = tuple(Member(**member) for member in manifest["members"])
    if [m.name for m in members] != [info.name for info in found[:-2]] or not all(map(_safe, members)):
        raise BackupError(f"{path} was not made by Lineside: {_OTHER}")
    return Archive(path, digest, manifest, members)


_OTHER = "nothing was changed; use another backup"


def _header(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def _digest(file: IO[bytes], until: int, progress: Progress) -> str:
    digest, left = hashlib.sha256(), until
    while left:
        data = file.read(min(_CHUNK, left))
        if not data:
            break
        digest.update(data)
        left -= len(data)
        progress("checking the backup", until - left, until)
    return digest.hexdigest()


def _ending(digest: str, length: int) -> bytes:
    """What has to stand after the checked bytes."""
    header = _header(DIGEST, _DIGEST_LENGTH).tobuf(tarfile.PAX_FORMAT)
    return (header + digest.encode()).ljust(min(length, _PADDING), b"\0")


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info)
    return file.read() if file else b""


def _damaged_member(tar: tarfile.TarFile, found: list[tarfile.TarInfo]) -> str:
    """ " (which member)", where its own checksum tells."""
    try:
        listed = {m["name"]: m["sha256"] for m in json.loads(_content(tar, found[-2]))["members"]}
        for info in found[:-2]:
            if hashlib.sha256(_content(tar, info)).hexdigest() != listed[info.name]:
                return f" ({info.name})"
    except (ValueError, KeyError, TypeError, tarfile.TarError):
        pass
    return ""


def _safe(member: Member) -> bool:
    path = PurePosixPath(member.name)
    return not path.is_absolute() and ".." not in path.parts


class _Hashed:
    """A file that adds what passes through it to a checksum."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()


class _Explained:
    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise unwritable(self._target, error) from error


def unwritable(target: Path, error: OSError) -> BackupError:
    """What to do about a disk that refuses."""
    fix = "choose a folder that is there and that this user may write"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        fix = "make room, or choose another disk"
    return BackupError(f"cannot write {target} ({error.strerror or error}): {fix}; nothing is left behind")
