"""A sender that posts its values, and posts again without a change to show that it lives."""

import asyncio
import contextlib
import socket
from datetime import UTC, datetime

import httpx

TOKEN = "a-token-of-the-tests"


class HttpDevice:
    state, order, wrong = "state", "order", "nothing"

    def __init__(self, port: int = 0) -> None:
        if not port:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
        self._port = port
        self._now: list[dict[str, object]] = []
        self._task: asyncio.Task[None] | None = None

    def options(self) -> dict[str, object]:
        return {"token": TOKEN, "port": self._port, "silent_after": "1s"}

    async def start(self) -> None:
        self._task = asyncio.create_task(self._post())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def put(self, state: int, order: str, time: datetime) -> None:
        at = time.astimezone(UTC).isoformat()
        self._now = [
            {"signal": "state", "time": at, "value": state},
            {"signal": "order", "time": at, "value": order},
        ]

    async def _post(self) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(headers=headers, base_url=f"http://127.0.0.1:{self._port}") as client:
            sent: object = None
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    now = self._now
                    new = now if now is not sent else []
                    answer = await client.post("/api/v1/samples", json={"samples": new})
                    sent = now if answer.status_code == 200 else sent
                await asyncio.sleep(0.1)
