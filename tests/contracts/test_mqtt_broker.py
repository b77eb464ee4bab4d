"""What the MQTT collector does with a real broker's faults and features, beside the contract of all collectors."""

import asyncio
import datetime as dt
import ipaddress
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from devices.mosquitto import PASSWORD, USER, BrokerOptions, Mosquitto
from devices.mqtt import Publisher
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from collectors.mqtt import create
from collectors.mqtt.listen import listen
from plant.frames import BAD, GOOD, SAMPLES, UNCERTAIN
from plant.model import Role, Signal, Source

pytestmark = pytest.mark.server
DEADLINE = 20.0
START = datetime(2026, 1, 31, 6, tzinfo=UTC)


class Taken:
    """An `Emit` that keeps what it took; `hold` makes it wait."""

    def __init__(self) -> None:
        self.frames: list[pl.DataFrame] = []
        self.gaps: list[tuple[datetime, datetime, str]] = []
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, samples: pl.DataFrame) -> None:
        await self.free.wait()
        self.frames.append(samples)

    async def gap(self, first: datetime, last: datetime, why: str, signals: Sequence[str] = ()) -> None:
        self.gaps.append((first, last, why))

    def of(self, signal: str) -> list[tuple[float | str | None, int]]:
        rows = pl.concat([pl.DataFrame(schema=dict(SAMPLES)), *self.frames]).filter(
            pl.col("signal") == signal
        )
        return [(v if v is not None else t, q) for v, t, q in rows.select("value", "text", "quality").rows()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


def signal(name: str, address: str, role: Role = Role.STATE, **collect: object) -> Signal:
    return Signal(id=name, equipment="m", role=role, source="s", address=address, collect=collect)


@asynccontextmanager
async def collecting(
    broker: Mosquitto, folder: Path, *signals: Signal, emit: Taken | None = None, **options: object
) -> AsyncIterator[tuple[Any, Taken]]:
    source = Source(id="s", protocol="mqtt", options=broker.options() | {"keep_alive": "1s"} | options)
    collector, taken = create(source, signals, folder), emit or Taken()
    task = asyncio.create_task(collector.run(taken))
    try:
        yield collector, taken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def said(number: int) -> str:
    return json.dumps({"ts": (START + timedelta(milliseconds=number)).isoformat(), "v": number})


@asynccontextmanager
async def running(options: BrokerOptions | None = None) -> AsyncIterator[tuple[Mosquitto, Publisher]]:
    broker = Mosquitto(options=options)
    await asyncio.to_thread(broker.start)
    publisher = Publisher(broker.port)
    try:
        await asyncio.to_thread(publisher.start)
        yield broker, publisher
        await asyncio.to_thread(publisher.stop)
    finally:
        broker.kill()


async def put(publisher: Publisher, topic: str, payload: str, retain: bool = False) -> None:
    await asyncio.to_thread(publisher.put, topic, payload, 1, retain)


VALUE = signal("v", "plant/v#v", Role.PROCESS_VALUE, time="ts")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_nothing_is_acknowledged_before_it_is_on_disk(tmp_path: Path, version: str) -> None:
    """What was never acknowledged comes again, in another session of the same client."""

    async def main() -> None:
        async with running() as (broker, publisher):
            stuck = Taken()
            async with collecting(broker, tmp_path, VALUE, emit=stuck, version=version) as (collector, _):
                await until(lambda: collector.status.connected)
                stuck.free.clear()
                for number in range(5):
                    await put(publisher, "plant/v", said(number))
                await asyncio.sleep(0.3)
                assert stuck.of("v") == []
            for number in range(5, 10):
                await put(publisher, "plant/v", said(number))
            async with collecting(broker, tmp_path, VALUE, version=version) as (_, taken):
                await until(lambda: len(taken.of("v")) == 10)
                assert taken.of("v") == [(float(number), GOOD) for number in range(10)]
                assert taken.gaps == []
            async with collecting(broker, tmp_path, VALUE, version=version) as (collector, taken):
                await until(lambda: collector.status.connected)
                await asyncio.sleep(0.3)
                assert taken.of("v") == []

    asyncio.run(main())


def test_a_broker_that_starts_again_with_what_it_kept_has_lost_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        broker = Mosquitto()
        broker.start()
        publisher = Publisher(broker.port)
        publisher.start()
        async with collecting(broker, tmp_path, VALUE) as (collector, _):
            await until(lambda: collector.status.connected)
        for number in range(20):
            await put(publisher, "plant/v", said(number))
        publisher.stop()
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        try:
            async with collecting(broker, tmp_path, VALUE) as (_, taken):
                await until(lambda: len(taken.of("v")) == 20)
                assert taken.of("v") == [(float(number), GOOD) for number in range(20)] and taken.gaps == []
        finally:
            broker.kill()

    asyncio.run(main())


def test_a_session_the_broker_no_longer_has_is_a_gap(tmp_path: Path) -> None:
    async def main() -> None:
        async with running() as (broker, publisher):
            async with collecting(broker, tmp_path, VALUE) as (collector, taken):
                await until(lambda: collector.status.connected)
                await put(publisher, "plant/v", said(1))
                await until(lambda: len(taken.of("v")) == 1)
                assert taken.gaps == []
            left = datetime.now(UTC)
            broker.kill()
            broker.forget()
            await asyncio.to_thread(broker.start)
            async with collecting(broker, tmp_path, VALUE) as (collector, taken):
                await until(lambda: collector.status.connected)
                ((first, last, why),) = taken.gaps
                assert first <= left <= last and "had no session" in why

    asyncio.run(main())


def test_a_stalled_broker_is_a_loss_and_its_messages_come_afterwards(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            running() as (broker, publisher),
            collecting(broker, tmp_path, VALUE) as (collector, taken),
        ):
            await until(lambda: collector.status.connected)
            await put(publisher, "plant/v", said(1))
            await until(lambda: (1.0, GOOD) in taken.of("v"))
            broker.freeze()
            sending = publisher.send("plant/v", said(2))
            await until(lambda: not collector.status.connected)
            assert "does not answer" in collector.status.detail
            broker.thaw()
            await until(lambda: collector.status.connected and (2.0, GOOD) in taken.of("v"))
            await asyncio.to_thread(sending)
            assert taken.of("v").count((None, BAD)) == 1 and taken.gaps == []

    asyncio.run(main())


def test_a_payload_that_cannot_be_read_holds_up_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with running() as (broker, publisher):
            async with collecting(broker, tmp_path, VALUE) as (collector, taken):
                await until(lambda: collector.status.connected)
                for payload in ("{", "[]", said(1), "\x00", '{"v": {}}', '{"v": 5}'):
                    await put(publisher, "plant/v", payload)
                    await asyncio.sleep(0.05)
                await until(lambda: "no time" in collector.status.bad.get("m.v", ""))
                assert "unusable payloads" in collector.status.bad["m.v"]
                await put(publisher, "plant/v", said(2))
                await until(lambda: (2.0, GOOD) in taken.of("v"))
                assert collector.status.bad == {} and (1.0, GOOD) in taken.of("v")
                assert {q for v, q in taken.of("v") if v is None} == {BAD}
            async with collecting(broker, tmp_path, VALUE) as (collector, taken):
                await until(lambda: collector.status.connected)
                await asyncio.sleep(0.2)
                assert taken.frames == []  # all of it was acknowledged

    asyncio.run(main())


def test_a_device_that_goes_takes_its_values_along(tmp_path: Path) -> None:
    ours = signal("state", "plant/a#v", status_topic="plant/a/status")
    other = signal("other", "plant/b#v")
    unsaid = signal("unsaid", "plant/b#v", status_topic="plant/b/status")

    async def main() -> None:
        async with running() as (broker, _):
            device = Publisher(broker.port, "plant/a/status")
            await asyncio.to_thread(device.start)
            async with collecting(broker, tmp_path, ours, other, unsaid, heartbeat="100ms") as (
                collector,
                taken,
            ):
                await until(lambda: collector.status.connected)
                await put(device, "plant/a", '{"v": 6}')
                await put(device, "plant/b", '{"v": 7}')
                await until(lambda: taken.of("state").count((6.0, GOOD)) >= 3)
                assert (
                    taken.of("other") == taken.of("unsaid") == [(7.0, GOOD)]
                )  # nobody says that it still stands
                device.cut()
                await until(lambda: (None, BAD) in taken.of("state"))
                assert "plant/a/status" in collector.status.bad["m.state"]
                await asyncio.sleep(0.5)
                assert taken.of("state")[-1] == (None, BAD) and taken.of("other") == [(7.0, GOOD)]
                again = Publisher(broker.port, "plant/a/status")
                await asyncio.to_thread(again.start)
                await put(again, "plant/a", '{"v": 8}')
                await until(lambda: (8.0, GOOD) in taken.of("state"))
                assert collector.status.bad == {}
                await asyncio.to_thread(again.stop)

    asyncio.run(main())


def test_retained_values_prove_only_what_they_say(tmp_path: Path) -> None:
    timed = signal("timed", "plant/a#v", time="ts")
    plain = signal("plain", "plant/b")
    there = signal("there", "plant/c", status_topic="plant/c/status")
    gone = signal("gone", "plant/d", status_topic="plant/d/status")

    async def main() -> None:
        async with running() as (broker, publisher):
            await put(publisher, "plant/a", said(3), retain=True)
            for topic in "bcd":
                await put(publisher, f"plant/{topic}", "4", retain=True)
            await put(publisher, "plant/c/status", "online", retain=True)
            await put(publisher, "plant/d/status", "offline", retain=True)
            async with collecting(broker, tmp_path, timed, plain, there, gone, heartbeat="100ms") as (
                _,
                taken,
            ):
                await until(lambda: (4.0, UNCERTAIN) in taken.of("plain") and len(taken.of("there")) >= 3)
                times = pl.concat(taken.frames).filter(pl.col("signal") == "timed")["time"].to_list()
                assert times == [START + timedelta(milliseconds=3)]
                assert taken.of("plain") == [(4.0, UNCERTAIN)]
                assert taken.of("gone")[-1] == (None, BAD)

    asyncio.run(main())


def test_what_comes_late_changes_nothing_that_was_said_since(tmp_path: Path) -> None:
    state = signal("state", "plant/a#v", time="ts", status_topic="plant/a/status")

    async def main() -> None:
        async with running() as (broker, publisher):
            await put(publisher, "plant/a/status", "online", retain=True)
            async with collecting(broker, tmp_path, state, heartbeat="100ms") as (collector, taken):
                await until(lambda: collector.status.connected)
                for value, age in ((6, 0), (3, 3600)):
                    at = datetime.now(UTC) - timedelta(seconds=age)
                    await put(publisher, "plant/a", json.dumps({"ts": at.isoformat(), "v": value}))
                    await until(lambda value=value: (float(value), GOOD) in taken.of("state"))
                    seen = len(taken.of("state"))
                    await until(lambda seen=seen: len(taken.of("state")) >= seen + 3)
                assert taken.of("state").count((3.0, GOOD)) == 1 and taken.of("state")[-1] == (6.0, GOOD)

    asyncio.run(main())


def test_topics_no_longer_wanted_are_no_longer_sent(tmp_path: Path) -> None:
    async def main() -> None:
        async with running() as (broker, publisher):
            old, new = signal("old", "plant/old"), signal("new", "plant/new")
            async with collecting(broker, tmp_path, old) as (collector, _):
                await until(lambda: collector.status.connected)
            async with collecting(broker, tmp_path, new, emit=(taken := Taken())) as (collector, _):
                await until(lambda: collector.status.connected)
                seen: list[str] = []
                decode = collector._decoder.decode

                def looking(messages: list[Any], *rest: Any) -> Any:
                    seen.extend(message.topic for message in messages)
                    return decode(messages, *rest)

                collector._decoder.decode = looking
                await put(publisher, "plant/old", "1")
                await put(publisher, "plant/new", "2")
                await until(lambda: (2.0, GOOD) in taken.of("new"))
                assert seen == ["plant/new"]

    asyncio.run(main())


def test_a_refusal_says_what_to_correct(tmp_path: Path) -> None:
    async def main() -> None:
        async with running() as (broker, _):
            async with collecting(broker, tmp_path, VALUE, password="wrong") as (collector, _):
                await until(lambda: "refuses" in collector.status.detail)
                assert any(
                    word in collector.status.detail for word in ("user and password", "may not connect")
                )
            async with collecting(broker, tmp_path, VALUE) as (collector, _):
                await until(lambda: collector.status.connected)
                name = json.loads((tmp_path / "sources" / "s" / "session.json").read_text())["client_id"]
                thief = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
                thief.username_pw_set(USER, PASSWORD)
                thief.connect("127.0.0.1", broker.port)
                await until(lambda: "client id" in collector.status.detail)
                thief.disconnect()

    asyncio.run(main())


def certificates(folder: Path) -> None:
    """A certificate authority, and a server and a client certificate of it."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ca of the tests")])
    now = dt.datetime.now(UTC)

    def issue(name: x509.Name, key: Any, authority: bool, host: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    def write(name: str, certificate: x509.Certificate, key: Any) -> None:
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    write("ca", issue(ca_name, ca_key, True, False), ca_key)
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        write(name, issue(subject, key, False, name == "server"), key)


def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    certificates(tmp_path)
    files = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "client")}

    async def main() -> None:
        broker = Mosquitto(options=BrokerOptions(tls=tmp_path, client_certificates=True))
        broker.start()
        publisher = Publisher(broker.port, tls=(files["ca"], files["client"], str(tmp_path / "client.key")))
        try:
            own = {"certificate": files["client"], "key": str(tmp_path / "client.key")}
            async with collecting(broker, tmp_path, VALUE, ca=files["ca"], **own) as (collector, taken):
                await until(lambda: collector.status.connected)
                await asyncio.to_thread(publisher.start)
                for number in range(3000):  # more than one TLS record at once
                    last = publisher.send("plant/v", said(number))
                await asyncio.to_thread(last)
                await until(lambda: len(taken.of("v")) == 3000)
            for wrong, expected in (
                ({"tls": True} | own, "certificate verify failed"),
                ({"ca": files["ca"]}, "127.0.0.1"),
                ({"ca": str(tmp_path / "none.pem")}, 'option "ca"'),
            ):
                async with collecting(broker, tmp_path, VALUE, **wrong) as (collector, _):
                    await until(lambda: "trying again" in collector.status.detail)
                    assert expected in collector.status.detail
        finally:
            publisher.stop()
            broker.kill()

    asyncio.run(main())


def test_listening_shows_what_there_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with running() as (broker, publisher):
            await put(publisher, "plant/a", '{"a": {"b/c": [1, "x"]}, "t": true}', retain=True)
            await put(publisher, "plant/b", "6", retain=True)
            listening = asyncio.create_task(listen(broker.options(), ["plant/#"], 1.0))
            await asyncio.sleep(0.4)
            await put(publisher, "plant/b", "7")
            await put(publisher, "other", "7")
            first, second = await listening
            assert {place: f.kind for place, f in first.fields.items()} == {
                "/a/b~1c/0": "number", "/a/b~1c/1": "text", "/t": "bool",
            }  # fmt: skip
            assert (second.topic, second.messages, second.retained, second.kind) == (
                "plant/b",
                2,
                1,
                "number",
            )
            assert [value for _, value in second.fields[""].values] == [6, 7] and second.fields[
                ""
            ].changes == 1

    asyncio.run(main())
