"""What the InfluxDB historian makes of answers to reads. The servers here are scripted: they answer what a healthy
server does not, and what 2.x and 3.x are documented to. tests/contracts reads from a real one."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.historians.influx import InfluxHistorian, InfluxSettings, answers, queries
from infra.historians.influx.answers import AnswerError
from infra.historians.samples import moment
from pipelines.ports import HistorianError
from plant.frames import Window

AT = datetime(2026, 1, 1, tzinfo=UTC)
US = 1767225600000000
DAY = timedelta(days=1)
WINDOW = Window(AT, AT + DAY)
KEYS = ["good", "good:meta"]
ROW = [US * 1000, US * 100 + 10, 1.5]

Reply = Callable[[str], bytes | tuple[int, bytes]]
Scripted = Callable[..., InfluxHistorian]


def document(
    rows: list[list[object]],
    *,
    statement: int = 0,
    columns: tuple[str, ...] = ("time", "meta", "value"),
    equipment: str = "filler",
    partial: bool = False,
) -> bytes:
    """A piece of an answer as 1.x and 2.x send it."""
    more = {"partial": True} if partial else {}
    tags = {"equipment": equipment}
    series = {"name": "signals", "tags": tags, "columns": columns, "values": rows, **more}
    return orjson.dumps({"results": [{"statement_id": statement, "series": [series], **more}]}) + b"\n"


def nothing(statement: int = 0) -> bytes:
    return b'{"results":[{"statement_id":%d}]}\n' % statement


WHOLE = document([ROW])
PART = document([ROW], partial=True)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A historian whose server knows those fields and gives the reply to every other statement.

    `length` promises more bytes than are sent.
    """
    opened: list[Callable[[], None]] = []

    def make(reply: Reply | bytes, keys: list[str] = KEYS, *, length: int = 0) -> InfluxHistorian:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                asked = form["q"][0]
                said: bytes | tuple[int, bytes]
                if asked.startswith("SHOW FIELD KEYS"):
                    series = {"name": "signals", "columns": ["fieldKey", "fieldType"]}
                    series["values"] = [[k, "float"] for k in keys]
                    said = orjson.dumps({"results": [{"statement_id": 0, "series": [series]}]})
                else:
                    said = reply if isinstance(reply, bytes) else reply(asked)
                status, body = said if isinstance(said, tuple) else (200, said)
                self.send_response(status)
                self.send_header("Content-Length", str(max(length, len(body))))
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


def asks(historian: InfluxHistorian) -> list[Callable[[], object]]:
    return [
        lambda: historian.read(WINDOW),
        lambda: list(historian.read_batches(WINDOW)),
        lambda: historian.last(WINDOW.end),
        lambda: historian.trend(WINDOW, timedelta(hours=1)),
    ]


def test_pieces_of_a_whole_answer_are_joined(scripted: Scripted) -> None:
    later = document([[ROW[0] + 1_000_000, *ROW[1:]]])
    other = document([ROW], equipment="capper")
    read = scripted(PART + later.replace(b"}]}]}", b'}],"partial":true}]}') + other).read(WINDOW)
    assert read.select("equipment", pl.col("time").to_physical()).rows() == [
        ("capper", US),
        ("filler", US),
        ("filler", US + 1000),
    ]


SHORT = [
    (PART, "ended before it was complete"),
    (b"", "ended before it was complete"),
    (b"{}\n", "ended before it was complete"),
    (PART + b'{"results":[{"statement_id":0,"error":"query-timeout limit exceeded"}]}\n', "query-timeout"),
    (b'{"error":"database not found: signals"}\n', "database not found"),
    (WHOLE[:-20], "not JSON"),
    (b"<html>Welcome</html>", "not JSON"),
    (b"[]\n", "not understood"),
]


@pytest.mark.parametrize(("body", "says"), SHORT)
def test_a_short_answer_is_an_error_never_a_short_frame(scripted: Scripted, body: bytes, says: str) -> None:
    for ask in asks(scripted(body)):
        with pytest.raises(HistorianError, match=says):
            ask()


@pytest.mark.parametrize(
    "rows", [[[1, 2]], [["x", 1, 1.0]], [[None, 1, 1.0]], [[1, None, 1.0]], [[1, 1.5, 1.0]]]
)
def test_rows_that_are_no_samples_are_an_error(scripted: Scripted, rows: list[list[object]]) -> None:
    with pytest.raises(HistorianError, match="cannot be read"):
        scripted(document(rows)).read(WINDOW)


