"""The parts of a streamed answer (multipart/x-mixed-replace, RFC 2046), as they come in. Pure."""

import re

MAX_HEADERS = 16 * 1024


class PartsError(Exception):
    """The stream is no multipart, or a part is too long."""


def boundary(content_type: str) -> bytes | None:
    """What separates the parts; None when the answer is not streamed."""
    if not content_type.strip().lower().startswith("multipart/"):
        return None
    found = re.search(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))', content_type, re.IGNORECASE)
    if found is None:
        raise PartsError("a multipart answer without a boundary")
    return (found[1] or found[2]).encode("latin-1", "replace")


class Parts:
    """Takes bytes as they come, gives back whole parts. `longest`: bytes a part may have."""

    def __init__(self, separator: bytes, longest: int) -> None:
        # Some agents write the two hyphens into the boundary they announce.
        bare = separator[2:] if separator.startswith(b"--") else separator
        self._line = re.compile(rb"(?:\r?\n)?-{2,4}" + re.escape(bare) + rb"(--)?[ \t]*\r?\n")
        self._longest = longest
        self._data = bytearray()
        self._begun = False
        self._looked = 0
        """Where the search for the next separator goes on."""

    def feed(self, data: bytes) -> list[bytes]:
        """The parts that are whole now."""
        self._data += data
        found = []
        while (part := self._next()) is not None:
            if part:
                found.append(part)
        if len(self._data) > self._longest + MAX_HEADERS:
            raise PartsError(f"a part of more than {self._longest} bytes")
        return found

    def _next(self) -> bytes | None:
        if not self._begun:
            line = self._line.search(self._data)
            if line is None:
                return None
            del self._data[: line.end()]
            self._begun, self._looked = True, 0
        ends = re.search(rb"\r?\n\r?\n", self._data[: MAX_HEADERS + 4])
        if ends is None:
            if len(self._data) > MAX_HEADERS:
                raise PartsError("a part without headers")
            return None
        headers, start = bytes(self._data[: ends.start()]), ends.end()
        length = re.search(rb"(?im)^content-length[ \t]*:[ \t]*([0-9]{1,12})[ \t]*\r?$", headers)
        if length is not None:
            return self._sized(start, int(length[1]))
        line = self._line.search(self._data, max(start, self._looked))
        if line is None:
            self._looked = max(start, len(self._data) - 256)
            return None
        part = bytes(self._data[start : line.start()])
        del self._data[: line.end()]
        self._looked = 0
        return part

    def _sized(self, start: int, length: int) -> bytes | None:
        if length > self._longest:
            raise PartsError(f"a part of more than {self._longest} bytes")
        if len(self._data) < start + length:
            return None
        part = bytes(self._data[start : start + length])
        del self._data[: start + length]
        self._begun = False
        return part
