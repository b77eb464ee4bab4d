"""The options of a connection to a broker, which all protocols over MQTT share, and what is kept of it over a restart."""

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from collectors.durable import make_directory, write_durably
from plant.model import Source
from plant.parsing.options import one_of, period, seconds, text, whole, yes_or_no

log = logging.getLogger(__name__)

READERS: Mapping[str, Callable[[object], Any]] = {
    "host": text,
    "port": whole(1, 65535),
    "version": one_of("5", "3.1.1"),
    "tls": yes_or_no,
    "ca": text,
    "certificate": text,
    "key": text,
    "user": text,
    "password": text,
    "client_id": text,
    "keep_alive": period,
    "session_expiry": seconds,
}
DEFAULTS: Mapping[str, object] = {
    "port": None,
    "version": "5",
    "tls": False,
    "ca": None,
    "certificate": None,
    "key": None,
    "user": None,
    "password": None,
    "client_id": None,
    "keep_alive": "10s",
    "session_expiry": "72h",
}


def check_broker(source: Source, options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that were read without a problem."""
    problems = []
    for first, second in (("password", "user"), ("certificate", "key"), ("key", "certificate")):
        if options[first] and not options[second]:
            problems.append(f'source "{source.id}": option "{first}" needs "{second}" too')
    return problems


@dataclass(slots=True)
class Kept:
    """What is known of our session with the broker: `folder / "session.json"`."""

    client_id: str
    filters: list[str]
    """Subscriptions the session may have."""
    heard: str = ""
    """Until when nothing was missed: ISO 8601; "": never connected."""


class Session:
    """Our identity at the broker, and how far we got, kept in the source's folder."""

    def __init__(self, folder: Path, source: str, client_id: str | None) -> None:
        self._file = folder / "sources" / source / "session.json"
        self._source, self._wanted = source, client_id
        self._kept: Kept | None = None

    @property
    def client_id(self) -> str:
        """The same for ever: made once for this source and data folder, unless the plant file says it."""
        return self._load().client_id

    @property
    def filters(self) -> list[str]:
        """Subscriptions the broker may still have for us."""
        return self._load().filters

    @property
    def heard(self) -> datetime | None:
        """Until when nothing was missed; None: there was no connection yet."""
        said = self._load().heard
        return datetime.fromisoformat(said) if said else None

    def keep(self, filters: Sequence[str] | None = None, heard: datetime | None = None) -> None:
        """Change what is kept; on disk when it returns. Raises OSError."""
        kept = self._load()
        if filters is not None:
            kept.filters = list(filters)
        if heard is not None:
            kept.heard = heard.isoformat()
        self._write(kept)

    def _load(self) -> Kept:
        if self._kept is None:
            self._kept = self._read()
        return self._kept

    def _read(self) -> Kept:
        kept = None
        try:
            said = json.loads(self._file.read_bytes())
            kept = Kept(str(said["client_id"]), [str(f) for f in said["filters"]], str(said["heard"]))
            if kept.heard and datetime.fromisoformat(kept.heard).tzinfo is None:
                raise ValueError("a time without a zone")
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            log.error(
                "source %s: %s cannot be read (%s); a new session is made", self._source, self._file, error
            )
            kept = None
        wanted = self._wanted
        if kept is None or (wanted is not None and kept.client_id != wanted):
            kept = Kept(wanted or f"lineside-{self._source[:20]}-{secrets.token_hex(6)}", [])
            self._write(kept)
        return kept

    def _write(self, kept: Kept) -> None:
        make_directory(self._file.parent)
        write_durably(self._file, json.dumps(asdict(kept)).encode())
        self._kept = kept
