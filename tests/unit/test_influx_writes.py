"""What the InfluxDB historian makes of every answer to a write. The servers here are scripted: they behave as
1.x, 2.x and 3.x are documented to, no InfluxDB runs. tests/contracts has the same cases on a real one."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.historians.influx import posting, sifting
from infra.historians.influx.lines import Batch, decoded
from infra.historians.influx.posting import RefusedError, problem
from infra.historians.influx.settings import InfluxSettings
from infra.historians.influx.sifting import Sieve
from infra.historians.influx.writing import Writer
from pipelines.ports import HistorianError
from plant.frames import REFUSED, SAMPLES

AT = datetime(2026, 1, 1, tzinfo=UTC)
Sample = tuple[str, str, int]
"""Equipment, signal, microseconds."""
Reply = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]


def samples(machines: int = 2, signals: int = 3, moments: int = 50, text: str | None = None) -> pl.DataFrame:
    rows = [
        (AT + timedelta(seconds=i), f"m{m}", f"s{s}", None if text else float(i), text, 0, AT)
        for i in range(moments)
        for m in range(machines)
        for s in range(signals)
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


def keys(frame: pl.DataFrame) -> set[Sample]:
    return set(frame.select("equipment", "signal", pl.col("time").to_physical()).iter_rows())


def lines_of(body: bytes) -> list[tuple[bytes, set[Sample]]]:
    """The lines, each with the samples in it. Names and texts of these tests need no unescaping."""
    found = []
    for line in body.split(b"\n"):
        head, fields, at = line.decode().split(" ")
        equipment = head.removeprefix("signals,equipment=")
        names = {f.split("=")[0].removesuffix(":meta") for f in fields.split(",") if ":meta=" in f}
        found.append((line, {(equipment, decoded(n), int(at)) for n in names}))
    return found


@dataclass
class Scripted:
    """A server that does what `reply` says; what it does not refuse, it stores."""

    reply: Callable[[bytes], Reply]
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    stored: set[Sample] = field(default_factory=set)
    active: int = 0
    port: int = 0

    def writer(self, **changed: object) -> Writer:
        known = {"bucket": "signals", "token": "u:p", "user": "u", "password": "p", "timeout": 5.0}
        return Writer(InfluxSettings(url=f"http://127.0.0.1:{self.port}", **{**known, **changed}))  # type: ignore[arg-type]


@contextmanager
def scripted(reply: Callable[[bytes], Reply]) -> Iterator[Scripted]:
    script = Scripted(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            script.active += 1
            try:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                script.headers.append(dict(self.headers))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                script.bodies.append(body)
                status, said, *more = script.reply(body)
                if status == 204:
                    script.stored |= {s for _, held in lines_of(body) for s in held}
            finally:
                script.active -= 1
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **(more[0] if more else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    script.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def good() -> Iterator[Scripted]:
    with scripted(lambda _: (204, b"")) as script:
        yield script


def v3_whole_batch(poison: set[Sample]) -> Callable[[bytes], Reply]:
    """3.x, accept_partial=false: one bad line and nothing is stored."""

    def reply(body: bytes) -> Reply:
        for number, (line, held) in enumerate(lines_of(body), 1):
            if held & poison:
                said = (
                    b'{"error":"parsing failed for write_lp endpoint","data":{"original_line":"%s",'
                    b'"line_number":%d,"error_message":"no good"}}'
                )
                return 400, said % (line.replace(b'"', b'\\"'), number)
        return 204, b""

    return reply


def v2_partial(poison: set[Sample], script: list[Scripted]) -> Callable[[bytes], Reply]:
    """2.x: 422, the other lines are stored."""

    def reply(body: bytes) -> Reply:
        bad = [held for _, held in lines_of(body) if held & poison]
        if not bad:
            return 204, b""
        script[0].stored |= {s for _, held in lines_of(body) if not held & poison for s in held}
        said = "failure writing points to database: partial write: bad dropped=%d"
        return 422, b'{"code":"unprocessable entity","message":"%s"}' % (said % len(bad)).encode()

    return reply


@pytest.mark.parametrize("version", ["2.x", "3.x"])
def test_refused_samples_come_back_and_all_others_are_stored(version: str) -> None:
    frame = samples()
    poison = {("m0", "s1", us) for us in keys_at(7, 8)} | {("m1", "s2", us) for us in keys_at(0)}
    itself: list[Scripted] = []
    reply = v3_whole_batch(poison) if version == "3.x" else v2_partial(poison, itself)
    with scripted(reply) as script:
        itself.append(script)
        refused = script.writer().write(frame)
    assert refused.schema == dict(REFUSED)
    assert keys(refused) == poison
    assert refused["problem"].str.contains("no good" if version == "3.x" else "partial write: bad").all()
    back = frame.join(refused, on=["equipment", "signal", "time"], how="semi")
    assert sorted(refused.drop("problem").rows(), key=str) == sorted(back.rows(), key=str)
    assert script.stored == keys(frame) - poison
    assert len(script.bodies) < 60


def keys_at(*seconds: int) -> list[int]:
    return [int((AT + timedelta(seconds=s)).timestamp()) * 1_000_000 for s in seconds]


MOMENTS = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 15))


@given(
    held=st.sets(MOMENTS, min_size=1),
    poison=st.sets(MOMENTS, max_size=3),
    whole=st.booleans(),
    reason=st.sampled_from(
        ["points beyond retention policy dropped=1", "no good", "unable to parse 'x 1': bad"]
    ),
)
def test_sifting_finds_exactly_the_refused(
    held: set[tuple[int, int, int]], poison: set[tuple[int, int, int]], whole: bool, reason: str
) -> None:  # fmt: skip
    rows = [(AT + timedelta(seconds=i), f"m{m}", f"s{s}", 1.0, None, 0, AT) for m, s, i in held]
    frame = pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")
    bad = {(f"m{m}", f"s{s}", keys_at(i)[0]) for m, s, i in poison}
    stored: set[Sample] = set()

    def post(batch: Batch) -> None:
        lines = [keep for _, keep in lines_of(batch.body())]
        refused = sum(bool(line & bad) for line in lines)
        if not refused or not whole:
            stored.update(s for line in lines if not line & bad for s in line)
        if refused:
            raise RefusedError(reason.replace("dropped=1", f"dropped={refused}"))

    sieve = Sieve(post)
    sieve.store(Batch.of(frame))
    everything = keys(frame)
    assert stored | keys(sieve.refused()) == everything
    assert not stored & bad
    if "retention" not in reason:
        assert keys(sieve.refused()) == everything & bad


@pytest.mark.parametrize(
    "said",
    [
        b'{"error":"partial write: field type conflict: input field \\"%s\\" on measurement \\"signals\\" is type float, '
        b'already exists as type integer dropped=1"}',
        b'{"error":"partial write of line protocol occurred","data":[{"original_line":"signals...","line_number":1,'
        b'"error_message":"invalid column type for column \'%s\', expected iox::column_type::field::integer, '
        b'got iox::column_type::field::float"}]}',
    ],
    ids=["1.x", "3.x"],
)
def test_a_type_conflict_costs_a_few_posts_not_one_a_sample(said: bytes) -> None:
    frame = samples(signals=6, moments=100)
    conflicts = ("s1", "s4")

    def reply(body: bytes) -> Reply:
        for name in conflicts:
            if f"{name}=".encode() in body:
                return 400, said % name.encode()
        return 204, b""

    with scripted(reply) as script:
        refused = script.writer().write(frame)
    assert keys(refused) == {k for k in keys(frame) if k[1] in conflicts}
    assert refused.filter(signal="s4")["problem"].str.contains("s4").all()
    assert script.stored == {k for k in keys(frame) if k[1] not in conflicts}
    assert len(script.bodies) <= 6


def test_a_conflict_of_the_text_leaves_numbers_alone() -> None:
    frame = pl.concat([samples(1, 2, 2), samples(1, 2, 4, text="on")[4:]])
    said = b'{"error":"partial write: field type conflict: input field \\"s0:text\\" on measurement \\"signals\\" is"}'
    with scripted(lambda body: (400, said) if b"s0:text" in body else (204, b"")) as script:
        refused = script.writer().write(frame)
    assert refused["signal"].unique().to_list() == ["s0"]
    assert refused["text"].to_list() == ["on", "on"]
    assert script.stored == keys(frame) - keys(refused)


def test_a_series_refused_again_and_again_is_given_up() -> None:
    frame = samples(machines=1, signals=3, moments=2000)
    poison = {k for k in keys(frame) if k[1] == "s1"}
    with scripted(v3_whole_batch(poison)) as script:
        refused = script.writer().write(frame)
    assert keys(refused) == poison
    assert refused["problem"].str.contains("no good").all()
    untried = refused["problem"].str.starts_with("not tried, after 32 in a row were refused")
    assert untried.sum() == 2000 - sifting.PATIENCE
    assert script.stored == keys(frame) - poison
    assert len(script.bodies) < 4 * sifting.PATIENCE


def test_samples_stored_in_between_keep_a_series_from_being_given_up() -> None:
    frame = samples(machines=1, signals=1, moments=300)
    poison = {k for k in keys(frame) if k[2] // 1_000_000 % 3 == 0}
    with scripted(v3_whole_batch(poison)) as script:
        assert keys(script.writer().write(frame)) == poison
    assert script.stored == keys(frame) - poison


@pytest.mark.slow
def test_a_refused_batch_of_many_series_stays_affordable() -> None:
    frame = samples(machines=10, signals=10, moments=50)
    with scripted(lambda _: (400, b'{"error":"over the limit of 500 columns"}')) as script:
        assert keys(script.writer().write(frame)) == keys(frame)
    assert len(script.bodies) < 100 * 6


TOO_LONG = b"<html><head><title>413 Request Entity Too Large</title></head>\xe9</html>"


def test_too_long_a_body_is_halved_and_the_limit_remembered() -> None:
    frame = samples(moments=300)
    with scripted(lambda body: (413, TOO_LONG) if len(body) > 9_000 else (204, b"")) as script:
        writer = script.writer()
        assert writer.write(frame).is_empty()
        assert script.stored == keys(frame)
        first = len(script.bodies)
        script.bodies.clear()
        assert writer.write(frame).is_empty()
    assert max(map(len, script.bodies)) <= 9_500
    assert len(script.bodies) < first


def test_a_sample_too_long_by_itself_is_refused() -> None:
    frame = pl.concat([samples(1, 1, 3), samples(1, 1, 4, text="x" * 20_000)[3:]])
    with scripted(lambda body: (413, TOO_LONG) if len(body) > 9_000 else (204, b"")) as script:
        refused = script.writer().write(frame)
    assert keys(refused) == {("m0", "s0", keys_at(3)[0])}
    assert "413" in refused["problem"][0]
    assert script.stored == keys(frame[:3])


@pytest.fixture
def short_posts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write of `samples()` takes several posts."""
    monkeypatch.setattr(posting, "POST_BYTES", 4_000)


