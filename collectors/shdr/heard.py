"""When an adapter was last heard, kept on disk: what happened after it, until somebody listens again, is a gap."""

import json
import logging
from datetime import datetime
from pathlib import Path

from collectors.durable import make_directory, write_durably

log = logging.getLogger(__name__)

NAME = "heard.json"


def load(folder: Path, adapter: str) -> datetime | None:
    """The time noted in the source's folder; None when there is none of that adapter ("host:port")."""
    try:
        said = json.loads((folder / NAME).read_bytes())
        heard = datetime.fromisoformat(said["heard"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s): what was missed before now is not known", folder / NAME, error)
        return None
    return heard if said.get("adapter") == adapter and heard.tzinfo is not None else None


def save(folder: Path, adapter: str, heard: datetime) -> None:
    """On disk when it returns. Raises OSError."""
    make_directory(folder)
    write_durably(folder / NAME, json.dumps({"adapter": adapter, "heard": heard.isoformat()}).encode())
