"""Which of the ways to connect that a server offers is taken. Pure.

Source: OPC 10000-4, 7.14 (EndpointDescription) and 7.41 (UserTokenPolicy); OPC 10000-7, 6.6 (security policies).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from collectors.text import plain

PREFIX = "http://opcfoundation.org/UA/SecurityPolicy#"
NONE, SIGN, ENCRYPT = "None", "Sign", "SignAndEncrypt"
AUTO = "auto"
POLICIES = ("Aes256_Sha256_RsaPss", "Basic256Sha256", "Aes128_Sha256_RsaOaep")
"""What is used, the strongest first. Basic128Rsa15 and Basic256 are withdrawn and never used."""
ANONYMOUS, USER_NAME, CERTIFICATE = "Anonymous", "UserName", "Certificate"


class NoOfferError(Exception):
    """Nothing the server offers is what the plant file asks for; the message says both, and the fix."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One endpoint of a server."""

    mode: str
    """None, Sign or SignAndEncrypt."""
    policy: str
    """The security policy's short name."""
    uri: str = ""
    """What the server calls itself: its application URI."""
    certificate: bytes = b""

    @property
    def text(self) -> str:
        """As people read it."""
        return {
            NONE: "not secured",
            SIGN: f"signed ({self.policy})",
            ENCRYPT: f"signed and encrypted ({self.policy})",
        }[self.mode]


@dataclass(frozen=True, slots=True)
class Token:
    """One way a server lets users identify themselves."""

    kind: str
    policy: str
    """Short name of the policy the secret is protected with; "": that of the channel."""


def usable(offers: Sequence[Offer]) -> list[Offer]:
    """The secured ones we can take."""
    return [o for o in offers if o.mode in (SIGN, ENCRYPT) and o.policy in POLICIES and o.certificate]


def choose(offers: Sequence[Offer], security: str, policy: str | None, identified: bool) -> Offer:
    """The offer to take for the options `security` and `policy`.

    "auto" takes the strongest secured one; an unsecured one only when the server offers nothing else, no policy is
    asked for and there is no user (`identified`) whose secret would go over it. Raises NoOfferError.
    """
    wanted = [
        o for o in usable(offers) if security in (AUTO, o.mode) and (policy is None or o.policy == policy)
    ]
    if wanted:
        best: Offer = min(wanted, key=lambda o: (o.mode != ENCRYPT, POLICIES.index(o.policy)))
        return best
    asked = (
        " with ".join(filter(None, ["" if security == AUTO else security, policy])) or "a secured connection"
    )
    if security != AUTO or policy is not None or any(o.mode != NONE for o in offers):
        raise NoOfferError(f"the server does not offer {asked}; it offers {_listed(offers)}: {_fix(offers)}")
    unsecured = next((o for o in offers if o.mode == NONE), None)
    if unsecured is None:
        raise NoOfferError(
            "the server names no way to connect: check the address, or enable an endpoint on it"
        )
    if identified:
        raise NoOfferError(
            "the server offers no secured connection, and the user's secret would not be safe on an open one: enable "
            'security on the server, or write security = "None" if the network is to be trusted'
        )
    return unsecured


def choose_token(tokens: Sequence[Token], kind: str, channel: Offer) -> int:
    """The place in `tokens` of the one to use for a user of that kind over that channel.

    A password is never sent readable over a channel that does not encrypt, unless the channel is not secured at all,
    which the plant file must ask for. Raises NoOfferError.
    """
    same = [
        (place, token.policy or channel.policy) for place, token in enumerate(tokens) if token.kind == kind
    ]
    if not same:
        taken = ", ".join(sorted({_token_names.get(t.kind, plain(t.kind, 30)) for t in tokens})) or "nobody"
        fix = {
            ANONYMOUS: "write `user` and `password`, or `user_certificate` and `user_key`",
            USER_NAME: "enable user names on the server, or leave `user` and `password` out",
            CERTIFICATE: "enable user certificates on the server, or leave `user_certificate` and `user_key` out",
        }[kind]
        raise NoOfferError(f"the server does not take {_token_names[kind]}; it takes {taken}: {fix}")
    if kind == ANONYMOUS:
        return same[0][0]
    strong = [(POLICIES.index(policy), place) for place, policy in same if policy in POLICIES]
    if strong:
        return min(strong)[1]
    readable = [place for place, policy in same if policy == NONE]
    if readable and kind == USER_NAME and channel.mode in (NONE, ENCRYPT):
        return readable[0]
    if readable and kind == USER_NAME:
        raise NoOfferError(
            "the server wants the password unencrypted over a connection that is only signed: write "
            'security = "SignAndEncrypt"'
        )
    raise NoOfferError(
        f"the server protects {_token_names[kind]} only with {', '.join(sorted({plain(p, 40) for _, p in same}))}: "
        f"enable {POLICIES[1]} for them on the server"
    )


def _listed(offers: Sequence[Offer]) -> str:
    names = {NONE if o.mode == NONE else f"{o.mode} with {plain(o.policy, 40)}" for o in offers}
    return ", ".join(sorted(names)[:12]) or "nothing"


def _fix(offers: Sequence[Offer]) -> str:
    fix = (
        "change `security` and `policy` of the source, or the server"
        if usable(offers)
        else f"enable one of {', '.join(POLICIES)} on the server"
    )
    unsecured = any(o.mode == NONE for o in offers)
    return fix + (', or write security = "None" to connect without protection' if unsecured else "")


_token_names = {
    ANONYMOUS: "anonymous users",
    USER_NAME: "user names",
    CERTIFICATE: "user certificates",
}
