"""Modbus addresses, blocks and decoding against struct, without a device."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.modbus import check
from collectors.modbus.address import MOST_REGISTERS, Address, BlockDecoder, blocks, parse
from plant.model import Role, Signal, Source


def registers(data: bytes) -> list[int]:
    data = data + b"\0" * (len(data) % 2)
    return list(struct.unpack(f">{len(data) // 2}H", data))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("holding:100:uint32", Address("holding", 100, "uint32", 2)),
        ("input:0:float64", Address("input", 0, "float64", 4)),
        ("holding:7:bit.15", Address("holding", 7, "bit", 1, 15)),
        ("holding:30:string<7>", Address("holding", 30, "string<7>", 4)),
        ("coil:65535:bool", Address("coil", 65535, "bool", 1)),
        ("discrete:5:bool", Address("discrete", 5, "bool", 1)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    """ |40001|holding:1|holding:1:uint8|holding:65535:uint32|coil:1:uint16|holding:1:bit.16|holding:1:bit
    |holding:1:string<0>|holding:1:uint16.3|coil:1:bool.2|holding:-1:int16""".replace("\n    ", "").split(
        "|"
    ),
)
def test_wrong_addresses_say_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"holding:100:uint32|last address"):
        parse(text)


@pytest.mark.parametrize("order", ["big", "little"])
def test_every_type_decodes_in_both_word_orders(order: str) -> None:
    values = {
        "int16": (-5, ">h"),
        "uint16": (65000, ">H"),
        "int32": (-70000, ">i"),
        "uint32": (4_000_000_000, ">I"),
        "int64": (-(2**40), ">q"),
        "uint64": (2**63 + 1, ">Q"),
        "float32": (1.5, ">f"),
        "float64": (-2.25, ">d"),
    }
    image: list[int] = []
    addresses: list[Address] = []
    for kind, (value, form) in values.items():
        addresses.append(parse(f"holding:{10 + len(image)}:{kind}"))
        words = registers(struct.pack(form, value))
        image += words if order == "big" else words[::-1]
    for text, words in (
        ("string<7>", registers(b"A-0042\0")),
        ("bit.3", [0b1000]),
        ("bit.2", [0b1000]),
        ("bool", [7]),
    ):
        addresses.append(parse(f"holding:{10 + len(image)}:{text}"))
        image += words
    (block,) = blocks(addresses, 0)
    got = dict(BlockDecoder(block, addresses, "big" if order == "big" else "little").registers(image))
    assert list(got.values()) == [value for value, _ in values.values()] + ["A-0042", 1, 0, 1]


def test_a_short_answer_is_refused() -> None:
    addresses = [parse("holding:0:uint32"), parse("coil:0:bool"), parse("coil:9:bool")]
    coils, holding = blocks(addresses, 16)
    with pytest.raises(ValueError, match="answered 1 of 2 registers"):
        BlockDecoder(holding, addresses, "big").registers([1])
    with pytest.raises(ValueError, match="answered 8 of 10 bits"):
        BlockDecoder(coils, addresses, "big").bits([True] * 8)
    assert BlockDecoder(coils, addresses, "big").bits([True] + [False] * 15) == [(1, 1), (2, 0)]


ADDRESSES = st.builds(
    lambda area, start, kind: parse(f"{area}:{start}:{kind if area in ('holding', 'input') else 'bool'}"),
    st.sampled_from(["holding", "input", "coil", "discrete"]),
    st.integers(0, 400),
    st.sampled_from(["int16", "uint32", "float64", "string<9>", "bit.3", "string<250>"]),
)


@given(st.lists(ADDRESSES, max_size=30), st.integers(0, 124))
def test_blocks_read_every_address_whole_and_within_the_limits(addresses: list[Address], gap: int) -> None:
    found = blocks(addresses, gap)
    members = sorted(index for block in found for index, _ in block.members)
    assert members == list(range(len(addresses)))
    for block in found:
        assert 1 <= block.length <= (2000 if block.area in ("coil", "discrete") else MOST_REGISTERS)
        for index, offset in block.members:
            assert block.area == addresses[index].area
            assert block.start + offset == addresses[index].start
            assert offset + addresses[index].length <= block.length


@given(st.text(max_size=30))
def test_no_address_text_breaks_the_parser(text: str) -> None:
    try:
        assert parse(text).length >= 1
    except ValueError as error:
        assert str(error)


@given(st.lists(st.integers(0, 65535), min_size=14, max_size=14))
def test_any_register_content_decodes(image: list[int]) -> None:
    addresses = [
        parse(a)
        for a in ("holding:0:string<12>", "holding:6:float64", "holding:10:float32", "holding:12:int32")
    ]
    (block,) = blocks(addresses, 0)
    assert len(BlockDecoder(block, addresses, "little").registers(image)) == 4


def test_check_finds_everything_at_once() -> None:
    options = {"port": 0, "poll": "0s", "clock": "holding:1:uint16", "hots": "x"}
    wrong = Signal(id="g", equipment="m", role=Role.GOOD, address="40001")
    found = check(Source(id="p", protocol="modbus", options=options), (wrong,))
    assert len(found) == 6
    for part in ('option "host" is missing', '"port"', '"poll"', '"clock"', 'unknown option "hots"', "m.g"):
        assert sum(part in problem for problem in found) == 1, part
