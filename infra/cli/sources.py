"""`lineside sources`: what comes in from each source, and from each signal of one."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from collectors.gaps import gaps
from dashboards import words
from dashboards.view import SignalView, SourceDetail
from infra.collecting import read_collecting
from infra.folder import DataFolder
from infra.plantfile import load
from infra.sources import source_views
from plant.model import Plant
from plant.parse import PlantErrors

STATES = {"ok": ("ok", "green"), "look": ("look", "yellow"), "away": ("away", "bold red")}
EVERY = 1.0
"""Seconds between two looks."""
WIDE = 160
"""Columns where there is no terminal to say how many."""


def run(path: Path | None, data: Path, source: str | None, watch: bool, json: bool) -> int:
    """Print all sources, or one with its signals; 1 when one of them needs attention."""
    folder = DataFolder(data)
    try:
        plant = load(path) if path else None
    except PlantErrors as errors:
        return _refused(f"The plant file has errors: see `lineside check {path}`. {errors.errors[0].problem}")
    if plant is None and not folder.collectors.is_dir():
        return _refused(
            f"Nothing has been collected into {data}: start a plant with `lineside up`, or give its folder with --data."
        )
    found = sources_of(folder, plant)
    if source is not None and source not in [view["id"] for view in found]:
        return _refused(
            f'There is no source "{source}"; there are {", ".join(v["id"] for v in found) or "none"}.'
        )
    if json:
        chosen = [view for view in found if source in (None, view["id"])]
        sys.stdout.write(orjson.dumps(chosen, option=orjson.OPT_INDENT_2).decode() + "\n")
        return _code(chosen)
    if watch:
        return _watch(folder, plant, source)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDE
    console.print(_shown(found, source))
    return _code([view for view in found if source in (None, view["id"])])


def sources_of(folder: DataFolder, plant: Plant | None) -> list[SourceDetail]:
    """All sources as of now."""
    lost = gaps(folder.spool)
    return source_views(read_collecting(folder.collectors), lost, plant, datetime.now(UTC))


def _watch(folder: DataFolder, plant: Plant | None, source: str | None) -> int:
    try:
        with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            while True:
                live.update(_shown(sources_of(folder, plant), source), refresh=True)
                time.sleep(EVERY)
    except KeyboardInterrupt:
        return 0


def _code(views: list[SourceDetail]) -> int:
    return 1 if any(view["state"] != "ok" for view in views) else 0


def _shown(views: list[SourceDetail], source: str | None) -> Group | Text:
    if source is not None:
        views = [view for view in views if view["id"] == source]
    if not views:
        return Text(
            "No sources yet: `lineside browse opc.tcp://...` looks at one and writes it into a plant file."
        )
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for head in ("", "source", "protocol", "for"):
        table.add_column(head, no_wrap=True)
    for head in ("per s", "lag", "signals", "overruns", "dropped"):
        table.add_column(head, justify="right", no_wrap=True)
    order = {"away": 0, "look": 1, "ok": 2}
    for view in sorted(views, key=lambda view: order[view["state"]]):
        word, style = STATES[view["state"]]
        counts = view["counts"]
        table.add_row(
            Text(word, style),
            Text(view["id"]),
            view["protocol"],
            _age(view["since"]),
            f"{view['rate']:.1f}",
            "-" if view["lag"] is None else f"{view['lag']:.2f} s",
            f"{counts['ok'] + counts['uncertain']} of {view['signals']}",
            str(view["overruns"]),
            _dropped(view),
        )
    parts: list[Table | Text] = [table]
    for view in views:
        for problem in view["problems"]:
            parts.append(Text(f"{view['id']}: {problem}", STATES[view["state"]][1]))
    if source is not None:
        parts += [Text(), _signals(views[0]["signal_list"])]
        parts += [
            Text(f"lost {gap['first'][:19]} to {gap['last'][:19]} UTC: {gap['why']}")
            for gap in views[0]["gap_list"]
        ]
    return Group(*parts)


def _signals(signals: list[SignalView]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("", "signal"):
        table.add_column(head, no_wrap=True)
    for head in ("value", "age", "per s"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("what to know")
    styles = {"ok": "green", "uncertain": "yellow", "bad": "bold red", "silent": "yellow"}
    for signal in signals:
        value = signal["value"]
        shown = value if isinstance(value, str) else words.value(value)
        said = "; ".join(text for text in (signal["problem"], signal["note"]) if text)
        if signal["overflows"]:
            said += f"{'; ' if said else ''}{signal['overflows']} times values were dropped by the source"
        table.add_row(
            Text(signal["state"], styles[signal["state"]]),
            Text(signal["id"]),
            Text(f"{shown} {signal['unit']}".strip()),
            _age(signal["received"]),
            f"{signal['rate']:.1f}",
            Text(said),
        )
    return table


def _dropped(view: SourceDetail) -> str:
    found = []
    if view["gaps"]:
        found.append(f"{view['gaps']} gap{'s' if view['gaps'] > 1 else ''}")
    if view["overflows"]:
        found.append(f"{view['overflows']} overflow{'s' if view['overflows'] > 1 else ''}")
    return ", ".join(found) or "0"


def _age(at: str | None) -> str:
    return (
        "-" if at is None else words.length((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds())
    )


def _refused(problem: str) -> int:
    Console(stderr=True, soft_wrap=True).print(problem, markup=False, highlight=False)
    return 2
