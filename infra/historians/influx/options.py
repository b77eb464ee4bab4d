"""The options of [historian] kind = "influxdb", and the settings they make. Pure."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from infra.historians.influx.settings import ANYBODY, InfluxSettings
from plant.model import HistorianConfig
from plant.parsing.options import Reader, period, read_options, text, whole, yes_or_no

_NAME = r"[^\s/\"\\\x00-\x1f\x7f]+"
_BUCKET = re.compile(rf"{_NAME}(?:/{_NAME})?")


def _address(value: object) -> str:
    parts = urlsplit(text(value))
    if "@" in parts.netloc:
        raise ValueError('write it without user and password; give them as options "user" and "password"')
    try:
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if parts.scheme not in ("http", "https") or not usable or parts.query or parts.fragment:
        raise ValueError('write "http://host:8086" or "https://host:8086"')
    return text(value).rstrip("/")


def _bucket(value: object) -> str:
    if not _BUCKET.fullmatch(text(value)):
        raise ValueError('write the bucket or database, "plant", or "database/retention-policy"')
    return text(value)


READERS: Mapping[str, Reader] = {
    "url": _address,
    "bucket": _bucket,
    "org": text,
    "token": text,
    "user": text,
    "password": text,
    "timeout": period,
    "gzip": yes_or_no,
    "in_flight": whole(1, 16),
}
DEFAULTS: Mapping[str, object] = {
    "org": "-",
    "token": None,
    "user": None,
    "password": None,
    "timeout": "60s",
    "gzip": None,
    "in_flight": 2,
}


def check(config: HistorianConfig) -> list[str]:
    """What is wrong with the options, "problem; fix" each; empty when nothing is."""
    return _read(config)[1]


def settings(config: HistorianConfig) -> InfluxSettings:
    """The settings; secrets must have been resolved. Raises ValueError with what `check` finds.

    Without a token, "user:password" is one, which is how 1.x takes it; without a user, the token signs reads in.
    """
    found, problems = _read(config)
    if problems:
        raise ValueError("; ".join(problems))
    token, user, password = found["token"], found["user"], found["password"]
    if user is None and token is not None:
        user, password = ANYBODY, token
    return InfluxSettings(
        url=found["url"],
        bucket=found["bucket"],
        org=found["org"],
        token=token if token is not None else f"{user}:{password}" if user is not None else "",
        user=user or "",
        password=password or "",
        timeout=found["timeout"],
        gzip=found["gzip"],
        in_flight=found["in_flight"],
    )


def _read(config: HistorianConfig) -> tuple[dict[str, Any], list[str]]:
    found, problems = read_options("historian", "influxdb", config.options, READERS, DEFAULTS)
    if not problems and (found["user"] is None) != (found["password"] is None):
        problems.append('historian: option "user" goes together with "password"; give both, or "token" alone')
    return found, problems
