"""Periodic work, driven by APScheduler. Each job works from its own watermark to now, so a missed or repeated run
changes nothing: correctness does not hang on the scheduler."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler

from infra.ledger.closing import close_shifts
from infra.ledger.replanning import follow_plant
from infra.runtime import Runtime

log = logging.getLogger(__name__)


def scheduler(runtime: Runtime) -> BackgroundScheduler:
    """The jobs of a running plant; start it, and shut it down before the runtime stops."""
    made = BackgroundScheduler(
        timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
    # (id, seconds, work): memory store, rebuilt at each start from this list.
    jobs: list[tuple[str, int, Callable[[datetime], object]]] = [
        ("shift-close", 30, lambda now: close_shifts(runtime, now)),
        ("plant-file", 5, lambda now: follow_plant(runtime, now)),
        ("compaction", 600, lambda now: runtime.historian.compact()),
        ("retention", 6 * 3600, lambda now: _expire(runtime, now)),
        ("memory", 1800, runtime.forget),
    ]
    for name, seconds, work in jobs:
        made.add_job(_run, "interval", args=[name, work], seconds=seconds, id=name, replace_existing=True)
    return made


def _expire(runtime: Runtime, now: datetime) -> None:
    keep = runtime.plant.historian.keep
    if keep is not None:
        runtime.historian.expire(now - keep)


def _run(name: str, work: Callable[[datetime], object]) -> None:
    try:
        work(datetime.now(UTC))
    except Exception:
        log.exception("%s failed; it goes on from where it was at its next run", name)
