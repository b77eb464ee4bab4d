"""Published worked examples, from samples to figures (README.md says how a case is written)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics.figures.losses import pareto
from analytics.figures.summary import summarise
from analytics.kpis import catalogue
from pipelines.derive import derive
from plant.frames import ORDER_RUNS, RECODES, SAMPLES, Window
from plant.model import (
    Break,
    BreakRule,
    Convention,
    CycleGaps,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Role,
    Settings,
    Shift,
    Signal,
    Site,
    StateMapping,
    WorkCalendar,
)
from plant.parsing.signals import resolve_min_cycles
from plant.states import MachineState, TimeCategory

CASES = sorted(Path(__file__).parent.glob("*.case"))
DAY = datetime(2026, 3, 2, tzinfo=UTC)
STATES = {s.value: StateMapping(state=s) for s in MachineState}
SECONDS = {*(c.value for c in TimeCategory), "busy", "known"}


def at(clock: str) -> datetime:
    hours, minutes, seconds = [*map(int, clock.split(":")), 0][:3]
    return DAY + timedelta(hours=hours, minutes=minutes, seconds=seconds)


@dataclass
class Case:
    settings: dict[str, object] = field(default_factory=dict)
    window: Window = field(default_factory=lambda: Window(DAY, DAY + timedelta(days=1)))
    shift: tuple[time, time] | None = None
    line: str | None = None
    breaks: list[Break] = field(default_factory=list)
    cycles: dict[str, timedelta] = field(default_factory=dict)
    by_cycles: set[str] = field(default_factory=set)
    samples: list[tuple[datetime, str, str, float | None, str | None, int, datetime]] = field(
        default_factory=list
    )
    recodes: list[tuple[str, datetime, datetime, str, str, datetime, None, None]] = field(
        default_factory=list
    )
    expected: list[tuple[str, str, str, float]] = field(default_factory=list)


def read(path: Path) -> Case:
    case, machine = Case(), "m"
    for line in path.read_text().splitlines():
        match line.split():
            case [] | ["#", *_]:
                continue
            case ["convention", name]:
                case.settings["convention"] = Convention(name)
            case ["breaks", rule]:
                case.settings["breaks"] = BreakRule(rule)
            case ["window", first, last]:
                case.window = Window(at(first), at(last))
            case ["shift", first, last]:
                case.shift = (at(first).time(), at(last).time())
            case ["break", first, last]:
                case.breaks.append(Break(start=at(first).time(), end=at(last).time()))
            case ["line", name]:
                case.line = name
            case ["machine", name]:
                machine = name
            case ["cycle", seconds]:
                case.cycles[machine] = timedelta(seconds=float(seconds))
            case ["state_from", "cycles"]:
                case.by_cycles.add(machine)
            case ["state", clock, state]:
                case.samples.append((at(clock), machine, "state", None, state, 0, at(clock)))
            case [("good" | "reject" | "rework" | "total") as counter, clock, number]:
                case.samples.append((at(clock), machine, counter, float(number), None, 0, at(clock)))
            case ["recode", first, last, reason]:
                made = DAY + timedelta(days=2, seconds=len(case.recodes))
                case.recodes.append((machine, at(first), at(last), reason, "ada", made, None, None))
            case ["expect", *rest]:
                tolerance = 1e-6
                if "within" in rest:
                    *rest, _, given = rest
                    tolerance = float(given)
                who, figure, value = rest if len(rest) == 3 else ["*", *rest]
                case.expected.append((who, figure, value, tolerance))
            case _:
                raise ValueError(f"{path.name}: cannot read {line!r}")
    return case


def plant_of(case: Case, machines: list[str]) -> Plant:
    signals = {(m, s): s for _, m, s, *_ in case.samples}
    calendars = {}
    if case.shift:
        shift = Shift(id="s", name="s", start=case.shift[0], end=case.shift[1], breaks=tuple(case.breaks))
        calendars["c"] = WorkCalendar(id="c", shifts=(shift,))
    materials = {
        f"part-{m}": Material(id=f"part-{m}", name=m, ideal_cycles=(IdealCycle(equipment=m, cycle=c),))
        for m, c in case.cycles.items()
    }
    counted = {
        (m, s): Signal(id=s, equipment=m, role=Role(s), states=STATES if s == "state" else {})
        for m, s in signals
    }
    return Plant(
        site=Site(id="site", name="site", zone=ZoneInfo("UTC")),
        settings=Settings(**case.settings),  # type: ignore[arg-type]
        equipment={
            m: Equipment(
                id=m,
                name=m,
                level=EquipmentLevel.WORK_UNIT,
                parent=case.line,
                calendar="c" if calendars else None,
                cycle_gaps=CycleGaps() if m in case.by_cycles else None,
            )
            for m in machines
        }
        | (
            {case.line: Equipment(id=case.line, name=case.line, level=EquipmentLevel.PRODUCTION_LINE)}
            if case.line
            else {}
        ),
        signals=resolve_min_cycles(counted, materials),
        materials=materials,
        calendars=calendars,
    )


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_case(path: Path) -> None:
    case = read(path)
    assert case.expected, f"{path.name} expects nothing"
    machines = sorted({machine for _, machine, *_ in case.samples})
    plant = plant_of(case, machines)
    runs = pl.DataFrame(
        [(m, DAY, None, f"order-{m}", f"part-{m}") for m in machines],
        schema=dict(ORDER_RUNS),
        orient="row",
    )
    samples = pl.DataFrame(case.samples, schema=dict(SAMPLES), orient="row")
    recodes = pl.DataFrame(case.recodes, schema=dict(RECODES), orient="row")
    ledger = derive(samples, plant, case.window, recodes=recodes, runs=runs)
    figures = {"*": summarise(ledger, [], plant, kpis=catalogue()).row(0, named=True)}
    for row in summarise(ledger, ["equipment"], plant, kpis=catalogue()).iter_rows(named=True):
        figures[row["equipment"]] = row
    reasons = dict(pareto(ledger).select("reason", "duration").iter_rows())
    for who, figure, value, tolerance in case.expected:
        found = figures[who].get(figure)
        if figure.startswith("reason:"):
            found = reasons[figure.removeprefix("reason:")] / 1e6
        elif figure.startswith("raw:"):
            found = ledger.filter(raw=figure.removeprefix("raw:"))["duration"].sum() / 1e6
        elif figure in SECONDS:
            found = found / 1e6
        wanted = {"true": True, "false": False, "null": None}.get(value, value)
        if isinstance(wanted, str):
            wanted = pytest.approx(float(wanted), abs=tolerance)
        assert found == wanted, f"{path.name}: {who} {figure}"


def test_there_are_cases() -> None:
    assert len(CASES) >= 8
