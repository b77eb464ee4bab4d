"""What provisioning is given, and what it says it did."""

from dataclasses import dataclass, field
from datetime import timedelta

CREATED, CHANGED, THERE = "created", "changed", "there"


class ProvisionError(Exception):
    """It cannot be created; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Who may create things. 1.x: user and password. 2.x: a token, or user and password. 3.x: a token."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is needed. `state`: CREATED, CHANGED or THERE."""

    state: str
    what: str


@dataclass(slots=True, kw_only=True)
class Provisioned:
    """What was done, in order."""

    server: str
    """The product and its version."""
    steps: list[Step] = field(default_factory=list)
    token: str = field(default="", repr=False)
    """A new token for Lineside; no server says it twice."""
    operator: str = field(default="", repr=False)
    """The token of a server that was set up just now, which may do everything; not said twice either."""
    notes: list[str] = field(default_factory=list)
    """What somebody should know or do."""

    def note(self, state: str, what: str) -> None:
        """Add a step."""
        self.steps.append(Step(state, what))


def kept(keep: timedelta | None) -> str:
    """A retention as people say it."""
    if keep is None:
        return "for ever"
    days, rest = divmod(keep, timedelta(days=1))
    if rest:
        return f"{keep.total_seconds() / 3600:g} hours"
    return "1 day" if days == 1 else f"{days} days"
