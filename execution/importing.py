"""Orders from the files planners have: CSV in its dialects, and Excel.

Reading collects every fault of every row and raises them together; applying is all or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import pandas as pd

from execution.cells import CellError, identifier, instant, quantity, whole
from execution.columns import REQUIRED, locate
from execution.orders import JobOrder, OrderState
from execution.ports import ExecutionRecords
from execution.spreadsheets import FileError, read_table
from plant.model import Plant

_LISTED = 50
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """One fault of one cell."""

    row: int
    """As the spreadsheet numbers it; the header is usually 1. 0: the file as a whole."""
    column: str
    """The header as the file spells it."""
    value: str
    problem: str
    fix: str

    def __str__(self) -> str:
        where = f"row {self.row}" if self.row else "file"
        column = f", {self.column}" if self.column else ""
        shown = self.value if len(self.value) <= _SHOWN else self.value[:_SHOWN] + "…"
        value = f" {shown!r}" if shown else ""
        return f"{where}{column}{value}: {self.problem}; {self.fix}"


class ImportErrors(Exception):  # noqa: N818 (it is several)
    """What is wrong with the file, all of it. Nothing was imported."""

    def __init__(self, name: str, errors: list[RowError]) -> None:
        self.name = name
        self.errors = tuple(sorted(errors, key=lambda e: e.row))
        more = len(errors) - _LISTED
        lines = [f"{name}: {error}" for error in self.errors[:_LISTED]]
        super().__init__("\n".join([*lines, f"{name}: and {more} more"] if more > 0 else lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRow:
    """An order and the row of the file that says it."""

    row: int
    order: JobOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """How many orders of the file were new, changed, or as they were already."""

    new: int
    changed: int
    same: int


def read_orders(
    name: str, content: bytes, columns: Mapping[str, str], plant: Plant, zone: ZoneInfo
) -> list[JobOrder]:
    """The orders of a file, in its order; see `read_order_rows`."""
    return [row.order for row in read_order_rows(name, content, columns, plant, zone)]


def read_order_rows(
    name: str, content: bytes, columns: Mapping[str, str], plant: Plant, zone: ZoneInfo
) -> list[OrderRow]:
    """Read orders from CSV (comma, semicolon, tab, bar; UTF-8, UTF-16, Windows-1252) or .xlsx.

    Args:
        name: of the file, for messages.
        columns: our field (a key of `execution.columns.ALIASES`) to the header in this file; fields left
            out are found by their usual names.
        plant: equipment and materials are given by id, or by a name that only one has.
        zone: of times without an offset. A due date or planned end without a time is the end of that
            day, a planned start its beginning.
    Raises:
        ImportErrors: everything that is wrong.
    """
    try:
        table = read_table(content)
    except FileError as error:
        raise ImportErrors(name, [_file_error(str(error), error.fix)]) from error
    headers = [str(cell or "") for cell in table.iloc[0]]
    while not headers[-1]:
        headers.pop()
    where, wrong = locate(headers, columns)
    if wrong:
        raise ImportErrors(name, [_file_error(str(error), error.fix) for error in wrong])
    reader = _RowReader(plant, zone, headers, where)
    rows: list[OrderRow] = []
    seen: dict[str, int] = {}
    for number, *cells in table.iloc[1:].itertuples(name=None):
        row = int(number) + 1
        order = reader.read(row, cells)
        if order is None:
            continue
        if order.id in seen:
            reader.fault(row, "id", order.id, f"row {seen[order.id]} has the same order", "keep one of them")
        seen.setdefault(order.id, row)
        rows.append(OrderRow(row=row, order=order))
    if reader.errors:
        raise ImportErrors(name, reader.errors)
    if not rows:
        raise ImportErrors(name, [_file_error("there is no order below the header", "add rows to it")])
    return rows


def import_orders(
    records: ExecutionRecords, name: str, rows: list[OrderRow], user: str, at: datetime
) -> ImportResult:
    """Add new orders and replan waiting ones; an order the file does not change is left alone.

    Args:
        records: of one transaction; commit it when this returns, roll it back when it raises.
    Raises:
        ImportErrors: the file changes orders that have been started or are over. Nothing was changed.
    """
    existing = records.orders.find([row.order.id for row in rows])
    new = [row.order for row in rows if row.order.id not in existing]
    changed = [
        row
        for row in rows
        if row.order.id in existing and existing[row.order.id].content_hash != row.order.content_hash
    ]
    errors = [
        RowError(
            row=row.row,
            column="",
            value=row.order.id,
            problem=f"the order is {state} and the file would change it",
            fix="take the row out, or put it back as it was; enter what is still wanted as a new order",
        )
        for row in changed
        if (state := existing[row.order.id].state) is not OrderState.WAITING
    ]
    if errors:
        raise ImportErrors(name, errors)
    records.orders.insert(new, user, at)
    records.orders.replan([row.order for row in changed], user, at)
    for order in new:
        records.audit.add(at, user, "order.import", order.id, {"file": name})
    for row in changed:
        records.audit.add(at, user, "order.replan", row.order.id, {"file": name, "row": row.row})
    return ImportResult(new=len(new), changed=len(changed), same=len(rows) - len(new) - len(changed))


class _RowReader:
    """Turns rows into orders and collects what is wrong with them."""

    def __init__(self, plant: Plant, zone: ZoneInfo, headers: list[str], where: dict[str, int]) -> None:
        self.errors: list[RowError] = []
        self._zone = zone
        self._headers = headers
        self._where = where
        machines = {machine.id for machine in plant.machines()}
        useful = [e for e in plant.equipment.values() if plant.below(e.id) & machines]
        self._equipment = _names([(e.id, e.name) for e in useful])
        self._materials = _names([(m.id, m.name) for m in plant.materials.values()])

    def fault(self, row: int, field: str, value: object, problem: str, fix: str) -> None:
        """Note what is wrong with a cell."""
        header = self._headers[self._where[field]]
        text = "" if value is None else str(value)
        self.errors.append(RowError(row=row, column=header, value=text, problem=problem, fix=fix))

    def read(self, row: int, cells: list[object]) -> JobOrder | None:
        """The order of a row; None when something is wrong with it, or there is nothing in it."""
        if all(cell is None for cell in cells):
            return None
        before = len(self.errors)
        for cell in cells[len(self._headers) :]:
            if cell is not None:
                fix = "put quotes around values that hold the separator"
                problem = "the row has more cells than the header"
                self.errors.append(RowError(row=row, column="", value=str(cell), problem=problem, fix=fix))
                break
        number = self._id(row, cells)
        material = self._one_of(row, "material", cells, self._materials)
        equipment = self._one_of(row, "equipment", cells, self._equipment)
        amount = self._number(row, "quantity", cells)
        priority = self._number(row, "priority", cells)
        start, _ = self._time(row, "planned_start", cells, end_of_day=False)
        end, end_cell = self._time(row, "planned_end", cells, end_of_day=True)
        due, due_cell = self._time(row, "due", cells, end_of_day=True)
        if start and end and end <= start:
            self.fault(row, "planned_end", end_cell, "it ends before it starts", "swap the two times")
        if start and due and due <= start:
            self.fault(row, "due", due_cell, "it is due before it starts", "correct one of the two")
        if len(self.errors) > before or not (number and material and equipment and amount):
            return None
        return JobOrder(
            id=number,
            material=material,
            equipment=equipment,
            quantity=amount,
            due=due,
            priority=priority or 0,
            planned_start=start,
            planned_end=end,
        )

    def _cell(self, field: str, cells: list[object]) -> object:
        return cells[self._where[field]] if field in self._where else None

    def _id(self, row: int, cells: list[object]) -> str | None:
        value = self._cell("id", cells)
        if value is None:
            self._missing(row, "id")
            return None
        try:
            return identifier(value)
        except CellError as error:
            self.fault(row, "id", value, str(error), error.fix)
            return None

    def _one_of(self, row: int, field: str, cells: list[object], known: Mapping[str, str]) -> str | None:
        value = self._cell(field, cells)
        if value is None:
            self._missing(row, field)
            return None
        try:
            found = known.get(identifier(value).casefold())
        except CellError as error:
            self.fault(row, field, value, str(error), error.fix)
            return None
        if found is None:
            some = ", ".join(sorted(set(known.values()))[:8])
            self.fault(row, field, value, f"the plant has no such {field}", f"use an id, e.g. {some}")
        return found

    def _number(self, row: int, field: str, cells: list[object]) -> int | None:
        value = self._cell(field, cells)
        if value is None:
            if field in REQUIRED:
                self._missing(row, field)
            return None
        try:
            return quantity(value) if field == "quantity" else whole(value)
        except CellError as error:
            self.fault(row, field, value, str(error), error.fix)
            return None

    def _time(
        self, row: int, field: str, cells: list[object], *, end_of_day: bool
    ) -> tuple[datetime | None, object]:
        value = self._cell(field, cells)
        if value is None:
            return None, None
        try:
            return instant(value, self._zone, end_of_day=end_of_day), value
        except CellError as error:
            self.fault(row, field, value, str(error), error.fix)
            return None, value

    def _missing(self, row: int, field: str) -> None:
        fix = "fill it in (a formula needs its value saved: open the file in Excel and save it again)"
        self.fault(row, field, None, "it is empty", fix)


def _names(things: list[tuple[str, str]]) -> dict[str, str]:
    """Id by id and by name, as far as the name is one thing's alone; without regard to case."""
    names = pd.Series([id for id, _ in things], index=[name.casefold() for _, name in things], dtype=object)
    unique = names[~names.index.duplicated(keep=False)]
    return {str(name): str(id) for name, id in unique.items()} | {id.casefold(): id for id, _ in things}


def _file_error(problem: str, fix: str) -> RowError:
    return RowError(row=0, column="", value="", problem=problem, fix=fix)
