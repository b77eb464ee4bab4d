"""A backfill for test_backfill_kill.py, in small pieces: says after each that it is done."""

import sys
from pathlib import Path

from infra.backfill import partitions, run
from infra.folder import DataFolder
from infra.plantfile import load

sys.path.insert(0, str(Path(__file__).parents[1]))

import backfilled


class Saying(backfilled.Unwatched):
    """Says how far it is."""

    def advance(self, steps: int, rows: int) -> None:
        print("done", flush=True)


if __name__ == "__main__":
    partitions.MOST_MACHINES = partitions.TASK_ROWS = run.CHUNK = 1
    backfilled.backfill(load(Path(sys.argv[1])), DataFolder(Path(sys.argv[2])), watcher=Saying())
