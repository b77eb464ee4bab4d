"""From an untrusted to a live source with the commands of docs/opcua.md, against servers that are not written in Python."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from devices.opcua_secured import certificate, connected, key_pem, refusal
from devices.opcua_servers import NodeOpcUa, Open62541, ServerOptions, ServerProcess

from collectors.opcua import create
from collectors.opcua.certificates import read
from collectors.opcua.connect import Link
from collectors.opcua.offers import POLICIES
from collectors.opcua.pki import Pki
from plant.model import Role, Signal, Source

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
ENDPOINTS = (
    ("None", "None"),
    *((policy, mode) for policy in POLICIES for mode in ("Sign", "SignAndEncrypt")),
)
USER = {"user": "lineside", "password": "secret"}


@pytest.fixture(params=[NodeOpcUa, Open62541], ids=["node-opcua", "open62541"])
def kind(request: pytest.FixtureRequest) -> type[ServerProcess]:
    return request.param


@contextmanager
def serving(kind: type[ServerProcess], trust_everybody: bool) -> Iterator[ServerProcess]:
    options = ServerOptions(
        variables=1, security=ENDPOINTS, user="lineside", password="secret", trust_everybody=trust_everybody
    )
    server = kind(0, options)
    asyncio.run(server.start())
    try:
        yield server
    finally:
        asyncio.run(server.stop())


def lineside(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "infra", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_mode_and_policy_and_user(kind: type[ServerProcess], tmp_path: Path) -> None:
    async def body(server: ServerProcess) -> None:
        assert "is not trusted yet" in await refusal(server.url, tmp_path)
        Pki(tmp_path).trust(Pki(tmp_path).rejected()[0].certificate)
        for policy in POLICIES:
            for security, word in (("Sign", "signed"), ("SignAndEncrypt", "signed and encrypted")):
                said = await connected(server.url, tmp_path, **USER, security=security, policy=policy)
                assert said == f'{word} ({policy}), user "lineside"'
                wrong = {**USER, "password": "wrong"}
                said = await refusal(server.url, tmp_path, **wrong, security=security, policy=policy)
                assert 'the server refused the user "lineside" (BadUserAccessDenied)' in said
        assert "anonymous users" in await refusal(server.url, tmp_path)
        assert await connected(server.url, tmp_path, **USER) == (
            'signed and encrypted (Aes256_Sha256_RsaPss), user "lineside"'
        )

    with serving(kind, trust_everybody=True) as server:
        asyncio.run(body(server))


def test_a_user_with_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "user.der").write_bytes(certificate("user"))
    (tmp_path / "user.key").write_bytes(key_pem("user"))
    files = {"user_certificate": str(tmp_path / "user.der"), "user_key": str(tmp_path / "user.key")}

    async def body(server: ServerProcess) -> None:
        await refusal(server.url, tmp_path)
        Pki(tmp_path).trust(Pki(tmp_path).rejected()[0].certificate)
        for security in ("Sign", "SignAndEncrypt"):
            said = await connected(server.url, tmp_path, **files, security=security)
            assert said.endswith(", certificate user.der")

    with serving(NodeOpcUa, trust_everybody=True) as server:
        asyncio.run(body(server))


def test_from_untrusted_to_live_in_three_commands(kind: type[ServerProcess], tmp_path: Path) -> None:
    data, plant = tmp_path / "data", tmp_path / "plant.toml"
    with serving(kind, trust_everybody=False) as server:
        plant.write_text(f"""
