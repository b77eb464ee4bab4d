"""Where the InfluxDB server is and who we are."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

ANYBODY = "token"
"""User of requests signed in by token alone: 2.x and 3.x look at the password, which is the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluxSettings:
    """Where the server is and who we are.

    `token` writes ("user:password" on 1.x), `user` and `password` read (2.x, 3.x: the token as password).
    """

    url: str
    bucket: str
    """The bucket of 2.x, the database of 1.x and 3.x, or "database/retention-policy"."""
    token: str
    user: str
    password: str
    org: str = "-"
    timeout: float = 60.0
    """Seconds a write or a piece of an answer may take."""
    gzip: bool | None = None
    """Whether writes are compressed. None: unless the server is on this machine."""
    in_flight: int = 2
    """Posts of one write that wait for their answers at a time. 3.x answers once a second."""

    @property
    def compressed(self) -> bool:
        """Whether writes are compressed."""
        return not _is_here(urlsplit(self.url).hostname or "") if self.gzip is None else self.gzip


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
