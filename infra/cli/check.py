"""`lineside check`: the same code that reads the plant file at start-up."""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.text import Text

from infra.cli.telling import how_told
from infra.plantfile import load
from plant.model import Plant
from plant.parse import PlantErrors


def run(path: Path, as_json: bool) -> int:
    """Check a plant file and print its errors, or a short summary. The exit code: 0 good, 1 errors.

    As JSON: {"ok", "errors": [{file, path, problem, fix}], "plant": {...} or null}.
    """
    plant: Plant | None = None
    errors: PlantErrors | None = None
    try:
        plant = load(path)
    except PlantErrors as found:
        errors = found
    if as_json:
        answer = {
            "ok": errors is None,
            "errors": [asdict(e) for e in errors.errors] if errors else [],
            "plant": _figures(plant) | {"told": how_told(plant)} if plant else None,
        }
        sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")
        return 1 if errors else 0
    console = Console(soft_wrap=True, highlight=False)
    if errors:
        _print_errors(console, errors)
        return 1
    if plant:
        _print_summary(console, plant)
    return 0


def _print_errors(console: Console, errors: PlantErrors) -> None:
    for error in errors.errors:
        where = f"{error.file}: {error.path}" if error.path else error.file
        console.print(Text(where, "bold"))
        console.print(Text(f"  {error.problem}", "red"))
        console.print(Text(f"  {error.fix}"))
    count = len(errors.errors)
    console.print(Text(f"{count} {'error' if count == 1 else 'errors'}", "bold red"))


def _print_summary(console: Console, plant: Plant) -> None:
    figures = _figures(plant)
    console.print(
        Text(f"{plant.site.name} ({plant.site.id}), {plant.site.zone.key}: no errors", "bold green")
    )
    protocols = Counter(s.protocol for s in plant.sources.values())
    notes = {"sources": ", ".join(f"{n} {p}" for p, n in sorted(protocols.items()))}
    for name, count in figures.items():
        if isinstance(count, int):
            note = notes.get(name)
            console.print(
                f"  {name.replace('_', ' '):<12} {count}{f' ({note})' if note else ''}", markup=False
            )
    for sentence, *details in how_told(plant).values():
        console.print(f"\n{sentence}", markup=False)
        for detail in details:
            console.print(f"  {detail}", markup=False)


def _figures(plant: Plant) -> dict[str, object]:
    """What there is of everything."""
    return {
        "site": plant.site.id,
        "name": plant.site.name,
        "zone": plant.site.zone.key,
        "equipment": len(plant.equipment),
        "machines": len(plant.machines()),
        "sources": len(plant.sources),
        "signals": len(plant.signals),
        "materials": len(plant.materials),
        "calendars": len(plant.calendars),
        "reasons": len(plant.reasons),
        "users": len(plant.users),
        "channels": len(plant.channels),
        "escalations": len(plant.escalations),
        "alert_rules": len(plant.alert_rules),
    }
