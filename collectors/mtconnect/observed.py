"""From observations to `plant.frames.SAMPLES`, and which data item a signal's address is. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import polars as pl

from collectors.mtconnect.document import DataItem, Observation
from collectors.samples import from_text, signal_table
from collectors.times import iso_time
from plant.frames import BAD, GOOD, TIME, UNCERTAIN
from plant.model import Signal

LEVELS = ("NORMAL", "WARNING", "FAULT")
UNAVAILABLE = "UNAVAILABLE"
COLUMNS = {
    "given": pl.String,
    "item": pl.String,
    "raw": pl.String,
    "detail": pl.String,
    "quality": pl.UInt8,
}
QUALITIES = {"INVALID": BAD, "UNVERIFIABLE": UNCERTAIN}
SETS = {"DATA_SET": "a data set", "TABLE": "a table"}


def find_items(
    signals: Iterable[Signal], items: Sequence[DataItem]
) -> tuple[dict[str, list[Signal]], dict[str, str]]:
    """Data item id to the signals it feeds, and signal ("equipment.signal") to why it gets nothing.

    An address is a data item's id, its name, or `DEVICE:name` with the name or uuid of its device. A name that
    several data items have is refused: their values must not mix.
    """
    places: dict[str, dict[str, DataItem]] = {}
    for item in items:
        for address in (item.id, item.name, f"{item.device}:{item.name}", f"{item.uuid}:{item.name}"):
            places.setdefault(address, {})[item.id] = item
    found: dict[str, list[Signal]] = {}
    refused: dict[str, str] = {}
    ids = {item.id: item for item in items}
    for signal in signals:
        key, address = f"{signal.equipment}.{signal.id}", signal.address.strip()
        possible = [ids[address]] if address in ids else list(places.get(address, {}).values())
        if not possible:
            refused[key] = (
                f'the agent has no data item "{address}"; look it up in what the agent answers to /probe'
            )
        elif len(possible) > 1:
            which = ", ".join(f"{i.id} ({i.device})" for i in possible[:5])
            refused[key] = (
                f'"{address}" is the name of {len(possible)} data items; write the id of one: {which}'
            )
        elif possible[0].representation in SETS:
            what = SETS[possible[0].representation]
            refused[key] = f'"{address}" is {what}, which has no single value; choose an item with one value'
        else:
            found.setdefault(possible[0].id, []).append(signal)
    return found, refused


def item_table(found: Mapping[str, Sequence[Signal]]) -> pl.DataFrame:
    """What `to_samples` joins on: `signal_table` with the data item's id in column `item`."""
    tables = [
        signal_table(signals).with_columns(pl.lit(item).alias("item")) for item, signals in found.items()
    ]
    return pl.concat([signal_table(()).with_columns(pl.lit(None, pl.String).alias("item")), *tables])


class Conditions:
    """What is active of each condition. One may have several codes active at once; clearing one leaves the others."""

    def __init__(self) -> None:
        self._active: dict[str, dict[str, str]] = {}

    def take(self, seen: Observation) -> str | None:
        """The condition's level after this: the worst that is active, None when it is unavailable."""
        level, code = seen.element.upper(), seen.condition or seen.code
        active = self._active.setdefault(seen.item, {})
        if level in LEVELS[1:]:
            active[code] = level
        elif level == "NORMAL" and code:
            active.pop(code, None)
        else:
            active.clear()
        if level not in LEVELS:
            return None
        return max(active.values(), key=LEVELS.index, default="NORMAL")


def to_samples(
    observations: Sequence[Observation], table: pl.DataFrame, conditions: Conditions, received: datetime
) -> tuple[pl.DataFrame, int]:
    """The samples of these observations (`plant.frames.SAMPLES`), and how many had no readable time and are left out.

    UNAVAILABLE is no value. Of a time series the last value is taken. A condition's value is its level; an alarm's
    text also has code, severity, qualifier and words. Data sets and tables have no value.
    """
    rows = []
    for seen in observations:
        raw: str | None = seen.value
        detail = seen.code or None
        quality = QUALITIES.get(seen.quality.upper(), GOOD)
        if seen.category == "Condition":
            raw = conditions.take(seen)
            detail = " ".join(filter(None, (seen.code, seen.severity, seen.qualifier, seen.value))) or None
        elif seen.entries or seen.value.upper() == UNAVAILABLE:
            raw = None
        elif seen.series:
            raw = seen.value.split()[-1] if seen.value else None
        rows.append((seen.time, seen.item, raw, detail, BAD if raw is None else quality))
    decoded = pl.DataFrame(rows, schema=COLUMNS, orient="row").with_columns(
        iso_time(pl.col("given")).cast(TIME).alias("time")
    )
    timed = decoded.filter(pl.col("time").is_not_null())
    joined = timed.join(table, on="item", how="inner", maintain_order="left")
    return from_text(joined, received), decoded.height - timed.height
