"""Application certificates: what one says, what is wrong with it, and making our own. Pure.

Source: OPC 10000-6, 6.2.2 (application instance certificate); OPC 10000-4, 6.1.3 (how a certificate is checked).
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collectors.text import plain

T = TypeVar("T", bound=x509.ExtensionType)

KEY_BITS = (2048, 4096)
"""Smallest and largest RSA key the policies in use allow (OPC 10000-7, Basic256Sha256 and the two Aes policies)."""
OWN_KEY_BITS = 2048
"""Devices are slow at more, and every policy takes it."""
LIFE = timedelta(days=3650)
"""Of our own certificate: each server of a plant must be told about a new one, so a new one is rare."""
LARGEST = 64 * 1024
"""Bytes of a certificate; a longer one is none."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an application certificate says. Times are UTC."""

    der: bytes = field(repr=False)
    subject: str
    issuer: str
    uris: tuple[str, ...]
    """Application URIs it is for, as they stand there; there should be one."""
    hosts: tuple[str, ...]
    """Host names and addresses it is for."""
    not_before: datetime
    not_after: datetime
    key_bits: int
    """Of its RSA key; 0 when it has another kind of key."""
    signs: bool
    """Its key may sign and encrypt, as a server's must."""
    serves: bool
    """It may be a server's."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of it, 64 hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def thumbprint(self) -> str:
        """SHA-1 of it, 40 hexadecimal digits: what OPC UA tools show; for comparing by eye only."""
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """Our own certificate with its private key (PEM, PKCS 8, not encrypted)."""

    certificate: Certificate
    key: bytes = field(repr=False)

    @property
    def uri(self) -> str:
        """The application URI that belongs to it."""
        return self.certificate.uris[0]


def first_of(chain: bytes) -> bytes:
    """The first certificate of a chain (OPC 10000-6, 6.2.6: they follow each other). Raises ValueError."""
    if len(chain) < 4 or chain[0] != 0x30 or len(chain) > LARGEST:
        raise ValueError("it is no certificate")
    size, header = chain[1], 2
    if size & 0x80:
        header = 2 + (size & 0x7F)
        size = int.from_bytes(chain[2:header])
    if not 0 < header + size <= len(chain):
        raise ValueError("it is cut off")
    return chain[: header + size]


def read(der: bytes) -> Certificate:
    """The certificate in DER or PEM; of a chain the first. Raises ValueError saying what is wrong with it."""
    try:
        if der.lstrip().startswith(b"-----BEGIN"):
            found = x509.load_pem_x509_certificate(der)
            first = found.public_bytes(serialization.Encoding.DER)
        else:
            first = first_of(der)
            found = x509.load_der_x509_certificate(first)
        key = found.public_key()
        names = _extension(found, x509.SubjectAlternativeName)
        usage = _extension(found, x509.KeyUsage)
        purposes = _extension(found, x509.ExtendedKeyUsage)
        return Certificate(
            der=first,
            subject=_text(found.subject),
            issuer=_text(found.issuer),
            uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)) if names else (),
            hosts=(
                *(map(plain, names.get_values_for_type(x509.DNSName)) if names else ()),
                *(map(str, names.get_values_for_type(x509.IPAddress)) if names else ()),
            ),
            not_before=found.not_valid_before_utc,
            not_after=found.not_valid_after_utc,
            key_bits=key.key_size if isinstance(key, rsa.RSAPublicKey) else 0,
            signs=usage is None
            or (usage.digital_signature and (usage.key_encipherment or usage.data_encipherment)),
            serves=purposes is None
            or ExtendedKeyUsageOID.SERVER_AUTH in purposes
            or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes,
        )
    except ValueError as error:
        raise ValueError(f"not a certificate that can be read ({plain(str(error))})") from error
    except Exception as error:  # the parser has errors of its own for hostile input
        raise ValueError(f"not a certificate that can be read ({type(error).__name__})") from error


def problem(certificate: Certificate, now: datetime, uri: str | None = None) -> str | None:
    """Why a server's certificate cannot be used now, with the fix; None when it can. `uri`: what the server calls
    itself."""
    if certificate.not_after < now:
        return (
            f"it expired on {certificate.not_after:%Y-%m-%d %H:%M} UTC: make a new one on the server, then trust "
            "that one (or set this machine's clock)"
        )
    if certificate.not_before > now:
        return (
            f"it is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC: compare the clocks of the server "
            "and of this machine"
        )
    low, high = KEY_BITS
    if not low <= certificate.key_bits <= high:
        kind = f"RSA key has {certificate.key_bits} bits" if certificate.key_bits else "key is not an RSA key"
        return f"its {kind}: have the server make one with RSA and {low} to {high} bits"
    if not certificate.signs:
        return "its key usage does not allow signing and encrypting: have the server's certificate made with both"
    if not certificate.serves:
        return (
            "its extended key usage is not that of a server: have the server's certificate made for servers"
        )
    if uri is not None and uri not in certificate.uris:
        said = plain(", ".join(certificate.uris)) or "no application URI"
        return (
            f"it is for {said} but the server calls itself {plain(uri)}: have the server's certificate made anew "
            "with its application URI"
        )
    return None


def make_own(uri: str, host: str, now: datetime, life: timedelta = LIFE) -> Identity:
    """A new self-signed certificate for the application URI on that host, and its key. Takes up to a second."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=OWN_KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Lineside on {host}"[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), _host(host)]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ]
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),  # a server's clock may be behind ours
        not_valid_after=now + life,
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(key, hashes.SHA256())
    return Identity(
        read(made.public_bytes(serialization.Encoding.DER)),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def to_pem(identity: Identity) -> bytes:
    """Certificate and key in one text."""
    made = x509.load_der_x509_certificate(identity.certificate.der)
    return made.public_bytes(serialization.Encoding.PEM) + identity.key


def from_pem(text: bytes) -> Identity:
    """What `to_pem` made. Raises ValueError."""
    begin = text.find(b"-----BEGIN PRIVATE KEY-----")
    if begin < 0:
        raise ValueError("there is no private key in it")
    identity = Identity(read(text[:begin]), text[begin:])
    load_key(identity)
    if not identity.certificate.uris:
        raise ValueError("the certificate has no application URI")
    return identity


def load_key(identity: Identity) -> rsa.RSAPrivateKey:
    """Its key, tried out on its certificate: that takes 2 ms, the library's own check 40. Raises ValueError."""
    key = serialization.load_pem_private_key(identity.key, None, unsafe_skip_rsa_key_validation=True)
    public = x509.load_der_x509_certificate(identity.certificate.der).public_key()
    if not isinstance(key, rsa.RSAPrivateKey) or not isinstance(public, rsa.RSAPublicKey):
        raise ValueError("its key is not an RSA key")
    try:
        public.verify(
            key.sign(b"", padding.PKCS1v15(), hashes.SHA256()), b"", padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature as error:
        raise ValueError("key and certificate do not belong together") from error
    return key


def grouped(fingerprint: str) -> str:
    """A fingerprint as people compare it: in groups of eight digits."""
    return " ".join(fingerprint[i : i + 8] for i in range(0, len(fingerprint), 8))


def ascii_name(host: str) -> str:
    """The host name with what may be in a certificate and in a URN."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", host)[:63].strip("-.") or "localhost"


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _text(name: x509.Name) -> str:
    return plain(", ".join(f"{a.rfc4514_attribute_name}={a.value!s}" for a in name)) or "(no name)"


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(ascii_name(host))


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,  # as a self-signed one must (OPC 10000-6, 6.2.2)
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
