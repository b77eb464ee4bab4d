"""`lineside demo` as a user runs it: the real command, its processes, its address, and Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: str, look: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.25)
    pytest.fail(f"waited {seconds:.0f} s for {what}")


class Demo:
    """A running demo."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra", "demo", "--data", str(data), "--port", str(self.port)],
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return None

    def board(self) -> Any:
        return self.get("/api/v1/board")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def collector(self) -> psutil.Process | None:
        for child in self.children():
            try:
                if "collect" in child.cmdline():
                    return child
            except psutil.Error:
                continue  # it is just ending
        return None

    def post(self, path: str, body: dict[str, str]) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo") / "data")
    try:
        wait_for("the board", running.board)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def test_the_board_is_live(demo: Demo) -> None:
    board = wait_for("the board", demo.board)
    assert len(board["machines"]) == 9

    def connected() -> Any:
        now = demo.board()
        return now if all(m["state"] != "no_data" for m in now["machines"]) else None

    board = wait_for("every machine to have data", connected)
    assert all(m["kpi"]["oee"] is not None for m in board["machines"])
    assert all(m["order"] and m["order"]["quantity"] > 0 for m in board["machines"])
    made = {m["id"]: m["good"] for m in board["machines"]}
    wait_for("counts to rise", lambda: any(m["good"] > made[m["id"]] for m in demo.board()["machines"]))
    states = {m["id"]: m["state"] for m in board["machines"]}
    wait_for(
        "a machine to change its state",
        lambda: any(m["state"] != states[m["id"]] for m in demo.board()["machines"]),
    )


def test_the_alert_names_machine_cause_order_and_lateness(demo: Demo) -> None:
    alert = next(
        a for a in wait_for("an alert", lambda: demo.get("/api/v1/alerts")) if a["equipment"] == "press-1"
    )
    assert alert["equipment_name"] and alert["reason"] and alert["order"]
    assert alert["slack"] < 0
    mails = wait_for("the mail", lambda: list((demo.data / "messages").glob("*.eml")))
    mail = message_from_bytes(mails[0].read_bytes(), policy=policy.default)
    assert alert["order"] in str(mail["Subject"]) and "late" in str(mail["Subject"])
    assert list((demo.data / "messages").glob("*-webhook.json"))
    assert demo.post(f"/api/v1/alerts/{alert['id']}/acknowledge", {"user": "mara"}) in (200, 204)
    shown = next(a for a in demo.get("/api/v1/alerts") if a["id"] == alert["id"])
    assert (shown["state"], shown["acknowledged_by"], shown["next_step"]) == ("acknowledged", "mara", None)


def test_a_killed_collector_comes_back_and_nobody_else_notices(demo: Demo) -> None:
    killed = demo.collector()
    assert killed is not None
    killed.send_signal(signal.SIGKILL)

    def replaced() -> bool:
        found = demo.collector()
        return found is not None and found.pid != killed.pid

    wait_for("another collector", replaced)
    revision = demo.board()["revision"]
    wait_for("the board to go on", lambda: demo.board()["revision"] > revision)
    wait_for("data again", lambda: all(m["state"] != "no_data" for m in demo.board()["machines"]))


def test_a_second_demo_on_the_folder_is_refused(demo: Demo) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "infra", "demo", "--data", str(demo.data), "--port", str(free_port())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 1
    assert "Another Lineside is using" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_ctrl_c_stops_everything(demo: Demo) -> None:
    children = demo.children()
    assert len(children) >= 3, "collector, and the PLC processes"
    os.kill(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(20) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert demo.process.stderr is not None
    assert "Traceback" not in demo.process.stderr.read()
