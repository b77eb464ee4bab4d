"""The REST API over a plant in memory: answers, refusals that name the parameter, and the guards."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from dashboards.app import create_app
from dashboards.live import Broadcast

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def broadcast() -> Broadcast:
    return Broadcast()


@pytest.fixture
def client(board_backend: Any, broadcast: Broadcast) -> Iterator[TestClient]:
    with TestClient(create_app(board_backend, broadcast), base_url=BASE) as client:
        yield client


def test_board_is_the_last_tick_and_304_when_unchanged(
    client: TestClient, board_backend: Any, broadcast: Broadcast
) -> None:
    snapshot = board_backend.snapshot()
    broadcast.publish(snapshot)
    first = client.get("/api/v1/board")
    assert first.json()["revision"] == snapshot["revision"]
    assert len(first.json()["machines"]) == 9
    again = client.get("/api/v1/board", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_kpis_add_up_over_lines(client: TestClient) -> None:
    window = {"from": "2026-03-04T05:00:00Z", "to": "2026-03-04T09:00:00Z"}
    lines = client.get("/api/v1/kpis", params=window | {"by": "line"}).json()["rows"]
    whole = client.get("/api/v1/kpis", params=window).json()["rows"][0]
    assert {row["line"] for row in lines} == {"bottling", "machining", "pressing"}
    for name in ("duration", "running", "good", "oee_numerator"):
        assert sum(row[name] for row in lines) == whole[name]
    assert whole["duration"] == 9 * 4 * 3600 * 1_000_000


def test_a_kpi_is_explained_by_the_rows_of_its_group_and_saved_as_a_file(client: TestClient) -> None:
    window = {"from": "2026-03-04T05:00:00Z", "to": "2026-03-04T09:00:00Z", "by": "equipment"}
    asked = window | {"kpi": "oee,mtbf", "convention": "iso22400"}
    rows = {r["equipment"]: r for r in client.get("/api/v1/kpis", params=asked).json()["rows"]}
    said = client.get("/api/v1/kpis/oee/explanation", params=window | {"of": "filler"}).json()
    assert said["value"] == rows["filler"]["oee"]
    for side in said["sides"]:
        assert (
            sum(g["amount"] for g in side["groups"])
            == side["amount"]
            == rows["filler"][f"oee_{side['name']}"]
        )
        assert {r["equipment"] for r in side["rows"]} == {"filler"}
    lines = client.get("/api/v1/kpis", params=asked | {"format": "csv"}).text.splitlines()
    assert lines[0].startswith("equipment,start,end,oee,oee_numerator,oee_denominator,mtbf,")
    assert len(lines) == 1 + len(rows)
    assert {"oee", "mtta"} <= {kpi["id"] for kpi in client.get("/api/v1/kpis/catalogue").json()}
    refused = client.get("/api/v1/kpis/oea/explanation")
    assert (refused.status_code, refused.json()["error"][:24]) == (400, "kpi: 'oea' is not one of")


def test_kpis_by_hour_are_cut_at_local_hours(client: TestClient) -> None:
    window = {"from": "2026-03-04T05:30:00Z", "to": "2026-03-04T08:00:00Z"}
    rows = client.get("/api/v1/kpis", params=window | {"by": "hour"}).json()["rows"]
    assert [row["duration"] // 9 // 60_000_000 for row in rows] == [30, 60, 60]


def test_a_bridge_ends_where_the_other_window_stands(client: TestClient) -> None:
    window = {"from": "2026-03-04T07:00:00Z", "to": "2026-03-04T09:00:00Z"}
    before = {"before_from": "2026-03-04T05:00:00Z", "before_to": "2026-03-04T07:00:00Z"}
    found = client.get("/api/v1/bridge", params=window | before).json()
    reached = found["oee_before"] + sum(effect["points"] for effect in found["effects"])
    assert reached == pytest.approx(found["oee_after"])
    assert all(effect["name"] for effect in found["effects"])
    assert found["oee_after"] == client.get("/api/v1/kpis", params=window).json()["rows"][0]["oee"]
    unseen = {"before_from": "2020-01-01T00:00:00Z", "before_to": "2020-01-02T00:00:00Z"}
    refused = client.get("/api/v1/bridge", params=window | unseen)
    assert refused.status_code == 400 and "the first window has no known planned time" in refused.text


def test_what_to_work_on(client: TestClient) -> None:
    window = {"from": "2026-03-04T05:00:00Z", "to": "2026-03-04T09:00:00Z"}
    verdicts = {
        row["equipment"]: row["verdict"]
        for row in client.get("/api/v1/ideal-cycles", params=window).json()["rows"]
    }
    assert verdicts["cnc-1"] == "right" and verdicts["filler"] == "right"
    found = client.get("/api/v1/bottlenecks", params=window).json()
    assert {span["line"] for span in found["spans"]} == {"bottling", "machining"}
    assert found["shares"][0]["share"] == 1
    assert client.get("/api/v1/micro-stops", params=window).json() == {"rows": []}


def test_ledger_pages_hold_every_row_once(client: TestClient) -> None:
    query = {"from": "2026-03-04T05:00:00Z", "to": "2026-03-04T09:00:00Z", "equipment": "machining"}
    whole = client.get("/api/v1/ledger", params=query).json()
    paged: list[Any] = []
    offset = 0
    while offset is not None:
        page = client.get("/api/v1/ledger", params=query | {"limit": 3, "offset": offset}).json()
        paged += page["rows"]
        offset = page["next"]
    assert paged == whole["rows"]
    assert {row["equipment"] for row in paged} == {"cnc-1", "cnc-2"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/kpis?from=yesterday", "from: 'yesterday' is not a time"),
        ("/api/v1/kpis?from=2026-03-04T06:00:00", "from: '2026-03-04T06:00:00' says no zone"),
        ("/api/v1/kpis?from=2026-03-04T06:00:00Z&to=2026-03-04T05:00:00Z", "from:"),
        ("/api/v1/kpis?from=0001-01-01T00:00:00%2B14:00", "from: '0001-01-01T00:00:00+14:00' is outside"),
        ("/api/v1/kpis?from=2020-01-01T00:00:00Z", "at most 400"),
        ("/api/v1/kpis?by=colour", "by: 'colour' is not one of equipment"),
        ("/api/v1/kpis?convention=mine", "convention: Input should be"),
        ("/api/v1/ledger?equipment=mixer", "equipment: the plant has no 'mixer'"),
        ("/api/v1/ledger?limit=0", "limit: Input should be greater than or equal to 1"),
        ("/api/v1/alerts/none/history", "alert: there is no alert 'none'"),
    ],
)
def test_refusals_name_the_parameter(client: TestClient, path: str, said: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_plus_in_an_address_is_a_plus(client: TestClient) -> None:
    answer = client.get("/api/v1/kpis?from=2026-03-04T06:00:00+01:00&to=2026-03-04T06:00:00Z")
    assert answer.json()["rows"][0]["duration"] == 9 * 3600 * 1_000_000


def test_acknowledge(client: TestClient, board_backend: Any) -> None:
    assert client.post("/api/v1/alerts/a1/acknowledge", json={"user": "ana"}).status_code == 204
    alert = next(a for a in client.get("/api/v1/alerts").json() if a["id"] == "a1")
    assert (alert["state"], alert["acknowledged_by"]) == ("acknowledged", "ana")
    events = [event["event"] for event in client.get("/api/v1/alerts/a1/history").json()]
    assert events == ["raised", "acknowledged"]
    missing = client.post("/api/v1/alerts/a1/acknowledge", json={})
    assert (missing.status_code, missing.json()["error"]) == (400, "user: Field required")


def test_recode_moves_the_minutes_and_keeps_who_said_what(client: TestClient) -> None:
    start = "2026-03-04T08:57:00Z"
    body = {"equipment": "filler", "start": start, "reason": "jam", "user": "ana"}
    assert client.post("/api/v1/stops/recode", json=body).status_code == 204
    assert client.post("/api/v1/stops/recode", json=body | {"reason": "tool"}).status_code == 204
    rows = client.get(f"/api/v1/ledger?equipment=filler&from={start}").json()["rows"]
    assert {row["reason"] for row in rows} == {"tool"}
    said = client.get("/api/v1/stops/recodes", params={"equipment": "filler", "start": start}).json()
    assert [entry["reason"] for entry in said] == ["jam", "tool"]
    wrong = client.post("/api/v1/stops/recode", json=body | {"reason": "ghost"})
    assert wrong.status_code == 400 and "reason: 'ghost' is not one of jam" in wrong.json()["error"]


def test_orders_start_finish_and_import(client: TestClient, board_backend: Any) -> None:
    assert client.post("/api/v1/orders/WO-10440/start", json={"user": "ana"}).status_code == 204
    assert client.post("/api/v1/orders/WO-10440/start", json={"user": "ana"}).status_code == 400
    query = {"name": "orders.csv", "user": "ana", "columns": '{"quantity": "Menge"}'}
    good = client.post("/api/v1/orders/import", params=query, content=b"id,Menge\nA,5\nB,6\n")
    assert good.json() == {"imported": 2}
    assert board_backend.imported[0][2] == {"quantity": "Menge"}
    bad = client.post("/api/v1/orders/import", params=query, content=b"id,Menge\nA,many\n")
    assert bad.status_code == 400 and "row 2" in bad.json()["error"]
    assert len(board_backend.imported) == 1
    odd = client.post("/api/v1/orders/import", params=query | {"columns": "[1]"}, content=b"")
    assert odd.status_code == 400 and odd.json()["error"].startswith("columns: write a JSON object")


def test_unknown_paths_are_404(client: TestClient) -> None:
    answer = client.get("/api/v1/nope")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "/api/v1/nope does not exist; /docs lists what does",
    )
    assert client.get("/nope").status_code == 404
    assert client.get("/assets/nope.css").status_code == 404
    for path in ("/", "/losses", "/trends", "/alerts", "/shift", "/orders"):
        assert client.get(path).status_code == 200


def test_a_deep_link_has_its_assets_at_the_first_request(client: TestClient) -> None:
    assert "/assets/board.js" in client.get("/losses").text


def test_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "/api/v1/stops/recode" in page
    assert "https://" not in page and "//cdn" not in page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Content-Length": "99999999"}, 413),
        ({"Sec-Fetch-Site": "same-origin", "Origin": BASE}, 204),
    ],
)
def test_other_sites_cannot_act(client: TestClient, headers: dict[str, str], status: int) -> None:
    answer = client.post("/api/v1/alerts/a1/acknowledge", json={"user": "ana"}, headers=headers)
    assert answer.status_code == status


def test_reads_need_a_known_host_too(client: TestClient) -> None:
    assert client.get("/api/v1/board", headers={"Host": "rebound.example"}).status_code == 421


def test_pages_may_only_load_from_here(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "unsafe-eval" not in policy


def test_health_and_metrics(client: TestClient, board_backend: Any, broadcast: Broadcast) -> None:
    broadcast.publish(board_backend.snapshot())
    assert client.get("/health").json()["ok"] is True
    assert "lineside_board_ticks 1.0" in client.get("/metrics").text
    board_backend.health = lambda: {"ok": False, "parts": {"historian": {"ok": False, "detail": "away"}}}
    assert client.get("/health").status_code == 503


def test_times_in_answers_have_a_zone(client: TestClient) -> None:
    row = client.get("/api/v1/ledger?limit=1").json()["rows"][0]
    assert datetime.fromisoformat(row["start"]).tzinfo is not None


def test_a_control_chart_has_points_and_refuses_what_the_plant_does_not_have(client: TestClient) -> None:
    window = {"from": "2026-03-04T05:00:00Z", "to": "2026-03-04T09:00:00Z", "machine": "filler"}
    chart = client.get("/api/v1/spc", params=window | {"signal": "@rejects", "chart": "u"}).json()
    assert (chart["study"], chart["chart"], chart["capability"]) == ("u per hour", "u", [])
    assert chart["points"]
    for name in ("machine", "signal", "per", "chart"):
        answer = client.get("/api/v1/spc", params=window | {name: "nonsense"})
        assert answer.status_code == 400, name
        assert f"{name}: 'nonsense' is not one of" in answer.text
