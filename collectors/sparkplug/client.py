"""The Sparkplug collector: a host application that reads edge nodes."""

import json
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
from collectors.mqtt.link import Link, Will
from collectors.mqtt.pump import pump
from collectors.mqtt.resume import Resume
from collectors.mqtt.stream import Message
from collectors.ports import Emit, SourceStatus
from collectors.samples import signal_table, to_samples
from collectors.sparkplug.address import NAMESPACE, Address, split_topic
from collectors.sparkplug.host import Heard, Host, NodeId, Row
from collectors.sparkplug.protobuf import encode_rebirth
from plant.frames import BAD, SAMPLES, TIME, empty
from plant.model import Signal, Source

log = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds, at most, between two looks at what waits."""
NOT_KEPT = (
    "edge nodes publish with QoS 0: the broker keeps nothing while nobody is connected. Set host_id, and in the nodes the "
    "same as primary host, so that they keep it"
)


class SparkplugCollector:
    """Collects the edge nodes of one broker."""

    def __init__(
        self,
        source: Source,
        signals: Sequence[tuple[Signal, Address]],
        options: Mapping[str, Any],
        folder: Path,
    ) -> None:
        self.status = SourceStatus()
        self._source, self._options = source, options
        only = [signal for signal, _ in signals]
        self._keys = [f"{s.equipment}.{s.id}" for s in only]
        self._table = signal_table(only)
        self._host = Host(signals, timedelta(seconds=options["reorder_timeout"]))
        self._held = Held(only, timedelta(seconds=options["heartbeat"]))
        self._session_kept = Session(folder, source.id, options["client_id"])
        self._holes: list[tuple[datetime, datetime, str, list[int]]] = []
        self._topics: dict[str, tuple[str, NodeId, str] | None] = {}
        self._unreadable = 0
        self._state = f"{NAMESPACE}/STATE/{options['host_id']}" if options["host_id"] else ""
        self._filters = [f"{NAMESPACE}/{group}/+/{node}/#" for group, node in self._host.nodes]
        if self._state:
            self._filters.append(self._state)
        self._link: Link | None = None
        self._since = 0

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled."""
        await keep_connected(self.status, lambda: self._session(emit), self._held.lost, emit)

    async def _session(self, emit: Emit) -> None:
        self._since = _milliseconds(utc_now())
        will = Will(self._state, self._says(online=False)) if self._state else None
        link = self._link = Link(self._options, self._session_kept.client_id, will)
        resume = Resume(self._session_kept, emit)

        async def stored(time: datetime) -> None:
            while self._holes:
                first, last, why, indexes = self._holes[0]
                await emit.gap(first, last, why, [self._keys[i] for i in indexes])
                del self._holes[0]
            await resume.stored(time)

        try:
            present = await link.open()
            await resume.connected(link, present, self._filters, "" if self._state else NOT_KEPT, utc_now())
            self._held.connected()
            self._host.connected()
            refused = await link.subscribe(self._filters, 1)
            if self._state:
                link.publish(self._state, self._says(online=True), 1, retain=True)
            up(self.status, self._detail(refused))
            every = min(LOOK_EVERY, max(0.05, self._options["heartbeat"] / 2 or LOOK_EVERY))
            await pump(link, self._decode, emit, every, stored)
        finally:
            if self._state:
                link.publish(self._state, self._says(online=False), 1, retain=True)
            await link.close()

    def _says(self, *, online: bool) -> bytes:
        return json.dumps({"online": online, "timestamp": self._since}).encode()

    def _decode(self, messages: Sequence[Message], now: datetime) -> pl.DataFrame:
        heard = Heard()
        for message in messages:
            self._message(message, now, heard)
        assert self._link is not None
        for (group, node), why in self._host.look(now, heard):
            log.info("source %s: asks %s/%s for its births: %s", self._source.id, group, node, why)
            self._link.publish(f"{NAMESPACE}/{group}/NCMD/{node}", encode_rebirth(_milliseconds(now)))
        self._note(heard)
        newest = {key: time for key, (time, *_) in self._held.newest().items()}
        live, late = split_late(self._samples(heard.live, now), newest)
        late = pl.concat([late, self._samples(heard.historical, now)])
        self._held.fill(late)
        out = [
            late,
            self._held.update(self._samples(heard.born, now), now, initial=True),
            self._held.update(pl.concat([live, self._gone(heard.gone, now)]), now),
        ]
        again = self._held.beat(now, now)
        alive = [self._keys[index] for index in self._host.alive]
        out.append(again.filter(KEY.is_in(alive)))
        return pl.concat(out)

    def _message(self, message: Message, now: datetime, heard: Heard) -> None:
        topic = message.topic
        if topic == self._state:
            self._own_state(message.payload)
            return
        if topic not in self._topics:
            self._topics[topic] = split_topic(topic)
        if (parts := self._topics[topic]) is not None:
            kind, node, device = parts
            self._host.take(kind, node, device, message.payload, now, heard)

    def _own_state(self, payload: bytes) -> None:
        """The will of a connection of ours before this one may come late; nodes would take us for gone."""
        try:
            said = json.loads(payload)
        except ValueError:
            said = None
        if not isinstance(said, dict) or said.get("online") is not True:
            assert self._link is not None
            self._link.publish(self._state, self._says(online=True), 1, retain=True)

    def _note(self, heard: Heard) -> None:
        for problem in heard.problems:
            self._unreadable += 1
            log.warning("source %s: %s", self._source.id, problem)
        for index, why in heard.said.items():
            key = self._keys[index]
            if why is None:
                self.status.bad.pop(key, None)
            else:
                self.status.bad[key] = why
        self._holes += heard.holes
        if self.status.connected:
            self.status.detail = self._detail({})

    def _detail(self, refused: Mapping[str, str]) -> str:
        assert self._link is not None
        said = [f"connected to {self._link.place}"]
        if refused:
            said.append(f"it refuses {', '.join(refused)}")
        if unborn := self._host.unborn:
            said.append(f"not there: {', '.join(unborn[:5])}" + (" ..." if len(unborn) > 5 else ""))
        if self._unreadable:
            said.append(f"{self._unreadable} messages could not be read")
        return "; ".join(said)

    def _samples(self, rows: list[Row], now: datetime) -> pl.DataFrame:
        if not rows:
            return empty(SAMPLES)
        frame = pl.DataFrame(
            {
                "time": [row.time for row in rows],
                "value": [row.value for row in rows],
                "text": [row.text for row in rows],
                "quality": [row.quality for row in rows],
            },
            schema={"time": TIME, "value": pl.Float64, "text": pl.String, "quality": pl.UInt8},
        )
        index = pl.Series([row.index for row in rows], dtype=pl.UInt32)
        return to_samples(frame.hstack(self._table[index].drop("address")), now)

    def _gone(self, gone: list[tuple[int, datetime]], now: datetime) -> pl.DataFrame:
        keys = self._table.select("equipment", "signal").rows()
        rows = [(time, *keys[index], None, None, BAD, now) for index, time in gone]
        return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row") if rows else empty(SAMPLES)


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
