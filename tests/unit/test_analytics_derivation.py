"""The rules of the derivation, one by one: states, counters, orders, categories, recodes, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analytics.ledger.rows import LedgerError, check
from pipelines.derive import derive, facts
from plant.frames import BAD, CORRECTIONS, RECODES, SAMPLES, TIME, Window, empty
from plant.model import (
    Break,
    BreakRule,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Reason,
    Role,
    Settings,
    Shift,
    Signal,
    Site,
    StateMapping,
    WorkCalendar,
)
from plant.states import MachineState

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
RAW: Mapping[str, StateMapping] = {
    "6": StateMapping(state=MachineState.RUNNING),
    "9": StateMapping(state=MachineState.DOWN),
    "901": StateMapping(state=MachineState.DOWN, reason="jam"),
    "4": StateMapping(state=MachineState.PLANNED_STOP),
    "15": StateMapping(state=MachineState.SETUP),
    "ACTIVE": StateMapping(state=MachineState.RUNNING),
}
RUN, STOP, JAM = 6, 9, 901


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def plant(
    *,
    stale: float | None = None,
    calendar: bool = False,
    breaks: BreakRule = BreakRule.PLANNED_DOWNTIME,
    counters: Sequence[Role] = (Role.GOOD, Role.REJECT),
    modulus: int | None = None,
    min_cycle: float | None = 1,
    assumed: bool = False,
) -> Plant:
    signals = [
        Signal(id="state", equipment="m", role=Role.STATE, states=RAW),
        Signal(id="order", equipment="m", role=Role.ORDER),
        Signal(id="speed", equipment="m", role=Role.PROCESS_VALUE),
        *(
            Signal(
                id=role.value,
                equipment="m",
                role=role,
                modulus=modulus,
                min_cycle=timedelta(seconds=min_cycle) if min_cycle else None,
                assumed=assumed,
            )
            for role in counters
        ),
    ]
    shift = Shift(
        id="early",
        name="Early",
        start=time(6),
        end=time(6, 30),
        breaks=(Break(start=time(6, 10), end=time(6, 15)),),
    )
    cycles = (
        IdealCycle(equipment="m", cycle=timedelta(seconds=2)),
        IdealCycle(equipment="m", cycle=timedelta(seconds=4), valid_from=at(300)),
    )
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        settings=Settings(breaks=breaks),
        equipment={
            "m": Equipment(
                id="m",
                name="m",
                level=EquipmentLevel.WORK_UNIT,
                calendar="c" if calendar else None,
                stale_after=timedelta(seconds=stale) if stale else None,
            )
        },
        signals={(s.equipment, s.id): s for s in signals},
        materials={"p": Material(id="p", name="p", ideal_cycles=cycles)},
        calendars={"c": WorkCalendar(id="c", shifts=(shift,))},
        reasons={
            "jam": Reason(id="jam", name="Jam"),
            "clean": Reason(id="clean", name="Cleaning", planned=True),
        },
    )


def samples(**signals: Sequence[tuple]) -> pl.DataFrame:
    """signal=[(second, value or text[, quality])]."""
    rows = []
    for signal, points in signals.items():
        for second, value, *quality in points:
            number = float(value) if isinstance(value, (int, float)) else None
            text = value if isinstance(value, str) else None
            rows.append((at(second), "m", signal, number, text, quality[0] if quality else 0, at(second)))
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def recodes(*entries: tuple[float, float | None, str | None]) -> pl.DataFrame:
    rows = [
        ("m", at(a), None if b is None else at(b), reason, "ada", at(9000 + i), None, None)
        for i, (a, b, reason) in enumerate(entries)
    ]
    return pl.DataFrame(rows, schema=dict(RECODES), orient="row")


def states(frame: pl.DataFrame, of: Plant, until: float) -> list[tuple]:
    found = facts(frame, of, at(until)).intervals
    return [
        ((a - START).total_seconds(), (b - START).total_seconds(), raw, state)
        for a, b, raw, state in found.select("start", "end", "raw", "state").iter_rows()
    ]


def parts(points: Sequence[tuple], **options: object) -> list[tuple]:
    found = facts(samples(good=points), plant(**options), at(100_000)).increments  # type: ignore[arg-type]
    return [
        ((t - START).total_seconds(), n, f)
        for t, n, f in found.select("time", "quantity", "flag").iter_rows()
    ]


def seconds(ledger: pl.DataFrame, column: str = "category") -> dict[str, float]:
    sums = ledger.group_by(column).agg(pl.col("duration").sum() / 1e6)
    return dict(sums.iter_rows())


def test_a_value_holds_until_the_next_sample_or_until_it_is_stale() -> None:
    frame = samples(state=[(0, RUN), (30, RUN), (80, STOP)])
    assert states(frame, plant(stale=40), 200) == [
        (0, 70, "6", "running"),
        (70, 80, None, "unknown"),
        (80, 120, "9", "down"),
        (120, 200, None, "unknown"),
    ]
    assert states(frame, plant(), 200) == [(0, 80, "6", "running"), (80, 200, "9", "down")]


def test_bad_missing_and_unmapped_values_are_unknown_and_the_raw_value_is_kept() -> None:
    frame = samples(state=[(0, RUN), (10, RUN, BAD), (20, None), (30, 77), (40, 1.5), (50, "ACTIVE")])
    assert states(frame, plant(), 60) == [
        (0, 10, "6", "running"),
        (10, 30, None, "unknown"),
        (30, 40, "77", "unknown"),
        (40, 50, "1.5", "unknown"),
        (50, 60, "ACTIVE", "running"),
    ]


def test_nothing_is_said_before_the_first_sample_and_the_ledger_calls_it_unknown() -> None:
    ledger = derive(samples(state=[(60, RUN)]), plant(), Window(at(0), at(100)))
    assert seconds(ledger) == {"unknown": 60, "running": 40}
    assert seconds(derive(empty(SAMPLES), plant(), Window(at(0), at(100)))) == {"unknown": 100}


def test_process_values_and_foreign_signals_are_passed_over() -> None:
    frame = samples(state=[(0, RUN)])
    more = pl.concat([frame, samples(speed=[(5, 1.0), (6, 2.0)], other=[(7, 1)])])
    window = Window(at(0), at(50))
    assert_frame_equal(derive(more, plant(), window), derive(frame, plant(), window))


def test_of_equal_instants_the_row_received_last_wins() -> None:
    first = samples(state=[(0, RUN), (10, STOP)])
    corrected = samples(state=[(10, RUN)]).with_columns(received=pl.lit(at(500)))
    assert states(pl.concat([corrected, first]), plant(), 20) == [(0, 20, "6", "running")]


def test_the_first_reading_is_a_baseline_and_rises_within_the_cap_count() -> None:
    assert parts([(0, 3763), (10, 3770), (11, 3770), (20, 3775)]) == [(10, 7, None), (20, 5, None)]


def test_a_rise_that_could_not_be_made_in_the_time_books_nothing() -> None:
    assert parts([(0, 10), (10, 23), (20, 25)]) == [(10, 0, "implausible"), (20, 2, None)]
    assert parts([(0, 10), (10, 22)]) == [(10, 12, None)]
    assert parts([(0, 0), (1, 5000)], min_cycle=None) == [(1, 5000, None)]


def test_a_pace_nobody_gave_drops_neither_trays_nor_parts_of_a_machine_that_is_faster() -> None:
    trays = [(0, 0), (1, 24), (2, 24), (3, 48), (3.5, 250)]
    assert parts(trays, assumed=True) == [(1, 24, None), (3, 24, None), (3.5, 0, "implausible")]
    assert parts([(0, 0), (3599, 4 * 3599)], assumed=True) == [(3599, 4 * 3599, None)]
    assert parts([(0, 65_530), (1, 14)], modulus=65_536, assumed=True) == [(1, 20, "rollover")]
    assert parts([(0, 85), (1, 5)], modulus=100, assumed=True) == [(1, 0, "implausible")]
    assert parts([(0, 500), (10, 40)], assumed=True) == [(10, 0, "implausible")]


def test_a_rollover_is_exact() -> None:
    assert parts([(0, 65_530), (10, 4)], modulus=65_536) == [(10, 10, "rollover")]
    assert parts([(0, 65_530), (10, 65_500)], modulus=65_536) == [(10, 0, "implausible")]


def test_a_reset_books_what_was_counted_since_and_is_marked() -> None:
    assert parts([(0, 500), (10, 4), (20, 6)]) == [(10, 4, "reset"), (20, 2, None)]
    assert parts([(0, 500), (10, 40)]) == [(10, 0, "implausible")]
    assert parts([(0, 500), (10, 40)], min_cycle=None) == [(10, 0, "reset")]


def test_parts_seen_across_a_gap_are_marked_and_no_part_is_invented() -> None:
    assert parts([(0, 100), (5, None), (30, 110)]) == [(30, 10, "bridged")]
    assert parts([(0, 100), (5, 100, BAD), (30, 100)]) == []
    # The Hurco recording: a reconnect reads 0, then the counter's real value.
    assert parts([(0, 3760), (5, None), (30, 0), (31, 3763), (60, 3764)]) == [
        (30, 0, "reset"),
        (31, 0, "implausible"),
        (60, 1, None),
    ]


def test_fractional_and_negative_readings_are_implausible() -> None:
    assert parts([(0, 10), (10, 10.5), (20, -3), (30, 12)]) == [
        (10, 0, "implausible"),
        (20, 0, "implausible"),
        (30, 2, "bridged"),
    ]


def test_what_rounding_took_from_a_scaled_counter_is_no_fraction() -> None:
    assert parts([(0, 0.29 * 100), (10, 0.57 * 100), (20, 57.0), (30, 1233.99996 - 1170)], min_cycle=0.1) == [
        (10, 28, None),
        (30, 7, None),
    ]
    assert parts([(0, 10), (10, 10.02)]) == [(10, 0, "implausible")]


def test_a_modulus_that_may_have_passed_unseen_is_marked() -> None:
    assert parts([(0, 10), (300, 20)], modulus=256) == [(300, 10, "bridged")]


def test_a_total_counter_gives_the_missing_kind() -> None:
    window = Window(at(0), at(100))
    of_total = plant(counters=(Role.TOTAL, Role.REJECT))
    frame = samples(state=[(0, RUN)], total=[(0, 0), (20, 12)], reject=[(0, 0), (20, 2)])
    assert derive(frame, of_total, window).select("good", "reject").sum().row(0) == (10, 2)
    no_reject = plant(counters=(Role.TOTAL, Role.GOOD))
    frame = samples(state=[(0, RUN)], total=[(0, 0), (20, 12)], good=[(0, 0), (20, 10)])
    assert derive(frame, no_reject, window).select("good", "reject").sum().row(0) == (10, 2)


def test_an_order_is_held_through_gaps_and_blank_ends_it() -> None:
    frame = samples(order=[(0, " A1 "), (10, None), (20, "A1", BAD), (30, 4711), (40, " "), (50, "A1")])
    runs = facts(frame, plant(), at(100), pl.DataFrame({"order": ["A1"], "material": ["p"]})).runs
    assert runs.select("start", "end", "order", "material").rows() == [
        (at(0), at(30), "A1", "p"),
        (at(30), at(40), "4711", None),
        (at(50), None, "A1", "p"),
    ]


def test_a_micro_stop_is_judged_on_the_uncut_stop_even_when_its_code_changes() -> None:
    frame = samples(state=[(0, RUN), (100, STOP), (160, JAM), (230, RUN), (300, STOP), (400, RUN)])
    ledger = derive(frame, plant(), Window(at(150), at(500)), edges=[at(350)])
    assert seconds(ledger) == {"unplanned_downtime": 80, "running": 170, "micro_stop": 100}
    assert ledger.filter(pl.col("state") == "down")["stop_start"].unique().sort().to_list() == [
        at(100),
        at(300),
    ]


def test_an_ongoing_stop_is_judged_by_its_length_so_far() -> None:
    frame = samples(state=[(0, RUN), (100, STOP)])
    window = Window(at(0), at(200))
    assert seconds(derive(frame, plant(), window))["micro_stop"] == 100
    assert seconds(derive(frame, plant(), window, until=at(230)))["unplanned_downtime"] == 100


def test_off_and_breaks() -> None:
    frame = samples(state=[(-100, STOP), (500, RUN), (660, STOP), (1200, RUN)])
    window = Window(at(-100), at(2000))
    # Shift 0-1800, break 600-900.
    usual = seconds(derive(frame, plant(calendar=True), window))
    assert usual == {
        "not_scheduled": 300,
        "unplanned_downtime": 800,
        "running": 700,
        "planned_downtime": 300,
    }
    running = seconds(derive(frame, plant(calendar=True, breaks=BreakRule.UNLESS_RUNNING), window))
    assert running == usual | {"running": 760, "planned_downtime": 240}


def test_recodes_name_the_reason_and_a_planned_one_moves_the_time() -> None:
    frame = samples(state=[(0, RUN), (100, STOP), (400, JAM), (700, RUN), (800, 4), (1000, RUN)])
    said = recodes((100, 500, "clean"), (300, 450, "jam"), (800, 1000, "jam"), (0, 100, "clean"))
    ledger = derive(frame, plant(), Window(at(0), at(1100)), recodes=said)
    assert ledger.select(
        (pl.col("start") - START).dt.total_seconds(), "state", "reason", "category"
    ).rows() == [
        (0, "running", None, "running"),
        (100, "down", "clean", "planned_downtime"),
        (300, "down", "jam", "unplanned_downtime"),
        (400, "down", "jam", "unplanned_downtime"),
        (450, "down", "clean", "planned_downtime"),
        (500, "down", "jam", "unplanned_downtime"),
        (700, "running", None, "running"),
        (800, "planned_stop", "jam", "unplanned_downtime"),
        (1000, "running", None, "running"),
    ]


def test_a_recode_without_end_covers_the_rest_of_the_stop_and_one_without_reason_takes_back() -> None:
    frame = samples(state=[(0, RUN), (100, STOP), (400, RUN), (500, STOP), (800, RUN)])
    said = recodes((150, None, "jam"), (500, 800, "jam"), (600, 700, None))
    ledger = derive(frame, plant(), Window(at(0), at(900)), recodes=said)
    assert seconds(ledger, "reason") == {None: 150 + 100 + 100 + 100, "jam": 250 + 100 + 100}


def test_parts_go_to_the_row_they_were_counted_in_at_the_cycle_of_that_time() -> None:
    frame = samples(
        state=[(0, RUN)],
        order=[(0, "A")],
        good=[(0, 0), (299, 10), (300, 11), (310, 14)],
        reject=[(0, 0), (310, 1)],
    )
    ledger = derive(frame, plant(), Window(at(0), at(400)), pl.DataFrame({"order": ["A"], "material": ["p"]}))
    assert ledger.select("good", "reject", "ideal", "ideal_good", "unrated").rows() == [
        (10, 0, 20_000_000, 20_000_000, 0),
        (4, 1, 20_000_000, 16_000_000, 0),
    ]


def test_parts_no_order_names_are_rated_as_what_the_machine_usually_makes() -> None:
    frame = samples(
        state=[(0, RUN)], order=[(0, ""), (100, "A"), (200, "X")], good=[(0, 0), (50, 5), (150, 8), (250, 10)]
    )
    usual = plant()
    machine = replace(usual.equipment["m"], material="p")
    usual = replace(usual, equipment={"m": machine})
    orders = pl.DataFrame({"order": ["A"], "material": ["p"]})
    ledger = derive(frame, usual, Window(at(0), at(300)), orders)
    assert ledger.select("order", "material", "good", "ideal", "unrated").rows() == [
        (None, "p", 5, 10_000_000, 0),
        ("A", "p", 3, 6_000_000, 0),
        ("X", "p", 2, 4_000_000, 0),  # an order nobody has told of
    ]


def test_parts_shown_by_the_first_reading_after_unknown_time_belong_to_it() -> None:
    frame = samples(
        state=[(0, RUN), (100, None), (200, RUN)], good=[(0, 0), (100, None), (200, 50), (210, 55)]
    )
    ledger = derive(frame, plant(), Window(at(0), at(300)))
    assert ledger.select("category", "good").rows() == [("running", 0), ("unknown", 50), ("running", 5)]


def test_booked_runs_replace_the_order_signal_of_their_machine() -> None:
    frame = samples(state=[(0, RUN)], order=[(0, "A")])
    runs = pl.DataFrame(
        {"equipment": ["m"], "start": [at(50)], "end": [None], "order": ["B"], "material": ["p"]}
    )
    ledger = derive(frame, plant(), Window(at(0), at(100)), runs=runs)
    assert seconds(ledger, "order") == {None: 50, "B": 50}


def test_a_ledger_that_does_not_cover_its_window_is_refused() -> None:
    window = Window(at(0), at(100))
    good = derive(samples(state=[(0, RUN), (50, STOP)]), plant(), window)
    begins = pl.DataFrame({"equipment": ["m"], "begin": [at(0)]}, schema_overrides={"begin": TIME})
    check(good, begins, window)
    for broken in (good.head(1), good.with_columns(duration=pl.lit(1)), good.clear()):
        with pytest.raises(LedgerError):
            check(broken, begins, window)
    with pytest.raises(LedgerError):
        check(good.sort("start", descending=True), begins, window)


def test_no_machines_and_no_window_give_no_rows() -> None:
    assert derive(empty(SAMPLES), plant(), Window(at(0), at(0))).is_empty()
    bare = replace(plant(), equipment={}, signals={})
    assert derive(empty(SAMPLES), bare, Window(at(0), at(10))).is_empty()


def said(*entries: tuple[float, float | None, str | None, str | None]) -> pl.DataFrame:
    """(from, to, state, reason) of `m`, in the order they were said."""
    rows = [
        ("m", at(a), None if b is None else at(b), reason, "ada", at(9000 + i), state, None)
        for i, (a, b, state, reason) in enumerate(entries)
    ]
    return pl.DataFrame(rows, schema=dict(RECODES), orient="row")


def stops_of(ledger: pl.DataFrame) -> list[tuple]:
    """(start of the row, start of its stop, state, reason, category), the edge of the ideal cycle left out."""
    edge = pl.struct("stop_start", "raw", "state", "reason", "category").rle_id()
    seconds_of = [(pl.col(c) - START).dt.total_seconds() for c in ("start", "stop_start")]
    rows = ledger.filter(edge.is_first_distinct())
    return rows.select(*seconds_of, "state", "reason", "category").rows()


def test_a_split_makes_two_stops_each_judged_by_its_own_length() -> None:
    frame = samples(state=[(0, RUN), (100, JAM), (400, RUN)])
    entries = said((100, 200, None, "clean"), (200, 400, "down", None))
    ledger = derive(frame, plant(), Window(at(0), at(500)), recodes=entries)
    assert stops_of(ledger) == [
        (0, 0, "running", None, "running"),
        (100, 100, "down", "clean", "planned_downtime"),
        (200, 200, "down", "jam", "unplanned_downtime"),
        (400, 400, "running", None, "running"),
    ]
    shorter = derive(frame, plant(), Window(at(0), at(500)), recodes=said((290, 400, "down", None)))
    assert stops_of(shorter)[1:3] == [
        (100, 100, "down", "jam", "unplanned_downtime"),
        (290, 290, "down", "jam", "micro_stop"),
    ]


def test_merged_stops_are_one_and_the_parts_between_stay_counted() -> None:
    frame = samples(
        state=[(0, RUN), (100, STOP), (200, RUN), (210, JAM), (300, RUN)], good=[(0, 0), (205, 3), (400, 9)]
    )
    window = Window(at(0), at(400))
    before = derive(frame, plant(), window)
    merged = said((100, 300, "down", None), (100, 300, None, "clean"))
    ledger = derive(frame, plant(), window, recodes=merged)
    assert [row[:4] for row in stops_of(ledger)] == [
        (0, 0, "running", None),
        *((s, 100, "down", "clean") for s in (100, 200, 210)),
        (300, 300, "running", None),
    ]
    assert ledger["raw"].to_list() == ["6", "9", "6", "901", "6"], "the raw signal stays"
    assert ledger["good"].sum() == before["good"].sum() == 3
    taken_back = pl.concat([merged, said((100, 300, None, None)).with_columns(at=pl.lit(at(9900), TIME))])
    assert_frame_equal(derive(frame, plant(), window, recodes=taken_back), before)


def test_a_merged_stop_that_goes_on_is_one_with_what_comes() -> None:
    frame = samples(state=[(0, RUN), (100, STOP), (200, RUN), (210, JAM), (600, RUN)])
    entries = said((100, 300, "down", None), (100, None, None, "clean"))
    ledger = derive(frame, plant(), Window(at(0), at(700)), recodes=entries)
    assert {row[1:4] for row in stops_of(ledger)[1:-1]} == {(100, "down", "clean")}
    assert seconds(ledger, "reason") == {None: 200, "clean": 500}


def test_what_people_say_of_unknown_time_is_known_and_the_reason_of_the_signal_does_not_follow() -> None:
    frame = samples(state=[(0, RUN), (100, None), (200, JAM), (400, RUN)])
    entries = said((120, 180, "running", None), (200, 400, "starved", None), (250, 300, "down", "clean"))
    ledger = derive(frame, plant(), Window(at(0), at(500)), recodes=entries)
    assert [(s, state, reason) for s, _, state, reason, _ in stops_of(ledger)] == [
        (0, "running", None),
        (100, "unknown", None),
        (120, "running", None),
        (180, "unknown", None),
        (200, "starved", None),
        (250, "down", "clean"),
        (300, "starved", None),
        (400, "running", None),
    ]


def test_a_state_and_a_reason_said_one_after_the_other_both_hold() -> None:
    frame = samples(state=[(0, RUN), (100, STOP), (400, RUN)])
    entries = said((100, 400, None, "jam"), (100, 400, "starved", None), (100, 400, None, "clean"))
    ledger = derive(frame, plant(), Window(at(0), at(500)), recodes=entries)
    assert stops_of(ledger)[1] == (100, 100, "starved", "clean", "planned_downtime")


def test_corrected_counts_are_taken_as_they_are_said() -> None:
    frame = samples(state=[(0, RUN)], total=[(0, 0), (200, 50)], reject=[(0, 0), (200, 5)])
    rows = [
        ("m", at(150), kind, quantity, "ada", at(9000), "wrong bin")
        for kind, quantity in (("good", -12), ("reject", 12))
    ]
    facts_said = pl.DataFrame(rows, schema=dict(CORRECTIONS), orient="row")
    of = plant(counters=(Role.TOTAL, Role.REJECT))
    ledger = derive(frame, of, Window(at(0), at(300)), corrections=facts_said)
    assert ledger.select(pl.col("good", "reject", "rework", "flagged").sum()).row(0) == (33, 17, 0, 0)
