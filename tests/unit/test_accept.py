"""The gate before the historian."""

from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.accept import accept
from pipelines.names import Names
from plant.frames import BAD, GOOD, SAMPLES

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)
KNOWN = Names([("press", "state"), ("press", "good")])


def samples(*rows: tuple[str | None, str | None, datetime | None, float | None]) -> pl.DataFrame:
    full = [(t, e, s, v, None, GOOD, NOW) for e, s, t, v in rows]
    return pl.DataFrame(full, schema=dict(SAMPLES), orient="row")


def test_good_samples_pass_as_they_came() -> None:
    batch = samples(("press", "state", NOW, 6.0), ("press", "good", NOW - timedelta(days=30), 1.0))
    accepted = accept(batch, KNOWN, NOW)
    assert accepted.samples.equals(batch)
    assert accepted.rejected.is_empty()


def test_what_cannot_be_stored_is_set_aside_with_the_reason() -> None:
    batch = samples(
        ("press", "state", NOW, 6.0),
        ("press", "spindle", NOW, 1.0),
        (None, None, NOW, 1.0),
        ("press", "state", None, 6.0),
        ("press", "state", NOW + timedelta(minutes=6), 6.0),
    )
    accepted = accept(batch, KNOWN, NOW)
    assert accepted.samples.equals(batch[:1])
    assert accepted.rejected.drop("problem").equals(batch[1:])
    said = accepted.rejected["problem"].to_list()
    assert all(
        words in text
        for words, text in zip(["no such signal", "no such signal", "no time", "ahead"], said, strict=True)
    )


def test_nan_and_infinity_are_no_value_but_a_fact() -> None:
    batch = samples(
        *(
            ("press", "good", NOW - timedelta(seconds=i), v)
            for i, v in enumerate([float("nan"), float("inf"), 2.0])
        )
    )
    accepted = accept(batch, KNOWN, NOW).samples
    assert accepted["value"].to_list() == [None, None, 2.0]
    assert accepted["quality"].to_list() == [BAD, BAD, GOOD]


def test_a_quality_nobody_defined_does_not_stop_the_others() -> None:
    batch = samples(("press", "state", NOW, 6.0), ("press", "good", NOW, 1.0)).with_columns(
        quality=pl.Series([7, GOOD], dtype=pl.UInt8), received=pl.lit(None, dtype=SAMPLES["received"])
    )
    accepted = accept(batch, KNOWN, NOW)
    assert accepted.samples["signal"].to_list() == ["good"]
    assert accepted.samples["received"].to_list() == [NOW]
    assert "quality" in accepted.rejected["problem"][0]


def test_an_empty_batch_is_nothing() -> None:
    accepted = accept(samples(), KNOWN, NOW)
    assert accepted.samples.is_empty() and accepted.rejected.is_empty()


def test_a_signal_of_other_equipment_is_no_signal_of_this() -> None:
    known = Names([("press", "state"), ("press", "good"), ("oven", "state")])
    batch = samples(("oven", "good", NOW, 1.0), ("oven", "state", NOW, 1.0), ("kiln", "state", NOW, 1.0))
    assert accept(batch, known, NOW).samples.equals(batch[1:2])


def test_a_sample_that_says_not_when_it_came_came_now() -> None:
    batch = samples(("press", "state", NOW, 6.0)).with_columns(received=pl.lit(None, SAMPLES["received"]))
    assert accept(batch, KNOWN, NOW).samples["received"].to_list() == [NOW]
