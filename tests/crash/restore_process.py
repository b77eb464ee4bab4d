"""Restores one backup again and again, each time in a child process that kills itself somewhere else.

Arguments: the backup, a folder for the data folders, then for each restore "point=URL", the URL empty for SQLite. A point
is the number of the file operation before which the child dies; 0: it does not. Prints "point operations" of who lived.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from infra.backup.restoring import restore
from infra.folder import DataFolder
from plant.model import Plant, RecordsConfig, Site

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


def main(file: str, folder: str, *restores: str) -> None:
    for at, url in (argument.split("=", 1) for argument in restores):
        point = int(at)
        child = os.fork()  # nothing here has started a thread yet
        if child == 0:
            done = run(Path(file), Path(folder) / at, url, point)
            print(point, done, flush=True)
            os._exit(0)
        os.waitpid(child, 0)


def run(file: Path, data: Path, url: str, point: int) -> int:
    records = RecordsConfig(url=url or None)
    plant = Plant(site=Site(id="s", name="S", zone=ZoneInfo("UTC")), records=records)
    counted = 0

    def count(event: str, _: object) -> None:
        nonlocal counted
        if event in OPERATIONS:
            counted += 1
            if counted == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    restore(file, DataFolder(data), lambda _: plant, datetime.now(UTC), "test", lambda *_: None)
    return counted


if __name__ == "__main__":
    main(*sys.argv[1:])
