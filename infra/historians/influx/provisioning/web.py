"""Requests to the management side of an InfluxDB."""

from collections.abc import Collection, Mapping
from types import TracebackType

import httpx

from infra.historians.influx.provisioning.steps import ProvisionError

_SAID = 300
"""Characters of an answer that are repeated in a message."""


class Web:
    """One server. Cookies of a sign-in are kept until it is closed."""

    scheme = "Token"
    """How a token is sent; 3.x documents Bearer."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=timeout, trust_env=False)

    def __enter__(self) -> "Web":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: object = None,
        token: str = "",
        user: tuple[str, str] | None = None,
        accept: Collection[int] | None = (200, 201, 204),
    ) -> httpx.Response:
        """The answer. `accept` None: whatever it is.

        Raises ProvisionError: no answer, or one with a status that is not accepted.
        """
        try:
            answer = self._client.request(
                method,
                path,
                params=params,
                data=data,
                json=json,
                headers={"Authorization": f"{self.scheme} {token}"} if token else None,
                auth=user,
            )
        except httpx.HTTPError as error:
            raise ProvisionError(
                f"InfluxDB at {self.url} cannot be reached ({error}): is it running, and is the url right?"
            ) from error
        if accept is not None and answer.status_code not in accept:
            raise ProvisionError(f"InfluxDB at {self.url} answered {method} {path} with {said(answer)}")
        return answer


def said(answer: httpx.Response) -> str:
    """Status and text of an answer."""
    return f"{answer.status_code}: {' '.join(answer.text.split())[:_SAID] or answer.reason_phrase}"
