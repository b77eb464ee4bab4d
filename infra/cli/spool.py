"""`lineside spool`: what waits for the historian, what was lost, what was refused, and putting that back."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from rich.console import Console, JustifyMethod
from rich.table import Table

from collectors.gaps import Gap, gaps
from collectors.spool import Spool, SpoolError, SpoolFullError, damaged_files, size_text
from infra.collecting import read_collecting
from infra.deadletter import DeadLetter, DeadLetterError
from infra.folder import DataFolder
from plant.model import SpoolConfig

SHOWN = 20
"""Causes of gaps and refused samples listed; JSON has all."""


def spool_of(folder: DataFolder) -> Spool:
    """The plant's spool to look at, with the bounds its collectors said they have."""
    said = next((process.spool for process in read_collecting(folder.collectors)), None)
    limits = SpoolConfig()
    if said is not None:
        limits = SpoolConfig(
            max_bytes=int(said["max_bytes"]), max_age=timedelta(seconds=float(said["max_age"]))
        )
    return Spool(folder.spool, "", limits.max_bytes, limits.max_age)


def dead_letter_of(folder: DataFolder) -> DeadLetter:
    """The plant's refused samples."""
    return DeadLetter(folder.dead, folder.spool)


def run_status(data: Path, as_json: bool) -> int:
    """Print what waits, what is damaged and what was lost; 1 when a bound is near or there is no such plant."""
    folder, now = DataFolder(data), datetime.now(UTC)
    if not folder.spool.is_dir():
        return _refused(_nothing_in(data))
    spool = spool_of(folder)
    waiting = spool.waiting_by_collector()
    alarms = {name: alarm for name, seen in waiting.items() if (alarm := spool.alarm(seen, now))}
    lost, damaged = gaps(folder.spool), damaged_files(folder.spool)
    refused = dead_letter_of(folder).files()
    if as_json:
        _print_json(
            {
                "max_bytes": spool.max_bytes,
                "max_age": spool.max_age.total_seconds(),
                "collectors": {
                    name: {**asdict(seen), "alarm": alarms.get(name, "")} for name, seen in waiting.items()
                },
                "gaps": [asdict(gap) for gap in lost],
                "damaged": [str(path) for path in damaged],
                "refused": sum(file.rows for file in refused),
            }
        )
        return 1 if alarms else 0
    console = _console()
    if any(seen.batches for seen in waiting.values()):
        table = _table(
            "collector", ">batches", ">samples", ">waiting", f">of {size_text(spool.max_bytes)}", "since"
        )
        for name, seen in waiting.items():
            share = f"{seen.bytes / spool.max_bytes:.1%}"
            table.add_row(
                name,
                f"{seen.batches:,}",
                f"{seen.rows:,}",
                size_text(seen.bytes),
                share,
                _time(seen.oldest, now),
            )
        console.print(table)
    else:
        console.print(
            f"Nothing waits: the historian has taken everything. Room for {size_text(spool.max_bytes)} "
            f"and {spool.max_age.days} days."
        )
    for name, alarm in alarms.items():
        console.print(f"\n{name}: {alarm}", style="bold red")
    if lost:
        console.print(
            f"\nLost for good: {sum(gap.rows for gap in lost):,} samples in {len(lost):,} gaps", style="bold"
        )
        table = _table("collector", "source", ">gaps", "first from", "last to", ">samples", "why")
        alike: dict[tuple[str, str, str], list[Gap]] = {}
        for gap in lost:
            alike.setdefault((gap.collector, gap.source, gap.why), []).append(gap)
        for (collector, source, why), some in list(alike.items())[-SHOWN:]:
            first, last = min(gap.first for gap in some), max(gap.last for gap in some)
            samples = sum(gap.rows for gap in some)
            table.add_row(
                *(collector, source or "all", f"{len(some):,}", _time(first, now), _time(last, now)),
                *(f"{samples:,}" if samples else "unknown", why),
            )
        console.print(table)
    if damaged:
        console.print("\nDamaged files, set aside", style="bold")
        for path in damaged:
            console.print(f"{path}")
    if refused:
        count = sum(file.rows for file in refused)
        console.print(f"\n{count:,} samples were refused: see `lineside spool dead`.")
    return 1 if alarms else 0


