"""SHDR as it comes over a wire: cut anywhere, over several lines, too long, of several devices, or plain junk."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.shdr.decode import decode, named_device, samples
from collectors.shdr.items import Items
from collectors.shdr.lines import Lines
from plant.model import Role, Signal
from tests.examples import examples

AT = datetime(2026, 1, 1, tzinfo=UTC)
T = "2026-01-01T00:00:00Z"


def signal(address: str, role: Role = Role.PROCESS_VALUE) -> Signal:
    return Signal(id=address, equipment="m", role=role, source="s", address=address)


@given(
    st.lists(st.text(alphabet="ab|*-Z:0 \\é", max_size=12), max_size=8),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_lines_come_out_whole_however_they_are_cut(texts: list[str], cuts: list[int]) -> None:
    data = "".join(text + "\n" for text in texts).encode()
    lines, found, at = Lines(), list[str](), 0
    while at < len(data):
        cut = cuts[at % len(cuts)]
        found += lines.feed(data[at : at + cut])
        at += cut
    assert found == texts and lines.problems() == [] and lines.end() == []


def test_a_value_of_several_lines_is_one_value_and_an_asset_is_passed_over() -> None:
    data = (
        f"{T}|@ASSET@|T1|CuttingTool|--multiline--0FED\n<a>\n{T[:10]}|not a stamp\n</a>\n--multiline--0FED\n"
        f"{T}|note|--multiline--X\r\nfirst\r\nsecond|third\r\n--multiline--X\r\n{T}|x|1\n"
    ).encode()
    records, problems = decode(data)
    assert problems == []
    assert records.select("item", "value").rows() == [("note", "first\nsecond|third"), ("x", "1")]


def test_a_value_whose_end_was_lost_costs_only_itself() -> None:
    lines = Lines()
    found = lines.feed(f"{T}|note|--multiline--X\nbody\n{T}|x|1\n{T}|y|2\n".encode())
    assert found == [f"{T}|x|1", f"{T}|y|2"]
    assert [p.reason for p in lines.problems()] == ["a value of several lines without an end"]
    lines = Lines(longest=100)
    found = lines.feed(f"{T}|note|--multiline--X\n".encode() + b"body\n" * 50 + f"{T}|x|1\n".encode())
    assert found[-1] == f"{T}|x|1" and len(lines.problems()) == 1


def test_a_line_that_is_too_long_is_left_out_and_costs_no_memory() -> None:
    lines = Lines(longest=1000)
    found = []
    for _ in range(100):
        found += lines.feed(b"x" * 500)
        assert len(lines._rest) <= 1500
    found += lines.feed(f"end\n{T}|x|1\n".encode()) + lines.feed(b"y" * 1200 + f"\n{T}|x|2\n".encode())
    assert found == [f"{T}|x|1", f"{T}|x|2"]
    assert [p.count for p in lines.problems()] == [1, 1] and lines.problems() == []


def test_a_time_series_gives_its_last_value_and_one_that_lies_is_left_out() -> None:
    records, problems = decode(
        [f"{T}|ts|5|100|1 2  3 4 5.5", f"{T}|ts|2||7 8 ", f"{T}|ts|3|100|1 2", f"{T}|a|5|b|6"]
    )
    assert records.select("item", "value").rows() == [("ts", "5.5"), ("ts", "8"), ("a", "5"), ("b", "6")]
    assert [p.line for p in problems] == [3] and "as many values" in problems[0].reason


def test_a_bar_in_quotes_belongs_to_the_value() -> None:
    records, problems = decode([f'{T}|note|"a \\| b"|x|1', f'{T}|note|"plain"'])
    assert problems == []
    assert records.select("item", "value").rows() == [("note", "a | b"), ("x", "1"), ("note", '"plain"')]


def test_a_device_command_names_what_follows_also_in_later_reads() -> None:
    first = [f"{T}|x|1", "* device: A", f"{T}|x|2|B:x|3", "* uuid: 7", f"{T}|x|FAULT||||"]
    records, _ = decode(first)
    assert records["item"].to_list() == ["x", "A:x", "B:x", "A:x"]
    device = named_device(first, "")
    assert device == "A" and named_device(["* PONG 100", "x"], "A") == "A"
    assert decode([f"{T}|y|1"], device)[0]["item"].to_list() == ["A:y"]


def test_two_devices_with_an_item_of_one_name_never_mix() -> None:
    lines = [f"{T}|A:x|1", f"{T}|B:x|2", f"{T}|A:x|3", f"{T}|x|4", f"{T}|B:y|5"]
    plain, exact = signal("x"), signal("B:x")
    items = Items([plain, signal("y")])
    got = samples(decode(lines)[0], [plain, signal("y")], AT, items)
    assert got.select("signal", "value").rows() == [("x", 1.0), ("x", 3.0), ("y", 5.0)]
    assert set(items.mixed) == {"x"} and "write DEVICE:x" in items.mixed["x"]
    assert samples(decode(lines)[0], [exact], AT)["value"].to_list() == [2.0]


FRAGMENT = st.sampled_from(
    [
        T,
        "|",
        "x",
        "UNAVAILABLE",
        "\n",
        "--multiline--A",
        "* device: D\n",
        "* PONG",
        "@ASSET@",
        "\\|",
        '"',
        "5",
        "\r",
        "\0",
    ]
)


@given(
    st.lists(FRAGMENT | st.text(max_size=4), max_size=30)
    .map("".join)
    .map(lambda t: t.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=120),
    st.integers(7, 60),
)
@examples(60)
def test_junk_never_raises_and_never_invents(data: bytes, cut: int) -> None:
    lines, device, numbers = Lines(longest=80), "", []
    items = Items([signal("x")])
    for at in range(0, len(data), cut):
        found = lines.feed(data[at : at + cut])
        records, _ = decode(found, device)
        device = named_device(found, device)
        numbers += samples(records, [signal("x")], AT, items)["value"].drop_nulls().to_list()
    text = data.decode("utf-8", "replace")
    assert all(f"{n:g}"[0] in text or f"{n:g}"[-1] in text for n in numbers), (
        "a number that is nowhere in what came"
    )
    assert all(n == n and abs(n) != float("inf") for n in numbers)


@pytest.mark.parametrize("item", ["x", ":x", "x:", "A:B:x", ""])
def test_odd_names_are_no_ones(item: str) -> None:
    assert Items([signal("y")]).address(item) is None
