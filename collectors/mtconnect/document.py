"""The documents an MTConnect agent answers with: devices, streams, errors. Pure.

Source: MTConnect Standard Part 1.0 Fundamentals (Devices, Streams and Error Response Documents), versions 1.2 to 2.x.
Elements are known by their local names, as every version has a namespace of its own.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_DOCUMENT = 64 * 1024 * 1024
"""Bytes."""
CONTAINERS = ("Samples", "Events", "Condition")
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_REFERENCE = re.compile(r"&#(x[0-9A-Fa-f]{1,6}|[0-9]{1,7});")


class DocumentError(Exception):
    """What came is no MTConnect document; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Header:
    """Of a streams document. A sequence number is that of one observation in the agent's buffer."""

    instance: int
    """Another one: the agent started anew, its sequence numbers too."""
    first: int
    """Oldest in the buffer."""
    last: int
    """Newest in the buffer."""
    next: int
    """Where the next document goes on."""
    buffer: int
    """Observations the agent keeps; 0: not said."""
    created: str
    """The agent's time, as it wrote it."""
    version: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one data item."""

    sequence: int
    item: str
    time: str
    category: str
    """ "Samples", "Events" or "Condition"."""
    element: str
    """Local name of the element; of a condition its level."""
    value: str
    code: str = ""
    """Native code of a condition or message; `condition`, where a condition has an id, names it."""
    condition: str = ""
    severity: str = ""
    qualifier: str = ""
    quality: str = ""
    series: bool = False
    """`value` are several, one after the other in time."""
    entries: bool = False
    """It is a data set or a table: there is no single value."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The answer to `current` and `sample`; observations in the order of their sequence."""

    header: Header
    observations: list[Observation]


@dataclass(frozen=True, slots=True)
class DataItem:
    """What an agent offers."""

    id: str
    name: str
    category: str
    """ "SAMPLE", "EVENT" or "CONDITION"."""
    type: str
    sub_type: str
    units: str
    """Of its values, in MTConnect's words: "MILLIMETER"."""
    representation: str
    """ "VALUE", "TIME_SERIES", "DATA_SET" or "TABLE"."""
    device: str
    uuid: str
    component: str
    """Where it is in the device: "Controller/Path path1"."""


@dataclass(frozen=True, slots=True)
class Devices:
    """The answer to `probe`."""

    instance: int
    version: str
    items: list[DataItem]


@dataclass(frozen=True, slots=True)
class Errors:
    """The agent refused: error codes ("OUT_OF_RANGE") and what it said."""

    codes: list[str]
    text: str


Document = Devices | Streams | Errors


def read_document(data: bytes, wanted: Collection[str] | None = None) -> Document:
    """An agent's document. `wanted`: ids of data items whose observations are taken; None: all.

    Characters XML does not allow, which adapters pass on, become "?". A document type declaration, and so any entity,
    is refused. Raises DocumentError.
    """
    if len(data) > MAX_DOCUMENT:
        raise DocumentError(f"a document of more than {MAX_DOCUMENT} bytes")
    try:
        return _parse(data, wanted)
    except expat.ExpatError as error:
        cleaned = _cleaned(data)
        if cleaned == data:
            raise DocumentError(f"no readable XML ({error})") from None
    try:
        return _parse(cleaned, wanted)
    except expat.ExpatError as error:
        raise DocumentError(f"no readable XML ({error})") from None


def _cleaned(data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)  # its encoding is no longer that of what follows

    def allowed(found: re.Match[str]) -> str:
        number = int(found[1][1:], 16) if found[1][0] == "x" else int(found[1])
        return found[0] if number <= 0x10FFFF and not _FORBIDDEN.match(chr(number)) else "?"

    return _REFERENCE.sub(allowed, _FORBIDDEN.sub("?", text)).encode("utf-8", "replace")


def _parse(data: bytes, wanted: Collection[str] | None) -> Document:
    reader = _Reader(wanted)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.Parse(data, True)
    return reader.document()


def _refuse_doctype(*_: object) -> None:
    raise DocumentError("it has a document type declaration, which no agent sends; it is not read")


