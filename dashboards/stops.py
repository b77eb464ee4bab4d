"""Stops and what people said of them, as views."""

from datetime import datetime

import polars as pl

from analytics.ledger.sayings import Stop
from dashboards import words
from dashboards.view import SaidView, SpanView, StopView


def stop_view(stop: Stop, following: Stop | None, said: pl.DataFrame) -> StopView:
    """`following`: the next stop, if it can be merged with this one. `said`: what was said of this one (`RECODES`)."""
    return StopView(
        equipment=stop.equipment,
        start=words.utc(stop.start),
        end=None if stop.goes_on else words.utc(stop.end),
        seconds=stop.length.total_seconds(),
        state=stop.state,
        reason=stop.reason,
        following=words.utc(following.start) if following else None,
        between=(following.start - stop.end).total_seconds() if following else None,
        version=version(stop, said),
    )


def version(stop: Stop, said: pl.DataFrame) -> str:
    """Another one whenever somebody said something of it, or it is another stop."""
    end = "" if stop.goes_on else words.utc(stop.end)
    newest = said["at"].max()
    return f"{words.utc(stop.start)}|{end}|{words.utc(newest) if isinstance(newest, datetime) else ''}"


def said_views(said: pl.DataFrame) -> list[SaidView]:
    """Entries (`RECODES`) of one stop, those of one action together."""
    found: dict[tuple[str, datetime], SaidView] = {}
    for row in said.iter_rows(named=True):
        action = found.setdefault(
            (row["user"], row["at"]),
            SaidView(reason="", user=row["user"], at=row["at"].isoformat(), note=row["note"] or "", spans=[]),
        )
        action["reason"] = row["reason"] or action["reason"]
        end = words.utc(row["end"]) if row["end"] else None
        span = SpanView(start=words.utc(row["start"]), end=end, state=row["state"], reason=row["reason"])
        action["spans"].append(span)
    return list(found.values())
