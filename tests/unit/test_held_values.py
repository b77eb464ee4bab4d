"""Values held on change, said again as proof of life: never on a foreign clock, never a false state."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from collectors.held import Clock, Held
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal

START = datetime(2026, 1, 31, 6, tzinfo=UTC)
SIGNALS = (
    Signal(id="state", equipment="m", role=Role.STATE),
    Signal(id="temperature", equipment="m", role=Role.PROCESS_VALUE),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def sample(seconds: float, value: float | None, signal: str = "state") -> pl.DataFrame:
    quality = BAD if value is None else GOOD
    row = (at(seconds), "m", signal, value, None, quality, at(seconds))
    return pl.DataFrame([row], schema=dict(SAMPLES), orient="row")


def held(heartbeat: float = 5) -> Held:
    made = Held(SIGNALS, timedelta(seconds=heartbeat))
    made.connected()
    return made


def said(frame: pl.DataFrame) -> list[tuple[float, float | None]]:
    return [((t - START).total_seconds(), v) for t, v in frame.select("time", "value").rows()]


def test_a_held_state_is_said_again_at_the_proof_at_most_every_heartbeat() -> None:
    h = held()
    h.update(pl.concat([sample(1, 6), sample(1, 20, "temperature")]), at(1.1))
    assert said(h.beat(at(2), at(2.5))) == [(2, 6)]
    assert h.beat(at(6.9), at(7)).is_empty()
    again = h.beat(at(7), at(7.5))
    assert said(again) == [(7, 6)] and again["received"].to_list() == [at(7.5)]


def test_a_change_found_to_be_older_than_the_last_repetition_corrects_it() -> None:
    h = held()
    h.update(sample(1, 6), at(1))
    h.beat(at(10), at(10))
    assert said(h.update(sample(9.5, 9), at(10.2))) == [(9.5, 9), (10, 9)]
    assert said(h.beat(at(15), at(15))) == [(15, 9)]


def test_on_another_clock_nothing_is_said_again_and_a_loss_stays_on_that_clock() -> None:
    h = held()
    h.update(sample(-86400, 6), at(0.5), initial=True)
    assert h.clock is Clock.UNSURE
    h.update(sample(-86000, 9), at(1))
    assert h.clock is Clock.OTHER and h.beat(at(60), at(60)).is_empty()
    assert said(h.lost(at(61))) == [(-86000 + 1e-6, None)] * 2


def test_a_value_that_was_old_at_the_connection_waits_one_heartbeat_for_evidence() -> None:
    h = held()
    h.update(sample(-3600, 9), at(0.5), initial=True)
    assert h.beat(at(5.4), at(5.4)).is_empty()
    assert said(h.beat(at(5.6), at(5.6))) == [(5.6, 9)]


def test_after_a_loss_the_value_found_again_stands_from_the_reconnection_on() -> None:
    h = held()
    h.update(sample(1, 6), at(1))
    lost = h.lost(at(100))
    assert said(lost) == [(100, None)] * 2 and lost["quality"].to_list() == [BAD] * 2
    assert h.beat(at(101), at(101)).is_empty()
    h.connected()
    h.update(sample(1, 6), at(110.1), initial=True)
    assert said(h.beat(at(110.1), at(110.1))) == [(110.1, 6)]


def test_no_value_is_not_said_again_and_zero_switches_it_off() -> None:
    h = held()
    h.update(sample(1, None), at(1))
    assert h.beat(at(20), at(20)).is_empty()
    off = held(0)
    off.update(sample(1, 6), at(1))
    assert off.beat(at(20), at(20)).is_empty()


def test_a_loss_lies_on_the_sources_clock_and_after_its_newest_sample() -> None:
    behind = held()  # the server's clock is an hour behind ours
    behind.update(sample(1, 6).with_columns(received=pl.lit(at(3601)).cast(pl.Datetime("us", "UTC"))), at(1))
    assert said(behind.lost(at(3700)))[0] == (100, None)
    ahead = held()
    ahead.update(sample(4, 6), at(1))
    assert said(ahead.lost(at(2)))[0] == (4 + 1e-6, None)


def after_a_loss() -> tuple[Held, datetime]:
    """State 6 and temperature 20 stood when the loss was said."""
    h = held()
    h.update(pl.concat([sample(0, 6), sample(1, 20, "temperature")]), at(1))
    lost = h.lost(at(10))["time"][0]
    h.resumed()
    return h, lost


def test_what_stood_before_a_loss_is_said_again_at_its_time_when_nothing_was_missed() -> None:
    h, lost = after_a_loss()
    said = h.recovered(at(20))
    assert said.sort("signal").select("signal", "time", "value", "quality", "received").rows() == [
        ("state", lost, 6.0, GOOD, at(20)),
        ("temperature", lost, 20.0, GOOD, at(20)),
    ]
    assert h.recovered(at(21)).is_empty()  # once
    assert set(h.newest()) == {"m.state", "m.temperature"}  # and it is held again


def test_what_came_in_the_outage_counts_for_the_time_of_the_loss() -> None:
    h, _ = after_a_loss()
    h.update(pl.concat([sample(5, 9), sample(12, 3)]), at(15), initial=True)
    h.fill(sample(7, 25, "temperature"))
    assert dict(h.recovered(at(20)).select("signal", "value").iter_rows()) == {
        "state": 9.0,
        "temperature": 25.0,
    }
    assert h.newest()["m.state"] == (at(12), 3.0, None)


def test_signals_of_which_something_was_missed_stay_unknown() -> None:
    h, _ = after_a_loss()
    assert h.recovered(at(20), {"m.temperature"})["signal"].to_list() == ["temperature"]
    h.unrecovered({"m.state"})
    assert h.recovered(at(21)).is_empty()


def test_every_loss_of_an_outage_is_overwritten() -> None:
    h, first = after_a_loss()
    h.update(sample(11, 9), at(12), initial=True)
    second = h.lost(at(13))["time"][0]
    said = h.recovered(at(20)).filter(pl.col("signal") == "state").sort("time")
    assert said.select("time", "value").rows() == [(first, 6.0), (second, 9.0)]


def test_a_value_that_was_none_before_the_loss_stays_none() -> None:
    h = held()
    h.update(sample(0, None), at(0))
    h.lost(at(10))
    assert h.recovered(at(20)).is_empty()


@given(st.lists(st.lists(st.integers(0, 200), min_size=1, max_size=4), min_size=1, max_size=12))
def test_whatever_comes_late_what_was_said_at_a_repetition_is_what_stood_then(
    batches: list[list[int]],
) -> None:
    """Every change has a time; they arrive in any order, with a proof after each batch. As a historian keeps the row
    received last, no repetition may contradict the changes known so far."""
    h, rows, changes = held(), [], {}
    h.update(sample(0, -1), at(0.5))
    changes[0.0] = -1.0
    for number, times in enumerate(batches, 1):
        now = 10.0 * number
        some = sorted({min(t, now) for t in times} - changes.keys())
        if some:
            changes |= {float(t): float(t) for t in some}
            rows += said(h.update(pl.concat([sample(t, t) for t in some]), at(now)))
        repeated = h.beat(at(now + 1), at(now + 1))
        rows += said(repeated)
        stored = dict(rows)
        if not repeated.is_empty():
            last = max(t for t in changes if t <= now + 1)
            assert stored[now + 1] == changes[last]
    beats = {10.0 * number + 1 for number in range(1, len(batches) + 1)} & stored.keys()
    newest = max(beats, default=None)
    if newest is not None and newest not in changes:
        assert stored[newest] == changes[max(t for t in changes if t <= newest)]
