"""InfluxDB 1.x: a database, its retention policy, and the user that reads and writes it, by InfluxQL."""

import re
from datetime import timedelta
from typing import Any

import httpx

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
from infra.historians.influx.settings import ANYBODY, InfluxSettings

DEFAULT_POLICY = "autogen"
"""The name the server itself gives to a policy nobody named."""

_DAY = timedelta(days=1)
_GO_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def provision(
    web: Web, version: str, settings: InfluxSettings, keep: timedelta | None, admin: Admin
) -> Provisioned:
    """See the package. The server's first user is made the administrator `admin` names."""
    if settings.user == ANYBODY:
        raise ProvisionError(
            f"InfluxDB {version} at {web.url} knows users, not tokens: write user and password in [historian]"
        )
    done = Provisioned(server=f"InfluxDB {version}")
    server = _Server(web, admin)
    if server.is_fresh():
        server.make_admin()
        done.note(CREATED, f"administrator {admin.user}, the server's first user")
    database, _, policy = settings.bucket.partition("/")
    _keep(server, done, database, policy, keep)
    if settings.user:
        _let_in(server, done, database, settings)
    else:
        done.notes.append(
            "[historian] names no user: that works only on a server that asks nobody who they are."
        )
    return done


class _Server:
    def __init__(self, web: Web, admin: Admin) -> None:
        self.web = web
        self._admin = admin
        self._auth = (admin.user, admin.password) if admin.user else None

    def run(self, statement: str, user: tuple[str, str] | None = None) -> list[dict[str, Any]]:
        """The rows of the answer. Raises ProvisionError."""
        answer = self.web.ask("POST", "/query", data={"q": statement}, user=user or self._auth, accept=None)
        shown = statement.split(" WITH PASSWORD")[0]
        if answer.status_code in (401, 403):
            raise ProvisionError(
                f"InfluxDB at {self.web.url} refused `{shown}`: {said(answer)}. Give an administrator with "
                "--admin-user and LINESIDE_INFLUX_ADMIN_PASSWORD"
            )
        result: dict[str, Any] = {"error": said(answer)}
        if answer.status_code == httpx.codes.OK:
            result = answer.json()["results"][0]
        if "error" in result:
            raise ProvisionError(f"InfluxDB at {self.web.url} refused `{shown}`: {result['error']}")
        return [
            dict(zip(series["columns"], row, strict=True))
            for series in result.get("series", [])
            for row in series.get("values", [])
        ]

    def is_fresh(self) -> bool:
        """Whether it asks for its first user before it does anything."""
        answer = self.web.ask("POST", "/query", data={"q": "SHOW USERS"}, accept=None)
        return "create admin user first" in answer.text

    def make_admin(self) -> None:
        if not self._admin.user or not self._admin.password:
            raise ProvisionError(
                f"InfluxDB at {self.web.url} has no users yet: say who its administrator shall be with "
                "--admin-user and LINESIDE_INFLUX_ADMIN_PASSWORD"
            )
        name, password = _name(self._admin.user), _text(self._admin.password)
        self.run(f"CREATE USER {name} WITH PASSWORD {password} WITH ALL PRIVILEGES")

    def lets_in(self, user: str, password: str) -> bool:
        answer = self.web.ask(
            "POST", "/query", data={"q": "SHOW DATABASES"}, user=(user, password), accept=None
        )
        return answer.status_code != 401


def _keep(server: _Server, done: Provisioned, database: str, policy: str, keep: timedelta | None) -> None:
    lasts = "INF" if keep is None else f"{int(keep.total_seconds())}s"
    if database not in [row["name"] for row in server.run("SHOW DATABASES")]:
        policy = policy or DEFAULT_POLICY
        server.run(
            f"CREATE DATABASE {_name(database)} WITH DURATION {lasts} REPLICATION 1 NAME {_name(policy)}"
        )
        done.note(CREATED, f"database {database}, retention policy {policy}: kept {kept(keep)}")
        return
    policies = {row["name"]: row for row in server.run(f"SHOW RETENTION POLICIES ON {_name(database)}")}
    policy = policy or next((name for name, row in policies.items() if row["default"]), DEFAULT_POLICY)
    on = f"RETENTION POLICY {_name(policy)} ON {_name(database)}"
    done.note(THERE, f"database {database}")
    if policy not in policies:
        server.run(f"CREATE {on} DURATION {lasts} REPLICATION 1")
        done.note(CREATED, f"retention policy {policy}: kept {kept(keep)}")
        return
    before = _duration(policies[policy]["duration"])
    if before == keep:
        done.note(THERE, f"retention policy {policy}: kept {kept(keep)}")
        return
    # Data goes a shard at a time, so the server refuses shards that are longer than it keeps data.
    shard = _duration(policies[policy]["shardGroupDuration"])
    shorter = " SHARD DURATION 1d" if keep and shard and shard > keep else ""
    server.run(f"ALTER {on} DURATION {lasts}{shorter}")
    done.note(CHANGED, f"retention policy {policy}: kept {kept(keep)}, before {kept(before)}")


def _let_in(server: _Server, done: Provisioned, database: str, settings: InfluxSettings) -> None:
    user, password = settings.user, settings.password
    users = {row["user"]: row["admin"] for row in server.run("SHOW USERS")}
    if user not in users:
        server.run(f"CREATE USER {_name(user)} WITH PASSWORD {_text(password)}")
        done.note(CREATED, f"user {user}")
    elif server.lets_in(user, password):
        done.note(THERE, f"user {user}")
    else:
        raise ProvisionError(
            f"InfluxDB at {server.web.url} has a user {user} with another password: give that one to Lineside, "
            "or change it on the server with SET PASSWORD"
        )
    if users.get(user):
        done.note(THERE, f"all rights of {user}, an administrator")
        return
    granted = {row["database"]: row["privilege"] for row in server.run(f"SHOW GRANTS FOR {_name(user)}")}
    if granted.get(database) == "ALL PRIVILEGES":
        done.note(THERE, f"rights of {user} on {database}")
        return
    server.run(f"GRANT ALL ON {_name(database)} TO {_name(user)}")
    done.note(CREATED, f"rights of {user} on {database}")


def _duration(text: str) -> timedelta | None:
    """ "9600h0m0s" as the server writes it; "0s" is for ever."""
    match = _GO_DURATION.fullmatch(text)
    if match is None:
        raise ProvisionError(f"InfluxDB says a retention policy lasts {text!r}, which is not understood")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds) or None


def _name(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
