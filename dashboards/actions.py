"""What a button on a page does: try it, then say what happened and have the page drawn again."""

import logging
from collections.abc import Callable
from itertools import count
from typing import Any

from dash import html, no_update

from dashboards.ports import Changed, Refused

log = logging.getLogger(__name__)
_changes = count(1)

NOBODY = "Say who you are first: the round button at the top right."


def attempt(action: Callable[[], object], done: str) -> tuple[Any, Any]:
    """Values for `changed` (draws the page again) and `said` (the message)."""
    try:
        action()
    except Changed as changed:
        return next(_changes), message(str(changed), bad=True)
    except Refused as refused:
        return no_update, message(str(refused), bad=True)
    except Exception:
        log.exception("an action failed")
        return no_update, message("That failed; the server's log says why.", bad=True)
    return next(_changes), message(done)


def message(text: str, bad: bool = False) -> Any:
    """What the user is told; fades by itself."""
    return html.Div(
        text,
        key=f"said-{next(_changes)}",
        className="toast fading",
        role="alert" if bad else "status",
        **{"data-bad": "true" if bad else "false"},
    )
