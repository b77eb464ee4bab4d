"""decode(encode(x)) is x, for every type, byte order and place in a request."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.modbus.address import BYTE_ORDERS, ByteOrder, Wanted, parse
from collectors.modbus.blocks import Block, blocks
from collectors.modbus.decode import Plan

FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}


def ordered(big_endian: bytes, order: ByteOrder) -> bytes:
    """Bytes in a device that stores in that order, worked out word by word."""
    words = [big_endian[i : i + 2] for i in range(0, len(big_endian), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(words)


def numbers(kind: str) -> st.SearchStrategy[float]:
    if kind == "float32":
        return st.floats(width=32, allow_nan=False)
    if kind == "float64":
        return st.floats(allow_nan=False)
    if kind.startswith("bcd"):
        return st.integers(0, 10 ** (int(kind[3:]) // 4) - 1)
    bits = int(kind.lstrip("uint"))
    return (
        st.integers(0, 2**bits - 1)
        if kind[0] == "u"
        else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )


def encoded(kind: str, value: object, order: ByteOrder) -> bytes:
    if kind.startswith("string"):
        assert isinstance(value, str)
        length = int(kind[7:-1])
        raw = value.encode("latin-1").ljust(length + length % 2, b"\0")
        return b"".join(
            raw[i : i + 2][::-1] if order in ("BADC", "DCBA") else raw[i : i + 2]
            for i in range(0, len(raw), 2)
        )
    if kind.startswith("bcd"):
        return ordered(bytes.fromhex(str(value).zfill(int(kind[3:]) // 4)), order)
    return ordered(struct.pack(">" + FORMATS[kind], value), order)


VALUES = st.sampled_from([*FORMATS, "bcd16", "bcd32", "string<7>", "string<8>"]).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=int(kind[7:-1]))
        if kind.startswith("string")
        else numbers(kind),
        st.sampled_from(BYTE_ORDERS),
        st.booleans(),
        st.integers(0, 40),
    )
)


@given(st.lists(VALUES, min_size=1, max_size=40))
def test_every_type_and_order(values: list[tuple[str, object, ByteOrder, bool, int]]) -> None:
    wanted, image = [], b""
    for kind, value, order, as_text, unused in values:
        image += b"\xa5" * (2 * unused)
        wanted.append(Wanted(1, parse(f"holding:{len(image) // 2}:{kind}"), order, as_text))
        image += encoded(kind, value, order)
    found = blocks(wanted, 16)
    plan = Plan(found, wanted)
    got, texts = plan.decode([image[2 * b.start : 2 * b.end] for b in found])
    assert sorted(plan.indices) == list(range(len(wanted)))
    for position, index in enumerate(plan.indices):
        kind, value, _, as_text, _ = values[index]
        if kind.startswith("string"):
            assert texts[position] == value and math.isnan(got[position])
        else:
            assert got[position] == float(value)  # type: ignore[arg-type]
            if as_text:
                assert type(value)(texts[position]) == value
            else:
                assert position not in texts


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.data())
def test_coils_and_bits_of_registers(bits: list[bool], data: st.DataObject) -> None:
    order = data.draw(st.sampled_from(BYTE_ORDERS))
    asked = data.draw(st.lists(st.integers(0, len(bits) - 1), min_size=1, max_size=20))
    packed = np.packbits(bits, bitorder="little").tobytes()
    packed += bytes(len(packed) % 2)
    coils = [Wanted(1, parse(f"coil:{at}:bool"), order) for at in asked]
    in_registers = [Wanted(1, parse(f"input:{at // 16}:bit.{at % 16}"), order) for at in asked]
    words = b"".join(
        packed[i : i + 2] if order in ("BADC", "DCBA") else packed[i : i + 2][::-1]
        for i in range(0, len(packed), 2)
    )
    wanted = [*coils, *in_registers]
    found = blocks(wanted, 124)
    plan = Plan(found, wanted)

    def answer(block: Block) -> bytes:
        if block.area == "input":
            return words[2 * block.start : 2 * block.end]
        return np.packbits(bits[block.start : block.end], bitorder="little").tobytes()

    got, texts = plan.decode([answer(block) for block in found])
    assert texts == {}
    for position, index in enumerate(plan.indices):
        assert got[position] == bits[asked[index % len(asked)]]


@given(st.binary(min_size=28, max_size=28))
def test_any_content_decodes(image: bytes) -> None:
    texts = ("string<12>", "float64", "float32", "bcd32", "bool")
    starts = (0, 6, 10, 12, 12)
    wanted = [
        Wanted(1, parse(f"holding:{at}:{kind}"), "CDAB", True) for at, kind in zip(starts, texts, strict=True)
    ]
    plan = Plan(blocks(wanted, 0), wanted)
    got, words = plan.decode([image])
    for position, index in enumerate(plan.indices):
        if texts[index] == "bcd32":
            legal = image[24:28].hex().isdecimal()
            assert math.isfinite(got[position]) == legal == (position in words)
            if legal:
                assert got[position] == int((image[26:28] + image[24:26]).hex())
        if texts[index] == "bool":
            assert got[position] == (image[24:26] != b"\0\0")


def test_answers_of_the_wrong_length_are_refused() -> None:
    wanted = [
        Wanted(1, parse("holding:0:uint32")),
        Wanted(1, parse("coil:0:bool")),
        Wanted(1, parse("coil:9:bool")),
    ]
    plan = Plan(blocks(wanted, 16), wanted)
    assert [block.bytes for block in plan.blocks] == [2, 4]
    with pytest.raises(ValueError, match="answered 5 bytes where 6"):
        plan.decode([b"\1\0", b"\0\0\0"])
