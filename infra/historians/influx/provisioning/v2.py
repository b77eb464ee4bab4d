"""InfluxDB 2.x: organisation, bucket, the mapping InfluxQL reads it by, and a token for that bucket alone."""

from datetime import timedelta
from typing import Any

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

DEFAULT_POLICY = "autogen"
"""The retention policy InfluxQL looks in when none is named."""

_GIVE = "Give its operator token in LINESIDE_INFLUX_ADMIN_TOKEN, or --admin-user and LINESIDE_INFLUX_ADMIN_PASSWORD"


def provision(
    web: Web, version: str, settings: InfluxSettings, keep: timedelta | None, admin: Admin
) -> Provisioned:
    """See the package. A server that was never set up gets its first user, `admin`."""
    if settings.org == "-":
        raise ProvisionError(
            f'{web.url} is an InfluxDB {version}: say which organisation with org = "..." in [historian]'
        )
    done = Provisioned(server=f"InfluxDB {version}")
    seconds = 0 if keep is None else int(keep.total_seconds())
    server = _Server(web, _signed_in(web, done, settings, seconds, admin))
    org = _organisation(server, done, settings.org)
    bucket = _bucket(server, done, org, settings.bucket, seconds)
    _mapping(server, done, org, bucket, settings.bucket)
    _token(server, done, org, bucket, settings)
    return done


class _Server:
    """Requests with the administrator's token, or with the session of a sign-in when it is empty."""

    def __init__(self, web: Web, token: str) -> None:
        self.web = web
        self._token = token

    def find(self, path: str, key: str, **params: str) -> list[dict[str, Any]]:
        """What is there; older servers answer 404 to a name that is not."""
        answer = self.web.ask("GET", path, params=params, token=self._token, accept=(200, 404))
        return list(answer.json().get(key) or []) if answer.status_code == 200 else []

    def change(self, method: str, path: str, body: object) -> dict[str, Any]:
        return dict(self.web.ask(method, path, json=body, token=self._token).json())


def _signed_in(web: Web, done: Provisioned, settings: InfluxSettings, seconds: int, admin: Admin) -> str:
    if web.ask("GET", "/api/v2/setup").json()["allowed"]:
        if not admin.user or not admin.password:
            raise ProvisionError(
                f"InfluxDB at {web.url} was never set up: say who its first user shall be with --admin-user "
                "and LINESIDE_INFLUX_ADMIN_PASSWORD"
            )
        body = {
            "username": admin.user,
            "password": admin.password,
            "org": settings.org,
            "bucket": settings.bucket,
            "retentionPeriodSeconds": seconds,
            **({"token": admin.token} if admin.token else {}),
        }
        answer = web.ask("POST", "/api/v2/setup", json=body).json()
        done.note(CREATED, f"first user {admin.user}, organisation {settings.org}, bucket {settings.bucket}")
        token = str(answer["auth"]["token"])
        done.operator = "" if admin.token else token
        return token
    if admin.token:
        _check(web, admin.token, "the token in LINESIDE_INFLUX_ADMIN_TOKEN")
        return admin.token
    if not admin.user:
        raise ProvisionError(f"InfluxDB at {web.url} has to know who creates things. {_GIVE}")
    answer = web.ask("POST", "/api/v2/signin", user=(admin.user, admin.password), accept=None)
    if not answer.is_success:
        raise ProvisionError(f"InfluxDB at {web.url} did not let {admin.user} in: {said(answer)}. {_GIVE}")
    return ""


def _check(web: Web, token: str, what: str) -> None:
    if web.ask("GET", "/api/v2/buckets", params={"limit": "1"}, token=token, accept=None).status_code == 401:
        raise ProvisionError(f"InfluxDB at {web.url} does not know {what}: correct it")


def _organisation(server: _Server, done: Provisioned, name: str) -> str:
    found = server.find("/api/v2/orgs", "orgs", org=name)
    if found:
        done.note(THERE, f"organisation {name}")
        return str(found[0]["id"])
    made = server.change("POST", "/api/v2/orgs", {"name": name})
    done.note(CREATED, f"organisation {name}")
    return str(made["id"])


def _bucket(server: _Server, done: Provisioned, org: str, name: str, seconds: int) -> str:
    rules = [{"type": "expire", "everySeconds": seconds}]
    found = server.find("/api/v2/buckets", "buckets", orgID=org, name=name)
    if not found:
        made = server.change("POST", "/api/v2/buckets", {"orgID": org, "name": name, "retentionRules": rules})
        done.note(CREATED, f"bucket {name}: kept {_kept(seconds)}")
        return str(made["id"])
    bucket = str(found[0]["id"])
    # No rule is for ever, and so is one of no seconds.
    before = next((int(rule["everySeconds"]) for rule in found[0].get("retentionRules") or []), 0)
    if before == seconds:
        done.note(THERE, f"bucket {name}: kept {_kept(seconds)}")
    else:
        server.change("PATCH", f"/api/v2/buckets/{bucket}", {"retentionRules": rules})
        done.note(CHANGED, f"bucket {name}: kept {_kept(seconds)}, before {_kept(before)}")
    return bucket


def _mapping(server: _Server, done: Provisioned, org: str, bucket: str, name: str) -> None:
    """InfluxQL knows databases and retention policies, and reads a bucket by the two it is mapped to."""
    database, _, policy = name.partition("/")
    what = f"InfluxQL mapping of {name}"
    for mapping in server.find("/api/v2/dbrps", "content", orgID=org, db=database):
        if mapping["retention_policy"] == policy or (not policy and mapping["default"]):
            if mapping["bucketID"] == bucket:
                done.note(THERE, what)
                return
            if not mapping.get("virtual"):
                raise ProvisionError(
                    f"InfluxQL database {database} at {server.web.url} is mapped to another bucket than {name}: "
                    "remove that mapping (influx v1 dbrp delete), or choose another bucket"
                )
    server.change(
        "POST",
        "/api/v2/dbrps",
        {
            "orgID": org,
            "bucketID": bucket,
            "database": database,
            "retention_policy": policy or DEFAULT_POLICY,
            "default": not policy,
        },
    )
    done.note(CREATED, what)


def _token(server: _Server, done: Provisioned, org: str, bucket: str, settings: InfluxSettings) -> None:
    name = f"Lineside: {settings.bucket}"
    if settings.token:
        _check(server.web, settings.token, "the token of [historian]")
        done.note(THERE, "token of [historian], known to the server")
        return
    known = server.find("/api/v2/authorizations", "authorizations", orgID=org)
    if any(token.get("description") == name for token in known):
        done.note(THERE, f'token "{name}"')
        done.notes.append(
            f'The server keeps the token "{name}" to itself. If it is lost, delete it there and run this again.'
        )
        return
    resource = {"type": "buckets", "id": bucket, "orgID": org}
    permissions = [{"action": action, "resource": resource} for action in ("read", "write")]
    made = server.change(
        "POST", "/api/v2/authorizations", {"orgID": org, "description": name, "permissions": permissions}
    )
    done.token = str(made["token"])
    done.note(CREATED, f'token "{name}": reads and writes this bucket, nothing else')


def _kept(seconds: int) -> str:
    return kept(timedelta(seconds=seconds) if seconds else None)
