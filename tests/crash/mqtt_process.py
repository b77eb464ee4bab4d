"""A collector process for test_mqtt_kill.py: one MQTT source into a spool, until it is killed.

Arguments: the data folder, and the source's options as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

from collectors import discover
from collectors.emit import SourceEmit, SpoolEmit
from collectors.spool import Spool
from plant.model import Role, Signal, Source

SIGNALS = tuple(
    Signal(id=f"v{n}", equipment="m", role=Role.PROCESS_VALUE, source="s", address=f"plant/v{n}#v")
    for n in range(4)
)


async def main(folder: Path, options: dict[str, object]) -> None:
    """Collect for ever."""
    emit = SpoolEmit(Spool(folder / "spool", "plant"), linger=0.02)
    collector = discover()["mqtt"].create(Source(id="s", protocol="mqtt", options=options), SIGNALS, folder)
    await collector.run(SourceEmit(emit, "s", SIGNALS))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
