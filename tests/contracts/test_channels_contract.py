"""What every alert channel must do, against real servers: each entry of `RIGS` brings one up.

A new file in alerting/channels fails `test_every_channel_is_under_contract` until it has a rig.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as rfc5322
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Protocol, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alerting.alert import Kind, Notification, Recipient
from alerting.channels import discover
from alerting.ports import Channel, PermanentError, TransientError
from plant.model import ChannelConfig

MESSAGE = Notification(
    key="rule:filler:20261122T100000.000000Z:1:chan:ann",
    alert="rule:filler:20261122T100000.000000Z",
    step="1",
    kind=Kind.RAISED,
    channel="chan",
    recipient="ann",
    recipients=(Recipient(id="ann", name="Ann", address="ann@plant.example"),),
    subject="[HIGH] Filler stopped: Bottle jam",
    text="Filler has been stopped for 6 min.\nOrder: 4711: 12 min late\n",
    details={"kind": "raised", "order": {"id": "4711", "slack": -720.0}},
    link="http://127.0.0.1:8050/alerts?alert=x",
    created=datetime(2026, 11, 22, 10, 6, tzinfo=UTC),
)


@dataclass
class Received:
    """What arrived at the other side, whatever the protocol."""

    key: str
    subject: str
    text: str
    headers: dict[str, str]


class Rig(Protocol):
    """A real server for one kind of channel."""

    port: int
    received: list[Received]

    def options(self) -> dict[str, object]: ...

    def start(self, answer: str) -> None:
        """answer: accept, refuse (for good), busy (for now)"""

    def stop(self) -> None: ...


@dataclass
class HttpRig:
    port: int
    received: list[Received] = field(default_factory=list)
    extra: dict[str, object] = field(default_factory=dict)
    retry_after: str | None = None
    raw: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    def options(self) -> dict[str, object]:
        return {"url": f"http://127.0.0.1:{self.port}/hook", "timeout": "500ms", **self.extra}

    def start(self, answer: str) -> None:
        rig = self
        status = {"accept": 200, "refuse": 400, "busy": 503}[answer]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {k.lower(): v for k, v in self.headers.items()}
                rig.raw.append((headers, body))
                data = json.loads(body)
                if status == 200:
                    rig.received.append(
                        Received(headers["idempotency-key"], data["subject"], data["text"], headers)
                    )
                self.send_response(status)
                if rig.retry_after is not None:
                    self.send_header("Retry-After", rig.retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@dataclass
class SmtpRig:
    port: int
    received: list[Received] = field(default_factory=list)
    envelopes: list[Any] = field(default_factory=list)
    _controller: Controller | None = None

    def options(self) -> dict[str, object]:
        sender = "Lineside <lineside@plant.example>"
        return {"host": "127.0.0.1", "port": self.port, "from": sender, "timeout": "500ms"}

    def start(self, answer: str) -> None:
        rig = self
        verdict = {"accept": "", "refuse": "550 no such mailbox", "busy": "450 mailbox busy"}[answer]

        class Handler:
            async def handle_RCPT(
                self, server: Any, session: Any, envelope: Any, address: str, options: Any
            ) -> str:
                if not verdict:
                    envelope.rcpt_tos.append(address)
                return verdict or "250 OK"

            async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
                message = cast(EmailMessage, message_from_bytes(envelope.content, policy=rfc5322))
                plain = message.get_body(("plain",))
                assert plain is not None
                headers = {k.lower(): str(v) for k, v in message.items()}
                rig.envelopes.append(envelope)
                rig.received.append(
                    Received(headers["message-id"], headers["subject"], plain.get_content(), headers)
                )
                return "250 OK"

        self._controller = Controller(
            Handler(), hostname="127.0.0.1", port=self.port, loop=asyncio.new_event_loop()
        )
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None


RIGS: dict[str, Callable[[int], Rig]] = {"webhook": HttpRig, "mail": SmtpRig}


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=RIGS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(kind: str) -> Iterator[Rig]:
    found = RIGS[kind](_free_port())
    yield found
    found.stop()


@pytest.fixture
def channel(kind: str, rig: Rig) -> Iterator[Channel]:
    created = discover()[kind].create(ChannelConfig(id="chan", kind=kind, options=rig.options()))
    yield created
    created.close()


def test_every_channel_is_under_contract() -> None:
    assert set(RIGS) == set(discover())


def test_delivers_with_a_receipt(rig: Rig, channel: Channel) -> None:
    rig.start("accept")
    assert channel.send(MESSAGE)
    (got,) = rig.received
    assert got.subject == MESSAGE.subject
    assert MESSAGE.text.strip() in got.text.replace("\r\n", "\n")


def test_every_attempt_has_the_same_key_and_every_message_its_own(rig: Rig, channel: Channel) -> None:
    rig.start("accept")
    channel.send(MESSAGE)
    channel.send(MESSAGE)
    channel.send(replace(MESSAGE, key=MESSAGE.key.replace(":1:", ":2:")))
    first, again, other = (r.key for r in rig.received)
    assert first == again != other


def test_a_refusal_is_permanent(rig: Rig, channel: Channel) -> None:
    rig.start("refuse")
    with pytest.raises(PermanentError, match=r"400|550"):
        channel.send(MESSAGE)
    assert rig.received == []


def test_busy_is_for_now(rig: Rig, channel: Channel) -> None:
    rig.start("busy")
    with pytest.raises(TransientError, match=r"503|450"):
        channel.send(MESSAGE)


def test_a_server_that_never_answers_is_left_in_bounded_time(rig: Rig, channel: Channel) -> None:
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", rig.port))
        silent.listen()
        failed: list[Exception] = []

        def send() -> None:
            try:
                channel.send(MESSAGE)
            except TransientError as error:
                failed.append(error)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        sender.join(20)
        assert not sender.is_alive()
    assert len(failed) == 1


def test_down_then_up(rig: Rig, channel: Channel) -> None:
    with pytest.raises(TransientError, match=str(rig.port)):
        channel.send(MESSAGE)
    rig.start("accept")
    channel.send(MESSAGE)
    rig.stop()
    with pytest.raises(TransientError):
        channel.send(MESSAGE)
    rig.start("accept")
    channel.send(MESSAGE)
    assert len(rig.received) == 2


def test_unicode_arrives_as_it_is(rig: Rig, channel: Channel) -> None:
    rig.start("accept")
    subject, text = "Füller stoppt: Größe 0,5 l · 灌装机 🛑", "Förderband – 停止\n"
    odd = replace(MESSAGE, subject=subject, text=text, key="règle:füller:1:chan:ann")
    channel.send(odd)
    assert rig.received[0].subject == subject
    assert text.strip() in rig.received[0].text


def test_a_line_break_cannot_add_a_header(rig: Rig, channel: Channel) -> None:
    rig.start("accept")
    evil = "jam\r\nBcc: all@plant.example\r\nX-Evil: 1"
    channel.send(replace(MESSAGE, subject=evil, key=f"k\r\nX-Evil: 1{MESSAGE.key}", alert=evil))
    (got,) = rig.received
    assert "x-evil" not in got.headers
    assert "bcc" not in got.headers


@pytest.mark.parametrize("option", ["timeout", "surprise"])
def test_check_names_a_wrong_option_and_the_fix(kind: str, rig: Rig, option: str) -> None:
    module = discover()[kind]
    assert module.check(ChannelConfig(id="chan", kind=kind, options=rig.options())) == []
    broken = ChannelConfig(id="chan", kind=kind, options={**rig.options(), option: "soon"})
    (error,) = module.check(broken)
    assert error.startswith(f'option "{option}" ')
    assert "; " in error
    with pytest.raises(ValueError, match=option):
        module.create(broken)


def test_check_names_every_missing_option(kind: str) -> None:
    module = discover()[kind]
    errors = module.check(ChannelConfig(id="chan", kind=kind))
    assert errors
    assert all("is missing; " in e for e in errors)


# What only one of them does.


def test_webhook_waits_as_long_as_it_is_asked_to() -> None:
    rig = HttpRig(_free_port(), retry_after="120")
    channel = discover()["webhook"].create(ChannelConfig(id="c", kind="webhook", options=rig.options()))
    rig.start("busy")
    with pytest.raises(TransientError) as caught:
        channel.send(MESSAGE)
    assert caught.value.retry_after == timedelta(seconds=120)
    rig.stop()
    rig.retry_after = "Thu, 01 Jan 1970 00:00:00 GMT"
    rig.start("busy")
    with pytest.raises(TransientError) as caught:
        channel.send(MESSAGE)
    assert caught.value.retry_after == timedelta(0)
    rig.stop()
    channel.close()


def test_webhook_signs_what_it_sends() -> None:
    # Secret, id, timestamp and body through the reference recipe of standardwebhooks.com, written out.
    rig = HttpRig(_free_port(), extra={"secret": "whsec_" + base64.b64encode(b"top secret").decode()})
    channel = discover()["webhook"].create(ChannelConfig(id="c", kind="webhook", options=rig.options()))
    rig.start("accept")
    channel.send(MESSAGE)
    headers, body = rig.raw[0]
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.new(b"top secret", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == headers["idempotency-key"] == MESSAGE.key
    rig.stop()
    channel.close()


def test_webhook_body_carries_order_and_slack_as_data() -> None:
    rig = HttpRig(_free_port())
    channel = discover()["webhook"].create(ChannelConfig(id="c", kind="webhook", options=rig.options()))
    rig.start("accept")
    channel.send(MESSAGE)
    data = json.loads(rig.raw[0][1])
    assert data["order"] == {"id": "4711", "slack": -720.0}
    assert data["key"] == MESSAGE.key
    rig.stop()
    channel.close()


def test_mail_goes_to_the_person_with_an_escaped_html_twin_and_a_thread() -> None:
    rig = SmtpRig(_free_port())
    channel = discover()["mail"].create(ChannelConfig(id="c", kind="mail", options=rig.options()))
    rig.start("accept")
    channel.send(replace(MESSAGE, text="<script>alert(1)</script>\n"))
    (envelope,) = rig.envelopes
    assert envelope.rcpt_tos == ["ann@plant.example"]
    message = cast(EmailMessage, message_from_bytes(envelope.content, policy=rfc5322))
    html = message.get_body(("html",))
    assert html is not None
    assert "&lt;script&gt;" in html.get_content()
    assert MESSAGE.link in html.get_content()
    assert message["References"]
    assert message["Auto-Submitted"] == "auto-generated"
    rig.stop()


@pytest.mark.parametrize("address", ["", "ann", "ann@x.example\r\nRCPT TO:<eve@x.example>", "a b@x.example"])
def test_mail_refuses_what_is_no_address(address: str) -> None:
    rig = SmtpRig(_free_port())
    channel = discover()["mail"].create(ChannelConfig(id="c", kind="mail", options=rig.options()))
    with pytest.raises(PermanentError, match="user ann"):
        channel.send(replace(MESSAGE, recipients=(Recipient(id="ann", name="Ann", address=address),)))


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1, signed by itself."""

    path: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    path = folder / "cert.pem"
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, private)
    return Certificate(path, context)


