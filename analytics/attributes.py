"""What may hold over a span of a machine's time: state runs, calendar segments, ideal cycles, re-codings.

Each function returns spans with equipment, start and end that do not overlap per machine (ideal cycles: per
machine and material); the ledger looks them up. A null end is open.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from plant.calendar import segments
from plant.frames import TIME, Window
from plant.model import Plant

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

_EVER = datetime(1, 1, 1, tzinfo=UTC)


def state_runs(intervals: pl.DataFrame) -> pl.DataFrame:
    """Intervals (`plant.frames.INTERVALS`) with stop_start and stop_length of the uncut run of the same state
    they belong to: a stop whose fault code changes while it lasts is one stop."""
    joined = (
        (pl.col("equipment") == pl.col("equipment").shift())
        & (pl.col("state") == pl.col("state").shift())
        & (pl.col("start") == pl.col("end").shift())
    )
    rows = intervals.sort("equipment", "start").with_columns(run=(~joined.fill_null(False)).cum_sum())
    whole = rows.group_by("run").agg(
        stop_start=pl.col("start").min(), stop_length=pl.col("end").max() - pl.col("start").min()
    )
    return rows.join(whole, on="run", how="left", maintain_order="left").drop("run")


def calendar_segments(plant: Plant, machines: Sequence[str], window: Window) -> pl.DataFrame:
    """`plant.calendar.segments` of each machine's calendar over the window, with equipment."""
    by_calendar: dict[str | None, list[str]] = {}
    for machine in machines:
        by_calendar.setdefault(plant.equipment[machine].calendar, []).append(machine)
    return pl.concat(
        segments(plant.calendars[name] if name else None, plant.site.zone, window).join(
            pl.DataFrame({"equipment": members}), how="cross"
        )
        for name, members in by_calendar.items()
    )


def ideal_cycles(plant: Plant) -> pl.DataFrame:
    """equipment, material, start, end, cycle (microseconds per part): ideal cycles, each until
    the next one of the same material and machine takes over."""
    rows = [
        (c.equipment, material.id, c.valid_from or _EVER, c.cycle // timedelta(microseconds=1))
        for material in plant.materials.values()
        for c in material.ideal_cycles
    ]
    schema: Schema = {"equipment": pl.String, "material": pl.String, "start": TIME, "cycle": pl.Int64}
    key = ["equipment", "material"]
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .sort(*key, "start")
        .with_columns(end=pl.col("start").shift(-1).over(key))
    )


def resolve_recodes(recodes: pl.DataFrame, stops: pl.DataFrame) -> pl.DataFrame:
    """equipment, start, end, reason without overlap: where entries overlap, the one made last holds.

    An entry without an end covers the rest of the stop it begins in (`stops` as of `state_runs`); one without
    a reason takes earlier entries back.
    """
    columns = ["equipment", "start", "end", "reason"]
    if recodes.is_empty():
        return recodes.select(columns)
    entries = recodes.sort("start").join_asof(
        stops.select("equipment", "start", stop_end=pl.col("stop_start") + pl.col("stop_length")).sort(
            "start"
        ),
        on="start",
        by="equipment",
        strategy="backward",
        check_sortedness=False,
    )
    entries = entries.with_columns(end=pl.coalesce("end", "stop_end")).filter(pl.col("end") > pl.col("start"))
    entries = entries.sort("at", "start").with_row_index("rank")
    marks = pl.concat([entries.select("equipment", time="start"), entries.select("equipment", time="end")])
    spans = (
        marks.unique()
        .sort("equipment", "time")
        .with_columns(end=pl.col("time").shift(-1).over("equipment"))
        .filter(pl.col("end").is_not_null())
    )
    covering = spans.join_where(
        entries.select("rank", "reason", by="equipment", since="start", until="end"),
        pl.col("equipment") == pl.col("by"),
        pl.col("since") <= pl.col("time"),
        pl.col("until") > pl.col("time"),
    )
    return (
        covering.sort("equipment", "time", "rank")
        .unique(["equipment", "time"], keep="last", maintain_order=True)
        .rename({"time": "start"})
        .select(columns)
    )