schema = 1
site = {{ id = "s", name = "S", zone = "UTC" }}
[[equipment]]
id = "m"
name = "M"
level = "WorkUnit"
[[source]]
id = "plc"
protocol = "opcua"
url = "{server.url}"
user = "lineside"
password = {{ env = "PLC_PASSWORD" }}
[[signal]]
equipment = "m"
id = "state"
role = "state"
source = "plc"
address = "{server.state}"
states = {{ "6" = "running" }}
""")
        asyncio.run(server.put(6, "1", datetime.now(UTC)))
        collector = subprocess.Popen(
            [sys.executable, "-m", "infra", "collect", str(plant), "--data", str(data)],
            cwd=ROOT,
            env={**os.environ, "PLC_PASSWORD": "secret"},
            stderr=subprocess.PIPE,
        )
        try:
            said = until(data, lambda source: "is not trusted yet" in str(source["detail"]))
            assert f"lineside opcua trust plc --data {data}" in said
            shown = lineside("opcua", "trust", "plc", "--data", str(data), "--yes")
            fingerprint = read(server.certificate.read_bytes()).fingerprint
            assert fingerprint in shown.replace(" ", "") and "It is trusted now." in shown
            said = until(data, lambda source: "does not trust our certificate" in str(source["detail"]))
            assert f"lineside opcua export --data {data}" in said
            lineside("opcua", "export", str(server.trusted / "lineside.der"), "--data", str(data))
            for refused in server.trusted.parents[1].glob("rejected/*"):  # its administrator moves it
                refused.unlink()
            asyncio.run(server.stop())
            asyncio.run(server.start())
            asyncio.run(server.put(6, "1", datetime.now(UTC)))
            said = until(data, lambda source: source["connected"] and source["samples"])
            assert 'signed and encrypted (Aes256_Sha256_RsaPss), user "lineside"' in said
            assert "trusted" in lineside("opcua", "certificates", "--data", str(data))
        finally:
            collector.send_signal(signal.SIGTERM)
            _, log = collector.communicate(timeout=20)
    assert b"Traceback" not in log and b"secret" not in log


def until(data: Path, condition: Callable[[dict[str, object]], object]) -> str:
    """What the source says of itself when that is so."""
    late = time.monotonic() + 40
    while time.monotonic() < late:
        try:
            source = json.loads((data / "collectors" / "collect.json").read_bytes())["sources"]["plc"]
        except (OSError, ValueError, KeyError):
            source = {}
        if source and condition(source):
            return str(source["detail"])
        time.sleep(0.1)
    raise AssertionError(source)


def test_the_channel_is_renewed_without_losing_a_value(
    kind: type[ServerProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[bool] = []
    new_client = Link._new_client

    def impatient(link: Link) -> Any:
        client = new_client(link)
        client.secure_channel_timeout = 2000
        opened = client.open_secure_channel

        async def opening(renew: bool = False) -> None:
            await opened(renew=renew)
            renewed.append(renew)

        client.open_secure_channel = opening
        return client

    monkeypatch.setattr(Link, "_new_client", impatient)
    values: list[float] = []

    class Kept:
        async def __call__(self, samples: pl.DataFrame) -> None:
            values.extend(samples["value"].drop_nulls())

        async def gap(self, *_: Any) -> None:
            raise AssertionError("nothing is lost")

    async def body(server: ServerProcess) -> None:
        await refusal(server.url, tmp_path)
        Pki(tmp_path).trust(Pki(tmp_path).rejected()[0].certificate)
        source = Source(
            id="plc", protocol="opcua", options={"url": server.url, "publishing_interval": "100ms", **USER}
        )
        signal = Signal(
            id="v", equipment="m", role=Role.PROCESS_VALUE, source="plc", address=server.address("v0")
        )
        collector = create(source, (signal,), tmp_path)
        task = asyncio.create_task(collector.run(Kept()))
        try:
            async with asyncio.timeout(30):
                while renewed.count(True) < 3:
                    await asyncio.sleep(0.1)
                enough = len(values) + 10
                while len(values) < enough:
                    await asyncio.sleep(0.1)
            assert collector.status.connected and "signed and encrypted" in collector.status.detail
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    with serving(kind, trust_everybody=True) as server:
        asyncio.run(body(server))
    assert renewed.count(False) == 1, "one connection all the time"
    assert values == [values[0] + n for n in range(len(values))]
