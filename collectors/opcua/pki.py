"""The folder with certificates: our own, the servers' we trust, and those we refused.

    pki/own/      <expiry>-<fingerprint>.pem   certificate and key, readable by their owner only
    pki/trusted/  any .der .crt .cer .pem      server certificates somebody trusted; files may be put here by hand
    pki/rejected/ <fingerprint>.der, .json     certificates that were refused, with who had them and when
    pki/known/    <source>.json                what each source was last connected with over a secured channel

Several collector processes and the command line use it at once: files appear whole, and a new own certificate is
made under a lock.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from collectors.durable import make_directory, sync_directory, write_durably
from collectors.opcua.certificates import (
    LARGEST,
    Certificate,
    Identity,
    ascii_name,
    from_pem,
    make_own,
    read,
    to_pem,
)

log = logging.getLogger(__name__)

RENEW_BEFORE = timedelta(days=90)
"""A new own certificate is made this long before the old one ends, so that the servers can be told in time."""
SWITCH_BEFORE = timedelta(days=1)
"""The new one is used from this long before the old one ends."""
KEPT = 50
"""Refused certificates kept; a server that shows a new one each time does not fill the disk."""
SUFFIXES = (".der", ".crt", ".cer", ".pem")


class PkiError(Exception):
    """The folder with certificates cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A certificate that was refused, and who showed it."""

    certificate: Certificate
    source: str
    url: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What a source was last connected with over a secured channel."""

    url: str
    fingerprint: str
    mode: str
    policy: str


def current(identities: Sequence[Identity], now: datetime) -> Identity | None:
    """Which of our own certificates is used now: the older one until shortly before its end. None: none is valid."""
    valid = _valid(identities, now)
    lasting = [i for i in valid if i.certificate.not_after - now > SWITCH_BEFORE]
    return min(lasting or valid, key=lambda i: i.certificate.not_after, default=None)


