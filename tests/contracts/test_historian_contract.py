"""Every historian keeps the same promises: `pipelines.ports.Historian`."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from infra.historians.influx import InfluxHistorian, InfluxSettings
from infra.historians.memory import MemoryHistorian
from infra.historians.parquet import ParquetHistorian
from infra.influxdb.server import InfluxServer, running
from pipelines.ports import Historian
from plant.frames import BAD, GOOD, REFUSED, SAMPLES, TREND, UNCERTAIN, Window
from tests.examples import examples

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALWAYS = Window(NOON - timedelta(days=30), NOON + timedelta(days=30))
HOSTILE = [
    "plain",
    "with space",
    " leading, trailing and = ",
    "back\\slash",
    "ends in \\",
    "quote \" and ' quote",
    "100 %",
    "%2C",
    "Füllmaschine №7 \U0001f37a",
    "line\nbreak\r\ttab",
    "#comment",
    "\u2028\x85",
    "time",
    "",
    "';DROP DATABASE signals",
]

Row = tuple[datetime, str, str, float | None, str | None, int, datetime]
Fresh = Callable[[], Historian]


@pytest.fixture(scope="session")
def influx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    with running(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture(params=["memory", "parquet", pytest.param("influx", marks=pytest.mark.server)])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    """Makes an empty historian of the kind each time it is called."""
    with ExitStack() as opened:

        def make() -> Historian:
            historian: Historian
            if request.param == "memory":
                historian = MemoryHistorian()
            elif request.param == "parquet":
                historian = ParquetHistorian(tmp_path / f"history-{len(list(tmp_path.iterdir()))}")
            else:
                server: InfluxServer = request.getfixturevalue("influx_server")
                server.empty()
                historian = InfluxHistorian(
                    InfluxSettings(
                        url=server.url,
                        bucket=server.bucket,
                        token=server.token,
                        user=server.user,
                        password=server.password,
                    )
                )
            opened.callback(historian.close)
            return historian

        yield make


@pytest.fixture
def historian(fresh: Fresh) -> Historian:
    return fresh()


def frame(*rows: Row) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(SAMPLES), orient="row")


def row(
    second: float,
    value: float | None = 1.0,
    *,
    equipment: str = "filler",
    signal: str = "good",
    text: str | None = None,
    quality: int = GOOD,
    received: float | None = None,
) -> Row:
    at = NOON + timedelta(seconds=second)
    got = at if received is None else NOON + timedelta(seconds=received)
    return (at, equipment, signal, value, text, quality, got)


def test_what_is_written_is_read_in_order_with_every_column(historian: Historian) -> None:
    rows = [
        row(2.000001, 0.1 + 0.2, signal="speed", received=9),
        row(0, -1.5e300, signal="speed", quality=UNCERTAIN),
        row(1, None, text='say "stop"\\', signal="state"),
        row(3, None, signal="state", quality=BAD),
        row(4, 5e-324, equipment="capper"),
        row(5, -0.0, equipment="capper"),
        row(6, 12345678901234567.0, equipment="capper"),
    ]
    historian.write(frame(*rows))
    stored = historian.read(ALWAYS)
    assert stored.schema == dict(SAMPLES)
    assert stored.rows() == sorted(rows, key=lambda r: (r[1], r[2], r[0]))


def test_an_empty_historian_answers_with_empty_frames(historian: Historian) -> None:
    historian.write(frame())
    for answer in (historian.read(ALWAYS), historian.last(NOON)):
        assert answer.schema == dict(SAMPLES)
        assert answer.is_empty()
    assert sum(b.height for b in historian.read_batches(ALWAYS)) == 0


def test_a_window_is_half_open_to_the_microsecond(historian: Historian) -> None:
    tick = timedelta(microseconds=1)
    historian.write(frame(row(-0.000001), row(0), row(9.999999), row(10)))
    inside = historian.read(Window(NOON, NOON + timedelta(seconds=10)))["time"].to_list()
    assert inside == [NOON, NOON + timedelta(seconds=10) - tick]
    assert historian.read(Window(NOON, NOON)).is_empty()


def test_a_window_over_midnight_and_in_another_zone(historian: Historian) -> None:
    historian.write(frame(*(row(3600 * hour) for hour in range(-30, 30))))
    zone = datetime.fromisoformat("2026-03-02T00:00:00+05:30")
    window = Window(zone, zone + timedelta(hours=24))
    assert historian.read(window)["time"].to_list() == [
        t for h in range(-30, 30) if window.start <= (t := NOON + timedelta(hours=h)) < window.end
    ]


def test_equipment_and_signals_choose(historian: Historian) -> None:
    rows = [row(0, equipment=e, signal=s) for e in ("a", "b", "c") for s in ("x", "y")]
    historian.write(frame(*rows))

    def found(equipment: list[str] | None, signals: list[str] | None) -> list[tuple[str, str]]:
        return historian.read(ALWAYS, equipment, signals).select("equipment", "signal").rows()

    assert found(["c", "a"], ["y"]) == [("a", "y"), ("c", "y")]
    assert found(["b"], None) == [("b", "x"), ("b", "y")]
    assert found(None, ["x", "nothing"]) == [("a", "x"), ("b", "x"), ("c", "x")]
    assert found([], None) == found(None, []) == []


def test_the_row_received_last_wins_inside_a_batch(historian: Historian) -> None:
    historian.write(frame(row(0, 1.0, received=5), row(0, 2.0, received=7), row(0, 3.0, received=6)))
    assert historian.read(ALWAYS)["value"].to_list() == [2.0]


def test_a_repeated_write_changes_nothing(historian: Historian) -> None:
    batch = frame(*(row(i * 40_000, float(i)) for i in range(5)))
    historian.write(batch)
    once = historian.read(ALWAYS)
    historian.write(batch)
    historian.write(batch.reverse())
    assert historian.read(ALWAYS).equals(once)


def test_a_correction_leaves_nothing_of_what_it_replaces(historian: Historian) -> None:
    historian.write(frame(row(0, 1.0), row(1, None, text="on"), row(2, 3.0, quality=BAD)))
    corrected = [row(0, None, text="off", received=60), row(1, 7.0, received=60), row(2, None, received=60)]
    historian.write(frame(*corrected))
    assert historian.read(ALWAYS).rows() == corrected
    assert historian.last(ALWAYS.end).rows() == corrected[-1:]


def test_hostile_names_and_texts_come_back_as_they_were(historian: Historian) -> None:
    rows = [row(0, None, equipment=e, signal=s, text=e + s) for e in HOSTILE for s in HOSTILE]
    historian.write(frame(*rows))
    assert historian.read(ALWAYS).rows() == sorted(rows, key=lambda r: (r[1].encode(), r[2].encode()))
    for name in HOSTILE:
        assert historian.read(ALWAYS, [name], [name])["text"].to_list() == [name + name]
        assert historian.last(ALWAYS.end, [name]).height == len(HOSTILE)


def test_nothing_good_is_refused(historian: Historian) -> None:
    for batch in (frame(), frame(row(0), row(1, None, text="on"), row(2, None, quality=BAD))):
        refused = historian.write(batch)
        assert refused.schema == dict(REFUSED)
        assert refused.is_empty()
    assert historian.read(ALWAYS).height == 3


def test_last_is_the_newest_of_each_series_strictly_before(historian: Historian) -> None:
    old = row(-20 * 86_400, None, text="idle", signal="state")
    rows = [old, row(0, 1.0), row(86_400, 2.0), row(5, None, equipment="capper", quality=BAD)]
    historian.write(frame(*rows))
    assert historian.last(NOON + timedelta(seconds=6)).rows() == [rows[3], rows[1], old]
    assert historian.last(NOON + timedelta(days=1)).rows() == [rows[3], rows[1], old]
    assert historian.last(NOON + timedelta(days=1, microseconds=1)).rows() == [rows[3], rows[2], old]
    assert historian.last(NOON + timedelta(days=2), ["filler"]).rows() == [rows[2], old]
    assert historian.last(NOON + timedelta(days=2), []).is_empty()
    assert historian.last(old[0]).is_empty()


def test_expiry_forgets_whole_days_before(historian: Historian) -> None:
    historian.write(frame(row(-86_400), row(-43_200.000001), row(-43_200), row(0)))
    historian.expire(NOON)
    assert historian.read(ALWAYS)["time"].to_list() == [NOON - timedelta(hours=12), NOON]
    assert historian.last(NOON - timedelta(hours=12)).is_empty()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (pl.lit(float("nan")).alias("value"), "value"),
        (pl.lit(float("inf")).alias("value"), "value"),
        (pl.lit(3, pl.UInt8).alias("quality"), "quality"),
        (pl.lit(None, pl.String).alias("signal"), "signal"),
        (pl.col("time").dt.replace_time_zone(None), "time"),
        (pl.col("quality").cast(pl.Int64), "quality"),
    ],
)
def test_a_frame_no_one_could_store_is_refused_whole(
    historian: Historian, change: pl.Expr, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        historian.write(frame(row(0)).with_columns(change))
    with pytest.raises(ValueError, match="received"):
        historian.write(frame(row(0)).drop("received"))
    assert historian.read(ALWAYS).is_empty()


def test_a_historian_in_use_is_healthy(historian: Historian) -> None:
    historian.write(frame(row(0)))
    health = historian.health()
    assert health.ok, health.detail


def buckets(historian: Historian, start: float, end: float, every: float) -> list[tuple[float, float, int]]:
    """(start, mean, count) of the trend, in seconds from NOON."""
    window = Window(NOON + timedelta(seconds=start), NOON + timedelta(seconds=end))
    trend = historian.trend(window, timedelta(seconds=every))
    assert trend.schema == dict(TREND)
    starts = [(t - NOON).total_seconds() for t in trend["time"]]
    return list(zip(starts, trend["mean"], trend["count"], strict=True))


def test_a_trend_is_the_mean_smallest_largest_and_number_of_each_bucket(historian: Historian) -> None:
    rows = [row(s, float(v), equipment="capper") for s, v in enumerate([4, -1, 6, 3])]
    historian.write(frame(*rows, row(61, -0.5), row(61, 2.0, signal="speed")))
    assert historian.trend(ALWAYS, timedelta(minutes=1)).rows() == [
        (NOON, "capper", "good", 3.0, -1.0, 6.0, 4),
        (NOON + timedelta(minutes=1), "filler", "good", -0.5, -0.5, -0.5, 1),
        (NOON + timedelta(minutes=1), "filler", "speed", 2.0, 2.0, 2.0, 1),
    ]
    minute = timedelta(minutes=1)
    assert historian.trend(ALWAYS, minute, ["filler"], ["speed", "none"]).height == 1
    assert historian.trend(ALWAYS, minute, []).equals(historian.trend(ALWAYS, minute, None, []))
    assert historian.trend(Window(NOON, NOON), minute).is_empty()
    assert historian.trend(ALWAYS, minute, ["nobody"]).schema == dict(TREND)


def test_only_samples_in_the_window_count_in_a_bucket_it_cuts(historian: Historian) -> None:
    historian.write(frame(*(row(s, float(s)) for s in range(0, 40, 2))))
    assert buckets(historian, 0, 20, 10) == [(0, 4.0, 5), (10, 14.0, 5)]
    assert buckets(historian, 4, 12.000001, 10) == [(0, 6.0, 3), (10, 11.0, 2)]
    assert buckets(historian, 4.000001, 12, 10) == [(0, 7.0, 2), (10, 10.0, 1)]
    assert buckets(historian, 11, 11.5, 10) == []


def test_buckets_lie_at_multiples_of_their_length_since_1970(historian: Historian) -> None:
    historian.write(frame(row(0.5, 1.0), row(9, 2.0)))
    assert (NOON - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(seconds=11) == timedelta(seconds=2)
    assert buckets(historian, 0, 20, 11) == [(-2, 1.0, 1), (11 - 2, 2.0, 1)]
    assert buckets(historian, 0, 10, 0.7)[0][1:] == (1.0, 1)
    week = historian.trend(ALWAYS, timedelta(days=7))["time"].to_list()
    assert week == [datetime(2026, 2, 26, tzinfo=UTC)]


def test_times_before_1970_have_buckets_too(historian: Historian) -> None:
    old = datetime(1969, 12, 31, 23, 59, 58, 900_000, tzinfo=UTC)
    at = [old, old + timedelta(seconds=1), old + timedelta(seconds=2)]
    historian.write(frame(*((t, "filler", "good", float(i), None, GOOD, t) for i, t in enumerate(at))))
    trend = historian.trend(Window(old, old + timedelta(minutes=1)), timedelta(seconds=1))
    assert [t.replace(microsecond=900_000) for t in trend["time"]] == at
    assert trend["mean"].to_list() == [0.0, 1.0, 2.0]


def test_only_numbers_of_usable_quality_count(historian: Historian) -> None:
    uncounted = [row(1, 9.0, quality=BAD), row(2, None, text="9"), row(3, None), row(20, 9.0, quality=BAD)]
    historian.write(frame(row(0, 1.0), row(4, 2.0, quality=UNCERTAIN), *uncounted))
    historian.write(frame(row(30, None, text="on", signal="state")))
    assert buckets(historian, 0, 100, 10) == [(0, 1.5, 2)]


def test_what_was_corrected_does_not_count(historian: Historian) -> None:
    historian.write(frame(row(0, 1.0), row(1, 2.0), row(2, 4.0), row(3, None, text="on"), row(10, 5.0)))
    corrected = [row(0, None, text="off"), row(1, 2.0, quality=BAD), row(3, 8.0), row(10, None)]
    historian.write(frame(*((*r[:6], r[6] + timedelta(minutes=1)) for r in corrected)))
    assert buckets(historian, 0, 100, 10) == [(0, 6.0, 2)]


def test_a_mean_beyond_all_numbers_does_not_stop_a_trend(historian: Historian) -> None:
    historian.write(frame(row(0, 1.7e308), row(1, 1.7e308), row(10, 3.0)))
    assert buckets(historian, 0, 20, 10) == [(0, float("inf"), 2), (10, 3.0, 1)]


@pytest.mark.parametrize("every", [timedelta(0), timedelta(microseconds=-1), timedelta(days=-1)])
def test_buckets_are_longer_than_nothing(historian: Historian, every: timedelta) -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        historian.trend(ALWAYS, every)


def test_a_bucket_is_not_cut_where_a_question_is(historian: Historian) -> None:
    """However many buckets a server is asked for at a time."""
    historian.write(frame(row(50_000.25, 1.0), row(50_000.75, 3.0), row(100_000.25, 5.0)))
    assert buckets(historian, 0.5, 120_000, 1) == [(50_000, 2.0, 2), (100_000, 5.0, 1)]


def test_a_trend_of_more_buckets_than_a_server_counts_at_once(historian: Historian) -> None:
    historian.write(frame(*(row(s, float(i)) for i, s in enumerate((-2e6, -1.5, -1, 0, 0.5, 1.9e6)))))
    fine = historian.trend(ALWAYS, timedelta(seconds=2))
    assert fine["mean"].to_list() == [0.0, 1.5, 3.5, 5.0]
    finest = historian.trend(ALWAYS, timedelta(milliseconds=500))
    assert finest["mean"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    finest = historian.trend(ALWAYS, timedelta(microseconds=1))
    assert finest["mean"].to_list() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


VALUES = st.one_of(
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.none()),
    st.tuples(st.none(), st.text(st.characters(codec="utf-8"), max_size=8)),
    st.tuples(st.none(), st.none()),
)
ROWS = st.builds(
    lambda minute, equipment, signal, held, quality, lag: (minute, equipment, signal, held, quality, lag),
    st.integers(0, 4000),
    st.sampled_from(["filler", "capper", "cnc 1"]),
    st.sampled_from(["good", "state"]),
    VALUES,
    st.sampled_from([GOOD, UNCERTAIN, BAD]),
    st.integers(0, 1_000_000),
)
BATCHES = st.lists(st.lists(ROWS, max_size=12), min_size=1, max_size=5)


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=BATCHES, compact_after=st.integers(0, 5), cut=st.integers(0, 4000))
def test_any_batches_read_back_as_a_dictionary_would(
    fresh: Fresh, batches: list[list[tuple[int, str, str, tuple[float | None, str | None], int, int]]],
    compact_after: int, cut: int,
) -> None:  # fmt: skip
    historian = fresh()
    model: dict[tuple[str, str, datetime], Row] = {}
    for number, batch in enumerate(batches):
        rows: list[Row] = []
        for minute, equipment, signal, (value, text), quality, lag in batch:
            at = NOON + timedelta(minutes=minute)
            # Batches of a signal reach a historian in the order they were received.
            got = NOON + timedelta(days=number, microseconds=lag)
            rows.append((at, equipment, signal, value, text, quality, got))
        historian.write(frame(*rows))
        for one in sorted(rows, key=lambda r: r[6]):
            model[one[1], one[2], one[0]] = one
        if number == compact_after:
            historian.compact()
    assert_same(historian, model, NOON + timedelta(minutes=cut))
    historian.compact()
    assert_same(historian, model, NOON + timedelta(minutes=cut))


def assert_same(historian: Historian, model: Mapping[tuple[str, str, datetime], Row], cut: datetime) -> None:
    expected = [model[key] for key in sorted(model)]
    assert historian.read(ALWAYS).rows() == expected
    window = Window(ALWAYS.start, cut)
    before = [r for r in expected if r[0] < cut]
    assert historian.read(window).rows() == before
    assert historian.last(cut).rows() == [r for r in before if not any(newer(o, r) for o in before)]
    batches = [b for b in historian.read_batches(window) if not b.is_empty()]
    assert sorted((r for b in batches for r in b.rows()), key=lambda r: (r[1], r[2], r[0])) == before


SIZES = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1e300, -1e300, 5e-324])
SPANS = st.one_of(
    st.integers(1, 5_000_000),
    st.sampled_from([1, 7, 999_983, 60_000_000, 86_400_000_000, 7 * 86_400_000_000]),
)
TRENDED = st.tuples(
    st.integers(-3_000_000, 3_000_000),
    st.sampled_from(["filler", "capper"]),
    st.sampled_from(["good", "speed"]),
    st.one_of(st.tuples(SIZES, st.none()), st.tuples(st.none(), st.sampled_from(["on", ""]))),
    st.sampled_from([GOOD, GOOD, UNCERTAIN, BAD]),
)


@examples(20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.lists(TRENDED, max_size=20), min_size=1, max_size=3),
    start=st.integers(-3_100_000, 3_100_000), length=st.integers(0, 4_000_000), every=SPANS,
)  # fmt: skip
def test_a_trend_is_what_plain_python_counts(
    fresh: Fresh, batches: list[list[tuple[int, str, str, tuple[float | None, str | None], int]]],
    start: int, length: int, every: int,
) -> None:  # fmt: skip
    historian = fresh()
    model: dict[tuple[str, str, int], tuple[float | None, int]] = {}
    for number, batch in enumerate(batches):
        rows: list[Row] = []
        for at, equipment, signal, (value, text), quality in batch:
            got = NOON + timedelta(days=number, microseconds=len(rows))
            rows.append((NOON + timedelta(microseconds=at), equipment, signal, value, text, quality, got))
            model[equipment, signal, at] = (value, quality)
        historian.write(frame(*rows))
    noon = (NOON - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    expected: dict[tuple[str, str, int], list[float]] = {}
    for (equipment, signal, at), (value, quality) in model.items():
        if value is not None and quality != BAD and start <= at < start + length:
            bucket = (noon + at) // every * every - noon
            expected.setdefault((equipment, signal, bucket), []).append(value)
    window = Window(NOON + timedelta(microseconds=start), NOON + timedelta(microseconds=start + length))
    trend = historian.trend(window, timedelta(microseconds=every))
    for (at, equipment, signal, mean, low, high, count), key in zip(
        trend.iter_rows(), sorted(expected), strict=True
    ):
        values = expected[key]
        assert (equipment, signal, (at - NOON) // timedelta(microseconds=1)) == key
        assert (low, high, count) == (min(values), max(values), len(values))
        assert mean == pytest.approx(math.fsum(values) / count, rel=1e-12, abs=1e-12 * max(map(abs, values)))


def newer(other: Row, than: Row) -> bool:
    return other[1:3] == than[1:3] and other[0] > than[0]


@pytest.mark.parametrize("kind", ["memory", "parquet"])
def test_an_older_batch_written_late_does_not_win(kind: str, tmp_path: Path) -> None:
    historian: Historian = MemoryHistorian() if kind == "memory" else ParquetHistorian(tmp_path / "history")
    historian.write(frame(row(0, 2.0, received=9)))
    historian.write(frame(row(0, 1.0, received=5)))
    assert historian.read(ALWAYS)["value"].to_list() == [2.0]
    historian.compact()
    assert historian.read(ALWAYS)["value"].to_list() == [2.0]
