"""Reading a channel's options: every problem is collected, each with the fix."""

import os
from collections.abc import Sequence
from datetime import timedelta

from plant.model import ChannelConfig
from plant.parsing.values import duration


class Options:
    """The options of one channel. A getter returns None for what is missing or wrong; `errors` says what."""

    def __init__(self, config: ChannelConfig, known: Sequence[str]) -> None:
        self._config = config
        self.errors: list[str] = []
        for name in config.options:
            if name not in known:
                self.wrong(name, f"is not an option of {config.kind}; it knows {', '.join(known)}")

    def wrong(self, name: str, problem: str) -> None:
        """Add an error about an option."""
        self.errors.append(f"channel {self._config.id}: {name} {problem}")

    def text(self, name: str) -> str | None:
        """A text that is not empty."""
        value = self._config.options.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            self.wrong(name, f'must be a text; write {name} = "..."')
            return None
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty when missing."""
        value = self._config.options.get(name, [])
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            self.wrong(name, f'must be a list of texts; write {name} = ["..."]')
            return ()
        return tuple(value)

    def number(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number in a range."""
        value = self._config.options.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self.wrong(name, f"must be a whole number from {lowest} to {highest}")
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
            self.wrong(name, f'{error}; write {name} = "10s"')
            return None
        if not timedelta(milliseconds=10) <= found <= timedelta(minutes=5):
            self.wrong(name, f'is "{text}"; it must be between 10ms and 5min')
            return None
        return found

    def secret(self, name: str) -> str | None:
        """The value of the environment variable an option names: secrets stay out of the plant file."""
        variable = self.text(name)
        if variable is None:
            return None
        value = os.environ.get(variable)
        if not value:
            self.wrong(
                name, f"names the environment variable {variable}, which is not set; set it or drop {name}"
            )
            return None
        return value
