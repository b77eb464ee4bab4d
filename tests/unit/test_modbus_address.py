"""Modbus addresses and the check of a source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.modbus import check
from collectors.modbus.address import Address, parse
from plant.model import Role, Signal, Source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("holding:100:uint32", Address("holding", 100, "uint32", 2)),
        ("input:0:float64", Address("input", 0, "float64", 4)),
        ("holding:7:bit.15", Address("holding", 7, "bit", 1, 15)),
        ("input:9:bcd32", Address("input", 9, "bcd32", 2)),
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


@given(st.text(max_size=30))
def test_no_address_text_breaks_the_parser(text: str) -> None:
    try:
        assert parse(text).length >= 1
    except ValueError as error:
        assert str(error)


def test_check_finds_everything_at_once() -> None:
    options = {"port": 0, "poll": "0s", "clock": "holding:1:uint16", "hots": "x"}
    wrong = Signal(id="g", equipment="m", role=Role.GOOD, address="40001")
    found = check(Source(id="p", protocol="modbus", options=options), (wrong,))
    assert len(found) == 6
    for part in ('option "host" is missing', '"port"', '"poll"', '"clock"', 'unknown option "hots"', "m.g"):
        assert sum(part in problem for problem in found) == 1, part


def signal(address: str, **collect: object) -> Signal:
    return Signal(id="g", equipment="m", role=Role.GOOD, source="p", address=address, collect=collect)


def test_a_signal_may_have_its_own_unit_byte_order_and_poll() -> None:
    source = Source(id="p", protocol="modbus", options={"host": "plc"})
    assert check(source, (signal("holding:1:int16", unit=3, byte_order="DCBA", poll="100ms"),)) == []
    found = check(source, (signal("holding:1:int16", unit=300, byte_order="little", poll="0s", units=3),))
    assert len(found) == 4
    for part in ('"unit": 300', '"byte_order": \'', '"poll": \'0s', 'unknown option "units"'):
        assert sum(part in problem and '"m.g"' in problem for problem in found) == 1, part


def test_byte_order_is_said_once_and_values_fit_into_a_request() -> None:
    both = {"host": "plc", "byte_order": "ABCD", "word_order": "little"}
    (problem,) = check(Source(id="p", protocol="modbus", options=both), ())
    assert '"word_order"' in problem
    short = {"host": "plc", "max_block": 3, "clock": "holding:0:uint64"}
    found = check(Source(id="p", protocol="modbus", options=short), (signal("input:1:string<7>"),))
    assert len(found) == 2 and all("at least 4" in problem for problem in found)
