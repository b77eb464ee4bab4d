"""How far an agent was taken: kept on disk, so that the next process goes on there."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from collectors.durable import make_directory, write_durably

log = logging.getLogger(__name__)

NAME = "position.json"


@dataclass(frozen=True, slots=True)
class Position:
    """Everything of this agent before sequence number `next` is on disk."""

    url: str
    instance: int
    next: int
    time: datetime
    """The agent's time when it was taken."""
    items: Mapping[str, str]
    """Signal ("equipment.signal") to the data item it was taken from."""


def load(folder: Path, url: str) -> Position | None:
    """The position left in the source's folder; None when there is none of that agent."""
    try:
        said = json.loads((folder / NAME).read_bytes())
        found = Position(
            url=str(said["url"]),
            instance=int(said["instance"]),
            next=int(said["next"]),
            time=datetime.fromisoformat(said["time"]),
            items={str(key): str(item) for key, item in dict(said["items"]).items()},
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s): starting with the agent's newest", folder / NAME, error)
        return None
    return found if found.url == url and found.time.tzinfo is not None else None


def save(folder: Path, position: Position) -> None:
    """On disk when it returns. Raises OSError."""
    said = {
        "url": position.url,
        "instance": position.instance,
        "next": position.next,
        "time": position.time.isoformat(),
        "items": dict(position.items),
    }
    make_directory(folder)
    write_durably(folder / NAME, json.dumps(said).encode())
