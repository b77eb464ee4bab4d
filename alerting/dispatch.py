"""Delivering the outbox: one worker per channel, so that a dead or slow one delays nobody else.

A message leaves the outbox only after its channel confirmed it. Killed in between, it is sent again with
the same key: at least once, and never more often than the process died.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from threading import Event, Thread

import structlog

from alerting.alert import Notification
from alerting.ports import Channel, Outbox, PermanentError, TransientError

STOP_GRACE = timedelta(seconds=5)

_log = structlog.get_logger("alerting.dispatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait after a failed attempt: doubling, with jitter, up to a limit; and when to give up."""

    first: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(minutes=5)
    give_up: timedelta = timedelta(hours=24)
    """Age of a message after which it is marked failed."""

    def wait(self, attempts: int, rng: Random, retry_after: timedelta | None = None) -> timedelta:
        """Between half and the whole of first x 2^attempts; never less than what the other side asked for.

        Args:
            attempts: failed attempts before this one.
        """
        whole = min(self.first * (1 << min(attempts, 30)), self.longest)
        jittered = whole * (0.5 + rng.random() / 2)
        return max(jittered, min(retry_after, self.give_up)) if retry_after is not None else jittered


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one pass over the outbox did, in messages."""

    delivered: int = 0
    postponed: int = 0
    failed: int = 0

    def __add__(self, other: "Delivery") -> "Delivery":
        return Delivery(
            self.delivered + other.delivered, self.postponed + other.postponed, self.failed + other.failed
        )


@dataclass(slots=True)
class Dispatcher:
    """Sends what the outbox holds. `channels` are by channel id of the plant file."""

    outbox: Outbox
    channels: Mapping[str, Channel]
    clock: Callable[[], datetime]
    backoff: Backoff = Backoff()
    poll: timedelta = timedelta(milliseconds=500)
    rng: Random = field(default_factory=Random)

    def run(self, stop: Event) -> None:
        """Deliver until `stop` is set; blocks. Each worker ends after the message it is sending; one that
        hangs longer than STOP_GRACE is left behind, its message stays in the outbox."""
        workers = [
            Thread(target=self._work, args=(channel, stop), name=f"channel {channel}", daemon=True)
            for channel in self.channels
        ]
        for worker in workers:
            worker.start()
        while True:
            self._guarded("", lambda: self._fail_homeless(self.clock()))
            if stop.wait(self.poll.total_seconds() * 10):
                break
        for worker in workers:
            worker.join(STOP_GRACE.total_seconds() / len(workers))
        if not any(worker.is_alive() for worker in workers):
            for channel in self.channels.values():
                channel.close()

    def once(self, now: datetime) -> Delivery:
        """One pass over every channel, one after the other, at that time."""
        done = self._fail_homeless(now)
        for channel in self.channels:
            done += self._pass(channel, lambda: now)
        return done

    def _work(self, channel: str, stop: Event) -> None:
        while not stop.is_set():
            done = self._guarded(channel, lambda: self._pass(channel, self.clock, stop))
            if not done.delivered:
                stop.wait(self.poll.total_seconds())

    def _guarded(self, channel: str, work: Callable[[], Delivery]) -> Delivery:
        """A worker outlives a store that is away: the messages are still there when it is back."""
        try:
            return work()
        except Exception as error:
            _log.error("outbox not usable, trying again", channel=channel, error=str(error))
            return Delivery()

    def _pass(self, channel: str, clock: Callable[[], datetime], stop: Event | None = None) -> Delivery:
        done = Delivery()
        for message in self.outbox.due(channel, clock()):
            if stop is not None and stop.is_set():
                break
            done += self._deliver(channel, message, clock)
        return done

    def _deliver(self, channel: str, message: Notification, clock: Callable[[], datetime]) -> Delivery:
        try:
            receipt = self.channels[channel].send(message)
        except PermanentError as error:
            self.outbox.fail(message.key, clock(), str(error))
            _log.warning("message refused", channel=channel, key=message.key, reason=str(error))
            return Delivery(failed=1)
        except TransientError as error:
            return self._postpone(channel, message, str(error), error.retry_after, clock())
        except Exception as error:  # a defect of one channel must not stop its queue for good
            _log.exception("channel failed", channel=channel, key=message.key)
            return self._postpone(channel, message, f"{type(error).__name__}: {error}", None, clock())
        self.outbox.delivered(message.key, clock(), receipt)
        return Delivery(delivered=1)

    def _postpone(
        self, channel: str, message: Notification, error: str, retry_after: timedelta | None, now: datetime
    ) -> Delivery:
        if now - message.created >= self.backoff.give_up:
            self.outbox.fail(message.key, now, f"gave up after {message.attempts + 1} attempts: {error}")
            _log.error("message given up", channel=channel, key=message.key, reason=error)
            return Delivery(failed=1)
        wait = self.backoff.wait(message.attempts, self.rng, retry_after)
        self.outbox.postpone(message.key, now, now + wait, error)
        _log.info("message postponed", channel=channel, key=message.key, wait=str(wait), reason=error)
        return Delivery(postponed=1)

    def _fail_homeless(self, now: datetime) -> Delivery:
        """Messages of a channel the plant file no longer has would wait for ever; say so instead."""
        done = Delivery()
        for channel in self.outbox.waiting_channels() - self.channels.keys():
            for message in self.outbox.due(channel, now):
                self.outbox.fail(message.key, now, f"the plant file has no channel {channel} any more")
                done += Delivery(failed=1)
        return done
