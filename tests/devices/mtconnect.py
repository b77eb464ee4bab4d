"""An MTConnect agent, written from the standard (Part 1.0 Fundamentals: protocol and messaging, the sequence numbers
and the buffer), as none that is independent of this project can be installed for the tests.

It has what collectors trip over: a bounded buffer, sequence numbers, an instance id of its own per start, times of
whole seconds in the header, chunked multipart in pieces of any size, and error documents.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, quoteattr

CATEGORIES = {"SAMPLE": "Samples", "EVENT": "Events", "CONDITION": "Condition"}


@dataclass(frozen=True)
class Item:
    id: str
    name: str
    category: str = "EVENT"
    type: str = "EXECUTION"
    units: str = ""
    representation: str = "VALUE"
    device: str = "Lathe"


@dataclass(frozen=True)
class Seen:
    sequence: int
    item: Item
    time: str
    value: str
    element: str
    """Local name; of a condition its level."""
    attributes: dict[str, str] = field(default_factory=dict)
    inner: str = ""
    """XML inside instead of the value."""

    def xml(self) -> str:
        given = {
            "dataItemId": self.item.id,
            "name": self.item.name,
            "sequence": str(self.sequence),
            "timestamp": self.time,
        }
        if self.item.category == "CONDITION":
            given["type"] = self.item.type
        attributes = "".join(f" {key}={quoteattr(value)}" for key, value in (given | self.attributes).items())
        return f"<{self.element}{attributes}>{self.inner or escape(self.value)}</{self.element}>"


def stamp(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


class RefusedError(Exception):
    def __init__(self, code: str, text: str, status: int = 404) -> None:
        super().__init__(text)
        self.code, self.status = code, status


class Agent:
    """One agent. `streams`: it knows the parameter interval. `version`: of the schema. `piece`: bytes written at once."""

    def __init__(
        self,
        items: Iterable[Item],
        port: int = 0,
        size: int = 1024,
        streams: bool = True,
        version: str = "1.7",
        piece: int = 700,
    ) -> None:
        self.items = {item.id: item for item in items}
        self.port, self.size, self.streams, self.version, self.piece = port, size, streams, version, piece
        self.instance = 1_600_000_000
        self.requests: list[str] = []
        self._server: Any = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._news = asyncio.Event()
        self.boot()

    def boot(self) -> None:
        """Start anew: nothing is left, everything is unavailable."""
        self.instance += 1
        self.next = 1
        self.buffer: deque[Seen] = deque(maxlen=self.size)
        self.active: dict[str, list[Seen]] = {}
        for item in self.items.values():
            self.put(item.id, "UNAVAILABLE", datetime.now(UTC))

    @property
    def first(self) -> int:
        return self.buffer[0].sequence if self.buffer else self.next

    def put(self, item: str, value: str, time: datetime | str, inner: str = "", **attributes: str) -> None:
        """An observation; of a condition `value` is the level and the attribute `text` its words."""
        of = self.items[item]
        text = attributes.pop("text", "")
        condition = of.category == "CONDITION"
        element = value.capitalize() if condition else "".join(w.capitalize() for w in of.type.split("_"))
        written = stamp(time) if isinstance(time, datetime) else time
        seen = Seen(self.next, of, written, text if condition else value, element, attributes, inner)
        self.next += 1
        self.buffer.append(seen)
        self._remember(seen)
        self._news.set()
        self._news = asyncio.Event()

    def _remember(self, seen: Seen) -> None:
        """What `current` says: the newest; of a condition everything that is active."""
        code = seen.attributes.get("nativeCode", "")
        have = self.active.get(seen.item.id, [])
        if seen.item.category != "CONDITION" or not code or seen.element == "Unavailable":
            have = []
        active = [
            h for h in have if h.attributes.get("nativeCode") != code and h.element in ("Fault", "Warning")
        ]
        if seen.element != "Normal" or not code or not active:
            active.append(seen)
        self.active[seen.item.id] = active

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody can reach it; it goes on observing."""
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = head.split(b" ", 2)[1].decode()
                self.requests.append(target)
                try:
                    await self._answer(target, writer)
                except RefusedError as error:
                    await self._send(writer, self.error(error.code, str(error)).encode(), error.status)
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, target: str, writer: asyncio.StreamWriter) -> None:
        url = urlsplit(target)
        *device, request = [unquote(p) for p in url.path.split("/") if p] or ["probe"]
        asked = {key: values[-1] for key, values in parse_qs(url.query).items()}
        if device and device[0] not in {i.device for i in self.items.values()}:
            raise RefusedError("NO_DEVICE", f"Could not find the device '{device[0]}'")
        only = device[0] if device else None
        if request == "probe":
            await self._send(writer, self.probe(only).encode())
        elif request == "current":
            every = itertools.chain.from_iterable(self.active.values())
            await self._send(writer, self.document(list(every), self.next, only).encode())
        elif request == "sample" and "interval" in asked and self.streams:
            await self._stream(writer, asked, only)
        elif request == "sample":
            found, next_ = self.sample(asked)
            await self._send(writer, self.document(found, next_, only).encode())
        else:
            raise RefusedError("UNSUPPORTED", f"The following path is invalid: {request}", 400)

    def sample(self, asked: dict[str, str]) -> tuple[list[Seen], int]:
        count, start = int(asked.get("count", 100)), int(asked.get("from", self.first))
        if not self.first <= start <= self.next:
            side = f"greater than {self.first - 1}" if start < self.first else f"less than {self.next + 1}"
            raise RefusedError("OUT_OF_RANGE", f"'from' must be {side}")
        if not 0 < count <= self.size:
            raise RefusedError("OUT_OF_RANGE", f"'count' must be less than {self.size + 1}")
        found = [seen for seen in self.buffer if seen.sequence >= start][:count]
        return found, found[-1].sequence + 1 if found else start

    async def _stream(self, writer: asyncio.StreamWriter, asked: dict[str, str], only: str | None) -> None:
        interval, heartbeat = int(asked["interval"]) / 1000, int(asked.get("heartbeat", 10_000)) / 1000
        self.sample(asked)  # may be refused
        mark = "a-boundary-of-the-tests"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={mark}\r\n"
        writer.write((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
        while True:
            news = self._news
            try:
                found, next_ = self.sample(asked)
                body = self.document(found, next_, only)
                asked = asked | {"from": str(next_)}
            except RefusedError as error:
                body, next_ = self.error(error.code, str(error)), -1
            part = body.encode()
            part = (
                f"--{mark}\r\nContent-type: text/xml\r\nContent-length: {len(part)}\r\n\r\n".encode() + part
            )
            await self._chunks(writer, part + b"\r\n")
            if next_ < 0:
                writer.close()
                return
            await asyncio.sleep(interval)
            if next_ == self.next:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), heartbeat)

    async def _chunks(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for at in range(0, len(data), self.piece):
            piece = data[at : at + self.piece]
            writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
            await writer.drain()

    async def _send(self, writer: asyncio.StreamWriter, body: bytes, status: int = 200) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    def _document(self, kind: str, header: str, body: str) -> str:
        created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<MTConnect{kind} xmlns:m="urn:mtconnect.org:MTConnect{kind}:{self.version}" '
            f'xmlns="urn:mtconnect.org:MTConnect{kind}:{self.version}">'
            f'<Header creationTime="{created}" sender="test" instanceId="{self.instance}" '
            f'version="{self.version}.0.12" bufferSize="{self.size}" {header}/>{body}</MTConnect{kind}>'
        )

    def document(self, found: list[Seen], next_: int, only: str | None = None) -> str:
        """A streams document."""
        devices = []
        for device in sorted({i.device for i in self.items.values()}):
            mine = [seen for seen in found if seen.item.device == device]
            if only not in (None, device) or not mine:
                continue
            held = "".join(
                f"<{container}>{''.join(s.xml() for s in mine if s.item.category == category)}</{container}>"
                for category, container in CATEGORIES.items()
                if any(s.item.category == category for s in mine)
            )
            component = f'<ComponentStream component="Path" name="path" componentId="p-{device}">{held}</ComponentStream>'
            devices.append(f'<DeviceStream name="{device}" uuid="uuid-{device}">{component}</DeviceStream>')
        header = f'nextSequence="{next_}" firstSequence="{self.first}" lastSequence="{self.next - 1}"'
        return self._document("Streams", header, f"<Streams>{''.join(devices)}</Streams>")

    def probe(self, only: str | None = None) -> str:
        devices = []
        for device in sorted({i.device for i in self.items.values()}):
            if only not in (None, device):
                continue
            items = "".join(
                f'<DataItem category="{i.category}" id="{i.id}" name="{i.name}" type="{i.type}"'
                + (f' units="{i.units}" nativeUnits="{i.units}"' if i.units else "")
                + (f' representation="{i.representation}"' if i.representation != "VALUE" else "")
                + "/>"
                for i in self.items.values()
                if i.device == device
            )
            devices.append(
                f'<Device id="d-{device}" name="{device}" uuid="uuid-{device}"><Components><Controller id="c-{device}" '
                f'name="controller"><Components><Path id="p-{device}" name="path"><DataItems>{items}</DataItems></Path>'
                "</Components></Controller></Components></Device>"
            )
        return self._document(
            "Devices", 'assetBufferSize="8" assetCount="0"', f"<Devices>{''.join(devices)}</Devices>"
        )

    def error(self, code: str, text: str) -> str:
        return self._document(
            "Error", "", f'<Errors><Error errorCode="{code}">{escape(text)}</Error></Errors>'
        )


class MtconnectDevice:
    """`devices.base.Device`."""

    state, order, wrong = "execution", "Lathe:job", "nothing"

    def __init__(self, port: int = 0) -> None:
        self.agent = Agent([Item("l-1", "execution"), Item("l-2", "job", type="PROGRAM")], port)

    def options(self) -> dict[str, object]:
        return {"url": f"http://127.0.0.1:{self.agent.port}"}

    async def start(self) -> None:
        await self.agent.start()

    async def stop(self) -> None:
        await self.agent.stop()

    async def put(self, state: int, order: str, time: datetime) -> None:
        self.agent.put("l-1", str(state), time)
        self.agent.put("l-2", order, time)
