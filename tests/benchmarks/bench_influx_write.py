"""How fast samples reach InfluxDB, measured against InfluxDB itself and against its client's own ways.

`python tests/benchmarks/bench_influx_write.py` starts the InfluxDB of `make services` and prints medians and
ratios measured in one run. Serialisers are compared by CPU seconds; what they made is asserted to mean the same.
"""

import gc
import http.client
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import polars as pl
import psutil
from influxdb_client import Point, WritePrecision
from influxdb_client.client.write.dataframe_serializer import data_frame_to_list_of_points
from influxdb_client.client.write_api import PointSettings

from infra.historians.influx import InfluxHistorian, InfluxSettings
from infra.historians.influx.lines import Batch
from infra.historians.influx.protocol import bodies
from infra.influxdb.server import InfluxServer, running
from plant.frames import TIME, Window

START = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = ("speed", "torque", "temperature", "count", "state")
LINES = 50_000
MACHINES = 20
SIGNALS = 10
SAMPLES = 300_000
ROUNDS = 7


def mix(lines: int) -> pl.DataFrame:
    """Five fields of 20 machines: every speed and count, most torques, each fourth temperature, some texts."""
    chance = np.random.default_rng(1)
    row = pl.int_range(lines, eager=True).alias("row")
    texts = pl.Series(["running", "door open", 'said "stop"'])
    return pl.DataFrame({"row": row, "speed": chance.normal(100, 5, lines)}).select(
        (pl.lit(START).cast(TIME) + pl.duration(milliseconds=pl.col("row") // MACHINES * 100)).alias("time"),
        pl.format("machine-{}", pl.col("row") % MACHINES).alias("machine"),
        "speed",
        pl.when(pl.col("row") % 10 > 0).then(pl.Series(chance.normal(10, 1, lines))).alias("torque"),
        pl.when(pl.col("row") % 4 == 0).then(pl.Series(chance.normal(60, 5, lines).round(1))).alias("temperature"),
        (pl.col("row") // MACHINES).alias("count"),
        pl.when(pl.col("row") % 50 < 3).then(pl.lit(texts).gather(pl.col("row") % 3)).alias("state"),
    )  # fmt: skip


def by_polars(frame: pl.DataFrame) -> bytes:
    return next(bodies(frame, "signals", tags=["machine"], fields=FIELDS, longest=LINES * 1000))


def by_points(frame: pl.DataFrame) -> bytes:
    lines = []
    for row in frame.iter_rows(named=True):
        point = Point("signals").tag("machine", row["machine"]).time(row["time"], WritePrecision.US)
        for name in FIELDS:
            point.field(name, row[name])
        lines.append(point.to_line_protocol())
    return "\n".join(lines).encode()


def by_pandas(frame: object) -> bytes:
    settings = {"data_frame_measurement_name": "signals", "data_frame_tag_columns": ["machine"]}
    return "\n".join(data_frame_to_list_of_points(frame, PointSettings(), "us", **settings)).encode()


def meaning(body: bytes) -> list[tuple[str, Mapping[str, float | str], str]]:
    """Lines without the order of their fields, numbers by value; the texts here hold no comma."""
    found = []
    for line in body.decode().split("\n"):
        head, rest = line.split(" ", 1)
        fields, at = rest.rsplit(" ", 1)
        pairs = (field.split("=", 1) for field in fields.split(","))
        found.append((head, {n: v if v[-1] in '"i' else float(v) for n, v in pairs}, at))
    return found


def cpu_of(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def bench_serialisers() -> None:
    frame = mix(LINES)
    indexed = frame.to_pandas().set_index("time")
    assert meaning(by_polars(frame)) == meaning(by_points(frame)) == meaning(by_pandas(indexed))
    size = len(by_polars(frame)) / LINES
    actions = {
        "polars": lambda: by_polars(frame),
        "Point": lambda: by_points(frame),
        "pandas": lambda: by_pandas(indexed),
    }
    spent: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            spent[name].append(cpu_of(action))
    ours, points, pandas = (statistics.median(spent[name]) for name in actions)
    print(f"line protocol of {LINES:,} lines, 5 fields with nulls and a text, {size:.0f} bytes a line:")
    print(
        f"  {LINES / ours / 1e6:.2f} M lines per CPU second; influxdb-client: {LINES / points / 1e6:.3f} M",
        end="",
    )
    print(f" by Point, {LINES / pandas / 1e6:.3f} M by pandas")
    print(f"  {points / ours:.1f} x its Point path (to reach: 15), {pandas / ours:.1f} x its pandas path (8)")


def samples(number: int, rows: int) -> pl.DataFrame:
    """What collectors of 20 machines hand over: 10 signals, one of them text, in the order of time."""
    chance = np.random.default_rng(number)
    row = pl.int_range(rows, eager=True).alias("row")
    begin = START + timedelta(hours=number)
    at = pl.lit(begin).cast(TIME) + pl.duration(milliseconds=100 * (pl.col("row") // (MACHINES * SIGNALS)))
    signal = pl.col("row") // MACHINES % SIGNALS
    return row.to_frame().select(
        at.alias("time"),
        pl.format("machine-{}", pl.col("row") % MACHINES).alias("equipment"),
        pl.format("signal-{}", signal).alias("signal"),
        pl.when(signal > 0).then(pl.Series(chance.normal(100, 5, rows))).alias("value"),
        pl.when(signal == 0).then(pl.lit("running")).alias("text"),
        pl.lit(0, pl.UInt8).alias("quality"),
        (at + pl.duration(microseconds=1500)).alias("received"),
    )


def post_raw(server: InfluxServer, posts: list[bytes], connections: int) -> None:
    """Post bytes as they are, over so many connections."""
    query = urlencode({"org": "-", "bucket": server.bucket, "precision": "us"})
    headers = {"Authorization": f"Token {server.token}", "Content-Type": "text/plain; charset=utf-8"}

    def some(part: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for body in part:
            connection.request("POST", f"/api/v2/write?{query}", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204, answer.status
        connection.close()

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(some, (posts[n::connections] for n in range(connections))))


def bench_end_to_end(server: InfluxServer, rows: int, rounds: int) -> None:
    assert server.influxd is not None
    influxd = psutil.Process(server.influxd.pid)
    settings = InfluxSettings(
        url=server.url, bucket=server.bucket, token=server.token, user=server.user, password=server.password
    )
    server.empty()
    historian = InfluxHistorian(settings)
    historian.write(samples(0, rows))
    wall: dict[str, list[float]] = {"ours": [], "raw 2": [], "raw 1": []}
    ours, theirs, size = [], [], 0
    for number in range(rounds):
        # New points each time; who begins takes turns.
        frames = {name: samples(1 + 3 * number + n, rows) for n, name in enumerate(wall)}
        posts = {
            name: [part.body() for part in Batch.of(frames[name]).posts()] for name in ("raw 2", "raw 1")
        }
        size = sum(map(len, posts["raw 1"]))
        for name in sorted(wall, reverse=number % 2 == 1):
            gc.collect()
            server_before, client_before = influxd.cpu_times(), time.process_time()
            began = time.perf_counter()
            if name == "ours":
                refused = historian.write(frames[name])
                assert refused.is_empty()
            else:
                post_raw(server, posts[name], int(name[-1]))
            wall[name].append(time.perf_counter() - began)
            if name == "ours":
                after = influxd.cpu_times()
                ours.append(time.process_time() - client_before)
                theirs.append(after.user + after.system - server_before.user - server_before.system)
    for name in wall:
        assert historian.read(window(1 + list(wall).index(name), rows)).height == rows
    historian.close()
    medians = {name: statistics.median(times) for name, times in wall.items()}
    print(f"{rows:,} samples a write into InfluxDB ({size / rows:.0f} bytes a sample), medians of {rounds}:")
    print(f"  {rows / medians['ours']:,.0f} samples/s; the same bytes posted raw: ", end="")
    print(f"{rows / medians['raw 2']:,.0f} over 2 connections, {rows / medians['raw 1']:,.0f} over one")
    print(f"  {medians['raw 2'] / medians['ours']:.2f} of raw over 2 connections (to reach: 0.9),", end=" ")
    print(f"{medians['raw 1'] / medians['ours']:.2f} of raw over one")
    share = sum(ours) / sum(theirs)
    print(
        f"  CPU: {sum(ours) / rounds / rows * 1e6:.2f} us a sample here, {sum(theirs) / rounds / rows * 1e6:.2f}",
        end=" ",
    )
    print(f"in influxd: {share:.0%} (at most 20 %)")


def window(number: int, rows: int) -> Window:
    begin = START + timedelta(hours=number)
    return Window(begin, begin + timedelta(milliseconds=100 * (rows // (MACHINES * SIGNALS) + 1)))


def main() -> None:
    bench_serialisers()
    with (
        tempfile.TemporaryDirectory(dir=".", prefix="var-bench-") as folder,
        running(Path(folder).resolve()) as server,
    ):
        bench_end_to_end(server, SAMPLES, ROUNDS)
        bench_end_to_end(server, 10_000, 3 * ROUNDS)


if __name__ == "__main__":
    main()
