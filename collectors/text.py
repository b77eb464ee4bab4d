"""Text that came from outside, fit to be shown. Pure."""

import re


def plain(text: str, longest: int = 200) -> str:
    """One line without control characters, not endless."""
    shown = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text[: 4 * longest])).strip()
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
