"""What each machine does now, for the alert rules."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from alerting.rules import MachineStatus
from plant.states import MachineState, TimeCategory


def machine_statuses(
    ledger: pl.DataFrame, heard: Mapping[str, datetime], now: datetime
) -> list[MachineStatus]:
    """One per machine that has been heard of, from ledger rows (`plant.frames.LEDGER`) up to now."""
    idle = [TimeCategory.NOT_SCHEDULED.value, TimeCategory.PLANNED_DOWNTIME.value]
    latest = ledger.sort("equipment", "start").group_by("equipment", maintain_order=True).last()
    stood = ledger.join(latest.select("equipment", now_stop="stop_start"), on="equipment").filter(
        pl.col("stop_start") == pl.col("now_stop"), ~pl.col("category").is_in(idle)
    )
    planned = dict(stood.group_by("equipment").agg(pl.col("duration").sum()).iter_rows())
    return [
        MachineStatus(
            equipment=row["equipment"],
            state=MachineState(row["state"]),
            since=row["stop_start"],
            reason=row["reason"],
            category=TimeCategory(row["category"]),
            planned=timedelta(microseconds=planned.get(row["equipment"], 0)),
        )
        for row in latest.iter_rows(named=True)
        if row["equipment"] in heard and row["stop_start"] is not None
    ]
