"""`lineside collect`: a collector process, which `up` starts, restarts and tells about a changed plant file."""

import asyncio
import json
from functools import partial
from pathlib import Path

from collectors.runner import run_collectors
from collectors.spool import Spool
from infra.folder import DataFolder
from infra.logs import log_to_stderr
from infra.plantfile import load, with_options, with_secrets
from plant.model import Plant


def run(path: Path, data: Path, options: str, process: str) -> int:
    """Collect what belongs to that process into the data folder's spool until SIGTERM; `options` overrides source
    options (JSON)."""
    log_to_stderr()
    read = partial(_read, path, json.loads(options))
    plant, folder = read(), DataFolder(data)
    spool = Spool(folder.spool, process, plant.spool.max_bytes, plant.spool.max_age)
    status = folder.collectors / f"{process}.json"
    asyncio.run(run_collectors(read, process, spool, status, folder.root))
    return 0


def _read(path: Path, overrides: dict[str, dict[str, object]]) -> Plant:
    return with_secrets(with_options(load(path), overrides))