class Mailbox:
    """Takes every message."""

    def __init__(self) -> None:
        self.taken = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken += 1
        return "250 OK"


def _sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"lineside", b"right"), handled=False)


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")  # the server knows STARTTLS only as TLS
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_mail_over_tls_with_a_sign_in(
    tls: str, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox, port = Mailbox(), _free_port()
    secured: dict[str, Any] = (
        {"tls_context": certificate.context, "require_starttls": True}
        if tls == "starttls"
        else {"ssl_context": certificate.context, "auth_require_tls": False}
    )
    server = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        authenticator=_sign_in,
        auth_required=True,
        loop=asyncio.new_event_loop(),
        **secured,
    )
    options = {**SmtpRig(port).options(), "tls": tls, "user": "lineside", "password": "right"}

    def send(**changes: object) -> None:
        config = ChannelConfig(id="c", kind="mail", options={**options, **changes})
        discover()["mail"].create(config).send(MESSAGE)

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    server.start()
    try:
        send()
        assert mailbox.taken == 1
        with pytest.raises(TransientError, match="sign-in"):
            send(password="wrong")
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(TransientError, match="CERTIFICATE"):
            send()
        assert mailbox.taken == 1
    finally:
        server.stop()


def test_mail_sends_no_password_in_the_clear() -> None:
    options = {**SmtpRig(25).options(), "user": "lineside", "password": "right"}
    (error,) = discover()["mail"].check(ChannelConfig(id="c", kind="mail", options=options))
    assert error.startswith('option "password" would travel in the clear; ')
