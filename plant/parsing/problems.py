"""What is wrong with a plant file, all of it at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, order=True)
class PlantError:
    """One thing to correct."""

    file: str
    path: str
    """Where in the file: `signal[3].states."9".reason`; lists count from 0. Empty: the file as a whole."""
    problem: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.path}" if self.path else self.file
        return f"{place}: {self.problem}. {self.fix}{'' if self.fix.endswith('?') else '.'}"


class PlantErrors(Exception):  # noqa: N818 - it is the list, not one error
    """A plant file that cannot be used, with every error found in it."""

    def __init__(self, errors: Iterable[PlantError]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(str(e) for e in self.errors))


def suggestion(wrong: str, known: Iterable[str], otherwise: str) -> str:
    """The nearest known word as a fix, or `otherwise`."""
    by_lower = {k.lower(): k for k in known}
    near = get_close_matches(wrong.lower(), list(by_lower), n=1, cutoff=0.6)
    return f'Did you mean "{by_lower[near[0]]}"?' if near else otherwise
