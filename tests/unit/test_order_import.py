"""Orders from the spreadsheets planners have, good and bad."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.dispatching import dispatch
from execution.importing import ImportErrors, ImportResult, import_orders, read_order_rows, read_orders
from execution.orders import JobOrder, OrderAction
from execution.spreadsheets import MAX_BYTES, MAX_ROWS
from infra.records.audit import Audit
from infra.records.database import Database, upgrade
from infra.records.orders import ExecutionStores, Orders
from plant.model import Equipment, EquipmentLevel, Material, Plant, Role, Signal, Site

BERLIN = ZoneInfo("Europe/Berlin")
HEADER = "Order No.;Material;Machine;Qty;Due date"
T0 = datetime(2026, 3, 1, 6, tzinfo=UTC)


def small_plant() -> Plant:
    nodes = [
        Equipment(id="demo", name="Demo", level=EquipmentLevel.SITE),
        Equipment(id="office", name="Office", level=EquipmentLevel.AREA, parent="demo"),
        Equipment(id="bottling", name="Bottling", level=EquipmentLevel.PRODUCTION_LINE, parent="demo"),
        Equipment(id="filler", name="Füller", level=EquipmentLevel.WORK_UNIT, parent="bottling"),
        Equipment(id="cnc-1", name="Mill", level=EquipmentLevel.WORK_UNIT, parent="demo"),
        Equipment(id="cnc-2", name="Mill", level=EquipmentLevel.WORK_UNIT, parent="demo"),
    ]
    machines = ("filler", "cnc-1", "cnc-2")
    materials = [Material(id="cola-05", name="Cola 0.5 l"), Material(id="4711", name="Flange")]
    return Plant(
        site=Site(id="demo", name="Demo", zone=BERLIN),
        equipment={node.id: node for node in nodes},
        signals={(m, "state"): Signal(id="state", equipment=m, role=Role.STATE) for m in machines},
        materials={material.id: material for material in materials},
    )


PLANT = small_plant()


def read(text: str | bytes, **columns: str) -> list[JobOrder]:
    content = text.encode() if isinstance(text, str) else text
    return read_orders("orders.csv", content, columns, PLANT, BERLIN)


def faults(text: str | bytes, **columns: str) -> list[str]:
    with pytest.raises(ImportErrors) as caught:
        read(text, **columns)
    return [str(error) for error in caught.value.errors]


def row(*cells: str) -> str:
    return f"{HEADER}\n{';'.join(cells)}\n"


def workbook(*rows: list[object]) -> bytes:
    book = openpyxl.Workbook()
    for cells in rows:
        book.active.append(cells)
    saved = BytesIO()
    book.save(saved)
    return saved.getvalue()


EXPECTED = JobOrder(
    id="A1",
    material="cola-05",
    equipment="filler",
    quantity=1200,
    due=datetime(2026, 12, 1, 13, 30, tzinfo=UTC),
)


@pytest.mark.parametrize(
    "content",
    [
        row("A1", "cola-05", "filler", "1200", "2026-12-01 14:30").encode(),
        row("A1", "COLA 0.5 L", "Füller", "1.200,00", "01.12.2026 14:30").encode("utf-8-sig"),
        row("A1", "cola-05", "füller", "1200,0", "2026-12-01T14:30:00+01:00").encode("cp1252"),
        row("A1", "cola-05", "Füller", "1\u00a0200", "2026-12-01T13:30Z").replace(";", "\t").encode("utf-16"),
        row("A1", "cola-05", "Füller", "1200", "20261201 14:30").replace(";", "\t").encode("utf-16-le"),
        b'sep=,\r\nAuftrag,Artikel,Anlage,Menge,Termin\r\n="A1",cola-05,filler,"1,200.0",46357.6041666667\r\n',
        b"\n\nPrio|WORK_ORDER|Sku|Resource|Order Qty|Due|\n|A1|cola-05|filler|1.2E3|2026/12/01 14:30|\n",
        workbook(
            ["Order", "Product", "Line", "Quantity", "Due"],
            ["A1", "cola-05", "filler", 1200.0, datetime(2026, 12, 1, 14, 30)],  # noqa: DTZ001
        ),
        workbook(
            [],
            ["Order", "Product", "Line", "Quantity", "Due"],
            ["A1", "cola-05", "filler", 1200, 46357.6041666667],
        ),
    ],
    ids=["plain", "bom-german", "cp1252", "utf16", "utf16-no-bom", "sep-line", "bars", "xlsx", "xlsx-serial"],
)
def test_the_same_order_in_every_dialect(content: bytes) -> None:
    assert read(content) == [EXPECTED]


def test_excel_numbers_are_names_without_a_decimal_point() -> None:
    assert read(workbook(["Order", "Material", "Machine", "Qty"], [100.0, 4711.0, "cnc-1", 5])) == [
        JobOrder(id="100", material="4711", equipment="cnc-1", quantity=5)
    ]


def test_a_date_alone_means_the_whole_day() -> None:
    text = "order,material,machine,qty,due,start\nA,4711,cnc-1,5,2026-12-01,2026-11-30\n"
    (order,) = read(text)
    assert order.due == datetime(2026, 12, 1, 23, tzinfo=UTC)
    assert order.planned_start == datetime(2026, 11, 29, 23, tzinfo=UTC)
    (order,) = read(text.replace("2026-12-01", "2026-12-01 00:00"))
    assert order.due == datetime(2026, 11, 30, 23, tzinfo=UTC)


def test_wall_times_follow_the_plants_clock_changes() -> None:
    (summer,) = read(row("A", "4711", "cnc-1", "5", "2026-07-01 14:00"))
    (twice,) = read(row("A", "4711", "cnc-1", "5", "2026-10-25 02:30"))
    assert summer.due == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert twice.due == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_columns_can_be_named() -> None:
    text = "Nummer;Was;Platz;Anzahl;Order\nA;4711;cnc-1;5;other\n"
    assert read(text, id="Nummer", material="was", equipment="Platz", quantity="Anzahl")[0].id == "A"
    assert faults(text) == [
        f"file: no column for {f}; say which: {f}=COLUMN; the file has: Nummer, Was, Platz, Anzahl, Order"
        for f in ("material", "equipment", "quantity")
    ]
    assert "there is no column 'X' for id" in faults(text, id="X")[0]
    assert "the column mapping names 'colour'" in faults(text, colour="Was")[0]
    both = "order;job;material;machine;qty\n"
    assert faults(both) == ["file: 'order' and 'job' could both be id; say which: id=COLUMN"]


def test_all_faults_come_at_once_with_row_column_value_and_fix() -> None:
    text = f"""{HEADER}
