"""kill -9 of a backfill, or of a worker of its cluster: the next run, or the others, complete it, and the ledger is that of
an uninterrupted run."""

import subprocess
import sys
from pathlib import Path

import distributed
import psutil
import pytest
from backfilled import Unwatched, at_once, backfill, make, samples, stored
from polars.testing import assert_frame_equal

from infra.backfill import partitions
from infra.backfill.partitions import BackfillError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_kill_a_backfill_again_and_again(tmp_path: Path) -> None:
    plant, data = make(tmp_path, samples(2))
    script = Path(__file__).with_name("backfill_process.py")
    # A run has 15 partitions of samples and 3 groups of machines.
    for steps in (1, 4, 9, 2, 1):
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "plant.toml"), str(data.root)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(steps):
            assert process.stdout.readline() == "done\n"
        process.kill()
        assert process.wait(10) == -9, "it was killed, it did not end"
    assert 0 < stored(plant, data).height < at_once(plant, samples(2)).height
    done = backfill(plant, data)
    assert done.changed
    assert_frame_equal(stored(plant, data), at_once(plant, samples(2)))


def test_kill_a_worker_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, data = make(tmp_path, samples(2))
    monkeypatch.setattr(partitions, "MOST_MACHINES", 1)
    monkeypatch.setattr(partitions, "TASK_ROWS", 1)
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit="1GB",
        local_directory=str(tmp_path / "dask"),
    ) as cluster:

        class Killing(Unwatched):
            steps = 0

            def advance(self, steps: int, rows: int) -> None:
                self.steps += steps
                if self.steps == 3:
                    psutil.Process(next(iter(cluster.workers.values())).pid).kill()

        killing = Killing()
        done = backfill(plant, data, cluster=cluster.scheduler_address, watcher=killing)
    assert killing.steps > 3 and done.kept == 0
    assert_frame_equal(stored(plant, data), at_once(plant, samples(2)))


def test_no_cluster_there(tmp_path: Path) -> None:
    plant, data = make(tmp_path, samples(2)[:10])
    with pytest.raises(BackfillError, match=r"no Dask scheduler at tcp://127.0.0.1:9"):
        backfill(plant, data, cluster="tcp://127.0.0.1:9")
