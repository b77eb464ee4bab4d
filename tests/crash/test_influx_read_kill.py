"""A server that dies while it answers: the read fails, it does not end early."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.historians.influx import InfluxHistorian, InfluxSettings
from infra.influxdb.server import InfluxServer, running
from pipelines.ports import HistorianError
from plant.frames import SAMPLES, TIME, Window

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 400_000  # 25 MB of answer: more than sockets and the proxy hold


def samples() -> pl.DataFrame:
    row = pl.int_range(ROWS, eager=True).to_frame("row")
    at = pl.lit(START).cast(TIME) + pl.duration(milliseconds=100 * (pl.col("row") // 4))
    return row.select(
        at.alias("time"),
        pl.format("machine-{}", pl.col("row") % 2).alias("equipment"),
        pl.format("signal-{}", pl.col("row") // 2 % 2).alias("signal"),
        pl.col("row").sqrt().alias("value"),
        pl.lit(None, pl.String).alias("text"),
        pl.lit(0, pl.UInt8).alias("quality"),
        at.alias("received"),
    ).select(SAMPLES.keys())


def killed(server: InfluxServer, what: str) -> None:
    process = server.influxd if what == "influxd" else server.nginx
    assert process is not None
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.server
def test_a_read_of_a_server_that_is_killed_is_an_error(tmp_path: Path) -> None:
    window = Window(START, START + timedelta(days=1))
    with running(tmp_path) as server:
        known = {n: getattr(server, n) for n in ("url", "bucket", "token", "user", "password")}
        historian = InfluxHistorian(InfluxSettings(**known))
        written = samples()
        assert historian.write(written).is_empty()
        for what in ("influxd", "nginx"):
            batches = historian.read_batches(window)
            first = next(batches)
            assert 0 < first.height < ROWS
            killed(server, what)
            with pytest.raises(HistorianError):
                list(batches)
            server.start()
        assert historian.read(window).equals(written.sort("equipment", "signal", "time"))
        historian.close()
