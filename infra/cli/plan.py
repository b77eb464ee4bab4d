"""`lineside plan`: what another plant file would change, before it does."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table

from analytics.figures.summary import summarise
from infra.cli.opened import existing_database
from infra.folder import DataFolder
from infra.historians.waiting import History
from infra.ledger.rederive import discrete_signals, ledger_of, stored_facts, stored_samples
from infra.ledger.replanning import dirty
from infra.plantfile import load, with_secrets
from infra.records.database import Database, RecordsError
from infra.stores import open_historian
from pipelines.ports import HistorianError
from plant.basis import Dirty, basis
from plant.changes import FROM_NOW_ON, NEEDS_RESTART, Change, changes, connections
from plant.frames import Window
from plant.model import Plant
from plant.parse import PlantErrors

FIGURES = ("oee", "availability", "performance", "quality", "coverage")
TIMES = ("running", "unplanned_downtime", "micro_stop", "unknown")
COUNTS = ("good", "reject", "rework")
STEP = timedelta(days=1)
"""Derived in one go, so that memory stays flat over many days."""
EFFECTS = {
    "new": "connects",
    "gone": "disconnects",
    "anew": "connects anew; the others stay connected",
    "kept": "stays connected",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Figures of one machine with the plant file as it is and with the other one; None: not in that plant."""

    equipment: str
    before: dict[str, object] | None
    after: dict[str, object] | None

    @property
    def same(self) -> bool:
        return self.before == self.after