def test_every_statement_of_a_request_must_have_answered(scripted: Scripted) -> None:
    keys = [*KEYS, "speed", "speed:meta"]
    assert scripted(WHOLE + nothing(1), keys).read(WINDOW).height == 1
    for short in (WHOLE, nothing(1), WHOLE + document([ROW], statement=1, partial=True)):
        for ask in asks(scripted(short, keys)):
            with pytest.raises(HistorianError, match="ended before it was complete"):
                ask()


@pytest.mark.parametrize(("keys", "held"), [(["good:meta"], "value"), (KEYS, "text")])
def test_a_field_that_appeared_after_it_was_asked_for_is_an_error(
    scripted: Scripted, keys: list[str], held: str
) -> None:
    columns = ("time", "meta") if held == "value" else ("time", "meta", "value")
    row: list[object] = [US * 1000, US * 100 + (10 if held == "value" else 20)]
    historian = scripted(document([row if held == "value" else [*row, None]], columns=columns), keys)
    with pytest.raises(HistorianError, match=f"first {held} of signal 'good'.*read again"):
        historian.read(WINDOW)


def test_a_broken_connection_is_an_error(scripted: Scripted) -> None:
    with pytest.raises(HistorianError, match="cannot be reached"):
        scripted(WHOLE, length=10_000).read(WINDOW)


@pytest.mark.parametrize(
    ("status", "says", "configuration"),
    [
        (401, "check the token", True),
        (404, "create the database or bucket 'signals/raw'", True),
        (400, "could not answer: the reason", False),
        (413, "could not answer: .*413", False),
        (500, "look at its log", False),
        (503, "try again later", False),
    ],
)
def test_a_refusal_says_why(scripted: Scripted, status: int, says: str, configuration: bool) -> None:
    for ask in asks(scripted(lambda _: (status, b'{"error":"the reason"}'))):
        with pytest.raises(HistorianError, match=says) as raised:
            ask()
        assert raised.value.configuration == configuration


def test_no_server_is_an_error_that_says_where() -> None:
    historian = at(1)
    for ask in asks(historian):
        with pytest.raises(HistorianError, match=r"http://127\.0\.0\.1:1 cannot be reached.*is it running"):
            ask()
    assert not historian.health().ok


@pytest.mark.parametrize(
    "refusal",
    [
        (400, b'{"error":"invalid delete"}'),
        (500, b'{"error":"This feature is not implemented: DELETE"}'),
        b'{"results":[{"statement_id":0,"error":"This feature is not implemented: DELETE"}]}\n',
    ],
)
def test_a_server_that_cannot_delete_asks_for_a_retention_period(
    scripted: Scripted, refusal: bytes | tuple[int, bytes]
) -> None:
    with pytest.raises(
        HistorianError, match=r"does not delete .*give 'signals/raw' a retention period"
    ) as raised:
        scripted(lambda _: refusal).expire(AT)
    assert raised.value.configuration


def test_a_server_that_cannot_delete_now_is_asked_again(scripted: Scripted) -> None:
    with pytest.raises(HistorianError, match="try again later") as raised:
        scripted(lambda _: (503, b"busy")).expire(AT)
    assert not raised.value.configuration


@pytest.mark.parametrize(
    "mean",
    [
        b"json: error calling MarshalJSON for type httpd.Response: json: unsupported value: +Inf\n",
        document([[0, None, 1.7e308, 1.7e308, 2]], columns=("time", "mean", "min", "max", "count")),
    ],
)
def test_a_mean_beyond_all_numbers_is_counted_here(scripted: Scripted, mean: bytes) -> None:
    samples = document([[US * 1000, US * 100 + 10, 1.7e308], [US * 1000 + 1000, US * 100 + 11, 1.7e308]])
    historian = scripted(lambda asked: mean if "MEAN" in asked else samples)
    [row] = historian.trend(WINDOW, timedelta(hours=1)).rows()
    assert row == (AT, "filler", "good", float("inf"), 1.7e308, 1.7e308, 2)


@pytest.mark.parametrize("status", [400, 500])
def test_a_server_of_one_statement_per_request_is_asked_one_by_one(scripted: Scripted, status: int) -> None:
    """Early 3.x: it also ends its documents with CRLF, and says nothing of pieces."""
    asked: list[str] = []

    def reply(form: str) -> bytes | tuple[int, bytes]:
        asked.append(form)
        if ";" in form:
            return status, b'{"error":"must provide only one InfluxQl statement per query"}'
        if "speed" in form:
            return nothing().replace(b"\n", b"\r\n")
        later = [[ROW[0] + 1000, *ROW[1:]]]
        return b"".join(document(rows).replace(b"\n", b"\r\n") for rows in ([ROW], later))

    historian = scripted(reply, [*KEYS, "speed", "speed:meta"])
    assert historian.read(WINDOW)["time"].to_physical().to_list() == [US, US + 1]
    assert historian.last(WINDOW.end).height == 2
    assert [";" in form for form in asked] == [True, False, False, False, False]


