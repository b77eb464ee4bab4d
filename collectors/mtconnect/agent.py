"""An MTConnect agent's requests: `probe`, `current`, `sample` (MTConnect Standard Part 1.0, protocol and messaging)."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import quote

import httpx

from collectors.connection import ConnectionLostError
from collectors.mtconnect.document import (
    MAX_DOCUMENT,
    DataItem,
    Devices,
    DocumentError,
    Errors,
    Streams,
    read_document,
)
from collectors.mtconnect.parts import Parts, PartsError, boundary

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 10.0
SILENCE = 2.0
"""Seconds an agent may be late with its heartbeat."""


class RefusedError(ConnectionLostError):
    """The agent answered with an error document. `codes`: MTConnect's, such as "OUT_OF_RANGE"."""

    def __init__(self, message: str, codes: Collection[str]) -> None:
        super().__init__(message)
        self.codes = codes


class UnreadableError(ConnectionLostError):
    """The agent answered with something that is no document of MTConnect."""


class SilentError(ConnectionLostError):
    """The agent took up a stream and never sent anything."""


class Agent:
    """One agent. All requests raise ConnectionLostError or one of its kinds above."""

    def __init__(self, url: str, device: str | None = None) -> None:
        self.url = url
        self._path = f"{url}/{quote(device, safe='')}" if device else url
        timeout = httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT)
        headers = {"Accept": "text/xml, application/xml", "Accept-Encoding": "identity"}
        # The proxy of an office network knows no machine.
        self._http = httpx.AsyncClient(timeout=timeout, headers=headers, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def probe(self) -> Devices:
        """What the agent offers."""
        found = self._read(await self._get("probe", {}), None)
        if not isinstance(found, Devices):
            raise UnreadableError(
                f"{self.url}: the answer to probe lists no devices; is it an MTConnect agent?"
            )
        return found

    async def current(self) -> Streams:
        """The newest observation of every data item, and where the agent's buffer begins and ends."""
        return self._streams(await self._get("current", {}), None)

    async def sample(self, start: int, count: int, wanted: Collection[str] | None) -> Streams:
        """At most `count` observations from sequence number `start` on. `wanted`: `document.read_document`."""
        return self._streams(await self._get("sample", {"from": start, "count": count}), wanted)

    @asynccontextmanager
    async def stream(
        self, start: int, count: int, interval: float, heartbeat: float, wanted: Collection[str]
    ) -> AsyncIterator[AsyncIterator[Streams] | None]:
        """One sample after the other, each going on where the one before ended, at least one every `heartbeat`
        seconds. None: the agent does not stream."""
        asked = {
            "from": start,
            "count": count,
            "interval": round(interval * 1000),
            "heartbeat": round(heartbeat * 1000),
        }
        timeout = httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT, read=2 * heartbeat + SILENCE)
        try:
            async with self._http.stream(
                "GET", f"{self._path}/sample", params=asked, timeout=timeout
            ) as answer:
                separator = boundary(answer.headers.get("content-type", ""))
                if separator is not None:
                    yield self._parts(answer, separator, wanted)
                    return
                # A refusal, or one document: the reader asks again.
                self._streams(await self._body(answer), wanted)
                yield None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise ConnectionLostError(self._said(error)) from error
        except PartsError as error:
            raise UnreadableError(f"{self.url}: {error}") from error

    async def _parts(
        self, answer: httpx.Response, separator: bytes, wanted: Collection[str]
    ) -> AsyncIterator[Streams]:
        parts, some = Parts(separator, MAX_DOCUMENT), False
        try:
            async for data in answer.aiter_bytes():
                for part in parts.feed(data):
                    some = True
                    yield self._streams(part, wanted)
        except httpx.ReadTimeout as error:
            if not some:
                raise SilentError(f"{self.url}: the stream it began stays silent") from error
            raise ConnectionLostError(f"{self.url}: nothing was heard for two heartbeats") from error
        raise ConnectionLostError(f"{self.url}: the agent ended the stream")

    async def _get(self, request: str, asked: dict[str, int]) -> bytes:
        try:
            async with self._http.stream("GET", f"{self._path}/{request}", params=asked) as answer:
                body = await self._body(answer)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise ConnectionLostError(self._said(error)) from error
        if answer.status_code != 200 and b"MTConnectError" not in body[:4096]:
            raise ConnectionLostError(f"{self.url}/{request}: answered with HTTP status {answer.status_code}")
        return body

    async def _body(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        async for data in answer.aiter_bytes():
            body += data
            if len(body) > MAX_DOCUMENT:
                raise UnreadableError(f"{self.url}: an answer of more than {MAX_DOCUMENT} bytes")
        return bytes(body)

    def _streams(self, body: bytes, wanted: Collection[str] | None) -> Streams:
        found = self._read(body, wanted)
        if not isinstance(found, Streams):
            raise UnreadableError(f"{self.url}: the answer to current or sample has no observations in it")
        return found

    def _read(self, body: bytes, wanted: Collection[str] | None) -> Devices | Streams:
        try:
            found = read_document(body, wanted)
        except DocumentError as error:
            raise UnreadableError(f"{self.url}: the answer cannot be read: {error}") from error
        if isinstance(found, Errors):
            text = f"{', '.join(found.codes)}: {found.text}" if found.text else ", ".join(found.codes)
            raise RefusedError(f"{self.url}: the agent refuses ({text[:300]})", found.codes)
        return found

    def _said(self, error: Exception) -> str:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return f"no agent at {self.url} ({error or 'no answer'})"
        return f"{self.url}: {error or type(error).__name__}"


async def probe(url: str, device: str | None = None) -> list[DataItem]:
    """What an agent offers. Raises ConnectionLostError: the message says why it could not be asked."""
    async with Agent(url.rstrip("/"), device) as agent:
        return (await agent.probe()).items
