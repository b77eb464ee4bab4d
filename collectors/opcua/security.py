"""Securing the connection to a server: which endpoint, whose certificate, what the server's refusals mean.

The server's certificate is asked for over an open connection, where anybody may answer. It is used only when somebody
has trusted exactly this one; then only its owner can open the channel. Over the secured channel the server is asked
again what it offers, so nobody in between can have hidden its better endpoints.
"""

import asyncio
import contextlib
import re
import shlex
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto import security_policies as library
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from collectors.connection import ConnectionLostError, utc_now
from collectors.opcua import offers as offered
from collectors.opcua.certificates import Certificate, Identity, grouped, load_key, problem, read
from collectors.opcua.offers import NoOfferError, Offer, Token, choose, choose_token
from collectors.opcua.pki import Known, Pki, PkiError
from collectors.opcua.transport import SMALL_MESSAGE, use_transport
from collectors.text import plain

TIMEOUT = 10.0
"""Seconds for asking a server what it offers."""
CLASSES = {
    "Aes256_Sha256_RsaPss": library.SecurityPolicyAes256Sha256RsaPss,
    "Basic256Sha256": library.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": library.SecurityPolicyAes128Sha256RsaOaep,
}
MODES = {
    offered.NONE: ua.MessageSecurityMode.None_,
    offered.SIGN: ua.MessageSecurityMode.Sign,
    offered.ENCRYPT: ua.MessageSecurityMode.SignAndEncrypt,
}
TOKENS = {
    ua.UserTokenType.Anonymous: offered.ANONYMOUS,
    ua.UserTokenType.UserName: offered.USER_NAME,
    ua.UserTokenType.Certificate: offered.CERTIFICATE,
}
DISTRUST = (
    "BadSecurityChecksFailed",
    "BadCertificateUntrusted",
    "BadCertificateInvalid",
    "BadCertificateChainIncomplete",
    "BadCertificateIssuerRevocationUnknown",
    "BadCertificateRevocationUnknown",
    "BadTcpInternalError",
)
"""With what servers refuse a client's certificate they have not been told to trust."""
REFUSED_USER = ("BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid")


async def _nothing_to_verify() -> None:
    """An open connection proves nothing."""


async def _not_asked_for() -> bool:
    """An open connection needs no trust."""
    return True


@dataclass(frozen=True, slots=True)
class Secured:
    """How a client connects: `detail` for people, and what an error in connecting means.

    `verify` checks, once the channel is open, that nobody in between weakened it; creating a session does that by
    itself, whoever takes up an earlier session calls it. Raises ConnectionLostError.
    """

    detail: str
    _url: str
    _user: str
    verify: Callable[[], Awaitable[None]] = _nothing_to_verify
    trusted: Callable[[], Awaitable[bool]] = _not_asked_for
    _own: Identity | None = None
    _data: str = ""

    def explain(self, error: BaseException) -> str:
        """The error as a sentence with the fix."""
        if isinstance(error, ConnectionLostError):  # of `verify`, which says it itself
            return str(error)
        name = type(error).__name__
        said = plain(str(error)) or ("no answer" if isinstance(error, TimeoutError) else name)
        if name in REFUSED_USER:
            return f"{self._url}: {self._refused_user(name)}"
        if name == "BadCertificateUriInvalid" and self._own is not None:
            return (
                f"{self._url}: the server says our application URI {self._own.uri} is not that of our certificate "
                f"({name}): remove what it holds of us, then {self._hand_over()}"
            )
        if name == "BadCertificateTimeInvalid":
            return (
                f"{self._url}: the server says our certificate is not valid now ({name}): set its clock, which is "
                "probably wrong"
            )
        if isinstance(error, InvalidSignature):
            return f"{self._url}: the server could not prove that its certificate is its own; is it the right server?"
        if "Server certificate mismatch" in said:
            return (
                f"{self._url}: the server showed one certificate for the channel and another for the session: is "
                "somebody in between?"
            )
        if self._own is not None:
            if name in DISTRUST:
                return f"{self._url}: the server does not trust our certificate ({name}): {self._hand_over()}"
            if isinstance(error, AssertionError | ConnectionError):
                return (
                    f"{self._url}: the server closed the connection while it was being secured; if it goes on, it "
                    f"does not trust our certificate: {self._hand_over()}"
                )
        if isinstance(error, OSError | TimeoutError):
            return f"no OPC UA server at {self._url} ({said})"
        return f"{self._url}: {said}"

    def _refused_user(self, name: str) -> str:
        if self._user.startswith("certificate"):
            return (
                f"the server refused the user's {self._user} ({name}): have it put among the user certificates the "
                "server trusts; they are a list of their own"
            )
        if self._user:
            return (
                f"the server refused the {self._user} ({name}): check `user` and `password`, and that this user may "
                "log in over OPC UA"
            )
        return f"the server takes no anonymous users ({name}): write `user` and `password`, or `user_certificate`"

    def _hand_over(self) -> str:
        fingerprint = self._own.certificate.thumbprint if self._own else ""
        return (
            f"have it trust the file that `lineside opcua export --data {self._data}` writes (thumbprint "
            f"{fingerprint})"
        )


