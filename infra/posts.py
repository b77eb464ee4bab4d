"""Samples posted to the plant's API, handed to the collector of their source: it checks, stores and answers."""

import json
from pathlib import Path

import httpx

from collectors.http.listener import PATH, where
from dashboards.ports import Refused, Unavailable
from plant.model import Plant

TIMEOUT = 30.0
"""Seconds the collector has: it answers when the samples are on disk."""


def post(
    plant: Plant, folder: Path, source: str | None, authorization: str, body: bytes
) -> tuple[int, bytes]:
    """HTTP status and JSON answer of the collector. Raises Refused, Unavailable (send the same again later)."""
    known = [s.id for s in plant.sources.values() if s.protocol == "http"]
    if source is None and len(known) == 1:
        source = known[0]
    if source not in known:
        have = f"one of {', '.join(known)}" if known else 'none: add a [[source]] with protocol = "http"'
        raise Refused(f"source: say which http source of the plant file sends; there is {have}")
    try:
        listening = json.loads(where(folder, source).read_bytes())
        url = f"http://{listening['host']}:{listening['port']}{PATH}"
        # As the bytes that came: a token may be of any characters, and a wrong one is the collector's to refuse.
        said = {b"Authorization": authorization.encode("latin-1", "replace")}
        answer = httpx.post(url, content=body, headers=said, timeout=TIMEOUT)
    except (OSError, ValueError, KeyError, httpx.HTTPError) as error:
        raise Unavailable(
            f"the collector of {source} does not answer; send the same again in some seconds"
        ) from error
    return answer.status_code, answer.content
