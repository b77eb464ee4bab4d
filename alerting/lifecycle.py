"""The life of an alert: the ISA-18.2 alarm state model as one table.

A decision is a state and a named reason; what cannot be done leaves the state as it is and says why.
Source: ANSI/ISA-18.2-2016, figure "Alarm state transition diagram", without shelving and suppression.
"""

from dataclasses import dataclass
from enum import StrEnum

from alerting.alert import AlertState


class Action(StrEnum):
    """What can happen to an alert after it was raised."""

    ACKNOWLEDGE = "acknowledge"
    RETURN = "return"
    """The condition is gone."""


class Outcome(StrEnum):
    """Why the decision is what it is."""

    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"
    RETURNED_ACKNOWLEDGED = "returned_acknowledged"
    ACKNOWLEDGED_AFTER_RETURN = "acknowledged_after_return"
    ALREADY_ACKNOWLEDGED = "already_acknowledged"
    ALREADY_RETURNED = "already_returned"
    ALREADY_RESOLVED = "already_resolved"
    UNKNOWN_ALERT = "unknown_alert"

    @property
    def done(self) -> bool:
        """Whether something was done."""
        return self in _DONE


@dataclass(frozen=True, slots=True)
class Decision:
    """The state afterwards, and the reason."""

    state: AlertState
    outcome: Outcome


_DONE = frozenset(
    {
        Outcome.ACKNOWLEDGED,
        Outcome.RETURNED_UNACKNOWLEDGED,
        Outcome.RETURNED_ACKNOWLEDGED,
        Outcome.ACKNOWLEDGED_AFTER_RETURN,
    }
)

_TABLE: dict[tuple[AlertState, Action], tuple[AlertState, Outcome]] = {
    (AlertState.UNACKNOWLEDGED, Action.ACKNOWLEDGE): (AlertState.ACKNOWLEDGED, Outcome.ACKNOWLEDGED),
    (AlertState.UNACKNOWLEDGED, Action.RETURN): (AlertState.RETURNED, Outcome.RETURNED_UNACKNOWLEDGED),
    (AlertState.ACKNOWLEDGED, Action.ACKNOWLEDGE): (AlertState.ACKNOWLEDGED, Outcome.ALREADY_ACKNOWLEDGED),
    (AlertState.ACKNOWLEDGED, Action.RETURN): (AlertState.RESOLVED, Outcome.RETURNED_ACKNOWLEDGED),
    (AlertState.RETURNED, Action.ACKNOWLEDGE): (AlertState.RESOLVED, Outcome.ACKNOWLEDGED_AFTER_RETURN),
    (AlertState.RETURNED, Action.RETURN): (AlertState.RETURNED, Outcome.ALREADY_RETURNED),
    (AlertState.RESOLVED, Action.ACKNOWLEDGE): (AlertState.RESOLVED, Outcome.ALREADY_RESOLVED),
    (AlertState.RESOLVED, Action.RETURN): (AlertState.RESOLVED, Outcome.ALREADY_RESOLVED),
}


def decide(state: AlertState, action: Action) -> Decision:
    """What an action does to an alert in that state."""
    return Decision(*_TABLE[state, action])