async def secure(client: Client, source: str, options: Mapping[str, Any], folder: Path) -> Secured:
    """Prepare the client, before it connects, for the options `security`, `policy` and the user's. It is then ready
    to `connect()`, whose errors `Secured.explain` puts into words.

    `folder` is the plant's data folder, `source` the source's id ("": one that is only looked at). Raises
    ConnectionLostError with what is wrong and what to do; a server certificate that is not trusted is kept among the
    refused ones.
    """
    use_transport(client)
    url, security, policy = options["url"], options["security"], options["policy"]
    data = shlex.quote(str(folder))
    user = await asyncio.to_thread(_take_user, client, options)
    kind = _kind(options)
    if security == offered.NONE:
        _watch_tokens(client, kind, Offer(offered.NONE, offered.NONE))
        text = f"not secured, as the plant file asks{f', {user}' if user else ''}"
        return Secured(text, url, user)
    offer = await _best_offer(url, security, policy, bool(user))
    try:
        pki = Pki(folder)
        known = await asyncio.to_thread(pki.known, source) if source else None
        before = known if known is not None and known.url == url else None
        if offer.mode == offered.NONE:
            if before is not None:
                raise ConnectionLostError(
                    f"{url} offered a secured connection before and now says it has none: somebody else may be "
                    'answering. If its security was switched off on purpose, write security = "None"'
                )
            _watch_tokens(client, kind, offer)
            return Secured("not secured, the server offers nothing else", url, user)
        now = utc_now()
        own = await asyncio.to_thread(pki.own, now, socket.gethostname())
        certificate = _certificate(url, offer)
        await asyncio.to_thread(_require_trust, pki, certificate, offer, source, options, before, now, data)
    except PkiError as error:
        raise ConnectionLostError(f"{url}: {error}") from error
    client.application_uri = own.uri
    client.security_policy = CLASSES[offer.policy](
        x509.load_der_x509_certificate(certificate.der),
        x509.load_der_x509_certificate(own.certificate.der),
        load_key(own),
        MODES[offer.mode],
    )
    client.uaclient.set_security(client.security_policy)
    _watch_tokens(client, kind, offer)

    async def verify() -> None:
        """The channel is open, so the server holds the certificate's key, and what it says now comes from it."""
        best = _choose(url, _offers(await client.get_endpoints()), security, policy, bool(user))
        if (best.mode, best.policy) != (offer.mode, offer.policy):
            raise ConnectionLostError(
                f"{url} offers {best.text} over its secured connection, but only {offer.text} when asked openly: "
                "somebody in between may have changed the answer"
            )
        if wrong := problem(certificate, utc_now(), best.uri):
            raise ConnectionLostError(f"{url}: the server's certificate cannot be used: {wrong}")
        if not source:
            return
        try:
            remembered = Known(url, certificate.fingerprint, offer.mode, offer.policy)
            await asyncio.to_thread(pki.remember, source, remembered)
        except PkiError as error:
            raise ConnectionLostError(f"{url}: {error}") from error

    async def trusted() -> bool:
        return await asyncio.to_thread(pki.is_trusted, certificate)

    async def verify_session(_: x509.Certificate, __: Any) -> None:
        await verify()

    client.certificate_validator = verify_session
    text = offer.text + (f", {user}" if user else "")
    return Secured(text, url, user, verify, trusted, own, data)


async def offers_of(url: str) -> list[Offer]:
    """What a server says, over an open connection, that it offers. Raises ConnectionLostError."""
    client = Client(url, timeout=TIMEOUT / 2)
    use_transport(client, SMALL_MESSAGE)
    try:
        async with asyncio.timeout(TIMEOUT):
            return _offers(await client.connect_and_get_server_endpoints())
    except (OSError, TimeoutError, ua.UaError) as error:
        raise ConnectionLostError(
            f"no OPC UA server at {url} ({plain(str(error)) or 'no answer'})"
        ) from error
    except Exception as error:  # the library has no one error for an answer it cannot read
        raise ConnectionLostError(
            f"{url} does not answer as an OPC UA server does ({type(error).__name__}): check host and port"
        ) from error
    finally:
        with contextlib.suppress(Exception):
            client.disconnect_socket()


async def _best_offer(url: str, security: str, policy: str | None, identified: bool) -> Offer:
    return _choose(url, await offers_of(url), security, policy, identified)


def _choose(url: str, offers: Sequence[Offer], security: str, policy: str | None, identified: bool) -> Offer:
    try:
        return choose(offers, security, policy, identified)
    except NoOfferError as error:
        raise ConnectionLostError(f"{url}: {error}") from error