A1;cola-05;filler;100;2026-12-01
;cola-05;filler;100;
A2;nothing;nowhere;many;tomorrow

A1;4711;Mill;0;01/02/2026
A3;4711;office;1.000;2026-02-30
A4;4711;cnc-1;5,5;#N/A;extra
=1+1;4711;cnc-1;5;
"""
    assert [fault.split("; ")[0] for fault in faults(text)] == [
        "row 3, Order No.: it is empty",
        "row 4, Material 'nothing': the plant has no such material",
        "row 4, Machine 'nowhere': the plant has no such equipment",
        "row 4, Qty 'many': this is no number",
        "row 4, Due date 'tomorrow': this is no date",
        "row 6, Machine 'Mill': the plant has no such equipment",
        "row 6, Qty '0': it is not a number of parts to make",
        "row 6, Due date '01/02/2026': day and month could be either way round",
        "row 7, Machine 'office': the plant has no such equipment",
        "row 7, Qty '1.000': it could be 1000 or 1",
        "row 7, Due date '2026-02-30': there is no such date or time (day is out of range for month)",
        "row 8 'extra': the row has more cells than the header",
        "row 8, Qty '5,5': it is not a whole number",
        "row 8, Due date '#N/A': the spreadsheet has an error here",
        "row 9, Order No. '=1+1': it begins with '=', like a formula",
    ]
    assert all("; " in fault for fault in faults(text))


def test_an_order_stands_in_a_file_once() -> None:
    good = "A;4711;cnc-1;5;"
    assert faults(f"{HEADER}\n{good}\n{good}\n") == [
        "row 3, Order No. 'A': row 2 has the same order; keep one of them"
    ]


def test_times_must_run_forward() -> None:
    text = (
        "order,material,machine,qty,due,start,planned end\nA,4711,cnc-1,5,2026-01-01,2026-01-02,2026-01-01\n"
    )
    assert [f.split("; ")[0] for f in faults(text)] == [
        "row 2, planned end '2026-01-01': it ends before it starts",
        "row 2, due '2026-01-01': it is due before it starts",
    ]


def test_a_long_list_of_faults_is_cut_in_the_text_only() -> None:
    with pytest.raises(ImportErrors) as caught:
        read(HEADER + "\n" + "A;4711;cnc-1;x;\n" * 80)
    assert len(caught.value.errors) >= 80
    assert str(caught.value).splitlines()[-1].startswith("orders.csv: and ")


def zipped(**parts: bytes) -> bytes:
    saved = BytesIO()
    with ZipFile(saved, "w", ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/"), content)
    return saved.getvalue()


def with_part(book: bytes, name: str, content: bytes) -> bytes:
    saved = BytesIO()
    with ZipFile(BytesIO(book)) as source, ZipFile(saved, "w", ZIP_DEFLATED) as target:
        for part in source.namelist():
            target.writestr(part, content if part == name else source.read(part))
    return saved.getvalue()


BOOK = workbook(["Order", "Material", "Machine", "Qty"], ["A", "4711", "cnc-1", 5])
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><worksheet>&b;</worksheet>'
FAR_CELL = b"".join(b'<row r="%d"><c r="XFD%d" t="n"><v>1</v></c></row>' % (n, n) for n in range(1, 3000))
SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf\n\n", "it is empty"),
        (b"a" * (MAX_BYTES + 1), "at most 10 MB"),
        (b"\xd0\xcf\x11\xe0rest", "old .xls"),
        (b"\x00\x01\x02\x03" * 99, "neither text nor"),
        (b"PK\x03\x04broken", "damaged .xlsx"),
        (BOOK[: len(BOOK) // 2], "damaged .xlsx"),
        (zipped(hello=b"x"), "no .xlsx"),
        (with_part(BOOK, "xl/worksheets/sheet1.xml", b" " * 17_000_000), "no order list is"),
        (with_part(BOOK, "xl/styles.xml", b" " * 2_000_000), "no order list is"),
        (with_part(BOOK, "xl/worksheets/sheet1.xml", LAUGHS), "no order list is"),
        (with_part(BOOK, "xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row>"), "no readable .xlsx"),
        (with_part(BOOK, "xl/worksheets/sheet1.xml", SHEET % FAR_CELL), "it is empty"),
        (with_part(BOOK, "xl/worksheets/sheet1.xml", SHEET % b""), "it is empty"),
        (f"{HEADER}\n".encode(), "no order below the header"),
        (f'{HEADER}\n"A;4711;cnc-1;5;\n'.encode(), "no proper CSV"),
        ((HEADER + "\n" + "A;4711;cnc-1;5;\n" * (MAX_ROWS + 1)).encode(), "more than 20000 rows"),
        (b"a" * 200_000, "no proper CSV"),
        ((HEADER + ";" * 300).encode(), "100 columns"),
    ],
)
def test_files_that_are_no_order_list_are_refused(content: bytes, why: str) -> None:
    (fault,) = faults(content)
    assert why in fault
    assert fault.startswith("file: ")


def test_a_formula_without_a_saved_value_says_so() -> None:
    book = workbook(["Order", "Material", "Machine", "Qty"], ["A", "4711", "cnc-1", "=2+3"])
    (fault,) = faults(book)
    assert "row 2, Qty: it is empty; fill it in (a formula needs its value saved" in fault


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: (HEADER + "\n" + t).encode()))
def test_whatever_the_bytes_there_are_orders_or_reasons(content: bytes) -> None:
    try:
        assert read(content)
    except ImportErrors as error:
        assert error.errors


# applying


@pytest.fixture
def database(tmp_path: Path) -> Database:
    opened = Database(f"sqlite:///{tmp_path / 'records.db'}")
    upgrade(opened)
    return opened


def load(database: Database, text: str) -> ImportResult:
    rows = read_order_rows("week.csv", text.encode(), {}, PLANT, BERLIN)
    with database.begin() as connection:
        return import_orders(ExecutionStores(connection), "week.csv", rows, "anna", T0)


def stored(database: Database) -> list[JobOrder]:
    with database.read() as connection:
        return Orders(connection).all()


FILE = f"{HEADER}\nA;4711;cnc-1;5;2026-12-01\nB;4711;cnc-2;6;\n"


def test_importing_again_changes_nothing(database: Database) -> None:
    assert load(database, FILE) == ImportResult(new=2, changed=0, same=0)
    before = stored(database)
    assert load(database, FILE) == ImportResult(new=0, changed=0, same=2)
    assert stored(database) == before
    with database.read() as connection:
        assert [entry.action for entry in Audit(connection).of("A")] == ["order.import"]


def test_a_waiting_order_is_replanned(database: Database) -> None:
    load(database, FILE)
    assert load(database, FILE.replace(";6;", ";60;")) == ImportResult(new=0, changed=1, same=1)
    assert [order.quantity for order in stored(database)] == [5, 60]


def test_a_started_order_is_not_overwritten_and_nothing_else_is_applied(database: Database) -> None:
    load(database, FILE)
    with database.begin() as connection:
        dispatch(ExecutionStores(connection), PLANT, "A", OrderAction.START, "ben", T0 + timedelta(hours=1))
    before = stored(database)
    assert load(database, FILE).same == 2
    with pytest.raises(ImportErrors, match=r"week.csv: row 2 'A': the order is running and the file would"):
        load(database, FILE.replace(";5;", ";50;").replace(";6;", ";60;") + "C;4711;cnc-1;1;\n")
    assert stored(database) == before
