"""How good the forecasts are: the simulated plant is run for days, and every order is forecast on its way.

    python tests/benchmarks/bench_forecast.py [--days 4] [--plants 3]

Each order is asked for its finish after a quarter, a half and three quarters of its time, and at the same instants the next
two of its machine, that wait; each shift for its output after a quarter, a half and three quarters: from nothing but the
ledger up to then. Printed for the project's forecast and, from the same instants, for naive ones: the order's own rate so
far, the rate of the last half hour, the ideal rate. Errors are of the time left (of the output left), bias is their mean
with its sign; coverage is how often the truth lay in the interval.
The simulated machines know no breaks, so the plant has no calendar here; shifts are eight hours by the clock.
"""

import argparse
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.forecast.finish import EPOCH, RESOLUTION, Ahead, cycle_at, edges
from analytics.forecast.pace import LEVEL, RATED, paces
from collectors.simulator.frames import frames
from collectors.simulator.model import Simulation
from collectors.simulator.orders import demo_orders
from infra.plantfile import load
from pipelines.derive import derive
from plant.frames import Window
from plant.model import Plant

PLANT = Path(__file__).resolve().parents[2] / "infra" / "demo" / "plant.toml"
START = datetime(2026, 1, 5, 5, tzinfo=UTC)
ASKED = (0.25, 0.5, 0.75)
COUNTING = ("palletiser", "cnc-1", "cnc-2", "press-1")
"""Machines whose counts are the output of orders."""
SHIFT = timedelta(hours=8)


@dataclass
class Score:
    """Relative errors of one way to forecast, and how often its interval held."""

    errors: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    unsaid: int = 0

    def add(
        self, found: float | None, truth: float, low: float | None = None, high: float | None = None
    ) -> None:
        """One forecast; an interval without a high end reaches as far as one likes."""
        if found is None:
            self.unsaid += 1
            return
        self.errors.append((found - truth) / truth)
        if low is not None:
            self.inside.append(low <= truth and (high is None or truth <= high))

    @property
    def coverage(self) -> float:
        """Share of intervals that held the truth."""
        return statistics.mean(self.inside)

    @property
    def median(self) -> float:
        """Median absolute error."""
        return statistics.median(map(abs, self.errors))

    def __str__(self) -> str:
        mape, bias = statistics.mean(map(abs, self.errors)), statistics.mean(self.errors)
        held = f"  coverage {self.coverage:.0%} of {LEVEL:.0%}" if self.inside else ""
        return (
            f"median {self.median:6.1%}  mean {mape:6.1%}  bias {bias:+7.1%}  "
            f"n {len(self.errors)}, unsaid {self.unsaid}{held}"
        )


def ledgers(days: float, plants: int) -> Iterator[tuple[Plant, pl.DataFrame]]:
    """The ledger of each simulated plant, cut where the running one is."""
    plant = load(PLANT)
    plant = replace(plant, equipment={k: replace(e, calendar=None) for k, e in plant.equipment.items()})
    window = Window(START, START + timedelta(days=days))
    listed = demo_orders(START, 24 * days)
    named = pl.DataFrame([{"order": o["id"], "material": o["material"]} for o in listed])
    for seed in range(1, plants + 1):
        run = Simulation(seed, START, orders=listed, period=timedelta(seconds=5))
        yield (
            plant,
            derive(pl.concat(list(frames(run, window.end))), plant, window, named, edges=edges(window)),
        )


def instants(start: datetime, end: datetime) -> Iterator[datetime]:
    """When to ask, at edges of the ledger."""
    for share in ASKED:
        at = start + share * (end - start)
        yield at - (at - EPOCH) % RESOLUTION


def orders(found: Iterable[tuple[Plant, pl.DataFrame]]) -> dict[str, Score]:
    """Scores of the finish of every order that was begun and finished."""
    names = ("forecast", "own rate so far", "last half hour", "ideal rate")
    scores = {name: Score() for name in names}
    for plant, ledger in found:
        for machine in COUNTING:
            rows = ledger.filter(pl.col("equipment") == machine)
            for (_,), mine in rows.filter(pl.col("order").is_not_null()).group_by(
                ["order"], maintain_order=True
            ):
                if mine["end"].max() == rows["end"].max():
                    continue
                _ask_order(scores, plant, rows, mine)
    return scores


