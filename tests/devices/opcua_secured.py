"""A secured OPC UA server (asyncua's), and certificates as servers and users have them."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from asyncua import Client, Server, ua
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer
from asyncua.server.user_managers import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collectors.connection import ConnectionLostError
from collectors.opcua import DEFAULTS
from collectors.opcua.security import secure
from devices.base import NAMESPACE

URI = "urn:lineside:test:server"
POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
EVERYTHING = ("NoSecurity", *(f"{p}_{mode}" for p in POLICIES for mode in ("Sign", "SignAndEncrypt")))
TOKENS = (ua.AnonymousIdentityToken, ua.UserNameIdentityToken, ua.X509IdentityToken)
USER, PASSWORD = "operator", "geheim 1ü"


@cache
def key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The key of that name, made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def key_pem(name: str, bits: int = 2048) -> bytes:
    """The same as a file."""
    form = serialization.PrivateFormat.PKCS8
    return key(name, bits).private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def certificate(
    name: str,
    uri: str = URI,
    start: timedelta = timedelta(days=-1),
    end: timedelta = timedelta(days=365),
    bits: int = 2048,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    signs: bool = True,
) -> bytes:
    """A self-signed certificate (DER) of the key of that name, valid from now + start to now + end."""
    now = datetime.now(UTC)
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")]
    usage = x509.KeyUsage(signs, True, True, True, False, False, False, False, False)
    return (
        x509.CertificateBuilder(called, called, key(name, bits).public_key(), x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .sign(key(name, bits), hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


async def connected(url: str, folder: Path, source: str = "plc", **options: Any) -> str:
    """Connect as a collector does and read a value; what the source then says of itself. Raises ConnectionLostError."""
    client = Client(url, timeout=4, watchdog_intervall=60)
    secured = await secure(client, source, {**DEFAULTS, "url": url, **options}, folder)
    try:
        await client.connect()
        assert NAMESPACE in await client.get_namespace_array()
    except Exception as error:
        raise ConnectionLostError(secured.explain(error)) from error
    finally:
        with suppress(Exception):
            await client.disconnect()
        client.disconnect_socket()
    return secured.detail


async def refusal(url: str, folder: Path, **options: Any) -> str:
    """Why `connected` cannot; it must not be able to."""
    try:
        said = await connected(url, folder, **options)
    except ConnectionLostError as error:
        return str(error)
    raise AssertionError(f"connected: {said}")


class SecuredServer:
    """Serves "m.state"; what it offers, whom it trusts and which certificate it has may differ from start to start,
    which takes a moment only the first time. `close` ends it for good."""

    def __init__(self) -> None:
        self.port = 0
        self._server: Any = None
        self.reset()

    def reset(self) -> None:
        """As it is at first, from the next start on."""
        self.certificate = certificate("server")
        self.offers: Sequence[str] = EVERYTHING
        self.tokens: Sequence[Any] = TOKENS
        self.refuse_client: str | None = None
        """Name of the status code clients are refused with because of their certificate."""
        self.users: list[bytes] = []
        """User certificates that are let in (DER)."""
        self.seen: list[bytes] = []
        """Certificates of clients."""

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        if self._server is None:
            self._server = await self._made()
        server = self._server
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType[name] for name in self.offers])
        server.set_identity_tokens(list(self.tokens))
        await server.load_certificate(self.certificate, "der")
        server.iserver.endpoints.clear()
        server._policies.clear()
        await server._setup_server_nodes()
        server.bserver = BinaryServer(server.iserver, "127.0.0.1", self.port, server.limits)
        server.bserver.set_policies(server._policies)
        await server.bserver.start()
        self.port = server.bserver.port

    async def stop(self) -> None:
        await self._server.bserver.stop()

    async def close(self) -> None:
        if self._server is not None:
            await self._server.iserver.stop()

    async def _made(self) -> Any:
        server = Server(user_manager=self)
        await server.init()
        await server.set_application_uri(URI)
        server.set_certificate_validator(self._validate)
        await server.load_private_key(key_pem("server"), None, "pem")
        index = await server.register_namespace(NAMESPACE)
        await server.nodes.objects.add_variable(
            ua.NodeId("m.state", index), f"{index}:state", 6, ua.VariantType.Int32
        )
        await server.iserver.start()
        return server

    async def _validate(self, client: x509.Certificate, _: Any) -> None:
        self.seen.append(client.public_bytes(serialization.Encoding.DER))
        if self.refuse_client is not None:
            raise ServiceError(getattr(ua.StatusCodes, self.refuse_client))

    def get_user(
        self, _: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        """The library's question who that is."""
        if username is not None and (username, password) != (USER, PASSWORD):
            return None
        if username is None and self.users and certificate not in self.users:
            return None
        return User(role=UserRole.User)
