"""What the tests need of a device, whatever it speaks."""

from datetime import datetime
from typing import Protocol

NAMESPACE = "urn:lineside:test"


class Device(Protocol):
    """A real server holding one state (a number) and one order (a text), at addresses the tests know."""

    state: str
    order: str
    wrong: str

    def options(self) -> dict[str, object]: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def put(self, state: int, order: str, time: datetime) -> None: ...
