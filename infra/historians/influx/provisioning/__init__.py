"""Creates on an InfluxDB what Lineside needs there: database or bucket, how long it keeps, who may use it.

Doing it again changes nothing, except what the plant file has changed meanwhile.
"""

from datetime import timedelta

import httpx

from infra.historians.influx.provisioning import v1, v2, v3
from infra.historians.influx.provisioning.steps import (
    CREATED,
    THERE,
    Admin,
    Provisioned,
    ProvisionError,
    Step,
)
from infra.historians.influx.provisioning.web import Web
from infra.historians.influx.settings import InfluxSettings

__all__ = ["CREATED", "THERE", "Admin", "ProvisionError", "Provisioned", "Step", "provision"]


def provision(settings: InfluxSettings, keep: timedelta | None, admin: Admin) -> Provisioned:
    """Create what is missing and apply `keep` (None: for ever).

    A 2.x or 3.x whose `settings.token` is empty makes one, which is in the answer and can be had only once.
    Raises ProvisionError; what was done before it is kept, and not repeated by the next try.
    """
    with Web(settings.url, settings.timeout) as web:
        ping = web.ask("GET", "/ping", accept=None)
        version = ping.headers.get("X-Influxdb-Version", "").removeprefix("v")
        # Only 3.x may want to know who asks before it says what it is.
        if version.startswith("3") or ping.status_code == httpx.codes.UNAUTHORIZED:
            return v3.provision(web, settings, keep, admin)
        if version.startswith("2"):
            return v2.provision(web, version, settings, keep, admin)
        if version.startswith("1"):
            return v1.provision(web, version, settings, keep, admin)
    raise ProvisionError(
        f"{settings.url} answers, but does not say which InfluxDB it is: is this the right address?"
    )