def run_dead(data: Path, name: str | None, as_json: bool) -> int:
    """Print the files of refused samples, or the samples of one; 1 when there is no such file."""
    folder = DataFolder(data)
    if not folder.root.is_dir():
        return _refused(_nothing_in(data))
    dead = dead_letter_of(folder)
    return _dead_files(dead, as_json) if name is None else _dead_rows(dead, name, as_json)


def run_retry(data: Path, names: list[str], everything: bool) -> int:
    """Put refused samples back into the spool; 1 when something could not be."""
    folder = DataFolder(data)
    if not folder.root.is_dir():
        return _refused(_nothing_in(data))
    if bool(names) == everything:
        return _refused("Say which files (see `lineside spool dead`), or --all for every one.")
    dead = dead_letter_of(folder)
    chosen = [file.name for file in dead.files()] if everything else names
    if not chosen:
        _console().print("No samples were refused: there is nothing to put back.")
        return 0
    spool, count, problems = Spool(folder.spool, "retry"), 0, []
    try:
        for name in chosen:
            try:
                count += dead.retry([name], spool)
            except DeadLetterError as error:
                problems.append(str(error))
    except (SpoolFullError, SpoolError) as error:
        problems.append(str(error))
    finally:
        spool.close()
    if count:
        what = "1 sample is" if count == 1 else f"{count:,} samples are"
        _console().print(
            f"{what} back in the spool; the plant takes them as soon as it runs. What is refused again "
            "is in `lineside spool dead` again."
        )
    for problem in problems:
        _refused(problem)
    return 1 if problems else 0


def _dead_files(dead: DeadLetter, as_json: bool) -> int:
    files, now = dead.files(), datetime.now(UTC)
    if as_json:
        _print_json([asdict(file) for file in files])
        return 0
    console = _console()
    if not files:
        console.print("No samples were refused.")
        return 0
    table = _table("file", "refused", ">samples", "most frequent problem")
    for file in files:
        name = file.name.removesuffix(".parquet")
        table.add_row(name, _time(file.kept, now), f"{file.rows:,}", file.problem)
    console.print(table)
    console.print(
        "\nSee the samples of a file with `lineside spool dead FILE`. When the cause is mended, put them back with "
        "`lineside spool retry FILE`, or all with `lineside spool retry --all`."
    )
    return 0


def _dead_rows(dead: DeadLetter, name: str, as_json: bool) -> int:
    try:
        rows = dead.rows(name)
    except DeadLetterError as error:
        return _refused(str(error))
    if as_json:
        _print_json(rows.to_dicts())
        return 0
    console = _console()
    problems = rows["problem"].unique().to_list()
    table = _table(
        "time", "equipment", "signal", ">value", ">quality", *(["problem"] if len(problems) > 1 else [])
    )
    for row in rows.head(SHOWN).iter_rows(named=True):
        value = row["text"] if row["value"] is None else f"{row['value']:g}"
        at = f"{row['time']:%Y-%m-%d %H:%M:%S}" if row["time"] else None
        cells = [at, row["equipment"], row["signal"], value, row["quality"], row["problem"]]
        table.add_row(*("-" if cell is None else str(cell) for cell in cells[: len(table.columns)]))
    console.print(table)
    if len(problems) == 1:
        console.print(f"\nRefused because: {problems[0]}", style="bold")
    if rows.height > SHOWN:
        console.print(f"The first {SHOWN} of {rows.height:,}; --json has all.")
    return 0


def _table(*columns: str) -> Table:
    """ ">" in front of a name: figures, to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns, 1):
        justify: JustifyMethod = "right" if column[0] == ">" else "left"
        table.add_column(column.removeprefix(">"), justify=justify, no_wrap=number < len(columns))
    return table


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False, markup=False)


def _time(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "-"
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _print_json(value: object) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def _nothing_in(data: Path) -> str:
    return f"Nothing has been collected into {data}: start a plant with `lineside up`, or give its folder with --data."


def _refused(problem: str) -> int:
    Console(stderr=True, soft_wrap=True).print(problem, markup=False, highlight=False)
    return 1
