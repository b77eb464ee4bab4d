"""What the library's answers hold, as plain values. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from asyncua import ua

from collectors.onboarding.found import Kind, Value

T = TypeVar("T")
_I = ua.ObjectIds
_ABSTRACT = (0, _I.BaseDataType, _I.Number, _I.Integer, _I.UInteger)
INTEGERS = {
    "SByte": 8, "Byte": 8, "Int16": 16, "UInt16": 16, "Int32": 32, "UInt32": 32, "Int64": 64, "UInt64": 64,
}  # fmt: skip
"""Built-in types to their bits."""
KINDS = {
    "Boolean": Kind.BOOLEAN, **dict.fromkeys(INTEGERS, Kind.INTEGER), "Float": Kind.FLOAT, "Double": Kind.FLOAT,
    "String": Kind.TEXT, "LocalizedText": Kind.TEXT, "Enumeration": Kind.INTEGER,
}  # fmt: skip
"""Built-in types that a signal can have."""


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in pieces of that size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def local(node: Any) -> ua.NodeId | None:
    """The node id of an expanded one; None for a node of another server."""
    if getattr(node, "ServerIndex", 0):
        return None
    found = ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
    return None if found.is_null() else found


def built_in(data_type: ua.NodeId) -> str | None:
    """The name of a built-in data type, "" for one that may hold any, None for one that is not built in."""
    if data_type.NamespaceIndex != 0 or not isinstance(data_type.Identifier, int):
        return None
    if data_type.Identifier == _I.Enumeration:
        return "Enumeration"
    if data_type.Identifier in _ABSTRACT:
        return ""
    try:
        return str(ua.VariantType(data_type.Identifier).name)
    except ValueError:
        return None


def given(data: Any) -> Any:
    """What a DataValue holds; None when it holds nothing."""
    return None if data is None or data.Value is None else data.Value.Value


def as_value(held: Any) -> Value:
    """A value as a collector would deliver it."""
    if isinstance(held, bool | int | float | str):
        return int(held) if isinstance(held, int) and not isinstance(held, bool) else held
    text = getattr(held, "Text", None)
    return text if isinstance(text, str) else None


def names_of_values(held: Any) -> dict[str, str]:
    """Raw value to name, of EnumStrings (texts from 0 on) or EnumValues (with their numbers)."""
    if not isinstance(held, list):
        return {}
    found = {}
    for index, entry in enumerate(held):
        number = getattr(entry, "Value", index)
        text = getattr(getattr(entry, "DisplayName", entry), "Text", None)
        if isinstance(text, str) and text:
            found[str(int(number))] = text
    return found
