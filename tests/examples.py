"""How many examples a property test tries: all of its own in `make test`, a part of them in `make check`."""

from typing import Any

from hypothesis import settings

FULL = settings.get_profile("full").max_examples
FEWEST = 5


def examples(number: int, **others: Any) -> settings:
    """Settings of a test that tries so many; in the profile `quick` the same share of them as of all others."""
    share = number * settings.default.max_examples // FULL
    return settings(max_examples=max(share, min(FEWEST, number)), **others)
