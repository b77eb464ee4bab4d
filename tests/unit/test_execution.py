"""Order states, which order ran where, and how far it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.orders import JobOrder, OrderAction, OrderError, OrderState, Refusal, dispatch_key, transition
from execution.ports import OrderRun
from execution.progress import counting_machines, expected_now, progress
from execution.running import machine_runs, scheduled_runs
from plant.frames import LEDGER, ORDER_RUNS, Window, empty
from plant.model import Equipment, EquipmentLevel, OrderSource, Plant, Role, Signal, Site

T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)


def at(minute: float) -> datetime:
    return T0 + timedelta(minutes=minute)


def small_plant() -> Plant:
    unit, line = EquipmentLevel.WORK_UNIT, EquipmentLevel.PRODUCTION_LINE
    nodes = [
        Equipment(id="demo", name="Demo", level=EquipmentLevel.SITE),
        Equipment(id="bottling", name="Bottling", level=line, parent="demo"),
        Equipment(id="filler", name="Filler", level=unit, parent="bottling"),
        Equipment(id="capper", name="Capper", level=unit, parent="bottling", upstream=("filler",)),
        Equipment(id="packer-a", name="Packer A", level=unit, parent="bottling", upstream=("capper",)),
        Equipment(id="packer-b", name="Packer B", level=unit, parent="bottling", upstream=("capper",)),
        Equipment(id="wrapper", name="Wrapper", level=unit, parent="demo", upstream=("packer-a",)),
    ]
    machines = [node.id for node in nodes if node.level is unit]
    return Plant(
        site=Site(id="demo", name="Demo", zone=ZoneInfo("UTC")),
        equipment={node.id: node for node in nodes},
        signals={(m, "state"): Signal(id="state", equipment=m, role=Role.STATE) for m in machines},
    )


PLANT = small_plant()


def order(number: str, equipment: str = "filler", **changes: object) -> JobOrder:
    fields: dict[str, object] = {"id": number, "material": "cola", "equipment": equipment, "quantity": 100}
    return JobOrder(**(fields | changes))  # type: ignore[arg-type]


# states


@given(st.lists(st.sampled_from(OrderAction), max_size=12))
def test_whatever_is_tried_an_order_stays_in_its_life_cycle(actions: list[OrderAction]) -> None:
    job = order("A")
    started = False
    for action in actions:
        before = job.state
        try:
            job = order("A", state=transition(job, action))
        except OrderError as refused:
            assert job.state is before
            assert "order 'A': cannot" in str(refused)
            continue
        started |= job.state is OrderState.RUNNING
        assert before not in (OrderState.COMPLETED, OrderState.CANCELLED), "over is over"
        assert (job.state is OrderState.RUNNING) == (action is OrderAction.START)
        assert job.state is not OrderState.COMPLETED or started, "nothing completes without having run"
        assert not (before is OrderState.RUNNING and job.state is OrderState.CANCELLED)


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("action", OrderAction)
def test_every_action_in_every_state_is_answered(state: OrderState, action: OrderAction) -> None:
    try:
        assert transition(order("A", state=state), action) is not state
    except OrderError as refused:
        assert refused.reason in Refusal
        assert str(refused).startswith(f"order 'A': cannot {action}: ")


def test_the_hash_covers_the_plan_and_not_the_state() -> None:
    base = order("A")
    assert base.content_hash == order("A", state=OrderState.HELD).content_hash
    changes: list[dict[str, object]] = [
        {"material": "fanta"},
        {"equipment": "capper"},
        {"quantity": 101},
        {"due": T0},
        {"priority": 1},
        {"planned_start": T0},
        {"planned_end": T0},
    ]
    hashes = {order("A", **change).content_hash for change in changes} | {order("B").content_hash}
    assert len(hashes - {base.content_hash}) == len(changes) + 1


def test_orders_are_worked_on_running_first_then_by_priority_and_due() -> None:
    queue = [
        order("later", due=at(9)),
        order("never"),
        order("soon", due=at(1)),
        order("urgent", priority=5),
        order("now", state=OrderState.RUNNING),
    ]
    assert [o.id for o in sorted(queue, key=dispatch_key)] == ["now", "urgent", "soon", "later", "never"]


# which order ran where


def booked(
    number: str, equipment: str, start: float, end: float | None, source: str = "operator"
) -> OrderRun:
    finish = None if end is None else at(end)
    return OrderRun(
        order=number, material="cola", equipment=equipment, start=at(start), end=finish, source=source
    )


def reported(*rows: tuple[str, float, float | None, str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [(m, at(a), None if b is None else at(b), o, material) for m, a, b, o, material in rows],
        schema=dict(ORDER_RUNS),
        orient="row",
    )


def runs_of(machine: str, frame: pl.DataFrame) -> list[tuple[str, float, float | None]]:
    def minute(time: datetime | None) -> float | None:
        return None if time is None else (time - T0) / timedelta(minutes=1)

    return [
        (row["order"], minute(row["start"]) or 0.0, minute(row["end"]))
        for row in frame.filter(pl.col("equipment") == machine).iter_rows(named=True)
    ]


def test_a_line_order_covers_every_machine_below_and_no_other() -> None:
    frame = machine_runs(PLANT, [booked("L", "bottling", 0, None)], empty(ORDER_RUNS), {})
    assert frame["equipment"].to_list() == ["capper", "filler", "packer-a", "packer-b"]
    assert runs_of("capper", frame) == [("L", 0, None)]
    assert dict(frame.schema) == dict(ORDER_RUNS)


def test_the_more_specific_source_wins_and_the_weaker_fills_its_gaps() -> None:
    frame = machine_runs(
        PLANT,
        [
            booked("M", "filler", 10, 20),
            booked("L", "bottling", 5, 40),
            booked("S", "filler", 0, None, "schedule"),
        ],
        reported(("filler", 15, 30, "P", "fanta"), ("capper", 35, None, "P", None)),
        {"P": order("P", material="soda")},
    )
    assert runs_of("filler", frame) == [
        ("S", 0, 5),
        ("L", 5, 10),
        ("M", 10, 20),
        ("P", 20, 30),
        ("L", 30, 40),
        ("S", 40, None),
    ]
    assert runs_of("capper", frame) == [("L", 5, 35), ("P", 35, None)]
    materials = dict(frame.filter(order="P").select("equipment", "material").iter_rows())
    assert materials == {"filler": "fanta", "capper": "soda"}


def believing(machine: str, *sources: OrderSource) -> Plant:
    return replace(
        PLANT,
        equipment={
            m: replace(node, orders_from=sources if m == machine else node.orders_from)
            for m, node in PLANT.equipment.items()
        },
    )


def test_a_plant_says_whom_it_believes_and_who_is_left_out_is_not_asked() -> None:
    said = [
        booked("M", "filler", 10, 20),
        booked("L", "bottling", 5, 40),
        booked("S", "filler", 0, None, "schedule"),
    ]
    signal = reported(("filler", 15, 30, "P", "fanta"))

    def runs(*sources: OrderSource) -> list[tuple[str, float, float | None]]:
        return runs_of("filler", machine_runs(believing("filler", *sources), said, signal, {}))

    terminal, plc, schedule = OrderSource
    assert runs(plc, terminal) == [("L", 5, 10), ("M", 10, 15), ("P", 15, 30), ("L", 30, 40)]
    assert runs(schedule, plc, terminal) == [("S", 0, None)]
    assert runs(terminal) == [("L", 5, 10), ("M", 10, 20), ("L", 20, 40)]
    assert runs(plc) == [("P", 15, 30)]


def made(frame: pl.DataFrame) -> list[tuple[str | None, str | None, float, float | None]]:
    return [
        (material, *row)
        for material, row in zip(
            frame.filter(equipment="filler")["material"], runs_of("filler", frame), strict=True
        )
    ]


def test_the_product_the_machine_says_goes_with_the_order_of_who_is_believed_less() -> None:
    said = [booked("M", "filler", 10, 20), booked("L", "bottling", 5, 40)]
    signal = reported(("filler", 0, 15, None, "water"), ("filler", 15, 30, None, "juice"))
    assert made(machine_runs(PLANT, said, signal, {})) == [
        ("water", None, 0, 5),
        ("water", "L", 5, 10),
        ("cola", "M", 10, 20),
        ("juice", "L", 20, 30),
        ("cola", "L", 30, 40),
    ]
    believed = believing("filler", OrderSource.PLC, OrderSource.TERMINAL)
    assert made(machine_runs(believed, said, signal, {})) == [
        ("water", None, 0, 5),
        ("water", "L", 5, 10),
        ("water", "M", 10, 15),
        ("juice", "M", 15, 20),
        ("juice", "L", 20, 30),
        ("cola", "L", 30, 40),
    ]
    alone = believing("filler", OrderSource.TERMINAL)
    assert {order for _, order, *_ in made(machine_runs(alone, said, signal, {}))} == {"M", "L"}


def test_an_order_nobody_entered_keeps_its_number_without_material() -> None:
    frame = machine_runs(PLANT, [], reported(("filler", 0, 5, "X", None)), {})
    assert frame.select("order", "material").rows() == [("X", None)]


def test_pieces_of_one_order_from_two_sources_are_one_run() -> None:
    frame = machine_runs(PLANT, [booked("L", "bottling", 0, 9)], reported(("filler", 3, 5, "L", "cola")), {})
    assert runs_of("filler", frame) == [("L", 0, 9)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["filler", "bottling", "demo"]),
            st.sampled_from(["operator", "schedule", "machine"]),
            st.integers(0, 30),
            st.integers(1, 30) | st.none(),
        ),
        max_size=12,
    )
)
def test_every_minute_of_a_machine_has_the_order_of_its_strongest_source(
    spans: list[tuple[str, str, int, int | None]],
) -> None:
    named = [
        (f"O{n}", m, source, a, None if d is None else a + d) for n, (m, source, a, d) in enumerate(spans)
    ]
    signal = [("filler", a, b, o, "cola") for o, _, source, a, b in named if source == "machine"]
    runs = [booked(o, m, a, b, source) for o, m, source, a, b in named if source != "machine"]
    rows = runs_of("filler", machine_runs(PLANT, runs, reported(*signal), {}))
    assert all(end is not None and end <= begin for (_, _, end), (_, begin, _) in pairwise(rows))

    def strongest(minute: int) -> str | None:
        layers: list[list[tuple[str, int, int | None]]] = [
            [(o, a, b) for o, m, source, a, b in named if source == "operator" and m == "filler"],
            [(o, a, b) for o, m, source, a, b in named if source == "machine"],
            *(
                [(o, a, b) for o, m, s, a, b in named if s == "operator" and m == n]
                for n in ("bottling", "demo")
            ),
            *(
                [(o, a, b) for o, m, s, a, b in named if s == "schedule" and m == n]
                for n in ("filler", "bottling", "demo")
            ),
        ]
        for layer in layers:
            begun = sorted((span for span in layer if span[1] <= minute), key=lambda span: span[1])
            if begun and (begun[-1][2] is None or minute < begun[-1][2]):
                return begun[-1][0]
        return None

    for minute in range(65):
        found = [o for o, begin, end in rows if begin <= minute and (end is None or minute < end)]
        assert found == [order for order in [strongest(minute)] if order is not None]


def test_the_plan_read_as_runs() -> None:
    plan = [
        order("B", planned_start=at(10), planned_end=at(30)),
        order("A", planned_start=at(0), planned_end=at(5)),
        order("C", planned_start=at(20)),
        order("X", planned_start=at(1), state=OrderState.CANCELLED),
        order("Y"),
    ]
    found = [(r.order, r.start, r.end, r.source) for r in scheduled_runs(plan)]
    assert found == [
        ("A", at(0), at(5), "schedule"),
        ("B", at(10), at(20), "schedule"),
        ("C", at(20), None, "schedule"),
    ]


# progress


def ledger(*rows: tuple[str, float, float, str | None, int, int]) -> pl.DataFrame:
    blank = dict.fromkeys(LEDGER)
    return pl.DataFrame(
        [
            blank | {"equipment": m, "start": at(a), "end": at(b), "order": o, "good": good, "reject": reject}
            for m, a, b, o, good, reject in rows
        ],
        schema=dict(LEDGER),
    )


def test_a_line_counts_where_its_flow_ends() -> None:
    assert counting_machines(PLANT, "filler") == ("filler",)
    assert counting_machines(PLANT, "bottling") == ("packer-a", "packer-b")
    assert counting_machines(PLANT, "demo") == ("packer-b", "wrapper")


def test_progress_of_a_line_order_and_of_a_machine_order() -> None:
    rows = ledger(
        ("filler", 0, 5, "L", 100, 3),
        ("packer-a", 2, 6, "L", 40, 1),
        ("packer-b", 3, 7, "L", 50, 0),
        ("packer-b", 7, 8, None, 9, 9),
        ("filler", 5, 9, "M", 7, 2),
    )
    found = progress(PLANT, rows, [order("L", "bottling"), order("M"), order("N"), order("G", "gone")])
    line, machine, waiting, gone = found["L"], found["M"], found["N"], found["G"]
    assert (line.good, line.reject, line.start, line.end) == (90, 1, at(0), at(7))
    assert (machine.good, machine.reject, machine.start, machine.end) == (7, 2, at(5), at(9))
    assert (waiting.good, waiting.start) == (0, None)
    assert (gone.good, gone.counted_at) == (0, ())


def test_what_should_have_been_made_by_now() -> None:
    job = order("A", due=at(60), planned_start=at(0))
    assert [expected_now(job, None, at(m)) for m in (-5, 0, 15, 59.9, 60, 90)] == [0, 0, 25, 99, 100, 100]
    assert expected_now(job, at(30), at(45)) == 50
    assert expected_now(order("A"), at(0), at(5)) is None
    assert expected_now(order("A", due=at(60)), None, at(5)) is None


def test_what_should_have_been_made_by_now_counts_working_time_only() -> None:
    job = order("A", due=at(60), planned_start=at(0))

    def first_half(window: Window) -> timedelta:
        return max(min(window.end, at(30)) - window.start, timedelta())

    assert [expected_now(job, None, at(m), first_half) for m in (15, 30, 45)] == [50, 100, 100]
    assert expected_now(job, None, at(15), lambda _: timedelta()) is None
