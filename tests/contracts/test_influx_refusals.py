"""What a real InfluxDB 1.6.7 refuses, and that everything else of the same write is stored."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl
import pytest

from infra.historians.influx import InfluxHistorian, InfluxSettings
from infra.influxdb.server import InfluxServer, running
from pipelines.ports import HistorianError
from plant.frames import REFUSED, SAMPLES, Window

pytestmark = pytest.mark.server
AT = datetime(2026, 1, 1, tzinfo=UTC)
EVER = Window(AT - timedelta(days=9000), AT + timedelta(days=9000))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with running(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture
def server(started: InfluxServer) -> InfluxServer:
    started.empty()
    return started


@pytest.fixture
def historian(server: InfluxServer) -> Iterator[InfluxHistorian]:
    historian = InfluxHistorian(settings(server))
    yield historian
    historian.close()


def settings(server: InfluxServer, **changed: object) -> InfluxSettings:
    known = {
        "url": server.url,
        "bucket": server.bucket,
        "token": server.token,
        "user": server.user,
        "password": server.password,
    }
    return InfluxSettings(**{**known, **changed})  # type: ignore[arg-type]


def samples(start: datetime = AT, text: str | None = None) -> pl.DataFrame:
    rows = [
        (start + timedelta(minutes=i), machine, signal, None if text else float(i), text, 0, start)
        for machine in ("capper", "filler")
        for signal in ("good", "scrap", "speed")
        for i in range(60)
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def somebody_else_writes(server: InfluxServer, line: str) -> None:
    query = {"bucket": server.bucket, "precision": "us"}
    signed = {"Authorization": f"Token {server.token}"}
    httpx.post(f"{server.url}/api/v2/write", params=query, content=line, headers=signed).raise_for_status()


def administer(server: InfluxServer, statement: str) -> None:
    signed = httpx.BasicAuth("admin", server.password)
    answer = httpx.post(f"{server.url}/query", data={"q": statement}, auth=signed)
    assert "error" not in answer.text, answer.text


def same(found: pl.DataFrame, expected: pl.DataFrame) -> bool:
    key = ["equipment", "signal", "time"]
    return found.select(SAMPLES.keys()).sort(key).equals(expected.sort(key))


def test_a_field_somebody_else_made_an_integer_costs_that_signal_only(
    server: InfluxServer, historian: InfluxHistorian
) -> None:
    us = int(AT.timestamp()) * 1_000_000
    somebody_else_writes(server, f"signals,equipment=filler good=1i,speed=1i {us}")
    frame = samples()
    refused = historian.write(frame)
    assert refused.schema == dict(REFUSED)
    assert same(refused, frame.filter(pl.col("signal") != "scrap"))
    for signal in ("good", "speed"):
        problem = refused.filter(signal=signal)["problem"]
        assert problem.str.contains(f'field type conflict: input field "{signal}"').all()
    assert same(historian.read(EVER, None, ["scrap"]), frame.filter(signal="scrap"))


def test_texts_of_a_signal_whose_number_is_refused_are_stored(
    server: InfluxServer, historian: InfluxHistorian
) -> None:
    us = int(AT.timestamp()) * 1_000_000
    somebody_else_writes(server, f"signals,equipment=other good=1i {us}")
    texts = samples(AT + timedelta(seconds=30), "jam")
    refused = historian.write(pl.concat([samples(), texts]))
    assert same(refused, samples().filter(signal="good"))
    # What the other wrote is no sample: it has no meta.
    found = historian.read(EVER, ["capper", "filler"], ["good"])
    assert same(found, texts.filter(signal="good"))


def test_what_is_older_than_the_retention_is_refused_and_the_rest_stored(
    server: InfluxServer, historian: InfluxHistorian
) -> None:
    administer(server, "ALTER RETENTION POLICY raw ON signals DURATION 1h SHARD DURATION 1h")
    now = datetime.now(UTC)
    old, new = samples(now - timedelta(hours=3)), samples(now - timedelta(minutes=30))
    refused = historian.write(pl.concat([old, new]))
    assert same(refused, old)
    assert refused["problem"].str.contains("retention policy").all()
    assert historian.write(old)["time"].len() == old.height
    assert historian.write(new).is_empty()
    assert same(historian.read(Window(now - timedelta(hours=4), now + timedelta(days=1))), new)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"bucket": "nowhere"}, "answered 404: .*nowhere.*create the database"),
        ({"bucket": "signals/nothing"}, "answered 500: .*create the retention policy of 'signals/nothing'"),
        ({"token": "lineside:wrong"}, "answered 401: .*check the token"),
        ({"token": "nobody:wrong"}, "answered 401: .*check the token"),
    ],
)
def test_what_somebody_must_put_right_says_so(
    server: InfluxServer, changed: dict[str, str], says: str
) -> None:
    historian = InfluxHistorian(settings(server, **changed))
    with pytest.raises(HistorianError, match=says) as failed:
        historian.write(samples())
    assert failed.value.configuration
    historian.close()


def test_a_user_who_may_only_read_is_told_so(server: InfluxServer) -> None:
    administer(server, "CREATE USER reader WITH PASSWORD 'r'")
    administer(server, "GRANT READ ON signals TO reader")
    historian = InfluxHistorian(settings(server, token="reader:r", user="reader", password="r"))
    try:
        with pytest.raises(HistorianError, match="what they are allowed to do") as failed:
            historian.write(samples())
        assert failed.value.configuration
        assert "what they are allowed to do" in historian.health().detail
        assert not historian.health().ok
    finally:
        historian.close()
        administer(server, "DROP USER reader")


@pytest.mark.parametrize("gzip", [False, True])
def test_a_write_of_several_posts_arrives_whole(server: InfluxServer, gzip: bool) -> None:
    rows = pl.int_range(120_000, eager=True).alias("row").to_frame()
    at = pl.lit(AT).cast(SAMPLES["time"]) + pl.duration(milliseconds=pl.col("row") // 40)
    frame = rows.select(
        at.alias("time"),
        pl.format("machine {}", pl.col("row") % 4).alias("equipment"),
        pl.format("signal {}", pl.col("row") // 4 % 10).alias("signal"),
        pl.when(pl.col("row") % 3 > 0).then(pl.col("row") / 7).alias("value"),
        pl.when(pl.col("row") % 3 == 0).then(pl.format('a "{}"\n', "row")).alias("text"),
        pl.lit(0, pl.UInt8).alias("quality"),
        at.alias("received"),
    )
    historian = InfluxHistorian(settings(server, gzip=gzip))
    assert historian.write(frame).is_empty()
    assert same(historian.read(EVER), frame)
    historian.close()
