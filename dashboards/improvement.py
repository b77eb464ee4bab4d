"""The read models of the page Improve: what changed, who held the line up, which standards are wrong, where short stops
swarm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from analytics.figures.summary import summarise
from analytics.improvement.bridge import NothingToCompareError, bridge
from dashboards.figures import loss_name
from dashboards.parts import period, utc
from dashboards.ports import Backend, Refused
from plant import packml
from plant.frames import Window
from plant.model import Plant
from plant.states import TimeCategory

AGAINST = {"before": "the one before", "day": "a day earlier", "week": "a week earlier"}
"""What a window can be compared with."""

EFFECTS = {
    "speed": "Speed",
    "quality": "Quality",
    "mix": "Mix of products and machines",
    "outside": "Parts counted while stopped",
}
VERDICTS = {
    "right": "Right",
    "too_slow": "Too slow: it hides losses",
    "never_reached": "Never reached",
    "missing": "There is none",
    "too_few": "Too few parts to say",
}
"""What the auditor says of an ideal cycle."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two windows and why their OEE differs."""

    before: Window
    after: Window
    oee_before: float | None
    oee_after: float | None
    effects: pl.DataFrame
    """`analytics.improvement.bridge.BRIDGE` with `name` in words; empty where `problem` says why there is none."""
    problem: str = ""


def earlier(backend: Backend, name: str, window: Window, against: str) -> Window:
    """What the window called `name` (`dashboards.parts.PERIODS`) is compared with.

    Raises:
        Refused: `against` is none of `AGAINST`, or there was no shift before.
    """
    if against not in AGAINST:
        raise Refused(f"against: {against!r} is not one of {', '.join(AGAINST)}")
    if against != "before":
        back = timedelta(days=1 if against == "day" else 7)
        return Window(window.start - back, window.end - back)
    if name == "shift":
        return period(backend, "last")
    if name == "last":
        found = backend.shifts(Window(window.start - timedelta(days=4), window.start))
        spans = [(utc(s["start"]), utc(s["end"])) for s in found]
        spans = [span for span in spans if span[1] <= window.start]
        if not spans:
            raise Refused("against: no shift ended in the four days before it; choose another window")
        return Window(*max(spans))
    if name == "today":
        return Window(window.start - timedelta(days=1), window.end - timedelta(days=1))
    return Window(window.start - (window.end - window.start), window.start)


def compare(backend: Backend, before: Window, after: Window, machines: Sequence[str] | None) -> Comparison:
    """The bridge from one window to another."""
    plant = backend.plant
    earlier_rows, rows = (backend.ledger(window, machines) for window in (before, after))
    oees = (_oee(earlier_rows, plant), _oee(rows, plant))
    try:
        found = bridge(earlier_rows, rows, plant)
    except NothingToCompareError as error:
        return Comparison(before, after, *oees, pl.DataFrame(), str(error))
    names = [effect_name(row, plant) for row in found.iter_rows(named=True)]
    named = found.with_columns(pl.Series("name", names, dtype=pl.String))
    return Comparison(before, after, *oees, named)


def _oee(rows: pl.DataFrame, plant: Plant) -> float | None:
    table = summarise(rows, [], plant)
    return None if table.is_empty() else table["oee"].item()


def effect_name(row: Mapping[str, str | None], plant: Plant) -> str:
    """An effect of the bridge in words."""
    if row["effect"] == "availability":
        key = row["reason"] or f"category:{row['category']}"
        micro = row["category"] == TimeCategory.MICRO_STOP
        name = loss_name(plant, key)
        return f"{name} (micro-stops)" if micro and row["reason"] else name
    name = "Mix" if row["effect"] == "mix" else EFFECTS[str(row["effect"])]
    where = [plant.equipment[row["equipment"]].name] if row["equipment"] else []
    if row["material"]:
        material = plant.materials.get(row["material"])
        where.append(material.name if material else row["material"])
    return f"{name}: {', '.join(where)}" if where else name


def state_name(plant: Plant, machine: str, raw: str) -> str:
    """What a machine's raw state is in words: Down (PackML Held), Down (INTERRUPTED), Down (code 9, not named in the plant
    file)."""
    signals = (s for s in plant.state_signals() if s.equipment == machine and raw in s.states)
    signal = next(signals, None)
    standard = packml.named(raw, signal.states) if signal else None
    code = raw.lstrip("-").replace(".", "", 1).isdecimal()
    said = f"PackML {standard}" if standard else f"code {raw}, not named in the plant file" if code else raw
    if signal is None:
        return said[0].upper() + said[1:]
    return f"{signal.states[raw].state.value.replace('_', ' ').capitalize()} ({said})"


def main_effects(effects: pl.DataFrame, most: int) -> list[tuple[str, float]]:
    """name and points: products and machines of one effect under one name, largest first; those beyond `most` together."""
    general = (
        pl.when(pl.col("effect") == "availability")
        .then("name")
        .otherwise(pl.col("effect").replace_strict(EFFECTS, default=None))
    )
    sums = (
        effects.group_by(general.alias("name"))
        .agg(pl.col("points").sum())
        .sort(pl.col("points").abs(), "name", descending=[True, False])
        .rows()
    )
    if len(sums) <= most:
        return sums
    return [*sums[: most - 1], ("Everything else", sum(points for _, points in sums[most - 1 :]))]
