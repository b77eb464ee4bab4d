"""Requests: every value in one of them, whole, within the limits; and what a device refuses is learned."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.modbus.address import Wanted, is_bits, parse
from collectors.modbus.blocks import Learned, blocks, halves, most
from collectors.modbus.reading import Reading
from collectors.modbus.wire import RefusedError, Request

KINDS = ("int16", "uint32", "float64", "string<9>", "bit.3", "bcd32")
WANTED = st.builds(
    lambda unit, area, start, kind: Wanted(
        unit, parse(f"{area}:{start}:{'bool' if is_bits(area) else kind}")
    ),
    st.sampled_from([1, 2]),
    st.sampled_from(["holding", "input", "coil", "discrete"]),
    st.integers(0, 300),
    st.sampled_from(KINDS),
)


@given(st.lists(WANTED, max_size=40), st.integers(0, 124), st.integers(5, 125))
def test_blocks_read_every_value_whole_and_within_the_limits(
    wanted: list[Wanted], gap: int, longest: int
) -> None:
    found = blocks(wanted, gap, longest)
    assert sorted(i for block in found for i, _ in block.members) == list(range(len(wanted)))
    for block in found:
        assert 1 <= block.length <= most(block.area, longest)
        used = set()
        for index, offset in block.members:
            address = wanted[index].address
            assert (block.unit, block.area) == (wanted[index].unit, address.area)
            assert block.start + offset == address.start and offset + address.length <= block.length
            used.update(range(offset, offset + address.length))
        unused = "".join("x" if at in used else "." for at in range(block.length)).split("x")
        assert unused[0] == unused[-1] == "" and max(map(len, unused)) <= gap


@given(st.lists(WANTED, min_size=1, max_size=40), st.data())
def test_what_was_refused_is_neither_asked_nor_bridged_and_cuts_hold(
    wanted: list[Wanted], data: st.DataObject
) -> None:
    refused = data.draw(st.sets(st.integers(0, len(wanted) - 1)))
    cuts = {(1, "holding", at) for at in data.draw(st.sets(st.integers(1, 300), max_size=5))}
    found = blocks(wanted, 50, 125, Learned(dict.fromkeys(refused, "no"), cuts))  # type: ignore[arg-type]
    assert sorted(i for b in found for i, _ in b.members) == sorted(set(range(len(wanted))) - refused)
    for block in found:
        own = {
            at
            for i, _ in block.members
            for at in range(wanted[i].address.start, wanted[i].address.start + wanted[i].address.length)
        }
        for index in refused:
            address = wanted[index].address
            if (wanted[index].unit, address.area) == (block.unit, block.area):
                span = set(range(address.start, address.start + address.length))
                assert not (span & set(range(block.start, block.end))) - own
        starts = {block.start + offset for _, offset in block.members}
        for unit, area, at in cuts:
            if (unit, area) == (block.unit, block.area):
                assert not (min(starts) < at <= max(starts))


@given(st.lists(WANTED, min_size=1, max_size=40))
def test_halves_have_all_values_once(wanted: list[Wanted]) -> None:
    for block in blocks(wanted, 124):
        parts = halves(block, wanted)
        places = {(wanted[i].address.start, wanted[i].address.length) for i, _ in block.members}
        if parts is None:
            assert len(places) == 1
        else:
            assert all(part.members for part in parts)
            assert sorted(i for part in parts for i, _ in part.members) == sorted(i for i, _ in block.members)
            assert all(block.start <= part.start and part.end <= block.end for part in parts)


class Device:
    """Answers like a device with holes in its map and a bound on the length of a request."""

    def __init__(self, illegal: set[int], longest: int) -> None:
        self.illegal, self.longest, self.asked, self.answered = illegal, longest, 0, math.inf

    async def read(self, request: Request, timeout: float) -> bytes:
        self.asked += 1
        if request.count > self.longest or self.illegal & set(
            range(request.start, request.start + request.count)
        ):
            raise RefusedError("illegal address")
        return bytes(request.size)


@pytest.mark.parametrize("gap", [0, 10])
@given(
    starts=st.sets(st.integers(0, 200), min_size=1, max_size=40),
    illegal=st.sets(st.integers(0, 201), max_size=12),
    longest=st.integers(2, 125),
)
def test_what_a_device_refuses_is_found_out_and_then_needs_no_more_requests(
    gap: int, starts: set[int], illegal: set[int], longest: int
) -> None:
    wanted = [Wanted(1, parse(f"holding:{start}:uint32")) for start in sorted(starts)]
    good = {i for i, w in enumerate(wanted) if not illegal & {w.address.start, w.address.start + 1}}
    device = Device(illegal, longest)

    async def body() -> None:
        reading = Reading(
            device,  # type: ignore[arg-type]
            wanted,
            range(len(wanted)),
            max_gap=gap,
            max_block=125,
            timeout=1,
            every=1,
            retry=1e9,
        )
        for _ in range(len(wanted) + 2):
            got = await reading.round()
            assert got.plan is not None
            assert set(got.plan.indices) == good and set(got.failed) == set(range(len(wanted))) - good
            if not got.learned:
                break
        assert not got.learned
        before = device.asked
        got = await reading.round()
        assert device.asked - before == len(got.blocks)
        assert not got.learned and set(got.plan.indices if got.plan else ()) == good

    asyncio.run(body())


@pytest.mark.parametrize(
    ("kind", "longest", "lengths"),
    [
        ("holding:{}:uint16", 125, [125, 5]),
        ("input:{}:uint16", 60, [60, 60, 10]),
        ("coil:{}:bool", 4, [64, 64, 2]),
    ],
)
def test_a_full_request_is_just_full(kind: str, longest: int, lengths: list[int]) -> None:
    wanted = [Wanted(1, parse(kind.format(at))) for at in range(130)]
    assert [block.length for block in blocks(wanted, 0, longest)] == lengths