def test_what_is_asked_is_bounded(scripted: Scripted) -> None:
    requests: list[list[str]] = []

    def reply(asked: str) -> bytes:
        requests.append(asked.split(";"))
        return b"".join(map(nothing, range(len(requests[-1]))))

    keys = [f"{i}{suffix}" for i in range(250) for suffix in ("", ":meta")]
    historian = scripted(reply, keys)
    assert historian.read(WINDOW).is_empty()
    assert sorted(map(len, requests)) == [50, 100, 100]
    assert historian.trend(Window(AT, AT + 2 * DAY), timedelta(seconds=1), signals=["7"]).is_empty()
    assert len(requests[-1]) == 4  # 172 800 buckets, 50 000 at a time, cut at multiples of that
    assert all(len(r) == 1 for r in requests[3:-1])
    asked = len(requests)
    assert historian.trend(Window(AT, AT + 365 * DAY), timedelta(milliseconds=1), signals=["7"]).is_empty()
    assert len(requests) == asked + 1
    assert "MEAN" not in requests[-1][0]


TEXTS = st.sampled_from(
    ['"values":[[1,2]]', "]]", "],[", "a]]}", '"', "\\", "null", "\n", "ü", ""]
) | st.text(max_size=4)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
TIMES = st.integers(-(2**63), 2**63 - 1)
METAS = st.builds(
    lambda received, holds, quality: received * 100 + holds * 10 + quality,
    st.integers(-(2**54), 2**56), st.integers(0, 3), st.integers(0, 2),
)  # fmt: skip
KINDS = st.sampled_from([("meta",), ("meta", "value"), ("meta", "text"), ("meta", "value", "text")])


@st.composite
def pieces(draw: st.DrawFn) -> list[tuple[int, str, tuple[str, ...], list[list[object]]]]:
    cells = {"meta": METAS, "value": NUMBERS, "text": st.none() | TEXTS}
    found = []
    for statement in range(draw(st.integers(1, 3))):
        kind = draw(KINDS)
        for _ in range(draw(st.integers(0, 3))):
            row = st.tuples(TIMES, *(cells[c] for c in kind)).map(list)
            found.append(
                (statement, draw(TEXTS), ("time", *kind), draw(st.lists(row, min_size=1, max_size=4)))
            )
    return found


@given(pieces(), st.integers(1, 400), st.integers(1, 5))
def test_answers_are_read_as_plain_json_would_be(
    sent: list[tuple[int, str, tuple[str, ...], list[list[object]]]], cut: int, frame_rows: int
) -> None:
    last = {statement: i for i, (statement, *_) in enumerate(sent)}
    body = b"".join(
        document(rows, statement=s, columns=c, equipment=f"{e.encode().hex()}", partial=last[s] != i)
        for i, (s, e, c, rows) in enumerate(sent)
    ) + b"".join(nothing(s) for s in range(3) if s not in last)
    expected = []
    for statement, equipment, columns, rows in sent:
        for row in rows:
            held = dict(zip(columns, row, strict=True))
            received, rest = divmod(held["meta"], 100)
            holds, quality = divmod(rest, 10)
            if (holds & 1 and "value" not in held) or (holds & 2 and "text" not in held):
                expected = None  # its field was not known when it was asked for
                break
            value = None if held.get("value") is None else float(held["value"])
            expected.append(
                (
                    moment(held["time"] // 1000), equipment.encode().hex(), f"s{statement}",
                    value if holds & 1 else None, held.get("text") if holds & 2 else None, quality, moment(received),
                )
            )  # fmt: skip
        if expected is None:
            break
    chunks = [body[i : i + cut] for i in range(0, len(body), cut)]

    def read() -> list[tuple[object, ...]]:
        frames = answers.samples(answers.series(chunks, 3), ["s0", "s1", "s2"])
        return [row for frame in frames for row in frame.rows()]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(answers, "FRAME_ROWS", frame_rows)
        if expected is None:
            with pytest.raises(AnswerError, match="meanwhile"):
                read()
        else:
            assert read() == expected


def test_names_in_statements_cannot_break_out() -> None:
    fields = ['a"b', "a:meta"]
    assert queries.signals(fields, None)[0].field == "a"
    [signal] = queries.signals(["%22; DROP DATABASE signals:meta"], None)
    assert signal.name == '"; DROP DATABASE signals'
    asked = queries.last_before(signal, 0, ["o'neil", "\\'"]).influxql
    assert "\"equipment\" = 'o\\'neil'" in asked
    assert "\"equipment\" = '%5C\\''" in asked
