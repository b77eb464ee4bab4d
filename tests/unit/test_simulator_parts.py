"""The simulator's small pieces: conveyors, orders, scripts, truth log, register image, pace."""

import io
import struct
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from collectors.simulator.faults import parse_script
from collectors.simulator.line import Buffer
from collectors.simulator.modbus_server import registers
from collectors.simulator.model import Reading, Simulation
from collectors.simulator.orders import (
    COLUMNS,
    demo_orders,
    load_orders,
    parse_orders,
    programme,
    write_orders,
)
from collectors.simulator.serve import Pace, modbus_machines, opcua_machines, parser
from collectors.simulator.truth import TruthLines, TruthLog, load_truth, microseconds

START = datetime(2026, 1, 5, 5, tzinfo=UTC)


def test_a_conveyor_keeps_the_sequence_of_orders_and_its_length() -> None:
    buffer = Buffer(10)
    buffer.put(0, 6)
    buffer.put(1, 3)
    assert (buffer.level, buffer.room, buffer.available(0), buffer.available(1)) == (9, 1, 6, 0)
    with pytest.raises(ValueError, match="do not fit"):
        buffer.put(1, 2)
    with pytest.raises(ValueError, match="not there"):
        buffer.take(1, 1)
    buffer.take(0, 6)
    assert (buffer.level, buffer.available(0), buffer.available(1)) == (3, 0, 3)


def test_orders_survive_csv_and_cover_the_hours_asked_for() -> None:
    rows = demo_orders(START, hours=12)
    file = io.StringIO()
    write_orders(rows, file)
    file.seek(0)
    assert parse_orders(load_orders(file)) == parse_orders(rows)
    assert file.getvalue().splitlines()[0] == ",".join(COLUMNS)
    assert len({row["id"] for row in rows}) == len(rows)
    longer = demo_orders(START, hours=20)
    assert len(longer) > len(rows)
    assert all(row in longer for row in rows)
    for machine in ("filler", "cnc-1", "press-1"):
        queue = programme(parse_orders(rows), machine)
        assert len(queue) >= 4
        assert [o.start for o in queue] == sorted(o.start for o in queue)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"material": "beer"}, "no material 'beer'"),
        ({"equipment": "filler"}, "'filler' cannot make"),
        ({"equipment": "cnc-1"}, "'cnc-1' cannot make"),
        ({"quantity": 0}, "at least 1"),
        ({"quantity": "many"}, "row 1"),
        ({"id": "x" * 33}, "32 ASCII"),
        ({"due": ""}, "has no due"),
    ],
)
def test_a_wrong_order_is_refused_with_its_row(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_orders([{**demo_orders(START, hours=1)[0], **change}])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"equipment": "press-2"}, "no machine 'press-2'"),
        ({"state": 6}, "cannot be forced"),
        ({"state": 77}, "cannot be forced"),
        ({"at": "2026-01-05T06:00:00"}, "zone"),
        ({"duration": 0}, "more than 0"),
    ],
)
def test_a_wrong_script_is_refused_with_its_event(change: dict[str, object], says: str) -> None:
    event: dict[str, object] = {
        "equipment": "press-1",
        "at": "2026-01-05T06:00:00+00:00",
        "state": 922,
        "duration": 60,
    }
    assert parse_script([event])[0].duration == timedelta(minutes=1)
    with pytest.raises(ValueError, match=f"event 1: .*{says}"):
        parse_script([{**event, **change}])
    with pytest.raises(ValueError, match="event 1 has no 'at'"):
        parse_script([{k: v for k, v in event.items() if k != "at"}])


def test_the_truth_survives_its_file_and_a_torn_last_line() -> None:
    end = START + timedelta(minutes=20)
    lines, memory = TruthLines(["filler", "press-1"]), Simulation(1, START)
    Simulation(1, START, truth=lines).advance_to(end)
    memory.advance_to(end)
    assert isinstance(memory.truth, TruthLog)
    log = lines.drain()
    assert lines.drain() == b""
    loaded = load_truth(log + b'["parts","filler",17675')
    wanted = pl.col("equipment").is_in(["filler", "press-1"])
    assert loaded.counts(START, end).equals(memory.truth.counts(START, end).filter(wanted))
    assert loaded.state_intervals(START, end).equals(memory.truth.state_intervals(START, end).filter(wanted))
    with pytest.raises(ValueError, match="line 1 is not a truth record"):
        load_truth(b'["parts"]\n')


def test_truth_spans_are_cut_at_the_edges_and_leave_no_hole() -> None:
    sim = Simulation(1, START)
    sim.advance_to(START + timedelta(hours=1))
    assert isinstance(sim.truth, TruthLog)
    begin, end = START + timedelta(minutes=7), START + timedelta(minutes=50, microseconds=5)
    spans = sim.truth.state_intervals(begin, end)
    by = spans.group_by("equipment").agg(
        first=pl.col("start").min(), last=pl.col("end").max(), total=(pl.col("end") - pl.col("start")).sum()
    )
    assert by.height == 9
    assert (by["first"] == begin).all()
    assert (by["last"] == end).all()
    assert (by["total"] == end - begin).all()
    assert TruthLog().state_intervals(begin, end).is_empty()


def test_the_register_image_is_as_published() -> None:
    reading = Reading(921, 4_294_967_000, 65_535, "PO-1001", 850.25)
    image = registers(reading, microseconds(START))
    assert len(image) == 26
    assert image[0] == 921
    assert image[1] << 16 | image[2] == 4_294_967_000
    assert image[3] == 65_535
    assert struct.pack(">16H", *image[4:20]).rstrip(b"\0") == b"PO-1001"
    assert struct.unpack(">f", struct.pack(">2H", *image[20:22])) == (850.25,)
    assert struct.unpack(">Q", struct.pack(">4H", *image[22:26])) == (int(START.timestamp() * 1000),)


def test_simulated_time_follows_the_clock_at_its_speed_until_the_end() -> None:
    pace = Pace(START, 60.0, epoch=100.0, until=START + timedelta(minutes=3))
    assert pace.at(100.0) == START
    assert pace.at(101.5) == START + timedelta(seconds=90)
    assert pace.at(1000.0) == START + timedelta(minutes=3)
    with pytest.raises(ValueError, match="speed"):
        Pace(START, 0.0, epoch=0.0, until=None)


def test_options_need_zones_and_machines_go_to_their_server(capsys: pytest.CaptureFixture[str]) -> None:
    args = parser().parse_args(["--start", "2026-01-05T06:00:00+01:00", "--machines", "filler", "press-1"])
    assert args.start == START
    assert opcua_machines(args.machines) == ("filler",)
    assert modbus_machines(args.machines) == ("press-1",)
    with pytest.raises(SystemExit):
        parser().parse_args(["--start", "2026-01-05T06:00:00"])
    assert "a zone is needed" in capsys.readouterr().err
