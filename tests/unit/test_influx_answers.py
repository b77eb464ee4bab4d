"""What the InfluxDB historian makes of answers a healthy server does not give. The server here is scripted."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest

from infra.historians.influx import InfluxHistorian, InfluxSettings
from pipelines.ports import HistorianError
from plant.frames import SAMPLES, Window

AT = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = Window(AT, AT + timedelta(days=1))
SERIES = (
    b'{"results":[{"statement_id":0,"series":[{"name":"signals","tags":{"equipment":"filler","signal":"good"},'
    b'"columns":["time","value","text","holds","quality","received"],'
    b'"values":[[1767225600000000000,1,null,1,0,1767225600000000]]%s}]%s}]}\n'
)
WHOLE = SERIES % (b"", b"")
PART = SERIES % (b',"partial":true', b',"partial":true')

Scripted = Callable[..., InfluxHistorian]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A historian whose server gives one answer to everything; `length` promises more bytes than are sent."""
    opened: list[Callable[[], None]] = []

    def make(status: int, body: bytes, *, length: int | None = None) -> InfluxHistorian:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        historian = at(server.server_port)
        opened.extend((server.server_close, server.shutdown, historian.close))
        return historian

    yield make
    for close in reversed(opened):
        close()


def at(port: int) -> InfluxHistorian:
    url = f"http://127.0.0.1:{port}"
    return InfluxHistorian(
        InfluxSettings(url=url, bucket="signals/raw", token="u:p", user="u", password="p", timeout=10)
    )


def sample() -> pl.DataFrame:
    return pl.DataFrame([(AT, "filler", "good", 1.0, None, 0, AT)], schema=dict(SAMPLES), orient="row")


def test_pieces_of_a_whole_answer_are_joined(scripted: Scripted) -> None:
    other = WHOLE.replace(b'"filler"', b'"capper"')
    assert scripted(200, PART + other).read(WINDOW)["equipment"].to_list() == ["capper", "filler"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (PART, "ended before it was complete"),
        (b"", "ended before it was complete"),
        (
            PART + b'{"results":[{"statement_id":0,"error":"query-timeout limit exceeded"}]}\n',
            "query-timeout",
        ),
        (b'{"error":"database not found: signals"}\n', "database not found"),
    ],
)
def test_a_short_answer_is_an_error_never_a_short_frame(scripted: Scripted, body: bytes, says: str) -> None:
    historian = scripted(200, body)
    for ask in (lambda: historian.read(WINDOW), lambda: historian.last(WINDOW.end)):
        with pytest.raises(HistorianError, match=says):
            ask()
    assert not historian.health().ok


def test_a_broken_connection_is_an_error(scripted: Scripted) -> None:
    with pytest.raises(HistorianError, match="cannot be reached"):
        scripted(200, WHOLE, length=10_000).read(WINDOW)


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        (401, "check the token"),
        (404, "create the database or bucket 'signals/raw'"),
        (400, "refused some of the samples"),
        (413, "limit on the size"),
        (500, "look at its log"),
        (503, "try again later"),
    ],
)
def test_a_refusal_names_the_fix(scripted: Scripted, status: int, fix: str) -> None:
    historian = scripted(status, b'{"error":"the reason"}')
    for ask in (lambda: historian.write(sample()), lambda: historian.read(WINDOW)):
        with pytest.raises(HistorianError, match=rf"answered {status}: .*the reason.*{fix}"):
            ask()
    assert fix in historian.health().detail


def test_no_server_is_an_error_that_says_where() -> None:
    historian = at(1)
    for ask in (lambda: historian.write(sample()), lambda: historian.read(WINDOW)):
        with pytest.raises(HistorianError, match=r"http://127\.0\.0\.1:1 cannot be reached.*is it running"):
            ask()
    assert not historian.health().ok
