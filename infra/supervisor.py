"""Child processes of one running plant: started, restarted when they die, stopped with a deadline."""

import ctypes
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

STOP_WITHIN = 5.0
"""Seconds a child has to end after SIGTERM before it is killed."""
_PR_SET_PDEATHSIG = 1


class ChildFailedError(Exception):
    """A child did not come up; the message holds the last lines it printed."""


def _prepare_child() -> None:
    """Runs in the child: SIGTERM comes when the parent is gone, however it went, and SIGHUP waits until somebody
    hears it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class _Child:
    name: str
    argv: Sequence[str]
    process: subprocess.Popen[str]
    restarts: int = 0
    next_start: float = 0.0


class Supervisor:
    """Runs `python -m ...` children in their own sessions, each with a log file in `logs`."""

    def __init__(self, logs: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._logs = logs
        self._clock = clock
        self._children: list[_Child] = []

    def start(self, name: str, *argv: str) -> IO[str]:
        """Start `python argv...` and return its standard output."""
        process = self._spawn(name, argv)
        self._children.append(_Child(name, argv, process))
        assert process.stdout is not None
        return process.stdout

    def first_line(self, name: str, *argv: str) -> str:
        """Start a child that prints one line when it is ready, and return that line."""
        line = self.start(name, *argv).readline()
        if not line:
            tail = (self._logs / f"{name}.log").read_text(errors="replace").strip().splitlines()[-5:]
            raise ChildFailedError(f"{name} did not start: " + (" / ".join(tail) or "it printed nothing"))
        return line

    def watch(self) -> None:
        """Restart children that ended, waiting 1, 2, 4 ... 30 s between tries. Call it every second or so."""
        for child in self._children:
            code = child.process.poll()
            if code is None:
                continue
            if child.next_start == 0.0:
                delay = min(30.0, 2.0**child.restarts)
                log.warning("%s ended with code %s; it is started again in %.0f s", child.name, code, delay)
                child.next_start = self._clock() + delay
            elif self._clock() >= child.next_start:
                child.process = self._spawn(child.name, child.argv)
                child.restarts += 1
                child.next_start = 0.0

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child, if it runs."""
        for child in self._children:
            if child.name == name and child.process.poll() is None:
                child.process.send_signal(number)

    def end(self, name: str) -> None:
        """End a child for good."""
        for child in [c for c in self._children if c.name == name]:
            self._children.remove(child)
            child.process.terminate()
            try:
                child.process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def running(self) -> dict[str, bool]:
        """Which children are alive."""
        return {child.name: child.process.poll() is None for child in self._children}

    def stop(self) -> None:
        """SIGTERM to all, newest first, then SIGKILL to those that have not ended within STOP_WITHIN."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = self._clock() + STOP_WITHIN
        for child in self._children:
            try:
                child.process.wait(max(0.0, deadline - self._clock()))
            except subprocess.TimeoutExpired:
                log.warning("%s did not end in time and was killed", child.name)
                child.process.kill()
                child.process.wait()
        self._children.clear()

    def _spawn(self, name: str, argv: Sequence[str]) -> subprocess.Popen[str]:
        with (self._logs / f"{name}.log").open("a") as errors:
            return subprocess.Popen(
                [sys.executable, *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
                preexec_fn=_prepare_child,
            )
