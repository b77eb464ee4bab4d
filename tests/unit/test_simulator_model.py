"""The simulated plant: deterministic, conserving, and doing what the demo needs."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest

from collectors.simulator.codes import (
    BLOCKED,
    CHANGEOVER,
    DOWN,
    FAULTS,
    MACHINES,
    MATERIALS,
    MOD16,
    MODULUS,
    PRESS,
    RUNNING,
    STARVED,
    STATES,
    STATIONS,
)
from collectors.simulator.faults import ForcedStop, demo_script
from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.simulator.orders import demo_orders, parse_orders
from collectors.simulator.profiles import PROFILES
from collectors.simulator.truth import TruthLog
from plant.frames import SAMPLES

START = datetime(2026, 1, 5, 5, tzinfo=UTC)
HOURS = timedelta(hours=4)
END = START + HOURS


def _log(sim: Simulation) -> TruthLog:
    assert isinstance(sim.truth, TruthLog)
    return sim.truth


@pytest.fixture(scope="module")
def run() -> tuple[Simulation, pl.DataFrame]:
    """Four hours of seed 1 and its samples."""
    sim = Simulation(1, START)
    return sim, pl.concat(frames(sim, END))


def _series(samples: pl.DataFrame, machine: str, signal: str, column: str = "value") -> pl.Series:
    return samples.filter(equipment=machine, signal=signal).sort("time")[column]


def test_samples_have_the_contract_schema_and_every_reading_of_every_signal(
    run: tuple[Simulation, pl.DataFrame],
) -> None:
    sim, samples = run
    assert dict(samples.schema) == dict(SAMPLES)
    assert sim.now == END
    assert samples.height == 4 * 3600 * len(MACHINES) * 5
    assert samples.select("equipment", "signal", "time").is_unique().all()
    assert samples["time"].min() == START
    assert samples["time"].max() == END - sim.period
    assert samples.filter(pl.col("value").is_null() == pl.col("text").is_null()).is_empty()


def test_the_same_seed_gives_the_same_plant_and_another_seed_another() -> None:
    def truth(seed: int, chunk: int) -> list[pl.DataFrame]:
        sim = Simulation(seed, START)
        samples = pl.concat(frames(sim, START + timedelta(hours=1), chunk=chunk))
        return [samples.sort("equipment", "signal", "time"), _log(sim).state_intervals(START, END)]

    first, again, other = truth(5, 900), truth(5, 77), truth(6, 900)
    assert all(a.equals(b) for a, b in zip(first, again, strict=True))
    assert not first[1].equals(other[1])


def test_counters_move_by_exactly_the_parts_of_the_truth(run: tuple[Simulation, pl.DataFrame]) -> None:
    """Differences of readings, modulo the counter, with resets from the truth, add up to the parts made."""
    sim, samples = run
    parts = _log(sim).part_events(START, END)
    events = _log(sim).counter_events(START, END)
    for machine in MACHINES:
        for kind, modulus in (("good", MODULUS[machine]), ("reject", MOD16)):
            readings = _series(samples, machine, kind).cast(pl.Int64).to_list()
            resets = set(events.filter(equipment=machine, counter=kind, event="reset")["time"])
            made = 0
            for step, (before, after) in enumerate(pairwise(readings), 1):
                if START + step * sim.period in resets:
                    assert after == 0
                else:
                    made += (after - before) % modulus
            assert made == parts.filter(equipment=machine, kind=kind)["quantity"].sum(), (machine, kind)


def test_counters_roll_over_and_reset_only_where_a_reader_can_tell(
    run: tuple[Simulation, pl.DataFrame],
) -> None:
    sim, samples = run
    events = _log(sim).counter_events(START, END)
    rolled = set(events.filter(event="rollover")["equipment"])
    assert {"filler", "capper", "cnc-1", PRESS} <= rolled
    resets = events.filter(event="reset", counter="good")
    assert resets.height > 0
    for machine, time in resets.select("equipment", "time").iter_rows():
        step = (time - START) // sim.period
        state = _series(samples, machine, "state").cast(pl.Int64)
        good = _series(samples, machine, "good").cast(pl.Int64)
        assert {state[step - 1], state[step]} <= set(FAULTS)
        assert good[step] == good[step + 1] == 0
        assert good[step - 1] < MODULUS[machine] - 1000


def test_bottles_are_neither_made_nor_lost_on_the_conveyors() -> None:
    sim = Simulation(2, START)
    made = dict.fromkeys(STATIONS, 0)
    for _ in range(3 * 3600):
        sim.step()
        for buffer in sim.buffers:
            assert 0 <= buffer.level <= buffer.capacity
    counts = _log(sim).counts(START, sim.now + sim.period)
    through = {s: counts.filter(equipment=s)["quantity"].sum() for s in STATIONS}
    made = {s: counts.filter(equipment=s, kind="good")["quantity"].sum() for s in STATIONS}
    for station, after, buffer in zip(STATIONS, STATIONS[1:], sim.buffers, strict=False):
        assert made[station] == through[after] + buffer.level
    assert made["palletiser"] > 0


def test_each_order_keeps_its_own_bottles_along_the_line(run: tuple[Simulation, pl.DataFrame]) -> None:
    """A station makes no more of an order than the station before gave it."""
    counts = _log(run[0]).counts(START, END)
    for order in counts.filter(equipment="palletiser")["order"].unique():
        of = counts.filter(order=order)
        for station, after in pairwise(STATIONS):
            given = of.filter(equipment=station, kind="good")["quantity"].sum()
            assert of.filter(equipment=after)["quantity"].sum() <= given


def test_finished_orders_have_their_quantity(run: tuple[Simulation, pl.DataFrame]) -> None:
    sim, _ = run
    quantity = {o.id: o.quantity for o in parse_orders(demo_orders(START))}
    runs = _log(sim).order_runs(START, END).filter(pl.col("end") < END)
    counts = _log(sim).counts(START, END).filter(kind="good")
    last = runs.filter(pl.col("equipment").is_in(["palletiser", "cnc-1", "cnc-2", PRESS]))
    assert last.height >= 6
    for machine, order in last.select("equipment", "order").iter_rows():
        made = counts.filter(equipment=machine, order=order)["quantity"].sum()
        assert quantity[order] <= made <= quantity[order] * 1.02, (machine, order)
        if machine != "palletiser":
            assert made == quantity[order]


def test_a_stop_starves_what_follows_and_blocks_what_comes_before() -> None:
    at = START + timedelta(minutes=10)
    script = (ForcedStop("labeller", at, 905, timedelta(minutes=20)),)
    sim = Simulation(1, START, script=script)
    sim.advance_to(at - sim.period)
    assert sim.reading("labeller").state != 905
    sim.step()
    assert sim.reading("labeller").state == 905
    sim.advance_to(at + timedelta(minutes=19))
    states = {s: sim.reading(s).state for s in STATIONS}
    assert states["packer"] == states["palletiser"] == STARVED
    assert states["capper"] == states["filler"] == states["rinser"] == BLOCKED
    sim.advance_to(at + timedelta(minutes=20) - sim.period)
    assert sim.reading("labeller").state == 905
    sim.step()
    assert sim.reading("labeller").state != 905


def test_everything_that_can_happen_to_a_machine_happens(run: tuple[Simulation, pl.DataFrame]) -> None:
    spans = _log(run[0]).state_intervals(START, END)
    codes = set(spans["raw"].cast(pl.Int64))
    assert {RUNNING, DOWN, STARVED, BLOCKED, CHANGEOVER} <= codes
    assert len(codes & set(FAULTS)) >= 5
    assert codes <= {*STATES, *FAULTS}
    length = pl.col("end") - pl.col("start")
    assert spans.filter(length < timedelta(minutes=2), raw=str(DOWN)).height > 20
    assert spans.filter(length > timedelta(minutes=2), raw=str(DOWN)).height > 0
    for machine in MACHINES:
        running = spans.filter(equipment=machine, raw=str(RUNNING)).select(length.sum()).item()
        assert 0.4 * HOURS < running < 0.97 * HOURS, machine


def test_no_machine_is_faster_than_its_ideal_cycle(run: tuple[Simulation, pl.DataFrame]) -> None:
    log = _log(run[0])
    material = {o.id: o.material for o in parse_orders(demo_orders(START))}
    counts = log.counts(START, END).group_by("equipment", "order").agg(pl.col("quantity").sum())
    for machine in MACHINES:
        running = log.state_intervals(START, END).filter(equipment=machine, raw=str(RUNNING))
        available = running.select((pl.col("end") - pl.col("start")).sum().dt.total_microseconds()).item()
        ideal = sum(
            quantity * MATERIALS[material[order]].cycles[machine]
            for order, quantity in counts.filter(equipment=machine).select("order", "quantity").iter_rows()
        )
        assert 0.75 < ideal / available <= 1, machine


def test_no_part_is_made_while_stopped_or_as_the_order_changes(run: tuple[Simulation, pl.DataFrame]) -> None:
    """Whichever of its two readings a part is booked to, order and running state are the same."""
    sim, samples = run
    for machine in MACHINES:
        frame = pl.DataFrame(
            {
                "state": _series(samples, machine, "state"),
                "order": _series(samples, machine, "order", "text"),
                "good": _series(samples, machine, "good"),
            }
        )
        moved = frame.with_columns(
            before=pl.col("state").shift(1), old=pl.col("order").shift(1), step=pl.col("good").diff()
        ).filter((pl.col("step") != 0) & (pl.col("good") != 0))
        assert (moved["before"] == RUNNING).all()
        assert (moved["old"] == moved["order"]).all()
    assert _log(sim).part_events(START, END).filter(pl.col("order") == "").is_empty()


def test_the_scripted_breakdown_makes_the_running_order_late() -> None:
    at = START + timedelta(hours=4)
    orders = {o.id: o for o in parse_orders(demo_orders(START))}
    broken, whole = Simulation(1, START, script=demo_script(at)), Simulation(1, START)
    broken.advance_to(at + timedelta(minutes=10))
    assert broken.reading(PRESS).state == 922
    assert broken.reading(PRESS).process == 0
    order = orders[broken.reading(PRESS).order]
    assert order.due > broken.now, "not late yet when the breakdown begins"
    for sim in broken, whole:
        sim.advance_to(order.due + sim.period)
    assert broken.reading(PRESS).order == order.id
    assert whole.reading(PRESS).order != order.id


def test_without_orders_left_machines_wait_without_an_order() -> None:
    orders = [o for o in demo_orders(START, hours=0.1) if o["equipment"] == PRESS]
    orders[0]["quantity"] = 10
    sim = Simulation(1, START, orders=orders)
    sim.advance_to(START + timedelta(minutes=20))
    assert sim.reading(PRESS).order == ""
    assert STATES[sim.reading(PRESS).state] == "planned_stop"
    assert sim.reading("filler").order == ""
    assert (
        _log(sim).counts(START, sim.now + sim.period).filter(equipment=PRESS, kind="good")["quantity"].sum()
        == 10
    )


def test_other_sample_periods_and_partial_advances() -> None:
    sim = Simulation(1, START, period=timedelta(milliseconds=500))
    sim.advance_to(START + timedelta(seconds=10, milliseconds=700))
    assert sim.now == START + timedelta(seconds=10, milliseconds=500)
    sim.advance_to(START)
    assert sim.now == START + timedelta(seconds=10, milliseconds=500)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        Simulation(1, START.replace(tzinfo=None))
    with pytest.raises(ValueError, match="too short"):
        Simulation(1, START, period=timedelta(0))


def test_every_machine_has_a_profile_whose_stops_have_codes() -> None:
    assert set(PROFILES) == set(MACHINES)
    for profile in PROFILES.values():
        assert {kind.code for kind in profile.stops} <= {*STATES, *FAULTS}
