"""Delivery of a plant's messages, with the channels the plant file has now."""

import threading
from datetime import UTC, datetime

from alerting.channels import discover
from alerting.dispatch import STOP_GRACE, Dispatcher
from alerting.ports import Outbox
from plant.model import ChannelConfig, Plant


class Delivery:
    """A dispatcher in a thread of its own, made anew when the channels change."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._channels: dict[str, ChannelConfig] = {}
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def use(self, plant: Plant) -> None:
        """Go on with the channels of that plant, secrets resolved. What is being sent is finished first."""
        if self._thread is not None and self._channels == dict(plant.channels):
            return
        self.stop()
        self._channels = dict(plant.channels)
        channels = {c.id: discover()[c.kind].create(c) for c in self._channels.values()}
        dispatcher = Dispatcher(self._outbox, channels, lambda: datetime.now(UTC))
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=dispatcher.run, args=(self._ended,), name="deliver", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(STOP_GRACE.total_seconds() + 1)
            self._thread = None