def test_two_posts_are_on_their_way_at_a_time(short_posts: None) -> None:
    met = threading.Barrier(2)
    most = []

    def slow(body: bytes) -> Reply:
        most.append(script.active)
        met.wait(10)  # an answer comes only when two have been asked for
        return 204, b""

    posts = list(Batch.of(samples()).posts(4_000))
    assert len(posts) >= 4
    even = pl.concat(p.samples() for p in posts[: len(posts) // 2 * 2])
    with scripted(slow) as script:
        assert script.writer().write(even).is_empty()
    assert script.stored == keys(even)
    assert max(most) == 2


def test_a_failed_write_leaves_nothing_on_its_way(short_posts: None) -> None:
    def one_fails(body: bytes) -> Reply:
        if len(script.bodies) == 1:
            return 503, b"down"
        time.sleep(0.5)
        return 204, b""

    with scripted(one_fails) as script:
        with pytest.raises(HistorianError, match="503"):
            script.writer().write(samples())
        assert script.active == 0
        assert len(script.bodies) == 2
        time.sleep(0.1)
        assert len(script.bodies) == 2


def test_what_one_post_taught_the_next_ones_know(short_posts: None) -> None:
    said = b'{"error":"partial write: field type conflict: input field \\"s1\\" on measurement \\"signals\\" is"}'
    with scripted(lambda body: (400, said) if b"s1=" in body else (204, b"")) as script:
        refused = script.writer().write(samples(moments=300))
    assert keys(refused) == {k for k in keys(samples(moments=300)) if k[1] == "s1"}
    assert sum(b"s1=" in body for body in script.bodies) <= 3
    assert len(script.bodies) > 10


@pytest.mark.parametrize(
    ("status", "headers", "said", "wait", "configuration", "says"),
    [
        (429, {"Retry-After": "7"}, b'{"code":"too many requests","message":"slow down"}', 7, False, "slow down"),
        (503, {"Retry-After": "120"}, b"", 120, False, "try again later"),
        (503, {}, b"\xff\xfe", 0, False, "try again later"),
        (503, {"Retry-After": "soon"}, b"", 0, False, "try again later"),
        (502, {}, b"<html>502 Bad Gateway</html>", 0, False, "Bad Gateway"),
        (500, {}, b'{"error":"engine: error writing WAL entry: no space left on device"}', 0, False, "restarted"),
        (500, {}, b'{"error":"retention policy not found: raw"}', 0, True, "create the retention policy of 'signals'"),
        (401, {}, b'{"code":"unauthorized","message":"unauthorized access"}', 0, True, "check the token"),
        (403, {}, b"", 0, True, "what they are allowed"),
        (404, {}, b'{"code":"not found","message":"bucket \\"signals\\" not found"}', 0, True, "create the database"),
        (307, {"Location": "http://127.0.0.1:1/"}, b"", 0, True, "check the address"),
        (405, {}, b"", 0, True, "check the address"),
        (400, {}, b'{"error":"invalid character in database name"}', 0, True, "another name"),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_about_samples_fails_the_write_once(
    status: int, headers: dict[str, str], said: bytes, wait: float, configuration: bool, says: str
) -> None:  # fmt: skip
    with (
        scripted(lambda _: (status, said, headers)) as script,
        pytest.raises(HistorianError, match=says) as failed,
    ):
        script.writer().write(samples())
    assert f"answered {status}" in str(failed.value)
    assert failed.value.retry_after == wait
    assert failed.value.configuration is configuration
    assert len(script.bodies) == 1


def test_a_date_to_wait_for() -> None:
    now = AT.timestamp()
    where = InfluxSettings(url="http://x", bucket="b", token="t", user="u", password="p")
    found = problem(where, 503, b"", "Thu, 01 Jan 2026 00:01:30 GMT", now)
    assert isinstance(found, HistorianError)
    assert found.retry_after == 90
    late = problem(where, 429, b"", "Thu, 01 Jan 2026 00:01:30 GMT", now + 1000)
    assert isinstance(late, HistorianError)
    assert late.retry_after == 0


def test_a_partial_write_called_an_internal_error_is_sifted() -> None:
    poison = {("m0", "s1", keys_at(7)[0])}
    refusing = v3_whole_batch(poison)

    def reply(body: bytes) -> Reply:
        return (500, b'{"error":"partial write: bad dropped=1"}') if refusing(body)[0] == 400 else (204, b"")

    with scripted(reply) as script:
        assert keys(script.writer().write(samples())) == poison
    assert script.stored == keys(samples()) - poison


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 2", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 90\r\n\r\n{"]
)
def test_a_connection_cut_in_the_middle_is_worth_another_try(sent: bytes) -> None:
    class Cut(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(100)
            self.wfile.write(sent)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Cut)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        with pytest.raises(HistorianError, match="cannot be reached") as failed:
            Scripted(lambda _: (204, b""), port=server.server_port).writer().write(samples(moments=5))
        assert not failed.value.configuration
    finally:
        server.shutdown()
        server.server_close()


def test_no_answer_in_time_is_an_error() -> None:
    def slow(body: bytes) -> Reply:
        time.sleep(0.5)
        return 204, b""

    with scripted(slow) as script, pytest.raises(HistorianError, match="cannot be reached"):
        script.writer(timeout=0.1).write(samples(moments=1))


def test_times_it_cannot_say_are_refused_without_asking(good: Scripted) -> None:
    frame = samples(1, 1, 3)
    far = pl.datetime(2300, 1, 1, time_zone="UTC").cast(SAMPLES["time"])
    odd = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 1).then(far).otherwise("time").alias("time"),
        pl.when(pl.int_range(pl.len()) == 2).then(far).otherwise("received").alias("received"),
    )
    refused = good.writer().write(odd)
    assert refused.schema == dict(REFUSED)
    assert refused.drop("problem").equals(odd[1:])
    assert good.stored == keys(odd[:1])


def test_nothing_to_write_asks_nothing(good: Scripted) -> None:
    assert good.writer().write(samples().clear()).schema == dict(REFUSED)
    assert good.bodies == []


@pytest.mark.parametrize(
    ("url", "wanted", "compressed"),
    [
        ("http://127.0.0.1:8086", None, False),
        ("http://localhost", None, False),
        ("http://[::1]:8086", None, False),
        ("https://influx.example:8086", None, True),
        ("http://10.0.0.7:8086", None, True),
        ("http://10.0.0.7:8086", False, False),
        ("http://127.0.0.1:8086", True, True),
    ],
)
def test_writes_are_compressed_on_the_way_to_another_machine(
    url: str, wanted: bool | None, compressed: bool
) -> None:
    where = InfluxSettings(url=url, bucket="b", token="t", user="u", password="p", gzip=wanted)
    assert where.compressed is compressed


def test_a_compressed_write_says_the_same(good: Scripted) -> None:
    good.writer(gzip=True).write(samples())
    good.writer(gzip=False).write(samples())
    assert good.bodies[0] == good.bodies[1]
    assert [h.get("Content-Encoding") for h in good.headers] == ["gzip", None]
    assert int(good.headers[0]["Content-Length"]) < len(good.bodies[0]) / 2
