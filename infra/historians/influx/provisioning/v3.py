"""InfluxDB 3 (Core, Enterprise): a database, how long it keeps, and a token."""

from datetime import timedelta

from infra.historians.influx.provisioning.steps import (
    CHANGED,
    CREATED,
    THERE,
    Admin,
    Provisioned,
    ProvisionError,
    kept,
)
from infra.historians.influx.provisioning.web import Web, said
from infra.historians.influx.settings import InfluxSettings

_DATABASES = "/api/v3/configure/database"


def provision(web: Web, settings: InfluxSettings, keep: timedelta | None, admin: Admin) -> Provisioned:
    """See the package. A server that has no token yet makes its operator token, when `admin` brings none."""
    web.scheme = "Bearer"
    done = Provisioned(server="InfluxDB 3")
    token = _signed_in(web, done, admin)
    ping = web.ask("GET", "/ping", token=token)
    build = ping.headers.get("X-Influxdb-Build", "")
    done.server = f"InfluxDB {ping.headers.get('X-Influxdb-Version', '3')} {build}".strip()
    _database(web, done, token, settings.bucket, keep)
    _token(web, done, token, settings, enterprise=build.lower() == "enterprise")
    return done


def _signed_in(web: Web, done: Provisioned, admin: Admin) -> str:
    """The token to work with; empty on a server that asks nobody who they are."""
    asked = web.ask("GET", _DATABASES, params={"format": "json"}, token=admin.token, accept=None)
    if asked.status_code not in (401, 403):
        return admin.token
    if admin.token:
        raise ProvisionError(
            f"InfluxDB at {web.url} does not take the token in LINESIDE_INFLUX_ADMIN_TOKEN ({said(asked)}): correct it"
        )
    answer = web.ask("POST", "/api/v3/configure/token/admin", accept=None)
    if not answer.is_success:
        raise ProvisionError(
            f"InfluxDB at {web.url} has to know who creates things ({said(answer)}). "
            "Give an admin token in LINESIDE_INFLUX_ADMIN_TOKEN"
        )
    done.operator = str(answer.json()["token"])
    done.note(CREATED, "operator token, the server's first")
    return done.operator


def _database(web: Web, done: Provisioned, token: str, name: str, keep: timedelta | None) -> None:
    known = web.ask("GET", _DATABASES, params={"format": "json"}, token=token).json()
    period = {} if keep is None else {"retention_period": f"{int(keep.total_seconds())}s"}
    if name not in [row["iox::database"] for row in known]:
        web.ask("POST", _DATABASES, json={"db": name, **period}, token=token)
        done.note(CREATED, f"database {name}: kept {kept(keep)}")
        return
    rows = _select(
        web, token, "SELECT database_name, retention_period_ns FROM system.databases WHERE deleted = false"
    )
    before = next((row["retention_period_ns"] for row in rows if row["database_name"] == name), None)
    lasted = timedelta(microseconds=int(str(before)) // 1000) if before else None
    if lasted == keep:
        done.note(THERE, f"database {name}: kept {kept(keep)}")
        return
    answer = web.ask("PUT", _DATABASES, json={"db": name, **period}, token=token, accept=None)
    if answer.status_code in (404, 405):
        done.note(THERE, f"database {name}: kept {kept(lasted)}")
        done.notes.append(
            f"This InfluxDB cannot change how long a database keeps ({kept(lasted)}, not {kept(keep)}): upgrade it."
        )
        return
    if not answer.is_success:
        raise ProvisionError(f"InfluxDB at {web.url} did not change the retention of {name}: {said(answer)}")
    done.note(CHANGED, f"database {name}: kept {kept(keep)}, before {kept(lasted)}")


def _token(web: Web, done: Provisioned, token: str, settings: InfluxSettings, *, enterprise: bool) -> None:
    name = f"lineside-{settings.bucket}".replace("/", "-")
    if settings.token:
        query = {"db": settings.bucket, "q": "SHOW MEASUREMENTS LIMIT 1"}
        if web.ask("GET", "/query", params=query, token=settings.token, accept=None).status_code in (
            401,
            403,
        ):
            raise ProvisionError(f"InfluxDB at {web.url} does not know the token of [historian]: correct it")
        done.note(THERE, "token of [historian], known to the server")
        return
    if not token:
        done.notes.append("The server asks nobody who they are: no token is needed.")
        return
    if name in [row["name"] for row in _select(web, token, "SELECT name FROM system.tokens")]:
        done.note(THERE, f"token {name}")
        done.notes.append(
            f"The server does not say the token {name} again. If it is lost, delete it there and run this again."
        )
        return
    if enterprise:
        permission = {
            "resource_type": "db",
            "resource_identifier": [settings.bucket],
            "actions": ["read", "write"],
        }
        body: dict[str, object] = {"token_name": name, "permissions": [permission]}
        answer = web.ask("POST", "/api/v3/enterprise/configure/token", json=body, token=token)
        done.note(CREATED, f"token {name}: reads and writes this database, nothing else")
    else:
        answer = web.ask(
            "POST", "/api/v3/configure/token/named_admin", json={"token_name": name}, token=token
        )
        done.note(CREATED, f"token {name}")
        done.notes.append("InfluxDB 3 Core has admin tokens only: this one may do everything on that server.")
    done.token = str(answer.json()["token"])


def _select(web: Web, token: str, query: str) -> list[dict[str, object]]:
    body = {"db": "_internal", "q": query, "format": "json"}
    return list(web.ask("POST", "/api/v3/query_sql", json=body, token=token).json())
