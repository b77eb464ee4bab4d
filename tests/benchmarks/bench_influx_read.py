"""How fast samples come back from InfluxDB as polars frames, beside influxdb-client's reader.

`python tests/benchmarks/bench_influx_read.py` starts an InfluxDB of its own and prints medians and ratios measured in
one run. Parsing is compared per number read (the value of a sample, and its meta) in CPU seconds of this process:
influxdb-client is given the same numbers as the annotated CSV a Flux server sends, once as it sends fields (a
row each) and once pivoted (all signals of a moment in a row), which is the most it can profit from. InfluxDB 1.6
has no Flux, so that text is made here. `LINESIDE_BENCH_SAMPLES` sets how many samples are read.
"""

import io
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import psutil
import urllib3
from influxdb_client.client.flux_csv_parser import FluxCsvParser, FluxSerializationMode

from infra.historians.influx import InfluxHistorian, InfluxSettings, answers, queries
from infra.historians.samples import microseconds
from infra.historians.trends import thinned
from infra.influxdb.server import InfluxServer, running
from plant.frames import SAMPLES, TIME, Window

SAMPLES_READ = int(os.environ.get("LINESIDE_BENCH_SAMPLES", "1000000"))
FLUX_SAMPLES = 50_000
MACHINES = 20
SIGNALS = 5
ROUNDS = 5
START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=100)


