"""A device that publishes to a Mosquitto broker, which says for it when it is gone."""

import asyncio
import json
from datetime import UTC, datetime

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.mosquitto import PASSWORD, USER, BrokerOptions, Mosquitto


class Publisher:
    """A client that publishes, in a thread of its own; `online` on its status topic, and `offline` by its will."""

    def __init__(
        self, port: int, status: str | None = None, name: str = "", tls: tuple[str, str, str] | None = None
    ) -> None:
        self._port, self._status = port, status
        self._client = Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv311, clean_session=not name
        )
        self._client.username_pw_set(USER, PASSWORD)
        self._client.max_inflight_messages_set(1000)
        if tls is not None:
            self._client.tls_set(*tls)
        if status is not None:
            self._client.will_set(status, "offline", 1, retain=True)

    def start(self) -> None:
        """Returns when it is connected."""
        self._client.connect("127.0.0.1", self._port, 5)
        self._client.loop_start()
        if self._status is not None:
            self.put(self._status, "online", retain=True)

    def put(self, topic: str, payload: str | bytes, qos: int = 1, retain: bool = False) -> None:
        """Returns when the broker has it."""
        self.send(topic, payload, qos, retain)()

    def send(self, topic: str, payload: str | bytes, qos: int = 1, retain: bool = False) -> "Wait":
        """Publish; what it gives waits until the broker has it."""
        return Wait(self._client.publish(topic, payload, qos, retain))

    def stop(self) -> None:
        """Say goodbye: nobody says that it is gone."""
        self._client.disconnect()
        self._client.loop_stop()

    def cut(self) -> None:
        """End without a word."""
        self._client.loop_stop()
        connection = self._client.socket()
        if connection is not None:
            connection.close()


class Wait:
    """For one message."""

    def __init__(self, info: object) -> None:
        self._info = info

    def __call__(self, timeout: float = 10.0) -> None:
        self._info.wait_for_publish(timeout)  # type: ignore[attr-defined]
        if not self._info.is_published():  # type: ignore[attr-defined]
            raise TimeoutError("the broker did not take a message")


class MqttDevice:
    """Broker and publisher together."""

    state, order, wrong = "plant/m#/state", "plant/m#order", "plant/m#/nothing"

    def __init__(self, port: int = 0, options: BrokerOptions | None = None) -> None:
        self.broker = Mosquitto(port, options)
        self._publisher: Publisher | None = None

    def options(self) -> dict[str, object]:
        return self.broker.options() | {"time": "/ts", "status_topic": "plant/m/status", "keep_alive": "2s"}

    async def start(self) -> None:
        await asyncio.to_thread(self.broker.start)
        self._publisher = Publisher(self.broker.port, "plant/m/status")
        await asyncio.to_thread(self._publisher.start)

    async def stop(self) -> None:
        assert self._publisher is not None
        await asyncio.to_thread(self._publisher.stop)
        await asyncio.to_thread(self.broker.stop)

    async def put(self, state: int, order: str, time: datetime) -> None:
        said = {"ts": time.astimezone(UTC).isoformat(), "state": state, "order": order}
        assert self._publisher is not None
        await asyncio.to_thread(self._publisher.put, "plant/m", json.dumps(said), 1, True)
