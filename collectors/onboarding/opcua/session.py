"""A session at a server, and the ways to connect it offers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncua import Client

from collectors import opcua
from collectors.connection import ConnectionLostError
from collectors.onboarding.found import Access, OnboardingError
from collectors.opcua.security import offers_of, secure
from collectors.options import read_options
from plant.model import Source

_CONNECT, _REQUEST, _CLOSE = 10.0, 15.0, 2.0
SESSION = 60
"""Seconds a server keeps a session it hears nothing from."""


@asynccontextmanager
async def connected(url: str, access: Access) -> AsyncIterator[Client]:
    """A session at a server, secured as its collector's would be.

    Raises OnboardingError when there is none, or it does not let us in.
    """
    source = Source(id="browse", protocol="opcua", options={"url": url, **access.options})
    if problems := opcua.check(source, ()):
        raise OnboardingError("\n".join(problems))
    options, _ = read_options(source, opcua.READERS, opcua.DEFAULTS)
    client = Client(url, timeout=_REQUEST, watchdog_intervall=_REQUEST)
    client.name = client.description = "Lineside"
    client.session_timeout = SESSION * 1000
    try:
        try:
            secured = await secure(client, "", options, access.folder)
        except ConnectionLostError as error:
            raise OnboardingError(str(error)) from error
        try:
            async with asyncio.timeout(_CONNECT):
                await client.connect()
        except Exception as error:  # the library has no one error for a server that refuses
            raise OnboardingError(secured.explain(error)) from error
        yield client
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSE):
                await client.disconnect()
        client.disconnect_socket()


async def security(url: str) -> tuple[str, ...]:
    """The ways to connect a server offers, in words; empty when it does not say."""
    try:
        return tuple(sorted({offer.text for offer in await offers_of(url)}))
    except ConnectionLostError:
        return ()
