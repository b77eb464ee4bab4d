"""OPC UA security as the plant file asks for it, against a real server with real certificates (asyncua's)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from devices.base import NAMESPACE
from devices.opcua_secured import (
    EVERYTHING,
    PASSWORD,
    URI,
    USER,
    SecuredServer,
    certificate,
    connected,
    key,
    key_pem,
    refusal,
)
from typer.testing import CliRunner, Result

from collectors import discover
from collectors.connection import ConnectionLostError
from collectors.opcua.certificates import grouped, read
from collectors.opcua.pki import Pki
from infra.cli import app
from plant.model import Role, Signal, Source

Run = Callable[[Coroutine[Any, Any, None]], None]
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")


SERVER = SecuredServer()
"""One for all tests: making a server takes a second."""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.run
        runner.run(SERVER.close())


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[SecuredServer]:
    server = SERVER
    server.reset()
    for name, value in changes.items():
        setattr(server, name, value)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def trust(server: SecuredServer, folder: Path) -> None:
    Pki(folder).trust(read(server.certificate))


def test_every_mode_and_policy_connects(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving() as server:
            trust(server, tmp_path)
            for policy in POLICIES:
                for security, word in (("Sign", "signed"), ("SignAndEncrypt", "signed and encrypted")):
                    said = await connected(server.url, tmp_path, security=security, policy=policy)
                    assert said == f"{word} ({policy})"
                    assert Pki(tmp_path).known("plc").mode == security  # type: ignore[union-attr]
            assert (
                await connected(server.url, tmp_path, security="None")
                == "not secured, as the plant file asks"
            )
            (own,) = Pki(tmp_path).identities()
            assert set(server.seen) == {own.certificate.der}, "one certificate, made once"

    run(body())


def test_the_strongest_is_taken_by_itself(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving() as server:
            trust(server, tmp_path)
            assert await connected(server.url, tmp_path) == "signed and encrypted (Aes256_Sha256_RsaPss)"
            assert await connected(server.url, tmp_path, policy="Basic256Sha256") == (
                "signed and encrypted (Basic256Sha256)"
            )
        async with serving(
            offers=["NoSecurity", "Basic256Sha256_Sign", "Aes128Sha256RsaOaep_SignAndEncrypt"]
        ) as server:
            trust(server, tmp_path)
            assert await connected(server.url, tmp_path) == "signed and encrypted (Aes128_Sha256_RsaOaep)"

    run(body())


def test_an_unknown_server_is_refused_kept_and_used_once_trusted(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving() as server:
            said = await refusal(server.url, tmp_path)
            assert "is not trusted yet" in said
            assert f"lineside opcua trust plc --data {tmp_path}" in said
            assert 'security = "None"' in said
            (kept,) = Pki(tmp_path).rejected()
            assert kept.certificate == read(server.certificate)
            assert kept.certificate.fingerprint in said.replace(" ", "")
            assert (kept.source, kept.url, kept.why) == ("plc", server.url, "unknown")
            assert server.seen == [], "nothing was opened"
            assert 'security = "None"' not in await refusal(server.url, tmp_path, security="Sign")
            Pki(tmp_path).trust(kept.certificate)
            assert "signed and encrypted" in await connected(server.url, tmp_path)
            assert Pki(tmp_path).rejected() == []
            Pki(tmp_path).untrust(kept.certificate)
            assert "is not trusted yet" in await refusal(server.url, tmp_path)

    run(body())


def test_a_changed_certificate_is_refused_and_says_so(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving() as server:
            trust(server, tmp_path)
            await connected(server.url, tmp_path)
        async with serving(certificate=certificate("server")) as server:
            said = await refusal(server.url, tmp_path)
            assert "has changed" in said and "is not trusted yet" not in said
            assert Pki(tmp_path).rejected()[0].why == "changed"
            trust(server, tmp_path)
            await connected(server.url, tmp_path)

    run(body())


def test_a_server_that_has_no_security_any_more_is_refused(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving() as server:
            trust(server, tmp_path)
            await connected(server.url, tmp_path)
        async with serving(offers=["NoSecurity"]) as server:
            assert "somebody else may be answering" in await refusal(server.url, tmp_path)
            assert "does not offer Sign" in await refusal(server.url, tmp_path, security="Sign")
            assert "not secured" in await connected(server.url, tmp_path, security="None")
            said = await connected(server.url, tmp_path, source="never secured")
            assert said == "not secured, the server offers nothing else"

    run(body())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"end": timedelta(minutes=-1)}, "it expired on"),
        ({"start": timedelta(hours=2)}, "it is not valid before"),
        ({"uri": "urn:somebody:else"}, f"it is for urn:somebody:else but the server calls itself {URI}"),
        ({"purpose": ExtendedKeyUsageOID.CLIENT_AUTH}, "its extended key usage is not that of a server"),
        ({"signs": False}, "its key usage does not allow signing"),
    ],
)
def test_a_trusted_certificate_that_is_wrong_is_refused(
    run: Run, tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    async def body() -> None:
        async with serving(certificate=certificate("server", **changes)) as server:
            trust(server, tmp_path)
            assert f"the server's certificate cannot be used: {problem}" in await refusal(
                server.url, tmp_path
            )
            assert server.seen == []

    run(body())


@pytest.mark.parametrize("security", ["Sign", "SignAndEncrypt"])
def test_users(run: Run, tmp_path: Path, security: str) -> None:
    user = tmp_path / "user.der"
    user.write_bytes(certificate("user", purpose=ExtendedKeyUsageOID.CLIENT_AUTH))
    (tmp_path / "user.key").write_bytes(key_pem("user"))
    files = {"user_certificate": str(user), "user_key": str(tmp_path / "user.key")}

    async def body() -> None:
        async with serving(users=[user.read_bytes()]) as server:
            trust(server, tmp_path)
            told = {"security": security}
            said = await connected(server.url, tmp_path, user=USER, password=PASSWORD, **told)
            assert said.endswith(f', user "{USER}"')
            said = await refusal(server.url, tmp_path, user=USER, password="wrong", **told)
            assert f'the server refused the user "{USER}" (BadUserAccessDenied): check `user` and' in said
            assert "wrong" not in said
            assert (await connected(server.url, tmp_path, **files, **told)).endswith(", certificate user.der")
            assert "takes no anonymous users" in await refusal(server.url, tmp_path, **told)
            server.users[:] = [b"another"]
            said = await refusal(server.url, tmp_path, **files, **told)
            assert "refused the user's certificate user.der" in said and "list of their own" in said

    run(body())


def test_a_kind_of_user_the_server_does_not_take(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving(tokens=[ua.UserNameIdentityToken]) as server:
            trust(server, tmp_path)
            said = await refusal(server.url, tmp_path)
            assert "does not take anonymous users; it takes user names: write `user` and `password`" in said

    run(body())


def test_a_password_is_not_sent_over_an_open_connection_unless_asked(run: Run, tmp_path: Path) -> None:
    async def body() -> None:
        async with serving(offers=["NoSecurity"]) as server:
            said = await refusal(server.url, tmp_path, user=USER, password=PASSWORD)
            assert "the user's secret would not be safe" in said
            said = await connected(server.url, tmp_path, security="None", user=USER, password=PASSWORD)
            assert said == f'not secured, as the plant file asks, user "{USER}"'

    run(body())


def test_user_files_that_do_not_do(run: Run, tmp_path: Path) -> None:
    good, other = tmp_path / "user.pem", tmp_path / "other.key"
    good.write_bytes(certificate("user"))
    other.write_bytes(key_pem("server"))
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key("user").private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )

    async def body() -> None:
        server = SecuredServer()
        for certificate_file, key_file, problem in (
            (tmp_path / "missing.der", other, "cannot read"),
            (good, other, "is not the key of"),
            (good, locked, "locked with a passphrase"),
            (good, good, "is no certificate or key"),
            (other, other, "is no certificate or key"),
        ):
            said = await refusal(
                server.url, tmp_path, user_certificate=str(certificate_file), user_key=str(key_file)
            )
            assert problem in said

    run(body())


@pytest.mark.parametrize(
    "code", ["BadCertificateUntrusted", "BadSecurityChecksFailed", "BadCertificateInvalid"]
)
def test_a_server_that_does_not_trust_us(run: Run, tmp_path: Path, code: str) -> None:
    async def body() -> None:
        async with serving(refuse_client=code) as server:
            trust(server, tmp_path)
            said = await refusal(server.url, tmp_path)
            (own,) = Pki(tmp_path).identities()
            assert f"the server does not trust our certificate ({code})" in said
            assert f"lineside opcua export --data {tmp_path}" in said
            assert own.certificate.thumbprint in said
            server.refuse_client = "BadCertificateUriInvalid"
            assert f"our application URI {own.uri} is not that of our" in await refusal(server.url, tmp_path)

    run(body())


def test_the_open_answer_cannot_hide_what_is_offered(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody in between may change what is asked openly, and only that."""
    from collectors.opcua import security

    async def weakened(url: str) -> list[Any]:
        return [o for o in await honest(url) if (o.mode, o.policy) == ("Sign", "Aes128_Sha256_RsaOaep")]

    honest = security.offers_of
    monkeypatch.setattr(security, "offers_of", weakened)

    async def body() -> None:
        async with serving() as server:
            trust(server, tmp_path)
            said = await refusal(server.url, tmp_path)
            assert "somebody in between may have changed the answer" in said
            assert Pki(tmp_path).known("plc") is None
            said = await connected(server.url, tmp_path, security="Sign", policy="Aes128_Sha256_RsaOaep")
            assert said == "signed (Aes128_Sha256_RsaOaep)", "what the plant file asks for is no surprise"

    run(body())


