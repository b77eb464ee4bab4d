"""What alerting needs from the outside: a store, an outbox, and channels that reach people."""

from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from alerting.alert import Alert, AlertEvent, Notification
from plant.model import ChannelConfig


class AlertTransaction(Protocol):
    """Everything done through it happens together or not at all, alone among writers."""

    def active(self) -> list[Alert]:
        """Alerts whose condition is still there, oldest first."""

    def get(self, alert: str) -> Alert | None: ...

    def occurrences(self, fingerprint: str) -> int:
        """How many alerts this stop has had."""

    def add(self, alert: Alert) -> None: ...

    def update(self, alert: Alert) -> None: ...

    def log(self, event: AlertEvent) -> None: ...

    def enqueue(self, notification: Notification) -> bool:
        """Put a message in the outbox, due at once; False if its key is there already."""

    def told(self, alert: str) -> list[Notification]:
        """The messages about it that were or will be delivered, oldest first."""


class AlertStore(Protocol):
    """Keeps alerts and their history. One contract suite runs over every implementation (tests/contracts)."""

    def begin(self) -> AbstractContextManager[AlertTransaction]:
        """A transaction: committed when the block ends, undone when it raises."""

    def active(self) -> list[Alert]:
        """Alerts whose condition is still there, oldest first."""

    def alerts(self, include_returned: bool = False, limit: int = 500) -> list[Alert]:
        """The newest `limit` alerts, newest first."""

    def history(self, alert: str) -> list[AlertEvent]:
        """What happened to it, oldest first."""


class Outbox(Protocol):
    """Messages to deliver. What a channel has not confirmed is still there after a crash."""

    def due(self, channel: str, now: datetime, limit: int = 20) -> list[Notification]:
        """Undelivered messages of a channel whose next attempt is due, oldest first. A message waits for an
        earlier one about the same alert to the same recipient: nobody hears "resolved" before "raised"."""

    def waiting_channels(self) -> set[str]:
        """Channels with undelivered messages."""

    def delivered(self, key: str, at: datetime, receipt: str) -> None: ...

    def postpone(self, key: str, at: datetime, until: datetime, error: str) -> None:
        """An attempt failed; try again at `until`."""

    def fail(self, key: str, at: datetime, reason: str) -> None:
        """Give up on it."""


class Channel(Protocol):
    """A way to reach people. Its module `alerting.channels.<kind>` offers the rest (`ChannelModule`)."""

    def send(self, notification: Notification) -> str:
        """Deliver it and return the receipt: what the other side said. Returns or raises in bounded time.

        Raises:
            PermanentError: it will never be taken as it is; trying again is pointless.
            TransientError: it may be taken later.
        """

    def close(self) -> None:
        """Release what is held."""


class ChannelModule(Protocol):
    """The shape of a channel module; the file name is the `kind` in the plant file."""

    ADDRESSED: bool
    """True: one message per person (mail). False: one per step, to the channel itself (webhook)."""

    def check(self, config: ChannelConfig) -> list[str]:
        """What is wrong with its options, each with the fix."""

    def create(self, config: ChannelConfig) -> Channel: ...


class PermanentError(Exception):
    """The other side will not take this message, now or later; the text is what it said."""


class TransientError(Exception):
    """The message could not be delivered now."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """How long the other side asked us to wait."""
