"""The connection to one server: secure channel and session, the session kept over broken connections.

Only the pieces of the library that make one connection are used; its supervisor, which re-makes connections and
subscriptions by itself, is never started.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asyncua import Client, ua

from collectors.connection import ConnectionLostError
from collectors.opcua.security import Secured, secure

log = logging.getLogger(__name__)
logging.getLogger("asyncua").setLevel(
    logging.CRITICAL
)  # it logs each lost connection with tracebacks; we say it

CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0
REQUEST_TIMEOUT = 4.0
RENEW_AT = 0.75
"""Of the secure channel's life (OPC 10000-4, 5.6.2.1)."""
RENEW_AFTER = 1.0
"""Seconds, whatever life the server says it has."""
TRUST_EVERY = 10.0
"""Seconds between two looks whether the server is still trusted."""


class Link:
    """A session with one server; `open` and `drop` as often as connections come and go."""

    def __init__(self, source: str, options: Mapping[str, Any], folder: Path) -> None:
        self.url: str = options["url"]
        self.detail = ""
        """How it is secured, for people."""
        self._source, self._options, self._folder = source, options, folder
        self._client: Any = None
        self._looking_after: asyncio.Task[None] | None = None
        self.lost = ""
        """Why the connection cannot go on, when the secure channel could not be renewed."""

    @property
    def session(self) -> Any:
        """The library's session: one method for each service."""
        return self._client.uaclient.session

    @property
    def protocol(self) -> Any:
        """The library's transport: requests to futures of undecoded answers."""
        if self._client.uaclient.protocol is None:
            raise ConnectionLostError(f"{self.url}: the connection is gone")
        return self._client.uaclient.protocol

    async def open(self) -> bool:
        """Connect. True: the session of the connection before goes on, with its subscriptions.

        Raises ConnectionLostError.
        """
        self.lost = ""
        client = self._client or self._new_client()
        try:
            secured = await secure(client, self._source, self._options, self._folder)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    reused = await self._open(client, secured)
            except ConnectionLostError:
                raise
            except Exception as error:  # the library has no one error for a server that refuses
                raise ConnectionLostError(secured.explain(error)) from error
        except BaseException:
            _abort(client)
            raise
        self._client, self.detail = client, secured.detail
        self._looking_after = asyncio.create_task(self._look_after(secured))
        return reused

    async def namespaces(self) -> list[str]:
        """The server's namespaces as they are now: their order can change when it restarts."""
        return list(await self._client.get_namespace_array())

    def drop(self) -> None:
        """Let go of the connection; the session and its subscriptions stay on the server for their lifetime."""
        if self._looking_after is not None:
            self._looking_after.cancel()
            self._looking_after = None
        if self._client is not None:
            _abort(self._client)

    async def leave(self) -> None:
        """Close the session, not its subscriptions: whoever comes next takes them over."""
        if self._client is not None and self._client.uaclient.protocol is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.session.close_session(False)
                    await self._client.close_secure_channel()
        self.drop()
        self._client = None

    async def _open(self, client: Any, secured: Secured) -> bool:
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        if client.uaclient.has_session:
            await secured.verify()
            if await self._activate_again(client):
                return True
        self._client = None  # a session half made is not used again
        await client.create_session()
        await client._activate_with_credentials()
        return False

    def _new_client(self) -> Any:
        client = Client(self.url, timeout=REQUEST_TIMEOUT)
        client.name = client.description = "Lineside"
        client.session_timeout = int(max(self._options["lifetime"], 60.0) * 1000)
        return client

    async def _activate_again(self, client: Any) -> bool:
        """The session on this new channel; False: the server does not have it any more, or does not want that."""
        session = client.uaclient.session
        session.rebind_authentication_token()
        try:
            await client._activate_with_credentials()
        except ua.UaStatusCodeError as error:
            log.info("%s: the session is gone (%s)", self.url, error)
            session.reset_authentication_token()
            client._server_nonce = None
            return False
        return True

    async def _look_after(self, secured: Secured) -> None:
        """Renew the secure channel in time, and let go of a server that is trusted no longer."""
        clock = asyncio.get_running_loop().time
        due = clock() + self._channel_life()
        while True:
            await asyncio.sleep(min(due - clock(), TRUST_EVERY))
            if not await secured.trusted():
                self.lost = f"{self.url}: its certificate is trusted no longer"
                self._client.disconnect_socket()
                return
            if clock() < due:
                continue
            due = clock() + self._channel_life()
            try:
                await self._client.open_secure_channel(renew=True)
                self._client.uaclient.revolve_security_token()
            except (OSError, TimeoutError, ua.UaError) as error:
                self.lost = f"{self.url}: the secure channel could not be renewed ({error or 'no answer'})"
                self._client.disconnect_socket()
                return

    def _channel_life(self) -> float:
        life: float = self._client.secure_channel_timeout / 1000
        return max(life * RENEW_AT, RENEW_AFTER)


def _abort(client: Any) -> None:
    protocol = client.uaclient.protocol
    client.disconnect_socket()
    if protocol is not None and protocol.transport is not None:
        protocol.transport.abort()  # closing would wait until a stalled network has taken what was sent
