"""A program that puts finished files into a folder: written under another name, then renamed."""

import itertools
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path


class FolderDevice:
    """The folder stands for the device: it is there while it runs. `port` makes its name."""

    state, order, wrong = "state", "order", "nothing"

    def __init__(self, port: int = 0) -> None:
        self._above = tempfile.TemporaryDirectory()
        self.path = Path(self._above.name) / f"127.0.0.1-{port}"
        self._numbers = itertools.count()

    def options(self) -> dict[str, object]:
        return {"path": str(self.path), "settle": "0s", "poll": "50ms"}

    async def start(self) -> None:
        self.path.mkdir()

    async def stop(self) -> None:
        shutil.rmtree(self.path)

    async def put(self, state: int, order: str, time: datetime) -> None:
        at = time.astimezone(UTC).isoformat()
        text = f"time,equipment,signal,value\n{at},m,state,{state}\n{at},m,order,{order}\n"
        file = self.path / f"{next(self._numbers):06}.csv"
        file.with_suffix(".tmp").write_text(text)
        file.with_suffix(".tmp").rename(file)