def run(current: Path, other: Path, data: Path, days: float, as_json: bool) -> int:
    """Print what differs, what happens to the connections, and the figures of the last days both ways. Nothing is
    changed. 1 on bad input, with what is wrong."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    folder, now = DataFolder(data), datetime.now(UTC)
    try:
        before, after = load(current), load(other)
        window = Window(now - timedelta(days=days), now)
        figures = _figures(before, after, folder, window, console) if days > 0 else []
        past = _past(before, after, folder, now) if days > 0 else []
    except (PlantErrors, HistorianError, RecordsError) as error:
        console.print(str(error), markup=False)
        return 1
    found, links = changes(before, after), connections(before, after)
    if as_json:
        answer = {
            "changes": [_plain(change) for change in found],
            "connections": links,
            "derived_again": [_again(one) for one in past],
            "from": window.start,
            "to": window.end,
            "figures": [{"equipment": d.equipment, "before": d.before, "after": d.after} for d in figures],
        }
        sys.stdout.write(orjson.dumps(answer, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(found, links, past, figures, days, Console(soft_wrap=True, highlight=False))
    return 0


def _past(before: Plant, after: Plant, folder: DataFolder, now: datetime) -> list[Dirty]:
    """Closed time that is derived again when the other plant file is taken up."""
    resolved = with_secrets(before)
    if resolved.records.url is None and not folder.records.is_file():
        return []
    with closing(existing_database(resolved, folder)) as database, database.read() as connection:
        return list(dirty(connection, basis(before), after, now))


def _again(one: Dirty) -> dict[str, object]:
    return {
        "equipment": one.equipment,
        "from": one.window.start,
        "to": one.window.end,
        "cause": one.cause,
        "what": one.what,
    }


def _figures(
    before: Plant, after: Plant, folder: DataFolder, window: Window, console: Console
) -> list[Difference]:
    if before.historian.kind == "parquet" and not folder.historian.is_dir():
        console.print(f"{folder.root} holds no history, so the figures are not compared: give --data FOLDER.")
        return []
    resolved = with_secrets(before)
    with (
        closing(open_historian(resolved, folder)) as history,
        closing(existing_database(resolved, folder)) as database,
    ):
        return compare(before, after, history, database, window, console)


def compare(
    before: Plant, after: Plant, history: History, database: Database, window: Window, console: Console
) -> list[Difference]:
    """The figures of each machine over a window that ends now, derived with either plant from the same samples."""
    signals = sorted({*discrete_signals(before), *discrete_signals(after)})
    rows: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
    days = list(_days(window))
    look_back = max(before.look_back, after.look_back)
    with Progress(
        *Progress.get_default_columns()[:-1], TimeRemainingColumn(), console=console, transient=True
    ) as bar:
        for day in bar.track(days, description=f"Deriving {len(days)} days with both plant files ..."):
            samples = stored_samples(history, signals, day, window.end, look_back=look_back)
            for plant, found in zip((before, after), rows, strict=True):
                facts = stored_facts(samples, plant, day, window.end)
                found.append(ledger_of(facts, database, plant, day))
    one, other = (_table(pl.concat(found), plant) for found, plant in zip(rows, (before, after), strict=True))
    machines = dict.fromkeys([*one, *other])
    return [Difference(machine, one.get(machine), other.get(machine)) for machine in machines]


def _days(window: Window) -> Iterator[Window]:
    start = window.start
    while start < window.end:
        yield Window(start, min(start + STEP, window.end))
        start += STEP


def _table(rows: pl.DataFrame, plant: Plant) -> dict[str, dict[str, object]]:
    wanted = [*FIGURES, *TIMES, *COUNTS]
    found = summarise(rows, ["equipment"], plant)
    seconds = [(pl.col(name) / 1e6).alias(name) for name in TIMES]
    return {
        row.pop("equipment"): row
        for row in found.with_columns(seconds).select("equipment", *wanted).iter_rows(named=True)
    }


def _plain(change: Change) -> dict[str, object]:
    fields = [{"name": f.name, "before": str(f.before), "after": str(f.after)} for f in change.fields]
    return {"kind": change.kind, "id": change.id, "what": change.what, "fields": fields}


def _print(
    found: Sequence[Change],
    links: dict[str, str],
    past: Sequence[Dirty],
    figures: Sequence[Difference],
    days: float,
    console: Console,
) -> None:
    if not found:
        console.print("[bold green]The two plant files say the same.[/]")
        return
    mark = {"new": "[green]+[/]", "gone": "[red]-[/]", "changed": "[yellow]~[/]"}
    for change in found:
        console.print(f"{mark[change.what]} {change.kind} [bold]{change.id}[/] {change.what}")
        for field in change.fields:
            console.print(f"    {field.name}: {_short(field.before)} -> {_short(field.after)}", markup=False)
    console.print()
    for source, effect in links.items():
        if effect != "kept" or any(s != "kept" for s in links.values()):
            console.print(f"source [bold]{source}[/] {EFFECTS[effect]}")
    for note in _notes(found):
        console.print(note, style="yellow")
    for one in past:
        start, end = (f"{at:%Y-%m-%d %H:%M}" for at in (one.window.start, one.window.end))
        console.print(
            f"{one.equipment}: closed time from {start} to {end} UTC is derived again, for {one.what} is another one; "
            "figures reported stay, what moves is restated.",
            style="yellow",
            markup=False,
        )
    differing = [d for d in figures if not d.same]
    if not figures:
        return
    console.print(
        f"\nThe last {days:g} days with either file: "
        + (
            f"{len(differing)} of {len(figures)} machines differ."
            if differing
            else "no machine's figures differ."
        )
    )
    if differing:
        console.print(_differences(differing))


def _notes(found: Iterable[Change]) -> Iterator[str]:
    kinds = {change.kind for change in found}
    if restart := sorted(kinds & set(NEEDS_RESTART)):
        yield f"{', '.join(restart)}: taken up when Lineside is started again; everything else at once."
    collected = [
        change.id
        for change in found
        if change.kind == "signals" and {f.name for f in change.fields} & set(FROM_NOW_ON)
    ]
    if collected:
        yield (
            f"{', '.join(collected)}: collected differently from then on; stored samples stay as they are, so the figures "
            "below do not show it."
        )


def _differences(differing: Sequence[Difference]) -> Table:
    table = Table(box=None)
    names = {"unplanned_downtime": "down", "micro_stop": "micro-stops"}
    table.add_column("machine")
    for name in (*FIGURES, *TIMES, *COUNTS):
        table.add_column(names.get(name, name), justify="right")
    for each in differing:
        cells = []
        for name in (*FIGURES, *TIMES, *COUNTS):
            one, other = (_figure(name, row) for row in (each.before, each.after))
            cells.append(one if one == other else f"[dim]{one}[/]\n[bold]{other}[/]")
        table.add_row(each.equipment, *cells)
    return table


def _figure(name: str, row: dict[str, object] | None) -> str:
    value = row[name] if row else None
    if value is None:
        return "-"
    number = float(str(value))
    if name in FIGURES:
        return f"{100 * number:.1f} %"
    return str(timedelta(seconds=round(number))) if name in TIMES else f"{number:,.0f}"


def _short(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."
