"""Bytes as they come to whole lines of SHDR, with values that span several of them put together. Pure.

Source: MTConnect adapter agent protocol (github.com/mtconnect/cppagent, README): a value may be `--multiline--TAG`; it is
then what follows, up to a line that is `--multiline--TAG` again.
"""

import re
from dataclasses import dataclass

LONGEST_LINE = 1 << 20
"""Bytes of a line, and of a value of several lines."""
_BEGINS = re.compile(rb"--multiline--(\S*)\s*$")
_STAMPED = re.compile(rb"\s*\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^|]*\|")


@dataclass(frozen=True, slots=True)
class Problem:
    """Lines of one kind that were left out: how many, and the first of them (line counts from 1)."""

    reason: str
    count: int
    line: int
    text: str


class Lines:
    """One connection's, or one file's, lines."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._skipping = False
        """In the middle of a line that is too long."""
        self._tag: bytes | None = None
        """In the middle of a value of several lines, which ends with that."""
        self._parts: list[bytes] = []
        self._size = 0
        self._count = 0
        self._problems: list[Problem] = []

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now."""
        self._rest += data
        *whole, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        found: list[bytes] = []
        for line in whole:
            self._count += 1
            if self._skipping:
                self._skipping = False
            elif len(line) > self._longest:
                self._wrong("a line that is too long", line)
            else:
                self._take(line, found)
        if len(self._rest) > self._longest:
            if not self._skipping:
                self._wrong("a line that is too long", bytes(self._rest[:200]))
            self._skipping = True
            self._rest.clear()
        return [line.decode("utf-8", "replace") for line in found]

    def end(self) -> list[str]:
        """Nothing follows: the last line, if it had no end."""
        found = self.feed(b"\n") if self._rest or self._skipping else []
        if self._tag is not None:
            self._give_up()
        return found

    def problems(self) -> list[Problem]:
        """What was left out since this was asked last."""
        found, self._problems = self._problems, []
        return found

    def _take(self, line: bytes, found: list[bytes]) -> None:
        if self._tag is not None:
            if line.strip() == b"--multiline--" + self._tag:
                # A bar in there separates nothing.
                found.append(self._parts[0] + b"\n".join(self._parts[1:]).replace(b"|", b"\\|"))
                self._tag, self._parts = None, []
                return
            # A line of its own in there, or no end in sight: the end was lost.
            self._size += len(line) + 1
            if not _STAMPED.match(line) and self._size <= self._longest:
                self._parts.append(line.rstrip(b"\r"))
                return
            self._give_up()
        begins = _BEGINS.search(line) if _STAMPED.match(line) or line.startswith(b"|") else None
        if begins is None:
            found.append(line)
        else:
            self._tag, self._parts, self._size = begins[1], [line[: begins.start()]], 0

    def _give_up(self) -> None:
        self._wrong("a value of several lines without an end", self._parts[0])
        self._tag, self._parts = None, []

    def _wrong(self, reason: str, text: bytes) -> None:
        self._problems.append(Problem(reason, 1, self._count, text[:120].decode("utf-8", "replace")))
