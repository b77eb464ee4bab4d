"""Counter readings to the parts they show.

The rule is local to two consecutive usable readings. No more parts can lie between them than the
fastest cycle allows: `cap = SLACK + dt / min_cycle`. What exceeds it is no production but a glitch, a
reset or a re-parametrised counter: nothing is booked, the reading is flagged and is the new baseline.

A fastest cycle that nobody gave is half the ideal cycle, and that may be wrong; also parts that are counted by the shot or
the tray come many at a time. So where it is only assumed a rise is believed up to `WIDER` times the cap.
"""

from collections.abc import Mapping

import polars as pl

from analytics.facts.readings import codes
from plant.frames import BAD, INCREMENTS, TIME
from plant.model import COUNTER_ROLES

SLACK = 2
"""Parts two readings may be apart at any distance in time: reading and counting are not synchronous."""
WIDER = 10
"""How much more a counter may rise where its fastest cycle is only assumed."""

ROUNDING = 0.01
"""Parts a whole number may be off by: a counter in thousands, scaled, or of 32-bit floats."""

_value = pl.col("value")
_whole = _value.round()
COUNT_READ = (
    (_whole >= 0) & ((_value - _whole).abs() <= ROUNDING) & (_value < 2**53) & (pl.col("quality") < BAD)
).fill_null(False)
"""The sample is a counter reading: a whole number of parts but for rounding, and not BAD."""

COUNTED: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "code": pl.UInt32,
    "time": TIME,
    "quantity": pl.Int64,
    "flag": pl.String,
}


def count(readings: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`COUNTED` rows of the counters among the readings; those that show nothing are left out.

    With d the difference to the usable reading before:
    0 <= d <= cap: d. d < 0 and d + modulus <= cap: the counter rolled over, exactly d + modulus.
    d < 0 and value <= cap: it was reset, the parts since are the value. Otherwise implausible: nothing.
    Where the fastest cycle is assumed a rise, also one over the modulus, may be `WIDER` times the cap; over the modulus
    no more than a tenth of it, so that a reset is not taken for one.
    Without a known fastest cycle any rise is believed, but a fall without modulus books nothing ("reset"):
    nothing tells the parts made since from a counter that was set.

    Flags: "rollover", "reset", "implausible" (also negative and fractional readings), "bridged": booked, but
    over samples that said they had no value, or over so long that a modulus may have passed unseen.
    The first reading is a baseline.
    """
    value = pl.col("value")
    counters = pl.col("code").is_in(codes(known, *COUNTER_ROLES).implode())
    rows = readings.filter(counters).select(
        *("code", "time", "quality", "carried"),
        value=_whole,
        usable=COUNT_READ,
        unusable=(~COUNT_READ).cum_sum(),
    )
    moved = (
        rows.filter("usable")
        .with_columns(
            same=pl.col("code") == pl.col("code").shift(),
            gap=pl.col("unusable") != pl.col("unusable").shift(),
            before=value.shift(),
            dt=(pl.col("time") - pl.col("time").shift()).dt.total_microseconds(),
        )
        .filter(pl.col("same") & (value != pl.col("before")) & ~pl.col("carried"))
        .join(
            known.select("code", "modulus", "min_cycle", "assumed"),
            on="code",
            how="left",
            maintain_order="left",
        )
    )
    absurd = rows.filter(
        ~pl.col("usable") & value.is_not_null() & (pl.col("quality") < BAD) & ~pl.col("carried")
    ).select("code", "time", quantity=pl.lit(0, pl.Int64), flag=pl.lit("implausible"))
    return pl.concat([_judge(moved), absurd])


def increments(counted: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """`COUNTED` rows as `plant.frames.INCREMENTS`, sorted by time, then equipment and signal."""
    named = counted.join(known.select("code", "equipment", kind="role"), on="code", how="left")
    # Two stable sorts by one number are several times faster than one sort by two.
    return named.sort("code", maintain_order=True).sort("time", maintain_order=True).select(list(INCREMENTS))


def _judge(moved: pl.DataFrame) -> pl.DataFrame:
    now, modulus = pl.col("value").cast(pl.Int64), pl.col("modulus")
    difference = now - pl.col("before").cast(pl.Int64)
    cap = SLACK + pl.col("dt") // pl.col("min_cycle")
    bounded = pl.col("min_cycle").is_not_null()
    most = pl.when("assumed").then(WIDER * cap).otherwise(cap)
    rose = (difference > 0) & (~bounded | (difference <= most))
    around = difference + modulus
    once = pl.max_horizontal(cap, pl.min_horizontal(most, modulus // WIDER))
    rolled = ((difference < 0) & (around >= 0) & (~bounded | (around <= once))).fill_null(False)
    fell = (difference < 0) & ~rolled & pl.when(bounded).then(now <= cap).otherwise(modulus.is_null())
    bridged = pl.col("gap") | (bounded & (cap >= modulus)).fill_null(False)
    judged = moved.select(
        *("code", "time"),
        now=now,
        difference=difference,
        around=around,
        bounded=bounded,
        bridged=bridged,
        rose=rose,
        rolled=rolled,
        fell=fell,
    )
    usual = pl.col("rose") & ~pl.col("bridged")
    counted = judged.filter(usual).select(
        "code", "time", quantity="difference", flag=pl.lit(None, dtype=pl.String)
    )
    return pl.concat([counted, _flagged(judged.filter(~usual))])


def _flagged(judged: pl.DataFrame) -> pl.DataFrame:
    rose, rolled, fell = pl.col("rose"), pl.col("rolled"), pl.col("fell")
    return judged.select(
        "code",
        "time",
        quantity=pl.when(rose)
        .then("difference")
        .when(rolled)
        .then("around")
        .when(fell & pl.col("bounded"))
        .then("now")
        .otherwise(pl.lit(0, pl.Int64)),
        flag=pl.when((rose | rolled) & pl.col("bridged"))
        .then(pl.lit("bridged"))
        .when(rolled)
        .then(pl.lit("rollover"))
        .when(fell)
        .then(pl.lit("reset"))
        .otherwise(pl.lit("implausible")),
    )
