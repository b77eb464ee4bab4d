"""The simulation as samples, without any protocol between: for backfill, benchmarks and tests."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import polars as pl

from collectors.simulator.codes import MACHINES, PROCESS_VALUES
from collectors.simulator.model import Simulation
from plant.frames import GOOD, SAMPLES, TIME


def frames(
    sim: Simulation,
    until: datetime,
    *,
    machines: Iterable[str] = MACHINES,
    chunk: int = 900,
    delay: timedelta = timedelta(0),
) -> Iterator[pl.DataFrame]:
    """Samples (`plant.frames.SAMPLES`) of every reading in [sim.now, until), every signal at each of them.

    One frame per `chunk` readings, sorted by (equipment, signal, time); `received` is time + `delay`.
    The simulation is left at the first reading not before `until`.
    """
    wanted = tuple(machines)
    while sim.now < until:
        steps = min(chunk, -((sim.now - until) // sim.period))
        yield _chunk(sim, steps, wanted, delay)


def _chunk(sim: Simulation, steps: int, machines: tuple[str, ...], delay: timedelta) -> pl.DataFrame:
    first = sim.now_us
    traced = [sim.machines[id] for id in machines]
    columns: list[list[tuple[int, int, int, str, float]]] = [[] for _ in traced]
    for _ in range(steps):
        for machine, rows in zip(traced, columns, strict=True):
            rows.append((machine.state, machine.good, machine.reject, machine.order_id, machine.value))
        sim.step()
    period = sim.period // timedelta(microseconds=1)
    times = pl.Series("time", range(first, first + steps * period, period), dtype=pl.Int64).cast(TIME)
    parts = []
    for machine, rows in zip(traced, columns, strict=True):
        names = ("state", "good", "reject", "order", PROCESS_VALUES[machine.id][0])
        for name, values in zip(names, zip(*rows, strict=True), strict=True):
            text = name == "order"
            series = pl.Series(values, dtype=pl.String if text else pl.Float64)
            missing = pl.lit(None, dtype=pl.Float64 if text else pl.String)
            parts.append(
                pl.DataFrame({"time": times}).with_columns(
                    equipment=pl.lit(machine.id),
                    signal=pl.lit(name),
                    value=missing if text else series,
                    text=series if text else missing,
                    quality=pl.lit(GOOD, dtype=pl.UInt8),
                    received=pl.col("time") + delay,
                )
            )
    return pl.concat(parts).select(*SAMPLES).sort("equipment", "signal", "time")
