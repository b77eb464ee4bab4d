"""Until when a device's samples are on disk, kept over restarts: what nobody polled meanwhile is a gap."""

import asyncio
import json
import logging
import time
from datetime import datetime
from pathlib import Path

from collectors.durable import make_directory, write_durably

log = logging.getLogger(__name__)

NAME = "polled.json"
EVERY = 1.0
"""Seconds between two writings: after a kill the gap begins at most so much too early."""


class Polled:
    """The time of the newest stored samples of each group, by its period in seconds."""

    def __init__(self, folder: Path) -> None:
        self.until: dict[float, datetime] = {}
        self._folder = folder
        self._written, self._writing, self._said = 0.0, False, ""

    def load(self) -> None:
        """Know what the run before knew; a file nobody can read is one that is not there."""
        try:
            said = json.loads((self._folder / NAME).read_bytes())
            until = {float(period): datetime.fromisoformat(time) for period, time in said.items()}
            if not all(time.tzinfo for time in until.values()):
                raise ValueError("a time without a zone")
            self.until = until
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning(
                "%s cannot be read, so a gap before the start is not recorded: %s", self._folder / NAME, error
            )

    async def stored(self, period: float, newest: datetime) -> None:
        """Samples of that time are on disk."""
        self.until[period] = newest
        if self._writing or time.monotonic() < self._written + EVERY:
            return
        self._writing = True
        try:
            await asyncio.to_thread(self.save)
        finally:
            self._writing = False

    def save(self) -> None:
        """Write it down; a disk that refuses is said and tried again."""
        self._written = time.monotonic()
        said = json.dumps({str(period): newest.isoformat() for period, newest in dict(self.until).items()})
        try:
            make_directory(self._folder)
            write_durably(self._folder / NAME, said.encode())
            self._said = ""
        except OSError as error:
            if self._said != str(error):
                self._said = str(error)
                log.error("cannot write %s: %s", self._folder / NAME, error)