def _ask_order(scores: dict[str, Score], plant: Plant, rows: pl.DataFrame, mine: pl.DataFrame) -> None:
    machine, material = mine["equipment"][0], mine["material"].drop_nulls()[0]
    start, finish = mine["start"].min(), mine.filter(pl.col("good") > 0)["end"].max()
    cycle = cycle_at(plant, machine, material, start)
    assert cycle is not None
    for now in instants(start, finish):
        known = rows.filter(pl.col("end") <= now)
        done = mine.filter(pl.col("end") <= now)["good"].sum()
        left, truth = mine["good"].sum() - done, (finish - now).total_seconds()
        if now <= start or left <= 0:
            continue
        pace = paces(known, now).get(machine)
        said = (pace.needed(left, cycle) if pace else None) or (None, None, None)
        scores["forecast"].add(said[0], truth, *said[1:])
        scores["own rate so far"].add((now - start).total_seconds() * left / done if done else None, truth)
        rate = _last(known, timedelta(minutes=30))
        scores["last half hour"].add(left / rate if rate else None, truth)
        scores["ideal rate"].add(left * cycle.total_seconds(), truth)


def queued(found: Iterable[tuple[Plant, pl.DataFrame]]) -> dict[str, Score]:
    """Scores of the finish of the two orders that wait while one is made."""
    scores = {name: Score() for name in ("forecast", "ideal rate")}
    for plant, ledger in found:
        for machine in COUNTING:
            rows = ledger.filter(pl.col("equipment") == machine)
            jobs = (
                rows.filter(pl.col("order").is_not_null())
                .group_by("order", maintain_order=True)
                .agg(
                    pl.col("material").drop_nulls().first(),
                    pl.col("good").sum(),
                    start=pl.col("start").min(),
                    finish=pl.col("end").filter(pl.col("good") > 0).max(),
                )
                .rows(named=True)[:-1]  # the last one may not be finished
            )
            for place, running in enumerate(jobs):
                for now in instants(running["start"], running["finish"]):
                    _ask_queue(scores, plant, rows, running, jobs[place + 1 : place + 3], now)
    return scores


def _ask_queue(
    scores: dict[str, Score],
    plant: Plant,
    rows: pl.DataFrame,
    running: dict[str, Any],
    waiting: list[dict[str, Any]],
    now: datetime,
) -> None:
    machine = rows["equipment"][0]
    known = rows.filter(pl.col("end") <= now)
    pace = paces(known, now, changeovers=True).get(machine)
    done = known.filter(pl.col("order") == running["order"])["good"].sum()
    ahead = Ahead().then(running["good"] - done, cycle_at(plant, machine, running["material"], now))
    for job in waiting:
        cycle = cycle_at(plant, machine, job["material"], now)
        assert cycle is not None
        truth = (job["finish"] - now).total_seconds()
        parts = ahead.in_parts(pace, cycle) + job["good"] if pace else 0
        said = (pace.needed(parts, cycle) if pace else None) or (None, None, None)
        scores["forecast"].add(said[0], truth, *said[1:])
        ahead = ahead.then(job["good"], cycle)
        scores["ideal rate"].add(ahead.ideal, truth)


def shifts(found: Iterable[tuple[Plant, pl.DataFrame]]) -> dict[str, Score]:
    """Scores of what is still to be made in every shift."""
    scores = {name: Score() for name in ("forecast", "own rate so far", "last half hour")}
    for _, ledger in found:
        for machine in COUNTING:
            rows = ledger.filter(pl.col("equipment") == machine)
            start, last = rows["start"].min() + SHIFT, rows["end"].max()
            while start + SHIFT <= last:
                for now in instants(start, start + SHIFT):
                    known = rows.filter(pl.col("end") <= now)
                    after = rows.filter(pl.col("start") >= now, pl.col("start") < start + SHIFT)
                    truth, left = after["good"].sum(), (start + SHIFT - now).total_seconds()
                    if truth <= 0:
                        continue
                    pace = paces(known, now, changeovers=True).get(machine)
                    more, spread = pace.output(left) if pace else (None, None)
                    ends = (more - spread, more + spread) if more is not None and spread is not None else ()
                    scores["forecast"].add(more, truth, *ends)
                    so_far = known.filter(pl.col("start") >= start)["good"].sum()
                    scores["own rate so far"].add(left * so_far / (now - start).total_seconds(), truth)
                    scores["last half hour"].add(left * (_last(known, timedelta(minutes=30)) or 0.0), truth)
                start += SHIFT
    return scores


def _last(known: pl.DataFrame, over: timedelta) -> float | None:
    """Good parts per second of the last rated time."""
    newer = pl.col("duration").cum_sum(reverse=True) - pl.col("duration")
    rows = known.filter(pl.col("category").is_in(RATED)).filter(newer < over // timedelta(microseconds=1))
    seconds = rows["duration"].sum() / 1e6
    return rows["good"].sum() / seconds if seconds else None


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=float, default=4.0)
    parser.add_argument("--plants", type=int, default=3)
    args = parser.parse_args()
    found = list(ledgers(args.days, args.plants))
    for what, scores in (
        ("time to finish of orders", orders(found)),
        ("time to finish of orders that wait", queued(found)),
        ("output to the end of shifts", shifts(found)),
    ):
        print(what)
        for name, score in scores.items():
            print(f"  {name:16} {score}")


if __name__ == "__main__":
    main()
