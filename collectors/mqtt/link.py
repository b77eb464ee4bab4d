"""One connection to a broker in this event loop, on paho-mqtt: messages in batches, acknowledged when asked to."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from collectors.connection import ConnectionLostError
from collectors.mqtt.stream import LARGEST, MalformedError, Message, Stream, StreamClient, acknowledgement

ANSWER_WITHIN = 5.0
"""Seconds a broker may take to connect and to answer a subscription."""
MOST_WAITING = 50_000
"""Messages read and not yet taken; at that many reading pauses."""
IN_FLIGHT = 20_000
"""Messages an MQTT 5 broker may send ahead of our acknowledgements. Mosquitto's own limit of 20, which a client of
3.1.1 cannot change, would be 20 for each fsync."""
SOON = 10.0
"""Seconds: of two with one client id, each makes the broker end the other's connection about as soon."""
FILTERS_AT_ONCE = 200
"""Subscriptions in one request."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes when we are gone."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


class Link:
    """A connection. `options` are those of `collectors.mqtt.broker.READERS`."""

    def __init__(self, options: Mapping[str, Any], client_id: str, will: Will | None = None) -> None:
        self._options, self._will = options, will
        self.place = f"{options['host']}:{port_of(options)}"
        self._five = options["version"] == "5"
        self._client = StreamClient(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._five else options["session_expiry"] == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self._waiting: list[Message] = []
        self._arrived = asyncio.Event()
        self._answers: dict[int | None, asyncio.Future[list[ReasonCode]]] = {}
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._socket: Stream | None = None
        self._paused = self._writing = self._present = False
        self._since = 0.0
        """When the broker took the connection."""
        self._misc: asyncio.Task[None] | None = None

    async def open(self) -> bool:
        """Connect; whether the broker still had our session. Raises ConnectionLostError saying why not."""
        client, options = self._client, self._options
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_unsubscribe = self._on_subscribe, self._on_unsubscribe
        client.connect_timeout = ANSWER_WITHIN
        client.username_pw_set(options["user"], options["password"])
        if (context := _tls(options)) is not None:
            client.tls_set_context(context)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        answer = self._answers[None] = self._loop.create_future()
        arguments: dict[str, Any] = {}
        if self._five:
            properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = min(int(options["session_expiry"]), 0xFFFFFFFE)
            properties.ReceiveMaximum, properties.MaximumPacketSize = IN_FLIGHT, LARGEST
            arguments = {"clean_start": options["session_expiry"] == 0, "properties": properties}
        keep_alive = max(1, round(options["keep_alive"]))
        try:
            await asyncio.to_thread(
                client.connect, options["host"], port_of(options), keep_alive, **arguments
            )
        except (OSError, ValueError) as error:
            raise ConnectionLostError(f"no broker at {self.place} ({error or 'no answer'})") from error
        self._socket = client.stream
        assert self._socket is not None
        client.on_socket_close = lambda *_: self._detach()
        self._socket.on_send = self._want_write
        self._loop.add_reader(self._socket, self._readable)
        self._want_write()
        self._misc = asyncio.create_task(self._look_after(min(1.0, keep_alive / 4)))
        await self._answered(answer, "the connection")
        return self._present

    async def subscribe(self, filters: Sequence[str], qos: int) -> dict[str, str]:
        """Subscribe, retained messages included; the filters the broker refused, each with its reason."""
        refused: dict[str, str] = {}
        for start in range(0, len(filters), FILTERS_AT_ONCE):
            some = filters[start : start + FILTERS_AT_ONCE]
            asked: Any = [(f, SubscribeOptions(qos) if self._five else qos) for f in some]
            answer = self._asked(self._client.subscribe(asked))
            codes = await self._answered(answer, "a subscription")
            refused |= {f: str(code) for f, code in zip(some, codes, strict=False) if code.is_failure}
        return refused

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """End subscriptions the session still has."""
        for start in range(0, len(filters), FILTERS_AT_ONCE):
            some = list(filters[start : start + FILTERS_AT_ONCE])
            await self._answered(self._asked(self._client.unsubscribe(some)), "the end of a subscription")

    async def take(self, timeout: float) -> list[Message]:
        """All messages that have come, oldest first; none after `timeout` seconds. Raises ConnectionLostError once
        the connection is gone and everything it brought is taken."""
        if not self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
        messages, self._waiting = self._waiting, []
        self._arrived.clear()
        if self._paused and self._socket is not None:
            self._paused = False
            self._loop.add_reader(self._socket, self._readable)
            self._loop.call_soon(self._readable)
        if self._lost.done():
            if not messages:
                raise ConnectionLostError(self._lost.result())
            self._arrived.set()
        return messages

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these, in the order they came, will not be needed again."""
        numbers = [message.number for message in messages if message.number]
        if numbers and self._socket is not None:
            self._socket.send(b"".join(map(acknowledgement, numbers)))

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        """Send a message; not kept for a later connection."""
        if not self._lost.done():
            self._client.publish(topic, payload, qos, retain)

    async def close(self) -> None:
        """End the connection; the session stays with the broker for its time."""
        if self._socket is not None and not self._lost.done():
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await asyncio.shield(self._lost)
        if self._misc is not None:
            self._misc.cancel()
        self._end("the connection was closed")

    def _asked(self, sent: tuple[MQTTErrorCode, int | None]) -> "asyncio.Future[list[ReasonCode]]":
        code, number = sent
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise ConnectionLostError(f"{self.place}: {code.name}")
        return self._answers.setdefault(number, self._loop.create_future())

    async def _answered(self, answer: "asyncio.Future[list[ReasonCode]]", what: str) -> list[ReasonCode]:
        either: list[asyncio.Future[Any]] = [answer, self._lost]
        await asyncio.wait(either, timeout=ANSWER_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if self._lost.done():
            raise ConnectionLostError(self._lost.result())
        raise ConnectionLostError(f"{self.place} does not answer about {what}")

    def _readable(self) -> None:
        stream = self._socket
        if stream is None or self._paused:
            return
        more = stream.fill()
        try:
            while stream.publishes(self._waiting, self._five):
                self._client.loop_read()  # exactly the packet that is here whole
                if self._socket is None:
                    return
        except MalformedError as error:
            self._end(f"{self.place} sends what is no MQTT: {error}")
            return
        if self._waiting:
            self._arrived.set()
        if stream.over:
            self._client.loop_read()
        elif len(self._waiting) >= MOST_WAITING:
            self._paused = True
            self._loop.remove_reader(stream)
        elif more:
            self._loop.call_soon(self._readable)

    def _want_write(self) -> None:
        if self._socket is not None and not self._writing:
            self._writing = True
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        if self._socket is not None and self._socket.flush():
            self._writing = False
            self._loop.remove_writer(self._socket)

    async def _look_after(self, every: float) -> None:
        while not self._lost.done():
            await asyncio.sleep(every)
            if not self._paused:
                self._client.loop_misc()

    def _detach(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None

    def _end(self, reason: str) -> None:
        self._detach()
        if not self._lost.done():
            self._lost.set_result(reason)
        self._arrived.set()

    def _on_connect(self, _c: object, _u: object, flags: ConnectFlags, code: ReasonCode, _p: object) -> None:
        if code.is_failure:
            self._end(f"{self.place} refuses the connection: {_refusal(code)}")
        else:
            self._present, self._since = flags.session_present, self._loop.time()
            self._answers.pop(None).set_result([code])

    def _on_disconnect(
        self, _c: object, _u: object, flags: DisconnectFlags, code: ReasonCode, _p: object
    ) -> None:
        if str(code) == "Session taken over":
            reason = "somebody else connects with our client id; give this source a client_id of its own"
        elif flags.is_disconnect_packet_from_server:
            reason = f"the broker ended the connection: {code}"
        elif str(code) == "Keep alive timeout":
            reason = "the broker does not answer"
        else:
            reason = "the connection ended"
            if self._loop.time() - self._since < SOON:
                reason += " at once; if that repeats, somebody else connects with our client id"
        self._end(f"{self.place}: {reason}")

    def _on_subscribe(self, _c: object, _u: object, number: int, codes: list[ReasonCode], _p: object) -> None:
        self._answers.setdefault(number, self._loop.create_future()).set_result(codes)
        self._answers.pop(number)

    def _on_unsubscribe(
        self, _c: object, _u: object, number: int, codes: list[ReasonCode], _p: object
    ) -> None:
        self._on_subscribe(_c, _u, number, codes, _p)


def port_of(options: Mapping[str, Any]) -> int:
    """The port asked for, else the usual one of MQTT or of MQTT over TLS."""
    return int(options["port"] or (8883 if secured(options) else 1883))


def secured(options: Mapping[str, Any]) -> bool:
    """Whether the connection is TLS: asked for, or there is something to check it with."""
    return bool(options["tls"] or options["ca"] or options["certificate"])


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    if not secured(options):
        return None
    named = "ca"
    try:
        context = ssl.create_default_context(cafile=options["ca"])
        named = "certificate"
        if options["certificate"]:
            context.load_cert_chain(options["certificate"], options["key"])
    except (OSError, ssl.SSLError) as error:
        raise ConnectionLostError(f'cannot read the file of option "{named}": {error}') from error
    return context


def _refusal(code: ReasonCode) -> str:
    said = str(code)
    fixes = {
        "Unsupported protocol version": 'it does not speak this version; set version = "3.1.1"',
        "Bad user name or password": "it does not know this user and password",
        "Not authorized": "this user may not connect, or the broker wants user and password",
        "Client identifier not valid": "it does not take the client_id",
    }
    return fixes.get(said, said)
