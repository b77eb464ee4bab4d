"""What every records database must do. Runs over each of `DATABASES`."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from execution.dispatching import dispatch
from execution.orders import JobOrder, OrderAction, OrderError, OrderState, Refusal
from infra.records.arrivals import Arrivals, Cursors
from infra.records.audit import Audit
from infra.records.database import Database, RecordsError, upgrade
from infra.records.jobs import ShiftClosures, Watermarks
from infra.records.lease import Lease
from infra.records.ledger import LedgerRows
from infra.records.orders import ExecutionStores, OrderRuns, Orders
from infra.records.recodes import Recodes
from infra.records.schema import metadata
from plant.frames import LEDGER, RECODES, Window, empty
from plant.model import Equipment, EquipmentLevel, Plant, Role, Signal, Site

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]

T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, records_url: Callable[..., str]) -> Iterator[Database]:
    opened = Database(records_url(request.param))
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def line() -> Plant:
    site = Equipment(id="demo", name="Demo", level=EquipmentLevel.SITE)
    bottling = Equipment(id="bottling", name="B", level=EquipmentLevel.PRODUCTION_LINE, parent="demo")
    machines = [
        Equipment(id=m, name=m, level=EquipmentLevel.WORK_UNIT, parent="bottling")
        for m in ("filler", "capper")
    ]
    return Plant(
        site=Site(id="demo", name="Demo", zone=ZoneInfo("Europe/Berlin")),
        equipment={e.id: e for e in (site, bottling, *machines)},
        signals={(m.id, "state"): Signal(id="state", equipment=m.id, role=Role.STATE) for m in machines},
    )


def order(number: str, equipment: str = "filler", **changes: object) -> JobOrder:
    fields: dict[str, object] = {"id": number, "material": "cola", "equipment": equipment, "quantity": 100}
    return JobOrder(**(fields | changes))  # type: ignore[arg-type]


def ledger_rows(equipment: str, edges: list[datetime]) -> pl.DataFrame:
    rows = [
        {
            "equipment": equipment,
            "start": a,
            "end": b,
            "line": "bottling",
            "shift": None,
            "shift_start": None,
            "order": "A",
            "material": None,
            "raw": "6",
            "state": "running",
            "reason": None,
            "stop_start": a,
            "category": "running",
            "duration": (b - a) // timedelta(microseconds=1),
            "good": 2**40,
            "reject": 1,
            "rework": 0,
            "ideal": 5,
            "ideal_good": 5,
            "unrated": 0,
            "flagged": 0,
            "startup": 0,
        }
        for a, b in pairwise(edges)
    ]
    return pl.DataFrame(rows, schema=dict(LEDGER))


# the database itself


def test_migrated_schema_is_what_the_tables_say(database: Database) -> None:
    with database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with database.begin() as connection:
        Cursors(connection).set("derive", 7)
    upgrade(database)
    with database.read() as connection:
        assert Cursors(connection).get("derive") == 7


def test_schema_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RecordsError, match=r"schema '9999'.*newer version"):
        upgrade(database)
    with database.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"


@pytest.mark.parametrize("kind", DATABASES)
def test_two_processes_may_upgrade_at_once(kind: str, records_url: Callable[..., str]) -> None:
    url = records_url(kind, migrated=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: upgrade(Database(url)), range(4)))
    with Database(url).read() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1


def test_reading_refuses_to_write(database: Database) -> None:
    with pytest.raises(DatabaseError), database.read() as connection:
        Cursors(connection).set("derive", 1)
    with database.begin() as connection:
        Cursors(connection).set("derive", 2)


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.begin() as connection:
        Orders(connection).insert([order("A")], "anna", T0)
        raise ZeroDivisionError
    with database.read() as connection:
        assert Orders(connection).all() == []


def test_readers_see_one_moment_while_somebody_writes(database: Database) -> None:
    with database.read() as reading:
        assert Cursors(reading).get("derive") == 0
        with database.begin() as writing:
            Cursors(writing).set("derive", 5)
        assert Cursors(reading).get("derive") == 0
    with database.read() as reading:
        assert Cursors(reading).get("derive") == 5


def test_times_keep_their_microsecond_and_come_back_in_utc(database: Database) -> None:
    odd = datetime(2026, 3, 1, 7, 0, 0, 123_457, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    early = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    with database.begin() as connection:
        Watermarks(connection).set("report", odd, "a")
        Watermarks(connection).set("report", early, "b")
    with database.read() as connection:
        found = Watermarks(connection).get("report", "a")
        assert found == odd
        assert found is not None and found.tzinfo is UTC
        assert Watermarks(connection).get("report", "b") == early


def test_a_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(Exception, match="no time zone"), database.begin() as connection:
        Watermarks(connection).set("report", datetime(2026, 3, 1))  # noqa: DTZ001


def test_wrong_urls_are_explained(tmp_path: Path) -> None:
    for url, why in [
        ("nonsense", "not a database URL"),
        ("sqlite://", "names no file"),
        ("mysql://h/x", "only sqlite and postgresql"),
        ("postgresql//me:secret@h/x", "not a database URL, e.g. postgresql://user@host/name$"),
        (f"sqlite:///{tmp_path}/none/x.db", "does not exist; create it"),
    ]:
        with pytest.raises(RecordsError, match=why):
            Database(url)


# orders and runs


def test_orders_come_back_as_they_were(database: Database) -> None:
    full = order("A-1", due=T0 + 5 * MINUTE, priority=3, planned_start=T0, planned_end=T0 + MINUTE)
    with database.begin() as connection:
        Orders(connection).insert([full, order("B")], "anna", T0)
    with database.read() as connection:
        assert Orders(connection).all() == [full, order("B")]
        assert Orders(connection).get("A-1") == full
        assert Orders(connection).get("C") is None
        assert Orders(connection).all(OrderState.RUNNING) == []


def test_replanning_keeps_the_state(database: Database) -> None:
    with database.begin() as connection:
        orders = Orders(connection)
        orders.insert([order("A")], "anna", T0)
        orders.set_state("A", OrderState.HELD, "ben", T0)
        orders.replan([order("A", quantity=7)], "anna", T0 + MINUTE)
        assert orders.get("A") == order("A", quantity=7, state=OrderState.HELD)


def test_the_life_of_an_order(database: Database, line: Plant) -> None:
    steps = [
        (OrderAction.START, OrderState.RUNNING),
        (OrderAction.HOLD, OrderState.HELD),
        (OrderAction.START, OrderState.RUNNING),
        (OrderAction.COMPLETE, OrderState.COMPLETED),
    ]
    with database.begin() as connection:
        Orders(connection).insert([order("A", "bottling")], "anna", T0)
    for minute, (action, state) in enumerate(steps):
        with database.begin() as connection:
            now = T0 + minute * MINUTE
            assert dispatch(ExecutionStores(connection), line, "A", action, "ben", now).state is state
    with database.read() as connection:
        runs = OrderRuns(connection).of("A")
        assert [(r.start, r.end) for r in runs] == [(T0, T0 + MINUTE), (T0 + 2 * MINUTE, T0 + 3 * MINUTE)]
        between = Window(T0 + MINUTE, T0 + 2 * MINUTE)
        assert OrderRuns(connection).touching(between) == []
        assert OrderRuns(connection).touching(between, before=True) == runs[:1]
        actions = [(e.user, e.action) for e in Audit(connection).of("A")]
        assert actions == [("ben", f"order.{action}") for action, _ in steps]


def test_a_line_order_and_a_machine_order_exclude_each_other(database: Database, line: Plant) -> None:
    with database.begin() as connection:
        stores = ExecutionStores(connection)
        stores.orders.insert([order("L", "bottling"), order("M", "filler"), order("N", "capper")], "a", T0)
        dispatch(stores, line, "M", OrderAction.START, "ben", T0)
        with pytest.raises(OrderError, match="order 'M' is running on 'filler'") as refused:
            dispatch(stores, line, "L", OrderAction.START, "ben", T0)
        assert refused.value.reason is Refusal.EQUIPMENT_BUSY
        dispatch(stores, line, "N", OrderAction.START, "ben", T0)
        dispatch(stores, line, "M", OrderAction.COMPLETE, "ben", T0 + MINUTE)
        dispatch(stores, line, "N", OrderAction.COMPLETE, "ben", T0 + 2 * MINUTE)
        with pytest.raises(OrderError, match="start it then or later") as refused:
            dispatch(stores, line, "L", OrderAction.START, "ben", T0 + MINUTE)
        assert refused.value.reason is Refusal.TOO_EARLY
        dispatch(stores, line, "L", OrderAction.START, "ben", T0 + 2 * MINUTE)


def test_of_twenty_who_start_an_order_on_one_machine_one_wins(database: Database, line: Plant) -> None:
    numbers = [f"A{n}" for n in range(20)]
    with database.begin() as connection:
        Orders(connection).insert([order(number) for number in numbers], "anna", T0)
    together = Barrier(len(numbers))

    def start(number: str) -> Refusal | None:
        together.wait(timeout=60)
        try:
            with database.begin() as connection:
                dispatch(ExecutionStores(connection), line, number, OrderAction.START, "ben", T0)
        except OrderError as error:
            return error.reason
        return None

    with ThreadPoolExecutor(len(numbers)) as pool:
        outcomes = list(pool.map(start, numbers))
    assert sorted(map(str, outcomes)) == ["None", *["equipment_busy"] * 19]
    with database.read() as connection:
        running = OrderRuns(connection).running(["filler"])
        assert [run.order for run in running] == [numbers[outcomes.index(None)]]
        assert [o.id for o in Orders(connection).all(OrderState.RUNNING)] == [running[0].order]


def test_the_database_itself_refuses_a_second_open_run(database: Database) -> None:
    insert = text(
        'INSERT INTO order_runs ("order", material, equipment, start, source, started_by) '
        "VALUES (:o, 'cola', 'filler', 0, 'operator', 'x')"
    )
    with database.begin() as connection:
        Orders(connection).insert([order("A"), order("B")], "anna", T0)
        connection.execute(insert, {"o": "A"})
    with pytest.raises(DatabaseError), database.begin() as connection:
        connection.execute(insert, {"o": "B"})


# append-only


def test_audit_and_recodes_cannot_be_changed(database: Database) -> None:
    with database.begin() as connection:
        Audit(connection).add(T0, "ben", "order.start", "A", {"from": "waiting"})
        Recodes(connection).add("filler", T0, T0 + MINUTE, "jam", "ben", T0)
    for statement in [
        "UPDATE audit SET action = 'x'",
        "DELETE FROM audit",
        "UPDATE recodes SET reason = 'x'",
        "DELETE FROM recodes",
    ]:
        with pytest.raises(DatabaseError, match="append-only"), database.begin() as connection:
            connection.execute(text(statement))
    with database.read() as connection:
        assert Audit(connection).of("A")[0].detail == {"from": "waiting"}
        assert Recodes(connection).touching(Window(T0, T0 + MINUTE))["reason"].to_list() == ["jam"]


def test_recodes_of_a_window_in_the_order_they_were_said(database: Database) -> None:
    with database.begin() as connection:
        recodes = Recodes(connection)
        recodes.add("filler", T0, T0 + MINUTE, "late", "ben", T0 + 9 * MINUTE)
        recodes.add("filler", T0, T0 + MINUTE, "first", "ben", T0 + 5 * MINUTE)
        recodes.add("capper", T0, T0 + MINUTE, "other", "ben", T0)
        recodes.add("filler", T0 + MINUTE, T0 + 2 * MINUTE, "outside", "ben", T0)
        with pytest.raises(ValueError, match="must end after it starts"):
            recodes.add("filler", T0, T0, "jam", "ben", T0)
        found = recodes.touching(Window(T0, T0 + MINUTE), ["filler"])
        assert found["reason"].to_list() == ["first", "late"]
        assert dict(found.schema) == dict(RECODES)
        assert dict(recodes.touching(Window(T0 - MINUTE, T0)).schema) == dict(RECODES)


# journal, positions, shifts


def test_arrivals_are_numbered_once_and_read_on_from_a_cursor(database: Database) -> None:
    spans = [("filler", T0, T0 + MINUTE), ("capper", T0, T0)]
    with database.begin() as connection:
        arrivals = Arrivals(connection)
        arrivals.append("opcua", 1, spans)
        arrivals.append("opcua", 1, spans)
        arrivals.append("modbus", 1, spans[:1])
        first = arrivals.after(0, limit=2)
        assert first["equipment"].to_list() == ["filler", "capper"]
        rest = arrivals.after(first["seq"][-1])
        assert rest["collector"].to_list() == ["modbus"]
        assert arrivals.last() == rest["seq"][-1]
        assert arrivals.last_sequence("opcua") == 1
        assert arrivals.last_sequence("shdr") is None


def test_a_forgotten_journal_goes_on_counting(database: Database) -> None:
    with database.begin() as connection:
        arrivals = Arrivals(connection)
        arrivals.append("opcua", 1, [("filler", T0, T0)])
        last = arrivals.last()
        arrivals.forget(last)
        assert arrivals.last() == 0
        arrivals.append("opcua", 2, [("filler", T0, T0)])
        assert arrivals.after(last).height == 1


def test_a_shift_closes_once_and_keeps_its_figures(database: Database) -> None:
    with database.begin() as connection:
        closures = ShiftClosures(connection)
        assert closures.close("filler", "early", T0, {"good": 10, "oee": None}, T0 + MINUTE)
        assert not closures.close("filler", "early", T0, {"good": 11}, T0 + 2 * MINUTE)
        kept = closures.get("filler", "early", T0)
        assert kept is not None
        assert (kept.figures, kept.closed_at) == ({"good": 10, "oee": None}, T0 + MINUTE)
        assert closures.begun_in(Window(T0, T0 + MINUTE)) == [kept]
        assert closures.begun_in(Window(T0 + MINUTE, T0 + 2 * MINUTE)) == []
        assert closures.get("filler", "early", T0 + MINUTE) is None


# ledger


def test_ledger_rows_are_replaced_window_by_window(database: Database) -> None:
    edges = [T0 + n * MINUTE for n in range(5)]
    with database.begin() as connection:
        rows = LedgerRows(connection)
        before = ledger_rows("filler", edges)
        rows.replace("filler", Window(edges[0], edges[4]), before)
        rows.replace("capper", Window(edges[0], edges[4]), ledger_rows("capper", edges))
        again = ledger_rows("filler", [edges[1], edges[1] + MINUTE / 3, edges[3]])
        for _ in range(2):
            rows.replace("filler", Window(edges[1], edges[3]), again)
        found = rows.touching(Window(edges[0], edges[4]), ["filler"])
        assert found.equals(pl.concat([before[:1], again, before[3:]]))
        assert rows.touching(Window(edges[0], edges[4])).height == 4 + 4
        assert rows.touching(Window(edges[1] + MINUTE / 2, edges[2])).height == 2
        assert rows.of_orders(["A"]).height == 8
        assert rows.span() == Window(edges[0], edges[4])
        rows.replace("filler", Window(edges[0], edges[4]), empty(LEDGER))
        assert dict(rows.touching(Window(edges[0], edges[4]), ["filler"]).schema) == dict(LEDGER)


def test_a_ledger_row_is_never_cut(database: Database) -> None:
    edges = [T0, T0 + 2 * MINUTE, T0 + 4 * MINUTE]
    with database.begin() as connection:
        rows = LedgerRows(connection)
        stored = ledger_rows("filler", edges)
        rows.replace("filler", Window(edges[0], edges[2]), stored)
        cut = Window(T0 + MINUTE, T0 + 3 * MINUTE)
        with pytest.raises(ValueError, match="would cut stored ledger rows"):
            rows.replace("filler", cut, empty(LEDGER))
        with pytest.raises(ValueError, match="must lie inside"):
            rows.replace("filler", Window(edges[0], edges[1]), stored)
        with pytest.raises(ValueError, match="must lie inside"):
            rows.replace("capper", Window(edges[0], edges[2]), stored)
        assert rows.widened("filler", cut) == Window(edges[0], edges[2])
        assert rows.touching(Window(edges[0], edges[2])).equals(stored)


# leases


def test_of_two_candidates_one_leads_until_it_lets_go(database: Database) -> None:
    first = Lease(database, "engine", "one", timedelta(minutes=5))
    second = Lease(database, "engine", "two", timedelta(minutes=5))
    assert first.holder() is None
    token = first.hold()
    assert token is not None
    assert first.hold() == token
    assert second.hold() is None
    second.release()
    assert second.holder() == "one"
    first.release()
    taken = second.hold()
    assert taken is not None and taken > token
    assert first.hold() is None
    assert Lease(database, "other", "one", timedelta(minutes=5)).hold() is not None


def test_a_lease_that_ran_out_is_taken_over_with_a_higher_token(database: Database) -> None:
    gone = Lease(database, "engine", "one", timedelta(microseconds=1))
    token = gone.hold()
    next_one = Lease(database, "engine", "two", timedelta(minutes=5))
    taken = None
    for _ in range(1000):
        taken = next_one.hold()
        if taken is not None:
            break
    assert token is not None and taken is not None and taken > token
    assert gone.hold() is None
