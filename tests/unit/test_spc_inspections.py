"""Inspections people record: what is kept, what is refused, and the charts they make."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import DatabaseError

from analytics.spc.inspections import Inspection, counted, measured, standing
from dashboards import spc
from dashboards.app import create_app
from dashboards.inspections import Found, recording, specifications, withdrawing
from dashboards.live import Broadcast
from dashboards.ports import Refused
from infra.records.database import Database, upgrade
from infra.records.inspections import Inspections
from infra.spcwatch import look
from plant.frames import Window
from plant.model import ChartKind, ControlChart, Role, Signal, Subgrouping

T0 = datetime(2026, 3, 4, 6, tzinfo=UTC)
CHECK = "Visual check"


def entry(number: int, minutes: int, **amounts: Any) -> Inspection:
    at = T0 + timedelta(minutes=minutes)
    values = {"inspected": 50, **amounts}
    return Inspection(number=number, test=CHECK, time=at, at=at, user="ana", **values)


def count(backend: Any, time: datetime, inspected: int, nonconforming: int | None, **more: Any) -> int:
    found = Found(inspected=inspected, nonconforming=nonconforming, **more)
    return int(
        backend.record_inspection("filler", recording(backend, "filler", CHECK, time, found, "ana", ""))
    )


def by_hand(backend: Any, plan: ControlChart) -> None:
    """Give the filler a process value people measure."""
    signal = Signal(
        id="torque", equipment="filler", role=Role.PROCESS_VALUE, unit="Nm", lower=1.0, upper=9.0, spc=plan
    )
    backend.plant = replace(backend.plant, signals={**backend.plant.signals, ("filler", "torque"): signal})


def measure(backend: Any, time: datetime, values: Sequence[float], note: str = "") -> None:
    made = recording(backend, "filler", "torque", time, Found(values=values), "ana", note)
    backend.record_inspection("filler", made)


def test_one_that_is_taken_back_counts_no_more() -> None:
    first, second = entry(1, 5, nonconforming=3), entry(2, 0, nonconforming=1)
    back = replace(first, number=3, withdraws=1)
    assert standing([first, second]) == [second, first], "in order of time"
    assert standing([first, second, back]) == [second]


@pytest.mark.parametrize(
    ("kind", "counts"),
    [(ChartKind.P, [3]), (ChartKind.NP, [3]), (ChartKind.C, [4, 7]), (ChartKind.U, [4, 7])],
)
def test_a_chart_has_the_inspections_that_counted_what_it_shows(kind: ChartKind, counts: list[int]) -> None:
    found = counted([entry(1, 0, nonconforming=3, defects=4), entry(2, 5, inspected=80, defects=7)], kind)
    assert found["count"].to_list() == counts
    assert found["n"].to_list() == [50, 80][: len(counts)], "each has its own size"


def test_measured_values_are_a_subgroup() -> None:
    row = measured([entry(1, 0, values=(2.0, 4.0, 6.0))]).row(0, named=True)
    assert (row["n"], row["mean"], row["range"], row["sd"]) == (3, 4.0, 4.0, 2.0)
    assert measured([entry(1, 0, values=(2.0,))])["sd"][0] is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Found(nonconforming=1), "inspected: say how many"),
        (Found(inspected=0, nonconforming=0), "1 at least"),
        (Found(inspected=50), "nonconforming: say how many"),
        (Found(inspected=50, nonconforming=51), "51 are more than the 50 inspected"),
        (Found(inspected=50, nonconforming=-1), "-1 is no count"),
        (Found(inspected=50, nonconforming=3, defects=2), "2 are fewer than the 3"),
        (Found(inspected=50, nonconforming=3, values=[1.0]), "no process value of filler"),
    ],
)
def test_counts_that_make_no_sense_are_refused(board_backend: Any, found: Found, why: str) -> None:
    with pytest.raises(Refused, match=why):
        recording(board_backend, "filler", CHECK, board_backend.now(), found, "ana", "")


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        (ChartKind.I_MR, [1.0, 2.0], "takes 1 of an inspection, not 2"),
        (ChartKind.XBAR_R, [1.0], "takes 2 to 25"),
        (ChartKind.XBAR_R, [1.0] * 26, "takes 2 to 25"),
        (ChartKind.XBAR_S, [1.0, float("nan")], "each must be a number"),
    ],
)
def test_values_that_the_chart_cannot_take_are_refused(
    board_backend: Any, kind: ChartKind, values: list[float], why: str
) -> None:
    by_hand(board_backend, ControlChart(chart=kind))
    with pytest.raises(Refused, match=why):
        measure(board_backend, board_backend.now(), values)


@pytest.mark.parametrize(
    ("test", "time", "why"),
    [
        ("  ", T0, "say what was inspected"),
        ("x" * 51, T0, "50 letters"),
        ("temperature", T0, "read from bottling-plc"),
        (CHECK, T0 + timedelta(days=1), "still to come"),
        (CHECK, T0 - timedelta(days=500), "more than 400 days ago"),
    ],
)
def test_what_and_when_must_make_sense(board_backend: Any, test: str, time: datetime, why: str) -> None:
    with pytest.raises(Refused, match=why):
        recording(board_backend, "filler", test, time, Found(inspected=9, nonconforming=0), "ana", "")


def test_a_sample_is_recorded_once_and_under_one_name(board_backend: Any) -> None:
    count(board_backend, T0, 50, 1)
    again = recording(
        board_backend,
        "filler",
        " visual  CHECK ",
        T0 + timedelta(hours=1),
        Found(inspected=9, defects=0),
        "",
        "",
    )
    assert again.test == CHECK
    with pytest.raises(Refused, match="recorded already"):
        count(board_backend, T0, 60, 2)
    assert (
        specifications(board_backend, "filler") == [CHECK] and specifications(board_backend, "capper") == []
    )


def test_taking_back_is_a_later_fact_and_makes_room_for_the_right_one(board_backend: Any) -> None:
    number = count(board_backend, T0, 50, 5)
    back = withdrawing(board_backend, "filler", number, "jan", "wrong box")
    board_backend.record_inspection("filler", back)
    assert (back.withdraws, back.user, back.note, back.time) == (number, "jan", "wrong box", T0)
    with pytest.raises(Refused, match="no inspection 1 that counts"):
        withdrawing(board_backend, "filler", number, "jan", "")
    count(board_backend, T0, 50, 4)
    assert [
        one.nonconforming for one in board_backend.inspections(Window(T0, T0 + timedelta(hours=1)), "filler")
    ] == [
        5,
        5,
        4,
    ]


def chart(backend: Any, signal: str, kind: ChartKind = ChartKind.P) -> spc.Shown:
    now = backend.now()
    asked = spc.chosen(backend.plant, "filler", signal, "hour", kind)
    return spc.find(backend, asked, Window(now - timedelta(days=1), now))


def test_the_p_chart_of_inspections_has_limits_for_each_size(board_backend: Any) -> None:
    """Montgomery, table 7.4: the first eleven purchase orders, 0.1 or so, the eleventh out of 0.180."""
    sizes = [100, 80, 80, 100, 110, 110, 100, 100, 90, 90, 110]
    for i, (n, bad) in enumerate(zip(sizes, [12, 8, 6, 9, 10, 12, 11, 16, 10, 6, 20], strict=True)):
        count(board_backend, T0 + timedelta(minutes=5 * i), n, bad)
    shown = chart(board_backend, f"{spc.INSPECTION}{CHECK}")
    assert shown.key == "p per inspection" and shown.too_few == 11
    points = shown.study.points
    assert points["n"].to_list() == sizes
    center = 120 / 1070
    assert points["upper"][1] == pytest.approx(center + 3 * (center * (1 - center) / 80) ** 0.5)
    assert chart(board_backend, f"{spc.INSPECTION}{CHECK}", ChartKind.U).study.points.is_empty()
    assert chart(board_backend, f"{spc.INSPECTION}Leak test").study.points.is_empty()


def test_measured_inspections_are_charted_with_their_capability(board_backend: Any) -> None:
    by_hand(board_backend, ControlChart(chart=ChartKind.XBAR_R, by=Subgrouping.INSPECTION, size=None))
    for i in range(20):
        measure(board_backend, T0 + timedelta(minutes=i), [4.0, 5.0 + i % 3, 6.0], "weekly")
    number = board_backend.inspected[-1][1].number
    shown = chart(board_backend, "torque")
    assert shown.study.points.height == 20 and len(shown.histogram) == 60
    assert shown.indices[0].value is not None
    assert {one.note for one in shown.inspections} == {"weekly"}
    board_backend.record_inspection("filler", withdrawing(board_backend, "filler", number, "ana", ""))
    assert chart(board_backend, "torque").study.points.height == 19


def test_an_inspection_out_of_its_frozen_limits_raises_the_alert(board_backend: Any) -> None:
    now = board_backend.now()
    for i in range(20):
        count(board_backend, now - timedelta(hours=100 - i), 100, 2 + i % 3)
    name = f"{spc.INSPECTION}{CHECK}"
    asked = spc.chosen(board_backend.plant, "filler", name, "hour", ChartKind.P)
    window = Window(now - timedelta(days=5), now - timedelta(hours=50))
    limits = spc.freezing(spc.find(board_backend, asked, window), window, now, "ana", "")
    board_backend.freeze_limits("filler", name, limits)
    watched = [("filler", name, limits.study)]
    subject = f"@spc:filler/{name}"
    assert look(board_backend, watched, now) == {subject: None}
    count(board_backend, now - timedelta(hours=30), 100, 30)
    out = look(board_backend, watched, now)[subject]
    assert out is not None and out.since == now - timedelta(hours=30)
    shown = spc.find(board_backend, asked, window)
    with pytest.raises(Refused, match="Say why"):
        spc.unfreezing(shown, now, "ana", " ")
    board_backend.freeze_limits("filler", name, spc.unfreezing(shown, now, "ana", "new lamp"))
    assert look(board_backend, watched, now + timedelta(seconds=1)) == {subject: None}, (
        "phase 1 raises nothing"
    )
    with pytest.raises(Refused, match="phase 1 already"):
        spc.unfreezing(spc.find(board_backend, asked, window), now + timedelta(seconds=1), "ana", "x")


def test_by_rest(board_backend: Any) -> None:
    with TestClient(create_app(board_backend, Broadcast()), base_url="http://localhost") as client:
        body: dict[str, Any] = {"equipment": "filler", "test": CHECK, "user": "ana", "key": "k1"}
        body |= {"inspected": 50, "nonconforming": 2, "time": "2026-03-04T08:00:00Z"}
        answer = client.post("/api/v1/inspections", json=body)
        assert (answer.status_code, answer.json()) == (201, {"number": 1})
        wrong = client.post("/api/v1/inspections", json=body | {"nonconforming": 60, "key": ""})
        assert wrong.status_code == 400 and "60 are more than the 50" in wrong.json()["error"]
        wrong = client.post("/api/v1/inspections", json=body | {"equipment": "nonsense"})
        assert wrong.status_code == 400 and "equipment: 'nonsense'" in wrong.json()["error"]
        window = {"equipment": "filler", "from": "2026-03-04T07:00:00Z"}
        found = client.get("/api/v1/inspections", params=window).json()
        assert [(one["number"], one["inspected"], one["withdraws"]) for one in found] == [(1, 50, None)]
        back = client.post(
            "/api/v1/inspections/withdraw", json={"equipment": "filler", "number": 1, "user": "ana"}
        )
        assert back.status_code == 204
        assert [one["withdraws"] for one in client.get("/api/v1/inspections", params=window).json()] == [
            None,
            1,
        ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_they_are_kept_and_cannot_be_changed(records_url: Callable[..., str], kind: str) -> None:
    database = Database(records_url(kind))
    upgrade(database)
    made = [entry(0, 0, nonconforming=3, defects=None), entry(0, 5, values=(1.5, 2.5), inspected=2)]
    with database.begin() as connection:
        records = Inspections(connection)
        assert [records.add("filler", one) for one in made] == [1, 2]
        window = Window(T0, T0 + timedelta(minutes=6))
        assert records.of(window, "filler") == [replace(one, number=i + 1) for i, one in enumerate(made)]
        assert records.of(Window(T0, T0 + timedelta(minutes=5)), "filler") == [replace(made[0], number=1)]
        assert records.of(window, "capper") == []
    for statement in ("DELETE FROM inspections", "UPDATE inspections SET note = 'x'"):
        with pytest.raises(DatabaseError, match="append-only"), database.begin() as connection:
            connection.exec_driver_sql(statement)
    database.close()
