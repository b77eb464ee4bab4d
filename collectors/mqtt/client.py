"""The MQTT collector: the topics of one broker."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from collectors.connection import keep_connected, up, utc_now
from collectors.held import Held
from collectors.mqtt.broker import Session
from collectors.mqtt.late import KEY, split_late
from collectors.mqtt.link import Link
from collectors.mqtt.payload import Decoder, Mapped
from collectors.mqtt.pump import pump
from collectors.mqtt.resume import Resume
from collectors.mqtt.stream import Message
from collectors.ports import Emit, SourceStatus
from plant.model import Source

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds, at most, between two looks whether values are to be said again."""
NOTHING = "nothing was published on its topic yet"


class MqttCollector:
    """Collects one broker. A message is acknowledged when its samples are on disk."""

    def __init__(
        self, source: Source, mapped: Sequence[Mapped], options: Mapping[str, Any], folder: Path
    ) -> None:
        self.status = SourceStatus()
        self._source, self._options = source, options
        self._decoder = Decoder(mapped)
        self._session_kept = Session(folder, source.id, options["client_id"])
        self._filters = options["subscribe"] or self._decoder.topics
        every = timedelta(seconds=options["heartbeat"])
        # A broker that answers proves nothing about a device, unless it is the one to say when the device is gone.
        self._watched = Held([m.signal for m in mapped if m.status is not None], every)
        self._others = Held([m.signal for m in mapped if m.status is None], timedelta(0))
        self._with_status = {m.key for m in mapped if m.status is not None}
        self._connected_at: datetime | None = None

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled."""
        await keep_connected(self.status, lambda: self._session(emit), self._lost, emit)

    def _lost(self, now: datetime) -> pl.DataFrame:
        return pl.concat([self._watched.lost(now), self._others.lost(now)])

    async def _session(self, emit: Emit) -> None:
        link = Link(self._options, self._session_kept.client_id)
        resume = Resume(self._session_kept, emit)
        try:
            present = await link.open()
            await resume.connected(link, present, self._filters, self._not_kept(link, present), utc_now())
            self._watched.connected()
            self._others.connected()
            self._decoder.connected()
            refused = await link.subscribe(self._filters, self._options["qos"])
            self._connected_at = utc_now()
            up(self.status, _said(link.place, refused))
            self._note(refused)
            every = min(LOOK_EVERY, max(0.05, self._options["heartbeat"] / 2 or LOOK_EVERY))
            await pump(link, self._decode, emit, every, resume.stored)
        finally:
            await link.close()

    def _not_kept(self, link: Link, present: bool) -> str:
        if not self._options["qos"]:
            return "with qos 0 the broker keeps nothing while nobody is connected"
        if present:
            return ""
        return (
            f"{link.place} had no session for us (client_id {self._session_kept.client_id}): it expired, or the broker "
            "was started without what it had kept"
        )

    def _decode(self, messages: Sequence[Message], now: datetime) -> pl.DataFrame:
        if not messages:
            return self._beat(now)
        newest = {key: time for key, (time, *_) in (self._watched.newest() | self._others.newest()).items()}
        decoded = self._decoder.decode(messages, now, newest)
        for key, why in decoded.said.items():
            self.status.notes.pop(key, None)
            if why is None:
                self.status.bad.pop(key, None)
            else:
                if key not in self.status.bad:
                    log.warning("source %s: %s: %s", self._source.id, key, why)
                self.status.bad[key] = why
        live, late = split_late(decoded.live, newest)
        with_status, out = KEY.is_in(list(self._with_status)), [late]
        for held, mine in ((self._watched, with_status), (self._others, ~with_status)):
            held.fill(late.filter(mine))
            for batch, initial in ((decoded.retained, True), (live, self._waited(live))):
                its = batch.filter(mine)
                if not its.is_empty():
                    out.append(held.update(its, now, initial))
        return pl.concat([*out, self._beat(now)])

    def _waited(self, live: pl.DataFrame) -> bool:
        """Whether the batch is what the broker kept for us: old, and no sign that clocks differ."""
        newest = live["time"].max()
        return isinstance(newest, datetime) and self._connected_at is not None and newest < self._connected_at

    def _beat(self, now: datetime) -> pl.DataFrame:
        again = self._watched.beat(now, now)
        return again.filter(KEY.is_in(list(self._decoder.alive)))

    def _note(self, refused: Mapping[str, str]) -> None:
        for key in self._decoder.silent:
            self.status.notes[key] = NOTHING
        for topic, why in refused.items():
            for key in self._decoder.keys_of(topic):
                self.status.bad[key] = f"the broker refuses the subscription to {topic}: {why}"


def _said(place: str, refused: Mapping[str, str]) -> str:
    if not refused:
        return f"connected to {place}"
    some = ", ".join(f"{topic} ({why})" for topic, why in list(refused.items())[:3])
    return f"connected to {place}; it refuses {len(refused)} subscriptions: {some}"
