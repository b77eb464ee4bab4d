"""`lineside provision` on InfluxDB 2.x and 3.x. The servers here are scripted: they answer as the documentation
says 2.x and 3.x do, no InfluxDB runs. tests/contracts/test_provision_server.py has the same on a real 1.6."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from infra.cli.provision import run
from infra.historians.influx.provisioning import Admin, Provisioned, ProvisionError, provision
from infra.historians.influx.settings import InfluxSettings

DAY = timedelta(days=1)
Answer = tuple[int, object] | tuple[int, object, dict[str, str]]


@dataclass
class Request:
    """One request, as a scripted server sees it."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    authorization: str
    cookie: str


@contextmanager
def serving(reply: Callable[[Request], Answer]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            parts = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_json = self.headers.get("Content-Type") == "application/json"
            status, said, *more = reply(
                Request(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    json.loads(sent) if is_json else dict(parse_qsl(sent.decode())),
                    self.headers.get("Authorization", ""),
                    self.headers.get("Cookie", ""),
                )
            )
            body = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(more[0] if more else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815 (what http.server calls)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def settings(url: str, **changed: str) -> InfluxSettings:
    known = {"bucket": "plant", "token": "", "user": "", "password": "", "org": "works"}
    return InfluxSettings(url=url, **{**known, **changed})  # type: ignore[arg-type]


def steps(done: Provisioned) -> list[tuple[str, str]]:
    return [(step.state, step.what) for step in done.steps]


def states(done: Provisioned) -> list[str]:
    return [step.state for step in done.steps]


@dataclass
class Two:
    """What a scripted InfluxDB 2.x knows."""

    fresh: bool = False
    tokens: set[str] = field(default_factory=lambda: {"operator"})
    orgs: list[dict[str, Any]] = field(default_factory=list)
    buckets: list[dict[str, Any]] = field(default_factory=list)
    dbrps: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[dict[str, Any]] = field(default_factory=list)
    has_virtual: bool = True
    """2.4 and newer map every bucket by themselves."""
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        match request.method, request.path:
            case "GET", "/ping":
                return 204, None, {"X-Influxdb-Version": "v2.7.12", "X-Influxdb-Build": "OSS"}
            case "GET", "/api/v2/setup":
                return 200, {"allowed": self.fresh}
            case "POST", "/api/v2/setup":
                assert self.fresh
                return self._set_up(request.body)
            case "POST", "/api/v2/signin":
                known = request.authorization == "Basic Ym9zczpzZWNyZXQxMg=="  # boss:secret12
                return (204, None, {"Set-Cookie": "session=yes; Path=/"}) if known else (401, {"code": "x"})
        token = request.authorization.removeprefix("Token ")
        if token not in self.tokens and "session=yes" not in request.cookie:
            return 401, {"code": "unauthorized", "message": "unauthorized access"}
        return self._manage(request)

    def _set_up(self, body: dict[str, Any]) -> Answer:
        self.fresh = False
        token = body.get("token", "made-operator")
        self.tokens.add(token)
        self.orgs.append({"id": "o1", "name": body["org"]})
        rules = [{"type": "expire", "everySeconds": body["retentionPeriodSeconds"]}]
        self._add_bucket({"name": body["bucket"], "orgID": "o1", "retentionRules": rules})
        return 201, {"auth": {"token": token}}

    def _add_bucket(self, body: dict[str, Any]) -> dict[str, Any]:
        bucket = {"id": f"b{len(self.buckets)}", **body}
        self.buckets.append(bucket)
        if self.has_virtual:
            mapping = {"database": body["name"], "retention_policy": "autogen", "default": True}
            self.dbrps.append({**mapping, "bucketID": bucket["id"], "orgID": body["orgID"], "virtual": True})
        return bucket

    def _manage(self, request: Request) -> Answer:
        query, body = request.query, request.body
        match request.method, request.path.removeprefix("/api/v2/").split("/"):
            case "GET", ["orgs"]:
                found = [o for o in self.orgs if o["name"] == query["org"]]
                return (200, {"orgs": found}) if found else (404, {"code": "not found"})
            case "POST", ["orgs"]:
                self.orgs.append({"id": "o1", **body})
                return 201, self.orgs[-1]
            case "GET", ["buckets"]:
                found = [b for b in self.buckets if b["name"] == query.get("name", b["name"])]
                return 200, {"buckets": found}
            case "POST", ["buckets"]:
                return 201, self._add_bucket(body)
            case "PATCH", ["buckets", bucket]:
                (found,) = (b for b in self.buckets if b["id"] == bucket)
                found.update(body)
                return 200, found
            case "GET", ["dbrps"]:
                return 200, {"content": [d for d in self.dbrps if d["database"] == query["db"]]}
            case "POST", ["dbrps"]:
                self.dbrps.append(body)
                return 201, body
            case "GET", ["authorizations"]:
                return 200, {"authorizations": self.authorizations}
            case "POST", ["authorizations"]:
                self.authorizations.append(body)
                self.tokens.add("made-token")
                return 201, {**body, "token": "made-token"}
        return 404, {"code": "not found", "message": "path not found"}


OPERATOR = Admin(token="operator")


def test_two_gets_organisation_bucket_and_a_token_for_that_bucket_alone() -> None:
    server = Two()
    with serving(server) as url:
        done = provision(settings(url), 30 * DAY, OPERATOR)
        assert done.server == "InfluxDB 2.7.12"
        assert states(done) == ["created", "created", "there", "created"]
        assert done.token == "made-token"
        assert not done.operator
    assert server.buckets[0]["retentionRules"] == [{"type": "expire", "everySeconds": 30 * 86_400}]
    (token,) = server.authorizations
    bucket = {"type": "buckets", "id": "b0", "orgID": "o1"}
    assert token["permissions"] == [
        {"action": "read", "resource": bucket},
        {"action": "write", "resource": bucket},
    ]


def test_two_a_second_time_changes_nothing_and_a_changed_keep_is_applied() -> None:
    server = Two()
    with serving(server) as url:
        token = provision(settings(url), 30 * DAY, OPERATOR).token
        again = provision(settings(url), 30 * DAY, OPERATOR)
        assert set(states(again)) == {"there"}
        assert not again.token
        assert "delete it there" in again.notes[0]
        assert set(states(provision(settings(url, token=token), 30 * DAY, OPERATOR))) == {"there"}
        changed = provision(settings(url, token=token), None, OPERATOR)
        assert ("changed", "bucket plant: kept for ever, before 30 days") in steps(changed)
        assert server.buckets[0]["retentionRules"] == [{"type": "expire", "everySeconds": 0}]
        assert len(server.authorizations) == len(server.buckets) == len(server.orgs) == 1


def test_two_that_was_never_set_up_gets_its_first_user() -> None:
    server = Two(fresh=True)
    with serving(server) as url:
        with pytest.raises(ProvisionError, match="never set up: say who its first user"):
            provision(settings(url), DAY, Admin())
        done = provision(settings(url), DAY, Admin(user="boss", password="secret12"))
        assert done.operator == "made-operator"
        assert done.token == "made-token"
        assert states(done) == ["created", "there", "there", "there", "created"]
        (setup,) = (r.body for r in server.requests if r.method == "POST" and r.path == "/api/v2/setup")
        assert setup == {
            "username": "boss",
            "password": "secret12",
            "org": "works",
            "bucket": "plant",
            "retentionPeriodSeconds": 86_400,
        }


def test_two_takes_a_user_and_password_instead_of_a_token() -> None:
    with serving(Two()) as url:
        done = provision(settings(url), DAY, Admin(user="boss", password="secret12"))
        assert done.token == "made-token"
        with pytest.raises(ProvisionError, match="did not let boss in"):
            provision(settings(url), DAY, Admin(user="boss", password="wrong"))
        with pytest.raises(ProvisionError, match="LINESIDE_INFLUX_ADMIN_TOKEN"):
            provision(settings(url), DAY, Admin())
        with pytest.raises(ProvisionError, match="does not know the token in LINESIDE_INFLUX_ADMIN_TOKEN"):
            provision(settings(url), DAY, Admin(token="wrong"))
        with pytest.raises(ProvisionError, match=r"does not know the token of \[historian\]"):
            provision(settings(url, token="wrong"), DAY, OPERATOR)
        with pytest.raises(ProvisionError, match=r"say which organisation"):
            provision(settings(url, org="-"), DAY, OPERATOR)


@pytest.mark.parametrize(
    ("bucket", "expected"), [("plant", ("plant", "autogen", True)), ("plant/raw", ("plant", "raw", False))]
)
def test_two_before_2_4_is_told_how_influxql_finds_the_bucket(
    bucket: str, expected: tuple[str, str, bool]
) -> None:
    server = Two(has_virtual=False)
    with serving(server) as url:
        done = provision(settings(url, bucket=bucket), DAY, OPERATOR)
        assert ("created", f"InfluxQL mapping of {bucket}") in steps(done)
        (mapping,) = server.dbrps
        assert (mapping["database"], mapping["retention_policy"], mapping["default"]) == expected
        assert mapping["bucketID"] == "b0"
        provision(settings(url, bucket=bucket), DAY, OPERATOR)
        assert len(server.dbrps) == 1


def test_two_does_not_take_a_mapping_away_from_another_bucket() -> None:
    mapping = {"database": "plant", "retention_policy": "autogen", "default": True}
    server = Two(has_virtual=False, dbrps=[{**mapping, "bucketID": "elsewhere", "virtual": False}])
    with serving(server) as url, pytest.raises(ProvisionError, match="mapped to another bucket"):
        provision(settings(url), DAY, OPERATOR)
    assert len(server.dbrps) == 1


@dataclass
class Three:
    """What a scripted InfluxDB 3 knows: databases and how long they keep in nanoseconds, tokens by name."""

    build: str = "Core"
    asks: bool = True
    """Whether it wants to know who asks."""
    can_change: bool = True
    databases: dict[str, int | None] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    bodies: list[Any] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        token = request.authorization.removeprefix("Bearer ")
        where = (request.method, request.path)
        if where == ("POST", "/api/v3/configure/token/admin"):
            if "_admin" in self.tokens:
                return 409, {"error": "token name already exists, _admin"}
            self.tokens["_admin"] = "apiv3_operator"
            return 201, {"name": "_admin", "token": "apiv3_operator"}
        if self.asks and token not in self.tokens.values():
            return 401, {"error": "the request was not authenticated"}
        match where:
            case "GET", "/ping":
                version = {"X-Influxdb-Version": "3.2.1", "X-Influxdb-Build": self.build}
                return 200, {"version": "3.2.1"}, version
            case "GET", "/query":
                return 200, {"results": [{"statement_id": 0}]}
            case "GET", "/api/v3/configure/database":
                return 200, [{"iox::database": name} for name in ("_internal", *self.databases)]
            case "POST", "/api/v3/query_sql":
                return 200, self._rows(request.body["q"])
        self.bodies.append(request.body)
        match where:
            case "POST", "/api/v3/configure/database":
                return self._keep(request.body)
            case "PUT", "/api/v3/configure/database" if self.can_change:
                return self._keep(request.body)
            case "POST", "/api/v3/configure/token/named_admin":
                return self._add(request.body["token_name"])
            case "POST", "/api/v3/enterprise/configure/token" if self.build == "Enterprise":
                return self._add(request.body["token_name"])
        return 404, "not found"

    def _keep(self, body: dict[str, str]) -> Answer:
        period = body.get("retention_period")
        self.databases[body["db"]] = int(period.removesuffix("s")) * 10**9 if period else None
        return 200, None

    def _add(self, name: str) -> Answer:
        assert name not in self.tokens
        self.tokens[name] = f"apiv3_{name}"
        return 201, {"name": name, "token": self.tokens[name]}

    def _rows(self, query: str) -> list[dict[str, object]]:
        if "system.tokens" in query:
            return [{"name": name} for name in self.tokens]
        return [{"database_name": n, "retention_period_ns": ns} for n, ns in self.databases.items()]


def test_three_gets_a_database_and_a_token() -> None:
    server = Three(tokens={"_admin": "boss"})
    with serving(server) as url:
        done = provision(settings(url), 30 * DAY, Admin(token="boss"))
        assert done.server == "InfluxDB 3.2.1 Core"
        assert steps(done) == [
            ("created", "database plant: kept 30 days"),
            ("created", "token lineside-plant"),
        ]
        assert done.token == "apiv3_lineside-plant"
        assert "admin tokens only" in done.notes[0]
        assert server.bodies[0] == {"db": "plant", "retention_period": f"{30 * 86_400}s"}
        again = provision(settings(url), 30 * DAY, Admin(token="boss"))
        assert states(again) == ["there", "there"]
        with_token = provision(settings(url, token=done.token), 31 * DAY, Admin(token="boss"))
        assert steps(with_token)[0] == ("changed", "database plant: kept 31 days, before 30 days")
        forever = provision(settings(url, token=done.token), None, Admin(token="boss"))
        assert steps(forever)[0] == ("changed", "database plant: kept for ever, before 31 days")
        assert server.databases == {"plant": None}


def test_three_enterprise_gives_a_token_for_that_database_alone() -> None:
    server = Three(build="Enterprise", tokens={"_admin": "boss"})
    with serving(server) as url:
        provision(settings(url), None, Admin(token="boss"))
    permission = {"resource_type": "db", "resource_identifier": ["plant"], "actions": ["read", "write"]}
    assert server.bodies == [
        {"db": "plant"},
        {"token_name": "lineside-plant", "permissions": [permission]},
    ]


def test_three_without_a_token_makes_its_operator_token_once() -> None:
    server = Three()
    with serving(server) as url:
        done = provision(settings(url), DAY, Admin())
        assert done.operator == "apiv3_operator"
        assert done.server == "InfluxDB 3.2.1 Core"
        with pytest.raises(ProvisionError, match="LINESIDE_INFLUX_ADMIN_TOKEN"):
            provision(settings(url), DAY, Admin())
        with pytest.raises(ProvisionError, match="does not take the token"):
            provision(settings(url), DAY, Admin(token="wrong"))
        with pytest.raises(ProvisionError, match=r"token of \[historian\]"):
            provision(settings(url, token="wrong"), DAY, Admin(token=done.operator))


def test_three_that_asks_nobody_needs_no_token() -> None:
    with serving(Three(asks=False)) as url:
        done = provision(settings(url), DAY, Admin())
        assert states(done) == ["created"]
        assert "no token is needed" in done.notes[0]


def test_three_that_cannot_change_how_long_it_keeps_says_so() -> None:
    with serving(Three(asks=False, can_change=False)) as url:
        provision(settings(url), DAY, Admin())
        done = provision(settings(url), 2 * DAY, Admin())
        assert steps(done) == [("there", "database plant: kept 1 day")]
        assert "1 day, not 2 days" in done.notes[0]


def test_what_is_no_influxdb_is_left_alone() -> None:
    asked: list[Request] = []

    def other(request: Request) -> Answer:
        asked.append(request)
        return 200, {"hello": "world"}

    with serving(other) as url, pytest.raises(ProvisionError, match="is this the right address"):
        provision(settings(url), DAY, OPERATOR)
    assert [(r.method, r.path) for r in asked] == [("GET", "/ping")]
    with pytest.raises(ProvisionError, match="cannot be reached"):
        provision(settings("http://127.0.0.1:9"), DAY, OPERATOR)


PLANT = """
schema = 1
[site]
id = "s"
name = "Site"
zone = "UTC"
[[source]]
id = "adapter"
protocol = "shdr"
host = { env = "NOT_NEEDED_HERE" }
"""


def test_the_command_says_what_it_did_and_where_the_token_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plant.toml"
    server = Two()
    monkeypatch.setenv("LINESIDE_INFLUX_ADMIN_TOKEN", "operator")
    monkeypatch.delenv("MES_TOKEN", raising=False)
    with serving(server) as url:
        path.write_text(
            f'{PLANT}[historian]\nkind = "influxdb"\nkeep = "30d"\nurl = "{url}"\nbucket = "plant"\n'
            'org = "works"\ntoken = { env = "MES_TOKEN" }\n'
        )
        assert run(path, tmp_path / "data", "") == 0
        out = capsys.readouterr().out
        assert "created  bucket plant: kept 30 days\n" in out
        assert "MES_TOKEN=made-token\n" in out
        assert "made by `lineside up`" in out
        monkeypatch.setenv("MES_TOKEN", "made-token")
        assert run(path, tmp_path / "data", "") == 0
        out = capsys.readouterr().out
        assert "created" not in out
        assert "made-token" not in out
    assert run(path, tmp_path / "data", "") == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_plant_with_everything_in_its_data_folder_needs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(PLANT)
    assert run(path, tmp_path / "data", "") == 0
    assert capsys.readouterr().out.count("made by `lineside up`") == 2
    assert not (tmp_path / "data").exists()
    path.write_text(f"{PLANT}[historian]\nkind = 'infludb'\n")
    assert run(path, tmp_path / "data", "") == 1
    assert '"influxdb"?' in capsys.readouterr().err
