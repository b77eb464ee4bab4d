"""Sequence numbers of notification messages: 1 to 2**32 - 1, then 1 again (OPC 10000-4, 7.25.2). Pure."""

LAST = 2**32 - 1


def after(number: int) -> int:
    """The next one; 0, "none yet", is followed by 1."""
    return number % LAST + 1


def before(number: int) -> int:
    """The one before; before the first is 0, "none yet"."""
    return number - 1


def distance(one: int, other: int) -> int:
    """How many steps `other` comes after `one`; negative: before it."""
    steps = (other - one) % LAST
    return steps if steps <= LAST // 2 else steps - LAST


def between(one: int, other: int, most: int) -> list[int]:
    """The numbers after `one` and before `other`, the last `most` of them; none when `other` does not come after."""
    missing = distance(one, other) - 1
    return [(one + step - 1) % LAST + 1 for step in range(max(1, missing - most + 1), missing + 1)]
