"""Looking after a collector's spool: how much waits, the alarm before a bound, dropping what waits too long."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from collectors.spool import Spool, Waiting

log = logging.getLogger(__name__)

DROP_EVERY = 60.0
"""Seconds between two looks for batches beyond `max_age`."""
DROP_AFTER = 3600.0
"""Seconds after the start in which nothing is dropped: after a long standstill the historian takes it first."""


class SpoolWatch:
    """`look` every few seconds; `status` is what it saw last."""

    def __init__(self, spool: Spool, now: datetime, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.waiting = Waiting(0, 0, 0, None)
        self.alarm = ""
        self._spool, self._monotonic = spool, monotonic
        self._started, self._started_at = now, monotonic()
        self._drop_at = self._started_at + DROP_AFTER

    def look(self, now: datetime) -> None:
        """Measure, and once a minute drop what has waited longer than the spool's `max_age`."""
        passed = self._monotonic()
        if passed >= self._drop_at:
            self._drop_at = passed + DROP_EVERY
            # A clock set forward while we run must not make a fresh backlog look old.
            trusted = min(now, self._started + timedelta(seconds=passed - self._started_at))
            try:
                self._spool.drop_older(trusted - self._spool.max_age)
            except OSError as error:
                log.error("cannot record what should be dropped from the spool, so it stays: %s", error)
        self.waiting = self._spool.waiting(self._spool.collector)
        alarm = self._spool.alarm(self.waiting, now) or ""
        if alarm and not self.alarm:
            log.error("%s", alarm)
        self.alarm = alarm

    def status(self) -> dict[str, object]:
        """`waiting` (batches, samples, bytes, and when the oldest was written), `max_bytes`, `max_age` in seconds,
        and `alarm`: "" or a sentence."""
        seen = self.waiting
        waiting = {
            "batches": seen.batches,
            "samples": seen.rows,
            "bytes": seen.bytes,
            "oldest": seen.oldest,
        }
        limits = {"max_bytes": self._spool.max_bytes, "max_age": self._spool.max_age.total_seconds()}
        return {"waiting": waiting, **limits, "alarm": self.alarm}