@pytest.mark.slow
def test_the_channel_is_made_with_the_trusted_certificate_only(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shows a trusted certificate without having its key gets nothing."""
    from collectors.opcua import security

    shown = certificate("trusted")

    async def pretending(url: str) -> list[Any]:
        return [security.Offer(o.mode, o.policy, o.uri, shown) for o in await honest(url)]

    honest = security.offers_of
    monkeypatch.setattr(security, "offers_of", pretending)

    async def body() -> None:
        async with serving() as server:
            Pki(tmp_path).trust(read(shown))
            with pytest.raises(ConnectionLostError):
                await connected(server.url, tmp_path, user=USER, password=PASSWORD)
            assert server.seen == []
            assert Pki(tmp_path).known("plc") is None

    run(body())


def test_the_server_of_an_address_is_asked_and_trusted(run: Run, tmp_path: Path) -> None:
    async def lineside(*words: str) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, app, ["opcua", *words, "--data", str(tmp_path)], input=""
        )

    async def body() -> None:
        async with serving() as server:
            said = await lineside("trust", server.url)
            assert said.exit_code == 1 and not Pki(tmp_path).trusted()
            assert grouped(read(server.certificate).fingerprint) in said.output
            assert "It does not name 127.0.0.1." in said.output
            said = await lineside("trust", server.url, "--yes")
            assert said.exit_code == 0, said.output
            assert "signed and encrypted" in await connected(server.url, tmp_path)
        async with serving(offers=["NoSecurity"]) as server:
            said = await lineside("trust", server.url, "--yes")
            assert said.exit_code == 1 and "nothing to trust" in said.stderr

    run(body())


def test_trust_takes_effect_while_the_collector_runs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectors.opcua.connect.TRUST_EVERY", 0.2)

    async def body() -> None:
        async with serving(offers=EVERYTHING[1:]) as server:
            source = Source(id="plc", protocol="opcua", options={"url": server.url})
            signal = Signal(
                id="state", equipment="m", role=Role.STATE, source="plc", address=f"nsu={NAMESPACE};s=m.state"
            )
            collector = discover()["opcua"].create(source, (signal,), tmp_path)
            seen: list[float | None] = []

            class Kept:
                async def __call__(self, samples: Any) -> None:
                    seen.extend(samples["value"])

                async def gap(self, *_: Any) -> None: ...

            task = asyncio.create_task(collector.run(Kept()))
            try:
                async with asyncio.timeout(20):
                    while "is not trusted yet" not in collector.status.detail:
                        await asyncio.sleep(0.02)
                    assert not collector.status.connected
                    trust(server, tmp_path)
                    while 6.0 not in seen:
                        await asyncio.sleep(0.02)
                assert collector.status.connected
                assert "signed and encrypted (Aes256_Sha256_RsaPss)" in collector.status.detail
                Pki(tmp_path).untrust(read(server.certificate))
                async with asyncio.timeout(20):
                    while collector.status.connected:
                        await asyncio.sleep(0.02)
                    assert "trusted no longer" in collector.status.detail
                    while "is not trusted yet" not in collector.status.detail:
                        await asyncio.sleep(0.02)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    run(body())
