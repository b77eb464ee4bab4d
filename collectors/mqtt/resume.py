"""Taking up our session with the broker again, and saying what it did not keep."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from collectors.mqtt.broker import Session
from collectors.mqtt.link import Link
from collectors.ports import Emit

log = logging.getLogger(__name__)

KEEP_EVERY = timedelta(seconds=10)
"""How often it is written down how far we are: a gap after a kill begins at most this much too early."""


class Resume:
    """One connection's view of what was heard before."""

    def __init__(self, session: Session, emit: Emit) -> None:
        self._session, self._emit = session, emit
        self._kept: datetime | None = None

    async def connected(
        self, link: Link, present: bool, filters: Sequence[str], lost: str, now: datetime
    ) -> None:
        """Record what nobody kept for us (`lost`: why not; "": all is kept), and end subscriptions that are no longer
        wanted. Before subscribing."""
        heard = self._session.heard
        if heard is not None and lost:
            await self._emit.gap(min(heard, now), now, lost)
        old = [f for f in self._session.filters if f not in set(filters)]
        if present and old:
            await link.unsubscribe(old)
        self._session.keep(filters, now)
        self._kept = now

    async def stored(self, time: datetime) -> None:
        """Everything that had come by then is on disk."""
        if self._kept is not None and time - self._kept < KEEP_EVERY:
            return
        self._kept = time
        try:
            await asyncio.to_thread(self._session.keep, heard=time)
        except OSError as error:  # a gap may be said to begin too early, nothing else
            log.error("cannot write down how far we are: %s", error)
