"""A plant's server without its web part, for test_correcting_kill.py: corrects stops and takes late samples until it is
killed."""

import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from infra.backend import PlantBackend
from infra.folder import DataFolder
from infra.ledger.replanning import follow_plant
from infra.metrics import Metrics
from infra.runtime import Runtime
from tests.acceptance.test_corrections import plant

if __name__ == "__main__":
    data, start = Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
    with DataFolder(data) as folder:
        runtime = Runtime(plant(), folder, "", Metrics.unregistered())
        backend = PlantBackend(runtime)
        print("correcting", flush=True)
        runtime.take_all()
        follow_plant(runtime, datetime.now(UTC))
        for turn in count():
            backend.recode("a", start, ("jam", "clean")[turn % 2], "ada")
            backend.correct_counts("a", start, {"good": 1}, "counted", "ada")
