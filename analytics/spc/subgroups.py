"""From the values of a signal to subgroups (rational subgrouping, Shewhart 1931)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from analytics.figures.buckets import bucket
from analytics.spc.charts import POINTS, charts
from plant.frames import BAD
from plant.model import ControlChart, Subgrouping
from plant.states import MachineState

DAY = timedelta(days=1)
REMEMBERED = timedelta(days=7)
"""How far back charts that remember are followed at most."""


def reach(plan: ControlChart, start: datetime, since: datetime | None = None) -> datetime:
    """From when values must be read, so that subgroups and runs are the same wherever a window begins on that day: the
    midnight UTC before the day before. Charts that remember begin with the limits in force (`since`), at most
    `REMEMBERED` earlier.
    """
    before = _midnight(start) - DAY
    if since is None or not charts()[plan.chart].remembers:
        return before
    return max(_midnight(start) - REMEMBERED, min(before, _midnight(since)))


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def while_running(samples: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """Samples from while the machine was running."""
    runs = ledger.filter(pl.col("state") == MachineState.RUNNING.value).select("start", "end").sort("start")
    found = samples.sort("time").join_asof(runs, left_on="time", right_on="start", strategy="backward")
    return found.filter(pl.col("time") < pl.col("end")).select(samples.columns)


def order_starts(ledger: pl.DataFrame) -> list[datetime]:
    """When another order than before began on the machine, or none."""
    rows = ledger.sort("start")
    changed = rows.filter(pl.col("order").ne_missing(pl.col("order").shift(1)))
    return changed["start"].to_list()


def subgroups(
    samples: pl.DataFrame, plan: ControlChart, orders: Sequence[datetime], now: datetime
) -> pl.DataFrame:
    """`analytics.spc.charts.POINTS` of samples (`plant.frames.SAMPLES`) of one signal, complete ones only.

    BAD values and texts do not count. By count, subgroups begin anew at midnight UTC. `orders`: when another order
    began; by order, no subgroup has values of two.
    """
    values = (
        samples.filter(pl.col("quality") < BAD, pl.col("value").is_not_null())
        .select("time", "value")
        .sort("time")
    )
    if values.is_empty():
        return pl.DataFrame(schema=POINTS)
    place = pl.int_range(pl.len()).over("piece")
    cut = values.with_columns(piece=_piece(values, plan, orders))
    size = plan.size
    if plan.by in (Subgrouping.COUNT, Subgrouping.ORDER) and size is not None:
        cut = cut.with_columns(group=place // size)
    else:
        cut = cut.with_columns(group=pl.lit(0))
        if size is not None:
            cut = cut.filter(place < size)
    found = cut.group_by("piece", "group", maintain_order=True).agg(
        time=pl.col("time").first(),
        end=pl.col("time").last(),
        n=pl.len().cast(pl.Int64),
        mean=pl.col("value").mean(),
        range=pl.col("value").max() - pl.col("value").min(),
        sd=pl.col("value").std(),
        count=pl.lit(None, pl.Int64),
    )
    whole = _over(plan, orders, now) if size is None else pl.col("n") == size
    return found.filter(whole).select(list(POINTS)).cast(pl.Schema(POINTS))


def _piece(values: pl.DataFrame, plan: ControlChart, orders: Sequence[datetime]) -> pl.Series:
    """Number of the piece of time each value is in: no subgroup is in two."""
    time = values["time"]
    if plan.by is Subgrouping.TIME:
        return time.dt.timestamp("us") // round(plan.every / timedelta(microseconds=1))
    if plan.by is Subgrouping.INSPECTION:
        return (time.diff() > plan.gap).fill_null(False).cum_sum().cast(pl.Int64)
    if plan.by is Subgrouping.ORDER:
        edges = pl.Series("edge", sorted(orders), dtype=time.dtype)
        return edges.search_sorted(time, side="right").cast(pl.Int64)
    return time.dt.timestamp("us") // round(DAY / timedelta(microseconds=1))


def _over(plan: ControlChart, orders: Sequence[datetime], now: datetime) -> pl.Expr:
    """Whether no value can be added to the subgroup any more."""
    if plan.by is Subgrouping.TIME:
        micro = round(plan.every / timedelta(microseconds=1))
        return (pl.col("piece") + 1) * micro <= round(now.timestamp() * 1e6)
    if plan.by is Subgrouping.INSPECTION:
        return pl.col("end") + plan.gap < now
    return pl.col("end") < (max(orders) if orders else datetime.min.replace(tzinfo=now.tzinfo))


def lots(ledger: pl.DataFrame, by: str, zone: ZoneInfo) -> pl.DataFrame:
    """`analytics.spc.charts.POINTS` of what a machine made (`plant.frames.LEDGER`), per order run, shift or hour.

    Inspected are all parts, rejected the rejects. By hour the rows must be cut at full hours. The last lot is not over, and
    one in which nothing was made is none.
    """
    rows = ledger.sort("start")
    if by == "hour":
        named = rows.with_columns(lot=bucket(rows["start"], zone, "hour"))
    else:
        columns = ("shift", "shift_start") if by == "shift" else ("order",)
        named = rows.with_columns(lot=pl.struct(columns).rle_id()).filter(pl.col(columns[0]).is_not_null())
    parts = pl.col("good") + pl.col("reject") + pl.col("rework")
    found = named.group_by("lot", maintain_order=True).agg(
        time=pl.col("start").first(),
        end=pl.col("end").last(),
        n=parts.sum(),
        mean=pl.lit(None, pl.Float64),
        range=pl.lit(None, pl.Float64),
        sd=pl.lit(None, pl.Float64),
        count=pl.col("reject").sum(),
    )
    over = found.filter(pl.col("end") < rows["end"].max(), pl.col("n") > 0)
    return over.select(list(POINTS)).cast(pl.Schema(POINTS))
