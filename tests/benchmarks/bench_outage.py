"""InfluxDB away while millions of values are collected: how old the live board gets meanwhile, and how fast the backlog is
stored afterwards.

`python tests/benchmarks/bench_outage.py` starts a real InfluxDB, stops it, collects 10 M (`LINESIDE_BENCH_VALUES`) values
of one machine as fast as the spool takes them while another machine says its state twice a second, and starts it again.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from collectors.spool import Spool
from infra.folder import DataFolder
from infra.influxdb.server import running
from infra.metrics import Metrics
from infra.plantfile import load
from infra.runtime import Runtime
from plant.frames import GOOD, SAMPLES, Window

VALUES = int(os.environ.get("LINESIDE_BENCH_VALUES", "10_000_000"))
BATCH = 10_000
SIGNALS = 5
COLLECTOR = Path(__file__).parents[1] / "crash" / "collector_process.py"
PLANT = """
schema = 1
[site]
id = "works"
name = "Works"
zone = "UTC"
[historian]
kind = "influxdb"
keep = "forever"
url = "{url}"
bucket = "{bucket}"
user = "{user}"
password = "{password}"
[[source]]
id = "plc"
protocol = "shdr"
host = "127.0.0.1"
[[equipment]]
id = "mixer"
name = "Mixer"
level = "WorkUnit"
[[equipment]]
id = "press"
name = "Press"
level = "WorkUnit"
[[signal]]
equipment = "press"
id = "state"
role = "state"
source = "plc"
address = "state"
states = {{ "1" = "running", "0" = "down" }}
"""
SIGNAL = """
[[signal]]
equipment = "mixer"
id = "v{n}"
role = "process_value"
source = "plc"
address = "v{n}"
"""


class Press:
    """Says its state twice a second; how old the board is, is how long ago what it shows was said."""

    def __init__(self, folder: Path) -> None:
        self._spool = Spool(folder, "press")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.5):
            now = datetime.now(UTC)
            row = (now, "press", "state", 1.0, None, GOOD, now)
            self._spool.append(pl.DataFrame([row], schema=dict(SAMPLES), orient="row"))

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def age(runtime: Runtime) -> float:
    """Seconds since what the board shows of the press was said."""
    press = next(m for m in runtime.snapshot()["machines"] if m["id"] == "press")
    if press["last_sample"] is None:
        return 0.0
    return (datetime.now(UTC) - datetime.fromisoformat(press["last_sample"])).total_seconds()


def collect(folder: Path, runtime: Runtime) -> tuple[float, list[float]]:
    """Seconds it took to collect VALUES, and the ages seen meanwhile."""
    ages: list[float] = []
    began = time.perf_counter()
    command = [sys.executable, str(COLLECTOR), str(folder), "mixer", "0", str(BATCH), "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as collector:
        assert collector.stdout is not None
        for line in collector.stdout:
            ages.append(age(runtime))
            if int(line) >= VALUES - 1:
                collector.kill()
                break
    return time.perf_counter() - began, ages


def main() -> None:
    with (
        tempfile.TemporaryDirectory(dir=".", prefix="var-bench-") as name,
        running(Path(name) / "influx") as influx,
    ):
        folder = Path(name).absolute()
        path = folder / "plant.toml"
        where = PLANT.format(url=influx.url, bucket=influx.bucket, user=influx.user, password=influx.password)
        path.write_text(where + "".join(SIGNAL.format(n=n) for n in range(SIGNALS)))
        with DataFolder(folder / "data") as data:
            runtime = Runtime(load(path), data, "", Metrics.unregistered())
            runtime.start()
            press = Press(data.spool)
            time.sleep(3)
            influx.stop()
            seconds, ages = collect(data.spool, runtime)
            print(
                f"collected {VALUES:,} values in {seconds:.0f} s with InfluxDB away ({VALUES / seconds:,.0f}/s)"
            )
            print(
                f"  board age: median {statistics.median(ages):.1f} s, longest {max(ages):.1f} s (target 5)"
            )
            influx.start()
            began, ages = time.perf_counter(), []
            spool = Spool(data.spool)
            while len(spool.pending()) > 5:
                ages.append(age(runtime))
                time.sleep(0.5)
            seconds = time.perf_counter() - began
            print(f"backlog stored in {seconds:.0f} s ({VALUES / seconds:,.0f} values/s)")
            print(
                f"  board age: median {statistics.median(ages):.1f} s, longest {max(ages):.1f} s (target 5)"
            )
            press.stop()
            start = datetime(2026, 3, 1, tzinfo=UTC)
            window = Window(start, start + timedelta(days=30))
            found = sum(b.height for b in runtime.historian.read_batches(window, ["mixer"]))
            print(
                f"stored {found:,} values; at least {VALUES:,} were acknowledged: {'ok' if found >= VALUES else 'LOST'}"
            )
            runtime.stop()


if __name__ == "__main__":
    main()
