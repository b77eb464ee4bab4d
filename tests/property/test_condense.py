"""A history read once gives what thinning it and summing its process variables give."""

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.condense import CONDENSED, condensed, minutes, thinned
from pipelines.minutes import bucketed, merged
from plant.model import Role
from tests.examples import examples
from tests.property.test_thin import PLANTS, assert_same, derived, histories

VARIABLES = {
    of: [key for key, signal in plant.signals.items() if signal.role is Role.PROCESS_VALUE]
    for of, plant in enumerate(PLANTS)
}


@examples(30)
@given(histories(), st.integers(0, len(PLANTS) - 1), st.sampled_from(["streaming", "in-memory"]))
def test_it_is_thinned_and_its_process_variables_are_summed(
    samples: pl.DataFrame, of: int, engine: str
) -> None:
    plant = PLANTS[of]
    found = condensed(samples.lazy(), plant).collect(engine=engine)  # type: ignore[call-overload]
    assert found.schema == CONDENSED
    kept = thinned(found.lazy()).with_columns(received=pl.col("time") + timedelta(seconds=1)).collect()
    assert kept.height <= samples.height
    assert_same(derived(kept.select(samples.columns), plant), derived(samples, plant))
    ours = pl.any_horizontal(
        (pl.col("equipment") == machine) & (pl.col("signal") == signal) for machine, signal in VARIABLES[of]
    )
    sums = bucketed(samples.filter(ours).lazy(), timedelta(minutes=1)).collect()
    assert_frame_equal(minutes(found.lazy()), merged(sums))


def test_pieces_of_one_series_and_of_many_are_alike() -> None:
    """A streaming query hands over pieces of one series and pieces of several; those of others are dropped."""
    plant = PLANTS[3]
    start = pl.datetime(2026, 3, 28, time_unit="us", time_zone="UTC")
    series = [
        ("a", "n", 3.0),  # a counter
        ("b", "n", 4.0),  # a process value
        ("c", "n", 5.0),  # one that tells a state
        ("x", "n", 6.0),  # of nobody
    ]
    pieces = [
        pl.select(
            time=start + pl.duration(seconds=pl.int_range(300)),
            equipment=pl.lit(machine),
            signal=pl.lit(signal),
            value=pl.lit(value),
            text=pl.lit(None, pl.String),
            quality=pl.lit(0, pl.UInt8),
        )
        for machine, signal, value in series
    ]
    whole = condensed(pl.concat(pieces).lazy(), plant).collect()
    apart = pl.concat(condensed(piece.lazy(), plant).collect() for piece in pieces)
    for found in (whole, apart):
        kept = thinned(found.lazy()).collect()
        assert kept["equipment"].unique().sort().to_list() == ["a", "c"]
        assert kept.height < 100, "repeats are dropped"
    sums = minutes(apart.lazy())
    assert_frame_equal(minutes(whole.lazy()), sums)
    assert sums.select("equipment", "count", "sum").rows() == [
        *[("b", 60, 240.0)] * 5,
        *[("c", 60, 300.0)] * 5,
    ]