def plant_samples(samples: int) -> pl.DataFrame:
    """All signals of all machines every 100 ms."""
    chance = np.random.default_rng(7)
    row = pl.int_range(samples, eager=True).to_frame("row")
    step = STEP // timedelta(microseconds=1)
    at = (pl.lit(microseconds(START)) + pl.col("row") // (MACHINES * SIGNALS) * step).cast(TIME)
    return row.select(
        at.alias("time"),
        pl.format("machine-{}", pl.col("row") % MACHINES).alias("equipment"),
        pl.format("signal-{}", pl.col("row") // MACHINES % SIGNALS).alias("signal"),
        pl.Series("value", chance.normal(100, 5, samples)),
        pl.lit(None, pl.String).alias("text"),
        pl.lit(0, pl.UInt8).alias("quality"),
        (at + pl.duration(microseconds=1500)).alias("received"),
    ).select(SAMPLES.keys())


@dataclass
class Used:
    """Seconds."""

    wall: float = 0.0
    client: float = 0.0
    server: float = 0.0


@contextmanager
def measured(server: InfluxServer | None = None) -> Iterator[Used]:
    """What the block took on the clock, of this process, and of influxd."""
    used = Used()
    influxd = psutil.Process(server.influxd.pid) if server and server.influxd else None

    def of_server() -> float:
        return sum(influxd.cpu_times()[:2]) if influxd else 0.0

    before, wall, client = of_server(), time.perf_counter(), time.process_time()
    yield used
    used.wall, used.client = time.perf_counter() - wall, time.process_time() - client
    used.server = of_server() - before


def medians(rounds: list[Used]) -> Used:
    return Used(*(statistics.median(getattr(r, n) for r in rounds) for n in ("wall", "client", "server")))


def peak_of(settings: InfluxSettings, window: Window) -> tuple[int, float]:
    """Rows of `read_batches`, and the MB this process grew by at the most meanwhile."""
    historian = InfluxHistorian(settings)
    for _ in historian.read_batches(Window(window.start, window.start + timedelta(seconds=1))):
        pass  # what is loaded at first use is none of the batches
    process, stop = psutil.Process(), threading.Event()
    before = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.002):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    rows = sum(batch.height for batch in historian.read_batches(window))
    stop.set()
    watcher.join()
    historian.close()
    return rows, (highest - before) / 1e6


def answer_bytes(server: InfluxServer, window: Window) -> tuple[bytes, list[str]]:
    """The whole answer to a read, and the signals of its statements."""
    names = [f"signal-{i}" for i in range(SIGNALS)]
    fields = [f for n in names for f in (n, f"{n}:meta")]
    start, end = microseconds(window.start), microseconds(window.end)
    asked = [queries.samples_between(s, start, end, None) for s in queries.signals(fields, None)]
    form = {"q": ";".join(a.influxql for a in asked), "epoch": "ns", "chunked": "true", "chunk_size": "10000"}
    database, _, retention = server.bucket.partition("/")
    answer = httpx.post(
        f"{server.url}/query",
        params={"db": database, "rp": retention},
        data=form,
        auth=(server.user, server.password),
        timeout=300,
        trust_env=False,
    )
    return answer.content, [a.signal.name for a in asked]


def fields_csv(samples: pl.DataFrame) -> str:
    """Annotated CSV: a row for each field of each sample, a table for each series."""
    head = (
        "#datatype,string,long,dateTime:RFC3339,{},string,string,string\n"
        "#group,false,false,false,false,true,true,true\n#default,_result,,,,,,\n"
        ",result,table,_time,_value,_field,_measurement,equipment\n"
    )
    meta = pl.col("received").to_physical() * 100 + 10 + pl.col("quality")
    parts = []
    for kind, suffix, held in (("double", "", pl.col("value")), ("long", ":meta", meta)):
        for table, rows in enumerate(samples.partition_by("signal", "equipment", maintain_order=True)):
            stamp = pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
            field = pl.col("signal") + suffix
            line = pl.format(",,{},{},{},{},signals,{}", pl.lit(table), stamp, held, field, "equipment")
            parts.append((head.format(kind) if table == 0 else "") + "\n".join(rows.select(line).to_series()))
    return "\n".join(parts) + "\n"


def pivoted_csv(samples: pl.DataFrame) -> str:
    """Annotated CSV after `pivot`: all fields of a machine and moment in a row, a table for each machine."""
    meta = pl.col("received").to_physical() * 100 + 10 + pl.col("quality")
    wide = (
        samples.with_columns(meta=meta)
        .pivot("signal", index=["equipment", "time"], values=["value", "meta"])
        .sort("equipment", "time")
    )
    names = wide.columns[2:]
    kinds = ",".join("double" if n.startswith("value") else "long" for n in names)
    head = (
        f"#datatype,string,long,dateTime:RFC3339,string,{kinds}\n"
        f"#group,false,false,false,true{',false' * len(names)}\n#default,_result{',' * (len(names) + 3)}\n"
        f",result,table,_time,equipment,{','.join(names)}\n"
    )
    table = pl.col("equipment").rle_id().cast(pl.String)
    stamp = pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    line = pl.concat_str(
        pl.lit(","), table, stamp, "equipment", *(pl.col(n).cast(pl.String) for n in names), separator=","
    )
    return head + "\n".join(wide.select(line).to_series()) + "\n"


def flux_parsed(text: bytes) -> list[object]:
    """What `query_data_frame` does with an answer: pandas frames."""
    response = urllib3.HTTPResponse(io.BytesIO(text), preload_content=False)
    return list(FluxCsvParser(response, FluxSerializationMode.dataFrame).generator())


def parsed(body: bytes, names: list[str]) -> pl.DataFrame:
    pieces = [body[i : i + 65_536] for i in range(0, len(body), 65_536)]
    return pl.concat(list(answers.samples(answers.series(pieces, len(names)), names)))


def bench_parsing(server: InfluxServer, samples: pl.DataFrame, window: Window) -> None:
    body, names = answer_bytes(server, window)
    part = samples.head(FLUX_SAMPLES).sort("signal", "equipment", "time")
    fields, pivoted = fields_csv(part).encode(), pivoted_csv(part).encode()
    rounds: dict[str, list[Used]] = {"ours": [], "fields": [], "pivoted": []}
    for _ in range(ROUNDS):
        for name, parse in (
            ("ours", lambda: parsed(body, names)),
            ("fields", lambda: flux_parsed(fields)),
            ("pivoted", lambda: flux_parsed(pivoted)),
        ):
            with measured() as used:
                found = parse()
            rounds[name].append(used)
            if name == "ours":
                assert found.sort("equipment", "signal", "time").equals(
                    samples.sort("equipment", "signal", "time")
                )
            else:
                check_flux(found, part, pivoted=name == "pivoted")
    per_number = {
        name: medians(of).client / (2 * (samples if name == "ours" else part).height) * 1e9
        for name, of in rounds.items()
    }
    print(f"parsing, CPU ns per number (two a sample): ours {per_number['ours']:.0f}", end="")
    for name in ("fields", "pivoted"):
        ratio = per_number[name] / per_number["ours"]
        print(f"; FluxCsvParser {name} {per_number[name]:.0f} = {ratio:.0f} x", end="")
    print()


def check_flux(found: object, part: pl.DataFrame, *, pivoted: bool) -> None:
    """The same numbers were read; pandas is only looked at here."""
    assert isinstance(found, list)
    values: list[float] = []
    for frame in found:
        if pivoted:
            values += [v for n in frame.columns if n.startswith("value") for v in frame[n].tolist()]
        else:
            values += [v for v in frame["_value"].tolist() if isinstance(v, float)]
    assert sorted(values) == sorted(part["value"])


def bench_reading(
    server: InfluxServer, historian: InfluxHistorian, samples: pl.DataFrame, window: Window
) -> None:
    expected = samples.sort("equipment", "signal", "time")
    rounds = []
    for _ in range(ROUNDS):
        with measured(server) as used:
            found = historian.read(window)
        assert found.equals(expected)
        rounds.append(used)
    one = medians(rounds)
    ratio = statistics.median(r.wall / r.server for r in rounds)
    print(
        f"read {samples.height:,} samples: {samples.height / one.wall:,.0f} samples/s; server CPU {one.server:.2f} s,"
        f" client CPU {one.client:.2f} s, wall {one.wall:.2f} s = {ratio:.2f} x the server's CPU"
        f" (both together {(one.client + one.server) / one.server:.2f} x: the wall of a busy machine says little)"
    )


def bench_memory(settings: InfluxSettings, samples: pl.DataFrame, window: Window) -> None:
    """Each window in a process of its own: memory once taken is not given back."""
    for part in (4, 1):
        span = Window(window.start, window.start + (window.end - window.start) / part)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            rows, grown = fresh.submit(peak_of, settings, span).result()
        size = samples.estimated_size() / samples.height * rows / 1e6
        print(f"read_batches of {rows:,} samples ({size:.0f} MB): {grown:.0f} MB at the most")
    assert rows == samples.height


def bench_trend(
    server: InfluxServer, historian: InfluxHistorian, samples: pl.DataFrame, window: Window
) -> None:
    for every in (timedelta(seconds=10), timedelta(minutes=10)):
        rounds: dict[str, list[Used]] = {"server": [], "read": []}
        for _ in range(3):
            with measured(server) as used:
                trend = historian.trend(window, every)
            rounds["server"].append(used)
            with measured(server) as used:
                ours = thinned(historian.read_batches(window), every)
            rounds["read"].append(used)
        assert trend.drop("mean").equals(ours.drop("mean"))
        assert np.allclose(trend["mean"], ours["mean"], rtol=1e-12)
        counted, read = medians(rounds["server"]), medians(rounds["read"])
        print(
            f"trend of {every}: {counted.wall:.2f} s (CPU: server {counted.server:.2f}, client {counted.client:.2f});"
            f" read and thinned out here {read.wall:.2f} s ({read.server:.2f}, {read.client:.2f})"
        )


def main() -> None:
    samples = plant_samples(SAMPLES_READ)
    window = Window(START, START + STEP * (SAMPLES_READ // (MACHINES * SIGNALS) + 1))
    with tempfile.TemporaryDirectory(prefix="lineside-bench-") as folder, running(Path(folder)) as server:
        settings = InfluxSettings(
            url=server.url,
            bucket=server.bucket,
            token=server.token,
            user=server.user,
            password=server.password,
        )
        historian = InfluxHistorian(settings)
        assert historian.write(samples).is_empty()
        began = time.perf_counter()
        last = historian.last(window.end)
        assert last.height == MACHINES * SIGNALS
        print(f"last of {last.height} series: {(time.perf_counter() - began) * 1e3:.0f} ms")
        bench_parsing(server, samples, window)
        bench_reading(server, historian, samples, window)
        bench_memory(settings, samples, window)
        bench_trend(server, historian, samples, window)
        historian.close()


if __name__ == "__main__":
    main()
