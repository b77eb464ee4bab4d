"""Posting line protocol to InfluxDB: one request, and what its answer means."""

import gzip
import time
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
from influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError as TransportError

from infra.historians.influx.protocol import POST_BYTES
from infra.historians.influx.settings import InfluxSettings
from pipelines.ports import HistorianError

_LEVEL = 1
"""Of compression: a third of the bytes at 140 MB/s; the client's own 9 manages 12."""
_SAID = 500


class RefusedError(Exception):
    """The server will not have some or all of a body, however often it is posted; `str` says why.

    1.x and 2.x may have stored the rest of it, 3.x has stored nothing.
    """

    def __init__(self, reason: str, *, too_long: bool = False) -> None:
        super().__init__(reason[:_SAID])
        self.reason = reason
        """All that was said."""
        self.too_long = too_long
        """A shorter body may be stored."""


class Poster:
    """Posts bodies, from several threads if need be. Retries nothing."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._client = InfluxDBClient(
            settings.url,
            settings.token,
            timeout=int(settings.timeout * 1000),
            org=settings.org,
            connection_pool_maxsize=settings.in_flight,
        )
        self._service = WriteService(self._client.api_client)
        self.longest = POST_BYTES
        """Bodies should not be longer, the server has said."""

    def post(self, body: bytes) -> None:
        """Return when the server has stored the body, times in microseconds.

        Raises RefusedError, or HistorianError when it is worth posting the same again.
        """
        zipped = self._settings.compressed
        try:
            answer = self._service.post_write(
                org=self._settings.org,
                bucket=self._settings.bucket,
                precision="us",
                body=gzip.compress(body, _LEVEL, mtime=0) if zipped else body,
                **({"content_encoding": "gzip"} if zipped else {}),
                content_type="text/plain; charset=utf-8",
                # Read here, not by the client: it fails on a page that is not UTF-8.
                _preload_content=False,
            )
            answer.drain_conn()
        except ApiException as error:
            if error.status == 413:
                self.longest = min(self.longest, max(1, len(body) // 2))
            raise problem(
                self._settings,
                error.status,
                error.body if error.body else error.reason,
                (error.headers or {}).get("Retry-After"),
                time.time(),
            ) from error
        except (TransportError, OSError) as error:
            raise unreachable(self._settings, error) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def unreachable(settings: InfluxSettings, error: Exception) -> HistorianError:
    """There was no answer."""
    return HistorianError(f"InfluxDB at {settings.url} cannot be reached ({error}): is it running there?")


def problem(
    settings: InfluxSettings, status: int, said: str | bytes | None, retry_after: str | None, now: float
) -> RefusedError | HistorianError:
    """What an answer that is no success means for what was asked.

    Args:
        said: the body, JSON or anything a proxy writes.
        retry_after: that header, seconds or an HTTP date.
        now: seconds since 1970.
    """
    text = said.decode(errors="replace") if isinstance(said, bytes) else said or ""
    reason = _reason(text)
    patience, configuration = 0.0, False
    match status:
        case 413:
            return RefusedError(f"InfluxDB answered 413, too long: {_short(reason)}", too_long=True)
        case 400 if "database name" in reason:
            fix, configuration = f"give the database {settings.bucket!r} another name", True
        case 400 | 422:
            return RefusedError(reason or f"answered {status} and gave no reason")
        case 500 if "partial write" in reason:
            return RefusedError(reason)
        case 500 if "retention policy not found" in reason:
            fix, configuration = f"create the retention policy of {settings.bucket!r}", True
        case 500:
            fix = "look at its log; after a full disk InfluxDB 1.x must be restarted"
        case 401 | 403:
            fix = "check the token, user and password, and what they are allowed to do"
            configuration = True
        case 404:
            fix, configuration = f"create the database or bucket {settings.bucket!r}", True
        case 0 if "CERTIFICATE" in reason.upper():
            fix, configuration = "check the address and the certificate of the server", True
        case 0 | 408 | 425 | 429:
            fix, patience = "try again later", _seconds(retry_after, now)
        case _ if status < 500:
            fix, configuration = "check the address: something else than InfluxDB answers there", True
        case _:
            fix, patience = "try again later", _seconds(retry_after, now)
    message = f"InfluxDB at {settings.url} answered {status}: {_short(reason)}; {fix}"
    return HistorianError(message, patience, configuration=configuration)


def _reason(text: str) -> str:
    """What the server says in JSON: 1.x {error}, 2.x {code, message}, 3.x {error, data: [{error_message}]}."""
    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.strip()
    if not isinstance(document, dict):
        return text.strip()
    details = document.get("data")
    found = [document.get("message") or document.get("error")]
    for detail in details if isinstance(details, list) else [details]:
        found.append(detail.get("error_message") if isinstance(detail, dict) else None)
    return "; ".join(str(f) for f in found if f) or text.strip()


def _short(reason: str) -> str:
    return reason[:_SAID]


def _seconds(retry_after: str | None, now: float) -> float:
    if retry_after is None:
        return 0.0
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return 0.0