def _offers(endpoints: Sequence[Any]) -> list[Offer]:
    modes = {value: key for key, value in MODES.items()}
    return [
        Offer(
            modes[e.SecurityMode],
            (e.SecurityPolicyUri or "").removeprefix(offered.PREFIX),
            (e.Server.ApplicationUri or "") if e.Server else "",
            e.ServerCertificate or b"",
        )
        for e in endpoints or ()
        if e.SecurityMode in modes and (e.EndpointUrl or "").startswith("opc.tcp:")
    ]


def _certificate(url: str, offer: Offer) -> Certificate:
    try:
        return read(offer.certificate)
    except ValueError as error:
        raise ConnectionLostError(f"{url}: the server's certificate is {error}") from error


def _require_trust(
    pki: Pki,
    certificate: Certificate,
    offer: Offer,
    source: str,
    options: Mapping[str, Any],
    before: Known | None,
    now: datetime,
    data: str,
) -> None:
    url = options["url"]
    if not pki.is_trusted(certificate):
        changed = before is not None and before.fingerprint != certificate.fingerprint
        pki.reject(certificate, source, url, "changed" if changed else "unknown", now)
        what = f'"{plain(certificate.subject, 60)}", SHA-256 {grouped(certificate.fingerprint)}'
        run = f"`lineside opcua trust {shlex.quote(source or url)} --data {data}`"
        if changed and before is not None:
            raise ConnectionLostError(
                f"the certificate of {url} has changed: now {what}, before {grouped(before.fingerprint[:16])}…. If the "
                f"server was given a new one, compare it there and run {run}; otherwise somebody else is answering"
            )
        otherwise = ""
        if options["security"] == offered.AUTO and before is None:
            unsecured = 'write security = "None"' if source else "say --security None"
            otherwise = f", or {unsecured} to connect without protection"
        raise ConnectionLostError(
            f"the certificate of {url} is not trusted yet ({what}): compare it with the server's, then run {run}"
            + otherwise
        )
    if wrong := problem(certificate, now, offer.uri):
        raise ConnectionLostError(f"{url}: the server's certificate cannot be used: {wrong}")


# --- the user ---


def _kind(options: Mapping[str, Any]) -> str:
    if options["user_certificate"]:
        return offered.CERTIFICATE
    return offered.USER_NAME if options["user"] else offered.ANONYMOUS


def _take_user(client: Client, options: Mapping[str, Any]) -> str:
    """Give the client the user of the options; how people call that user, "" for nobody."""
    if options["user_certificate"]:
        client.user_certificate, client.user_private_key = _user_files(
            Path(options["user_certificate"]), Path(options["user_key"])
        )
        return f"certificate {Path(options['user_certificate']).name}"
    if options["user"]:
        client.set_user(options["user"])
        client.set_password(options["password"] or "")
        return f'user "{plain(options["user"], 60)}"'
    return ""


def _user_files(certificate: Path, key: Path) -> tuple[Any, Any]:
    path = certificate
    try:
        found = x509.load_der_x509_certificate(read(path.read_bytes()).der)
        path = key
        data = path.read_bytes()
        load = (
            serialization.load_pem_private_key
            if b"-----BEGIN" in data
            else serialization.load_der_private_key
        )
        private = load(data, None)
    except OSError as error:
        raise ConnectionLostError(
            f"cannot read {path} ({error.strerror}): check the path and its owner"
        ) from error
    except TypeError as error:
        raise ConnectionLostError(f"{path} is locked with a passphrase: give a key without one") from error
    except ValueError as error:
        raise ConnectionLostError(
            f"{path} is no certificate or key in PEM or DER ({plain(str(error))})"
        ) from error
    if private.public_key() != found.public_key():
        raise ConnectionLostError(
            f"{key} is not the key of {certificate}: give the pair that belongs together"
        )
    return found, private


def _watch_tokens(client: Client, kind: str, channel: Offer) -> None:
    """Have the client identify the user only in a way that keeps the secret; the library takes the first one."""

    def server_policy(_: Any) -> Any:
        policies = client._policy_ids or []
        tokens = [
            Token(TOKENS.get(p.TokenType, str(p.TokenType)), re.sub(r"^.*#", "", p.SecurityPolicyUri or ""))
            for p in policies
        ]
        try:
            policy = policies[choose_token(tokens, kind, channel)]
        except NoOfferError as error:
            raise ConnectionLostError(f"{client.server_url.geturl()}: {error}") from error
        uri = policy.SecurityPolicyUri or offered.PREFIX + channel.policy
        return ua.UserTokenPolicy(PolicyId=policy.PolicyId, TokenType=policy.TokenType, SecurityPolicyUri=uri)

    client.server_policy = server_policy
