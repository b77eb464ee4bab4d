"""`lineside collect`: the collector process that `up` starts and restarts."""

import asyncio
import json
from pathlib import Path

from collectors.runner import run_collectors
from collectors.spool import Spool
from infra.folder import DataFolder
from infra.logs import log_to_stderr
from infra.plantfile import load, with_options, with_secrets


def run(path: Path, data: Path, options: str) -> int:
    """Collect into the data folder's spool until SIGTERM; `options` overrides source options (JSON)."""
    log_to_stderr()
    plant = with_secrets(with_options(load(path), json.loads(options)))
    folder = DataFolder(data)
    spool = Spool(folder.spool, "collect", plant.spool.max_bytes, plant.spool.max_age)
    asyncio.run(run_collectors(plant, spool, folder.collectors))
    return 0
