"""How processes log: one line an event, to standard error or to a file of their own."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog

KEEP_BYTES = 10_000_000
"""Size at which a log file is rotated; three are kept."""


def log_to_stderr(level: int = logging.INFO) -> None:
    """For a child process: the supervisor keeps its standard error in a file."""
    _configure(logging.StreamHandler(), level)


def log_to_file(path: Path, level: int = logging.INFO) -> None:
    """For the process that owns the terminal: the terminal stays readable."""
    _configure(RotatingFileHandler(path, maxBytes=KEEP_BYTES, backupCount=2), level)


def _configure(handler: logging.Handler, level: int) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("asyncua", "pymodbus", "apscheduler", "httpx", "mail", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