@dataclass(slots=True)
class _Reader:
    wanted: Collection[str] | None
    path: list[str] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    device: dict[str, str] = field(default_factory=dict)
    components: list[tuple[int, str]] = field(default_factory=list)
    """Depth and name of the components around the current element."""
    items: list[DataItem] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    taken: dict[str, str] | None = None
    """Attributes of the observation being read."""
    at: int = 0
    entries: bool = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        parent = self.path[-1] if self.path else ""
        self.path.append(local)
        if self.taken is not None:
            self.entries = True
        elif parent in CONTAINERS and self.path[0] == "MTConnectStreams":
            if self.wanted is None or attributes.get("dataItemId") in self.wanted:
                self.taken, self.at, self.said, self.entries = attributes, len(self.path), [], False
        elif local == "Header" and len(self.path) == 2:
            self.header = attributes
        elif self.path[0] == "MTConnectDevices":
            self._device(local, parent, attributes)
        elif self.path[0] == "MTConnectError" and "errorCode" in attributes:
            self.codes.append(attributes["errorCode"])

    def _device(self, local: str, parent: str, attributes: dict[str, str]) -> None:
        if parent == "Devices":
            self.device, self.components = attributes, []
        elif parent in ("Components", "Compositions"):
            name = attributes.get("name", "")
            self.components.append((len(self.path), local + (f" {name}" if name else "")))
        elif local == "DataItem" and parent == "DataItems":
            get = attributes.get
            category, units = get("category", ""), get("units", "")
            self.items.append(
                DataItem(
                    id=get("id", ""),
                    name=get("name", ""),
                    category=category,
                    type=get("type", ""),
                    sub_type=get("subType", ""),
                    units=units,
                    representation=get("representation", "VALUE"),
                    device=self.device.get("name", ""),
                    uuid=self.device.get("uuid", ""),
                    component="/".join(name for _, name in self.components),
                )
            )

    def characters(self, text: str) -> None:
        if self.taken is not None or self.path[:1] == ["MTConnectError"]:
            self.said.append(text)

    def end(self, _: str) -> None:
        if self.taken is not None and self.at == len(self.path):
            self._observed(self.taken, self.path[-1], self.path[-2])
            self.taken = None
        if self.components and self.components[-1][0] == len(self.path):
            self.components.pop()
        self.path.pop()
        if not self.path:
            self.path = [""]  # nothing may follow the root; expat refuses it

    def _observed(self, attributes: dict[str, str], element: str, category: str) -> None:
        get = attributes.get
        self.observations.append(
            Observation(
                sequence=_whole(get("sequence", "0"), "sequence"),
                item=get("dataItemId", ""),
                time=get("timestamp", ""),
                category=category,
                element=element,
                value="".join(self.said).strip(),
                code=get("nativeCode", ""),
                condition=get("conditionId", ""),
                severity=get("nativeSeverity", ""),
                qualifier=get("qualifier", ""),
                quality=get("quality", ""),
                series="sampleCount" in attributes,
                entries=self.entries,
            )
        )

    def document(self) -> Document:
        if self.codes:
            return Errors(self.codes, " ".join("".join(self.said).split()))
        if not self.header:
            raise DocumentError("it is XML, but no MTConnect document: there is no header")
        get = self.header.get
        instance = _whole(get("instanceId", ""), "instanceId")
        if "nextSequence" not in self.header:
            return Devices(instance, get("version", ""), self.items)
        next_ = _whole(get("nextSequence", ""), "nextSequence")
        header = Header(
            instance=instance,
            first=_whole(get("firstSequence", "1"), "firstSequence"),
            last=_whole(get("lastSequence", str(next_ - 1)), "lastSequence"),
            next=next_,
            buffer=_whole(get("bufferSize", "0"), "bufferSize"),
            created=get("creationTime", ""),
            version=get("version", ""),
        )
        return Streams(header, sorted(self.observations, key=lambda o: o.sequence))


def _whole(text: str, name: str) -> int:
    if not re.fullmatch(r"\s*-?[0-9]{1,20}\s*", text):
        raise DocumentError(f"{name} is {text[:40]!r}, not a whole number")
    return int(text)
