"""kill -9 of a real process while alerts are raised, escalated and delivered.

Promised: every step reaches the webhook, in order, with one key; no more duplicates than kills.
"""

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.records.alerts import SqlAlerts
from infra.records.database import Database, upgrade

PROGRAM = Path(__file__).with_name("alert_process.py")
ROOT = PROGRAM.parents[2]
MACHINES, STEPS, END = 4, 12, 1000

KILLS = [
    ("tick:before_commit", 1),
    ("tick:after_commit", 1),
    ("send:before", 1),
    ("send:after", 1),
    ("send:after", 3),
    ("receipt:after", 2),
    ("send:before", 3),
    ("tick:before_commit", 1),
    ("send:after", 2),
    ("receipt:after", 4),
]


@dataclass
class Sink:
    """A webhook that takes everything and remembers it."""

    url: str = ""
    arrived: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: len(self.arrived) >= count, timeout=60)


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with found.changed:
                found.arrived.append((self.headers["Idempotency-Key"], body))
                found.changed.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    upgrade(database)
    database.close()
    return f"sqlite:///{tmp_path / 'records.db'}"


def start(url: str, sink: Sink, minute: int, point: str = "none", hit: int = 0) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(PROGRAM), url, sink.url, str(minute), point, str(hit)]
    return subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)


def finish(url: str, sink: Sink) -> int:
    """Run undisturbed to the last step, let the machines run again, and hold the promise against it.

    Returns the number of duplicates.
    """
    for minute in (5 + 10 * STEPS, END):
        assert start(url, sink, minute).wait(60) == 0
    database = Database(url)
    store = SqlAlerts(database)
    alerts = store.alerts(include_returned=True)
    assert len(alerts) == MACHINES
    expected = {f"{a.id}:{step}:hook:" for a in alerts for step in (*range(1, STEPS + 1), "resolved")}
    counts = Counter(key for key, _ in sink.arrived)
    assert set(counts) == expected
    bodies = dict(sink.arrived)
    assert all(body == bodies[key] for key, body in sink.arrived)
    for alert in alerts:
        first_seen = list(dict.fromkeys(b["step"] for _, b in sink.arrived if b["alert"]["id"] == alert.id))
        assert first_seen == [*map(str, range(1, STEPS + 1)), "resolved"]
        events = Counter(e.event for e in store.history(alert.id))
        assert events == {"raised": 1, "escalated": STEPS, "returned": 1, "delivered": STEPS + 1}
    database.close()
    return sum(counts.values()) - len(counts)


@pytest.mark.slow
def test_killed_at_every_named_point(url: str, sink: Sink) -> None:
    for number, (point, hit) in enumerate(KILLS):
        process = start(url, sink, 5 + 10 * number, point, hit)
        assert process.wait(60) == -9, f"never came to {point}"
    # Killed after the message was out: a duplicate for certain. A kill of a tick may catch the sender there too.
    assert sum(point == "send:after" for point, _ in KILLS) <= finish(url, sink) <= len(KILLS)


@pytest.mark.slow
def test_killed_at_random(url: str, sink: Sink) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for number in range(10):
        process = start(url, sink, 5 + 10 * number, "never")
        try:
            # Each minute brings at least one message per machine: die somewhere among them.
            assert sink.wait_for(len(sink.arrived) + rng.randint(1, MACHINES - 1))
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.03))
        finally:
            process.kill()
        assert process.wait(60) == -9
    assert finish(url, sink) <= 10  # one per kill at most
