"""Reading a channel's options: every problem is collected, each with the fix."""

from collections.abc import Sequence
from datetime import timedelta

from plant.model import ChannelConfig
from plant.parsing.values import duration


class Options:
    """The options of one channel. A getter returns None for what is missing or wrong; `errors` says what."""

    def __init__(self, config: ChannelConfig, known: Sequence[str]) -> None:
        self._options = config.options
        self.errors: list[str] = []
        for name in config.options:
            if name not in known:
                self.wrong(name, f"is not known to {config.kind}; use one of {', '.join(known)}")

    def wrong(self, name: str, problem: str) -> None:
        """Add an error about an option: "problem; fix"."""
        self.errors.append(f'option "{name}" {problem}')

    def text(self, name: str) -> str | None:
        """A text that is not empty."""
        value = self._options.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self.wrong(name, f'is not a text; write {name} = "..."')
            return None
        return value

    def number(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number in a range."""
        value = self._options.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self.wrong(name, f"is not a whole number from {lowest} to {highest}; write {name} = {lowest}")
            return None
        return value

    def duration(self, name: str) -> timedelta | None:
        """A length of time with a unit, from 10 ms to 5 minutes."""
        text = self.text(name)
        if text is None:
            return None
        try:
            found = duration(text)
        except ValueError as error:
            self.wrong(name, f'is no duration: {error}; write {name} = "10s"')
            return None
        if not timedelta(milliseconds=10) <= found <= timedelta(minutes=5):
            self.wrong(name, f'is "{text}"; use a time between 10ms and 5min')
            return None
        return found