class Pki:
    """The certificates of one plant, in `folder / "pki"` of its data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = folder / "pki"
        self._said: set[tuple[Path, str]] = set()

    @property
    def own_folder(self) -> Path:
        return self._root / "own"

    @property
    def trusted_folder(self) -> Path:
        return self._root / "trusted"

    @property
    def rejected_folder(self) -> Path:
        return self._root / "rejected"

    # --- our own ---

    def identities(self) -> list[Identity]:
        """Our own certificates, the one that ends first first; those that ended are among them. Raises PkiError."""
        found = []
        for path in sorted(self.own_folder.glob("*.pem")):
            try:
                found.append(from_pem(path.read_bytes()))
            except OSError as error:
                raise PkiError(f"{path} cannot be read ({error.strerror}): check its owner") from error
            except ValueError as error:
                raise PkiError(
                    f"{path} is damaged ({error}): restore it from a backup, or move it away and a new certificate is "
                    "made, which the servers must then be told to trust"
                ) from error
        return sorted(found, key=lambda i: i.certificate.not_after)

    def own(self, now: datetime, host: str) -> Identity:
        """Our own certificate to use now. The first is made when there is none, the next one when the current one
        nears its end; it keeps the application URI. Raises PkiError."""
        identities = self.identities()
        if not _lacking(identities, now):
            return _of(identities, now)
        try:
            with self._locked():
                identities = self.identities()
                if _lacking(identities, now):
                    uri = (
                        identities[-1].uri
                        if identities
                        else f"urn:lineside:{ascii_name(host)}:{secrets.token_hex(4)}"
                    )
                    made = make_own(uri, host, now)
                    self._write_own(made)
                    identities.append(made)
                    log.info(
                        "made a certificate of our own, valid until %s: servers that secure their connection must be "
                        "told to trust it (lineside opcua export)",
                        f"{made.certificate.not_after:%Y-%m-%d}",
                    )
        except OSError as error:
            raise PkiError(
                f"cannot keep our own certificate in {self.own_folder} ({error.strerror}): check its owner and disk"
            ) from error
        return _of(identities, now)

    def _write_own(self, made: Identity) -> None:
        name = f"{made.certificate.not_after:%Y-%m-%d}-{made.certificate.fingerprint[:16]}.pem"
        self._write(self.own_folder / name, to_pem(made), private=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_directory(self._root)
        if not self.own_folder.is_dir():
            self.own_folder.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self._root)
        lock = self.own_folder / "lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._to_owner(lock)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # --- the servers' ---

    def trusted(self) -> dict[Path, Certificate]:
        """The trusted certificates by their file; a file that is none is logged once and does not count."""
        found = {}
        for path in _files(self.trusted_folder):
            try:
                found[path] = _read(path)
            except (OSError, ValueError) as error:
                if (path, str(error)) not in self._said:
                    log.warning("%s does not count as trusted: %s", path, error)
                    self._said.add((path, str(error)))
        return found

    def is_trusted(self, certificate: Certificate) -> bool:
        """Exactly this certificate is trusted."""
        return any(other.der == certificate.der for other in self.trusted().values())

    def trust(self, certificate: Certificate) -> None:
        """Trust exactly this certificate from now on. Raises PkiError."""
        try:
            self._write(self.trusted_folder / f"{certificate.fingerprint}.der", certificate.der)
            self._forget(certificate.fingerprint)
        except OSError as error:
            raise PkiError(
                f"cannot write to {self.trusted_folder} ({error.strerror}): check its owner and disk"
            ) from error

    def untrust(self, certificate: Certificate) -> None:
        """Trust this certificate no longer. Raises PkiError."""
        try:
            for path, other in self.trusted().items():
                if other.der == certificate.der:
                    path.unlink(missing_ok=True)
            if self.trusted_folder.is_dir():
                sync_directory(self.trusted_folder)
        except OSError as error:
            raise PkiError(
                f"cannot write to {self.trusted_folder} ({error.strerror}): check its owner and disk"
            ) from error

    # --- refused ones ---

    def rejected(self) -> list[Rejected]:
        """Refused certificates, the latest first."""
        found = []
        for path in _files(self.rejected_folder):
            with suppress(OSError, ValueError, KeyError, TypeError):  # half written or removed just now
                said = orjson.loads(path.with_suffix(".json").read_bytes())
                at = datetime.fromisoformat(said.pop("at"))
                found.append(Rejected(_read(path), at=at, **{k: str(v) for k, v in said.items()}))
        return sorted(found, key=lambda r: r.at, reverse=True)

    def reject(self, certificate: Certificate, source: str, url: str, why: str, now: datetime) -> None:
        """Keep a refused certificate, so that somebody can look at it and trust it. Raises PkiError."""
        kept = self.rejected()
        last = next((r for r in kept if (r.source, r.url) == (source, url)), None)
        if last is not None and (last.certificate.der, last.why) == (certificate.der, why):
            return
        said = {"source": source, "url": url, "why": why, "at": now.isoformat()}
        try:
            path = self.rejected_folder / f"{certificate.fingerprint}.der"
            self._write(path.with_suffix(".json"), orjson.dumps(said))
            self._write(path, certificate.der)
            for old in kept[KEPT - 1 :]:
                if old.certificate.der != certificate.der:
                    self._forget(old.certificate.fingerprint)
        except OSError as error:
            raise PkiError(
                f"cannot write to {self.rejected_folder} ({error.strerror}): check its owner and disk"
            ) from error

    def _forget(self, fingerprint: str) -> None:
        for suffix in (".der", ".json"):
            (self.rejected_folder / f"{fingerprint}{suffix}").unlink(missing_ok=True)

    # --- what a source is known to be ---

    def known(self, source: str) -> Known | None:
        """What the source was last connected with; None: never secured, or the file cannot be read."""
        try:
            said = orjson.loads(self._known(source).read_bytes())
            return Known(**{key: str(said[key]) for key in Known.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, source: str, known: Known) -> None:
        """Keep what the source is connected with. Raises PkiError."""
        if self.known(source) == known:
            return
        try:
            self._write(self._known(source), orjson.dumps(asdict(known)))
        except OSError as error:
            raise PkiError(
                f"cannot write {self._known(source)} ({error.strerror}): check its owner and disk"
            ) from error

    def known_sources(self) -> list[str]:
        """The sources that were connected over a secured channel."""
        return sorted(path.stem for path in (self._root / "known").glob("*.json"))

    def _write(self, path: Path, data: bytes, private: bool = False) -> None:
        make_directory(path.parent)
        write_durably(path, data, private=private)
        self._to_owner(path)

    def _to_owner(self, path: Path) -> None:
        """What root makes on the command line belongs to whom the data folder does: the plant must be able to use it."""
        if os.geteuid() == 0:
            owner = self.folder.stat()
            while path != self.folder:
                os.chown(path, owner.st_uid, owner.st_gid)
                path = path.parent

    def _known(self, source: str) -> Path:
        return self._root / "known" / f"{source}.json"


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)


def _read(path: Path) -> Certificate:
    if path.stat().st_size > LARGEST:
        raise ValueError("too long for a certificate")
    return read(path.read_bytes())


def _valid(identities: Sequence[Identity], now: datetime) -> list[Identity]:
    return [i for i in identities if i.certificate.not_before <= now < i.certificate.not_after]


def _lacking(identities: Sequence[Identity], now: datetime) -> bool:
    return not any(i.certificate.not_after - now > RENEW_BEFORE for i in _valid(identities, now))


def _of(identities: Sequence[Identity], now: datetime) -> Identity:
    identity = current(identities, now)
    if identity is None:
        raise PkiError("none of our own certificates is valid now: check this machine's clock")
    return identity
