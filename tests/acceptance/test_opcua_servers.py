"""The independent OPC UA servers do what `devices.opcua_servers` says of them; other tests build on that."""

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import BadUserAccessDenied
from cryptography.x509.oid import ExtendedKeyUsageOID
from devices.opcua_servers import NodeOpcUa, Open62541, ServerOptions, ServerProcess

pytestmark = pytest.mark.server

COUNTED: dict[str, Callable[[Any], int]] = dict.fromkeys(
    ("Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double"),
    int,
) | {
    "String": lambda text: int(text[1:]),
    "LocalizedText": lambda text: int(text.Text[1:]),
    "DateTime": lambda time: int(time.timestamp()),
}
"""By type how often a value says it was written."""
Server = Callable[[int, ServerOptions], ServerProcess]


@pytest.fixture(params=[NodeOpcUa, Open62541], ids=["node-opcua", "open62541"])
def server(request: pytest.FixtureRequest) -> Server:
    return request.param


async def node(client: Client, server: ServerProcess, name: str) -> Any:
    index = await client.get_namespace_index(server.asked.namespace)
    return client.get_node(f"ns={index};s={name}")


def test_it_writes_keeps_and_takes_values(server: Server) -> None:
    async def body() -> None:
        there = server(
            0, ServerOptions(variables=4, rate=20, types=("Double", "String", "Int64"), history=500)
        )
        await there.start()
        try:
            async with Client(there.url) as client:
                first = await node(client, there, "v0")
                while not await first.read_value():  # what it is made with has the time of its making
                    await asyncio.sleep(0.02)
                began = (await first.read_data_value()).SourceTimestamp
                await asyncio.sleep(1.2)
                # 50 ms apart, each with its own time, in the order they were written
                history = await first.read_raw_history(began, datetime.now(UTC) + timedelta(seconds=1))
                values = [data.Value.Value for data in history]
                assert len(values) >= 15 and values == list(
                    range(int(values[0]), int(values[0]) + len(values))
                )
                steps = {b.SourceTimestamp - a.SourceTimestamp for a, b in itertools.pairwise(history)}
                assert steps == {timedelta(milliseconds=50)}
                assert str(await (await node(client, there, "v1")).read_value()).startswith("v")
                assert isinstance(await (await node(client, there, "v2")).read_value(), int)
                time = datetime(2026, 3, 1, 6, 0, 0, 250_000, tzinfo=UTC)
                await there.write({"m.state": 6}, time, "UncertainLastUsableValue")
                data = await (await node(client, there, "m.state")).read_data_value(raise_on_bad_status=False)
                assert (data.Value.Value, data.SourceTimestamp) == (6, time)
                assert data.StatusCode.name == "UncertainLastUsableValue"
        finally:
            await there.stop()

    asyncio.run(body())


def test_each_writing_of_every_type_is_published(server: Server) -> None:
    """The numbers say how often they were written: nothing is left out, nothing comes twice."""

    async def body() -> None:
        there = server(0, ServerOptions(variables=28, rate=50, types=tuple(COUNTED)))
        await there.start()
        try:
            seen: dict[Any, list[Any]] = {}
            async with Client(there.url) as client:
                nodes = [await node(client, there, f"v{n}") for n in range(28)]

                class Handler:
                    def datachange_notification(self, of: Any, value: Any, data: Any) -> None:
                        seen.setdefault(of, []).append((value, data.monitored_item.Value.SourceTimestamp))

                subscription = await client.create_subscription(100, Handler())
                await subscription.subscribe_data_change(nodes, queuesize=1000, sampling_interval=0.0)
                await asyncio.sleep(1.5)
            for number, of in enumerate(nodes):
                counted = COUNTED[list(COUNTED)[number % len(COUNTED)]]
                written, times = [counted(value) for value, _ in seen[of]], [time for _, time in seen[of]]
                assert len(written) > 30
                if number % len(COUNTED):  # all but the Boolean, which only says odd or even
                    # an SByte counts to 127
                    assert [w % 128 for w in written] == [(written[0] + n) % 128 for n in range(len(written))]
                assert {b - a for a, b in itertools.pairwise(times[1:])} == {timedelta(milliseconds=20)}
        finally:
            await there.stop()

    asyncio.run(body())


def test_it_freezes_and_comes_back_on_its_port(server: Server) -> None:
    async def body() -> None:
        there = server(0, ServerOptions(variables=1))
        await there.start()
        async with Client(there.url, timeout=20) as client:
            there.freeze()
            reading = asyncio.create_task(client.get_node("i=2258").read_value())
            await asyncio.sleep(1.0)
            assert not reading.done()
            there.thaw()
            await asyncio.wait_for(reading, 10)
        await there.kill()
        with pytest.raises(OSError):
            await Client(there.url, timeout=2).connect()
        await there.start()
        try:
            async with Client(there.url) as client:
                await (await node(client, there, "v0")).read_value()
        finally:
            await there.stop()

    asyncio.run(body())


def test_it_asks_for_a_password_on_a_signed_channel(server: Server, tmp_path: Path) -> None:
    async def body() -> None:
        secured = (("Basic256Sha256", "SignAndEncrypt"),)
        there = server(0, ServerOptions(security=secured, user="reader", password="right"))
        await there.start()
        try:
            key, certificate = tmp_path / "key.pem", tmp_path / "certificate.der"
            names = {"commonName": "test"}
            usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
            await setup_self_signed_certificate(key, certificate, "urn:test", "localhost", usage, names)
            for password, refused in (("right", False), ("wrong", True)):
                client = Client(there.url)
                client.application_uri = "urn:test"
                client.set_user("reader")
                client.set_password(password)
                await client.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(key))
                if refused:
                    with pytest.raises(BadUserAccessDenied):
                        await client.connect()
                else:
                    async with client:
                        await client.get_node("i=2258").read_value()
            with pytest.raises((ua.UaError, OSError)):
                await Client(there.url, timeout=2).connect()
            assert there.certificate.is_file()
        finally:
            await there.stop()

    asyncio.run(body())
