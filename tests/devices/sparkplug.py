"""A Sparkplug B edge node that is not written in Python (Eclipse Tahu's sparkplug-client, from npm) and its broker.

`infra/scripts/npm.sh` and `infra/scripts/services.sh` install them.
"""

import asyncio
import base64
import json
import queue
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from devices.mosquitto import PASSWORD, USER, Mosquitto

ROOT = Path(__file__).resolve().parents[2]
READY = 20.0
GROUP, NODE, DEVICE = "plant", "line1", "m"
METRICS = (("state", "Int32", 0), ("job/order", "String", ""))


class EdgeNode:
    """The edge node's process. What it does is in `tests/servers/sparkplug_node.cjs`."""

    def __init__(self, port: int, metrics: tuple[tuple[object, ...], ...] = METRICS) -> None:
        self._options = {
            "port": port, "user": USER, "password": PASSWORD, "group": GROUP, "node": NODE, "device": DEVICE,
            "metrics": metrics,
        }  # fmt: skip
        self._process: subprocess.Popen[str] | None = None
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.events: list[str] = []
        """birth, rebirth, error, done: in their order."""

    def start(self) -> None:
        """Returns when it is born."""
        if not (ROOT / "node_modules" / "sparkplug-client").is_dir():
            raise RuntimeError("sparkplug-client is missing: run infra/scripts/npm.sh")
        self._process = subprocess.Popen(
            ["node", "tests/servers/sparkplug_node.cjs", json.dumps(self._options)],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._process.stdout, self._said), daemon=True).start()
        self._until("birth")

    @property
    def runs(self) -> bool:
        """It was started and not ended."""
        return self._process is not None

    def tell(self, **said: object) -> None:
        """One command; returns when it is done."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        self._until("done")

    def put(self, time: datetime, values: dict[str, object], **how: object) -> None:
        """Device data."""
        self.tell(
            data=values, time=(time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1), **how
        )

    def raw(self, payload: bytes, kind: str = "DDATA") -> None:
        """Any bytes as a message of the device."""
        self.tell(raw=base64.b64encode(payload).decode(), kind=kind)

    def kill(self) -> None:
        """End it at once: the broker publishes its death."""
        process, self._process = self._process, None
        assert process is not None and process.stdin is not None
        process.kill()
        process.wait()
        process.stdin.close()
        self._said = queue.Queue()

    def _until(self, event: str) -> None:
        while (said := self._said.get(timeout=READY)) is not None:
            if said["event"] == event:
                return
        raise RuntimeError("the edge node ended")

    def _listen(self, output: Any, said: "queue.Queue[dict[str, Any] | None]") -> None:
        for line in output:
            if line.startswith("{"):
                event = json.loads(line)
                self.events.append(event["event"])
                said.put(event)
        output.close()
        said.put(None)


class SparkplugDevice:
    """Broker and edge node together."""

    state, order = f"{GROUP}/{NODE}/{DEVICE}#state", f"{GROUP}/{NODE}/{DEVICE}#job/order"
    wrong = f"{GROUP}/{NODE}/{DEVICE}#nothing"

    def __init__(self, port: int = 0) -> None:
        self.broker = Mosquitto(port)
        self.node = EdgeNode(self.broker.port)

    def options(self) -> dict[str, object]:
        return self.broker.options() | {"keep_alive": "2s"}

    async def start(self) -> None:
        await asyncio.to_thread(self.broker.start)
        await asyncio.to_thread(self.node.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self.broker.kill)  # ended in good order it publishes wills: a second loss
        await asyncio.to_thread(self.node.kill)

    async def put(self, state: int, order: str, time: datetime) -> None:
        await asyncio.to_thread(self.node.put, time, {"state": state, "job/order": order})
