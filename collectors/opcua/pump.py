"""Asking a server to publish: always some requests outstanding, answers in the order they came, acknowledgements with
the next request."""

import asyncio
from collections import deque
from typing import Any

from asyncua import ua

FAULT = b"\x01\x00" + ua.ObjectIds.ServiceFault_Encoding_DefaultBinary.to_bytes(2, "little")
"""How an answer begins that is only an error."""


class Pump:
    """The publish requests of one session over one connection.

    An answer is replaced by a new request when it arrives, not when it has been worked off, so that the server can go
    on sending; but no more than `ahead` answers wait for `take`, and what they bring stays with the server.
    """

    def __init__(self, protocol: Any, outstanding: int, ahead: int) -> None:
        self.heard = asyncio.get_running_loop().time()
        """When the last answer came, on the loop's clock."""
        self.waiting: deque[bytes] = deque()
        self._protocol, self._most, self._ahead = protocol, outstanding, ahead
        self._outstanding = 0
        self._acknowledgements: list[Any] = []
        self._arrived = asyncio.Event()
        self._error: BaseException | None = None
        self._closed = self._refused = False

    def start(self) -> None:
        """Send the first requests."""
        self._fill()

    async def take(self) -> list[bytes]:
        """All answers that wait, at least one. Raises what ended the pump, after the last answer."""
        while not self.waiting:
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        bodies = list(self.waiting)
        self.waiting.clear()
        if not self._refused:
            self._fill()
        return bodies

    def acknowledge(self, subscription: int, sequence: int) -> None:
        """What that message brought is on disk."""
        self._acknowledgements.append(ua.SubscriptionAcknowledgement(subscription, sequence))

    def go_on(self, fewer: bool) -> None:
        """Ask again after an answer that was an error; `fewer`: with one request less."""
        self._most = max(1, self._most - fewer)
        self._refused = False
        self._fill()

    def fail(self, error: BaseException) -> None:
        """End: `take` raises this."""
        if self._error is None:
            self._error = error
        self._arrived.set()

    def close(self) -> None:
        """Ask no more."""
        self._closed = True

    def _fill(self) -> None:
        while (
            not self._closed
            and self._error is None
            and self._outstanding < self._most
            and len(self.waiting) + self._outstanding < self._ahead
        ):
            request = ua.PublishRequest()
            request.Parameters.SubscriptionAcknowledgements = self._acknowledgements
            try:
                # No timeout: the server answers when it has something. The future is ready in the order of arrival.
                future = self._protocol._send_request(request, 0)
            except Exception as error:
                self.fail(error)
                return
            self._acknowledgements = []
            self._outstanding += 1
            future.add_done_callback(self._answered)

    def _answered(self, future: asyncio.Future[Any]) -> None:
        self._outstanding -= 1
        self.heard = asyncio.get_running_loop().time()
        if future.cancelled():
            self.fail(ConnectionError("the connection was closed"))
        elif (error := future.exception()) is not None:
            self.fail(error)
        else:
            body = bytes(future.result())
            self._refused = self._refused or body.startswith(FAULT)
            self.waiting.append(body)
            self._arrived.set()
            if not self._refused:
                self._fill()
