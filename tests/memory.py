"""A small plant held in memory, for the tests of the pages and their API."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import cache, cached_property
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import monotonic
from typing import Any, cast
from zoneinfo import ZoneInfo

import polars as pl

from analytics.facts.cycles import cycle_times
from analytics.figures.buckets import EVERY, edges
from analytics.figures.losses import six_big_losses
from analytics.figures.summary import summarise
from analytics.improvement.idealcycle import rated_cycles
from analytics.ledger import sayings
from analytics.ledger.rows import ledger
from analytics.ledger.sayings import Stop, stop_in
from analytics.spc.inspections import Inspection
from analytics.spc.study import Exclusion, Frozen
from collectors.gaps import Gap
from dashboards.onboarding import Confirmed, Looking, Section
from dashboards.ports import Changed, Refused
from dashboards.stops import said_views, stop_view, version
from dashboards.view import (
    AlertView,
    BoardSnapshot,
    KpiView,
    LineView,
    MachineView,
    OrderView,
    PublishedView,
    SaidView,
    ShiftView,
    SourceDetail,
    SourceView,
    StopView,
)
from infra.collecting import CollectorProcess
from infra.historians.memory import MemoryHistorian
from infra.ledger.reported import figures
from infra.onboarding.looks import Looks
from infra.sources import source_views
from pipelines.derive import corrected
from plant.frames import CORRECTIONS, INCREMENTS, INTERVALS, ORDER_RUNS, RECODES, Window
from plant.model import (
    Convention,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Reason,
    Role,
    Shift,
    Signal,
    Site,
    Source,
    StateMapping,
    User,
    WorkCalendar,
)
from plant.states import BUSY_CATEGORIES, MachineState

START = datetime(2026, 3, 4, 9, 3, tzinfo=UTC)
"""When the board is first looked at: 10:03 in Berlin, four hours into the early shift."""
HISTORY = START - timedelta(hours=36)
LINES = {
    "bottling": ("Bottling", ["rinser", "filler", "capper", "labeller", "packer", "palletiser"], 2),
    "machining": ("Machining", ["cnc-1", "cnc-2"], 45),
    "pressing": ("Pressing", ["press-1"], 4),
}
SECONDS = {machine: seconds for _, machines, seconds in LINES.values() for machine in machines}
"""Ideal cycles."""
ABOUT = {
    "rinser": "Krones",
    "filler": "KHS",
    "capper": "Alcoa",
    "cnc-1": "Lathe",
    "cnc-2": "Mill",
    "press-1": "Schuler",
}
PRESENT = {  # what each machine does now: state, reason, for how long
    "filler": ("down", None, 6),
    "capper": ("starved", None, 5),
    "labeller": ("setup", None, 14),
    "palletiser": ("planned_stop", None, 20),
    "cnc-2": ("down", "tool", 31),
    "press-1": ("maintenance", None, 47),
}
MEASURED = {  # machine, signal: unit, seconds between samples, middle, swing
    ("filler", "temperature"): ("°C", 10, 71.5, 2.5),
    ("filler", "pressure"): ("bar", 10, 3.2, 0.4),
    ("cnc-1", "spindle-load"): ("%", 300, 48.0, 30.0),
}
SOURCES = {"bottling-plc": "opcua", "cnc-1": "shdr", "cnc-2": "shdr", "press": "modbus"}
SILENCE = (START - timedelta(minutes=150), START - timedelta(minutes=100))
"""When no measured value came."""
STOPS = (
    ("down", "jam", 4),
    ("down", "tool", 9),
    ("starved", None, 3),
    ("setup", None, 12),
    ("down", None, 6),
    ("down", "jam", 1),
)


def _plant() -> Plant:
    equipment = {"hall": Equipment(id="hall", name="Hall 1", level=EquipmentLevel.AREA)}
    signals, cycles = {}, []
    for line, (name, machines, seconds) in LINES.items():
        equipment[line] = Equipment(id=line, name=name, level=EquipmentLevel.PRODUCTION_LINE, parent="hall")
        for machine in machines:
            equipment[machine] = Equipment(
                id=machine,
                name=machine.upper() if "-" in machine else machine.title(),
                level=EquipmentLevel.WORK_UNIT,
                parent=line,
                description=ABOUT.get(machine, ""),
                calendar="week",
                micro_stop=timedelta(minutes=2),
                material="p40" if machine == "filler" else None,
            )
            source = {"bottling": "bottling-plc", "pressing": "press"}.get(line, machine)
            for role in (Role.STATE, Role.GOOD, Role.REJECT):
                signals[machine, role.value] = Signal(
                    id=role.value,
                    equipment=machine,
                    role=role,
                    source=source,
                    address=f"ns=2;s={machine}.{role.value}",
                    states={"RUN": StateMapping(state=MachineState.RUNNING)} if role is Role.STATE else {},
                )
            for (owner, signal), (unit, *_) in MEASURED.items():
                if owner == machine:
                    signals[machine, signal] = Signal(
                        id=signal,
                        equipment=machine,
                        role=Role.PROCESS_VALUE,
                        unit=unit,
                        source=source,
                        address=f"ns=2;s={machine}.{signal}",
                        lower=66.0 if signal == "temperature" else None,
                        upper=77.0 if signal == "temperature" else None,
                    )
            cycles.append(IdealCycle(equipment=machine, cycle=timedelta(seconds=seconds)))
    hours = (("early", "Early", 6, 14), ("late", "Late", 14, 22), ("night", "Night", 22, 6))
    shifts = tuple(Shift(id=i, name=n, start=time(a), end=time(b)) for i, n, a, b in hours)
    reasons = (("jam", "Feeder jam"), ("tool", "Tool breakage"), ("temperature", "Temperature low"))
    users = (("ana", "Ana Silva"), ("jan", "Jan Novák"))
    return Plant(
        site=Site(id="demo", name="Demo plant", zone=ZoneInfo("Europe/Berlin")),
        equipment=equipment,
        sources={i: Source(id=i, protocol=protocol) for i, protocol in SOURCES.items()},
        signals=signals,
        materials={"p40": Material(id="p40", name="Pump P40", ideal_cycles=tuple(cycles))},
        calendars={"week": WorkCalendar(id="week", shifts=shifts)},
        reasons={i: Reason(id=i, name=n) for i, n in reasons},
        users={i: User(id=i, name=n) for i, n in users},
    )


@cache
def _facts() -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the machines did (INTERVALS) and made (INCREMENTS), from HISTORY on."""
    until = START + timedelta(hours=4)
    intervals, increments = [], []
    for number, machine in enumerate(SECONDS):
        at, stops = HISTORY, cycle(STOPS[number % 6 :] + STOPS[: number % 6])
        now_state = PRESENT.get(machine)
        change = START - timedelta(minutes=now_state[2] if now_state else 0)
        while at < change:
            for state, reason, minutes in (("running", None, 50 + 17 * number), next(stops)):
                end = min(at + timedelta(minutes=minutes), change)
                if at < end:
                    intervals.append((machine, at, end, state, state, reason))
                    if state == "running":
                        increments += _made(machine, at, end, SECONDS[machine], number)
                at = end
        state, reason, _ = now_state or ("running", None, 0)
        intervals.append((machine, change, until, state, state, reason))
        if state == "running":
            increments += _made(machine, change, until, SECONDS[machine], number)
    return (
        pl.DataFrame(intervals, schema=dict(INTERVALS), orient="row"),
        pl.DataFrame(increments, schema=dict(INCREMENTS), orient="row"),
    )


class MemoryBackend:
    """A backend over frames: the real analytics, records in lists."""

    def __init__(self) -> None:
        self.plant = _plant()
        self.revision = 0
        self.silent: set[str] = set()
        self.away = {"press"}
        """Sources that are not connected."""
        self.entries: list[dict[str, Any]] = []
        self.corrections: list[tuple[Any, ...]] = []
        self.keys: set[str] = set()
        self._one = Lock()
        """One saying after another: of two with one key, at once, one counts."""
        self.frozen: list[tuple[tuple[str, str], Frozen]] = []
        self.excluded: list[tuple[tuple[str, str], Exclusion]] = []
        self.inspected: list[tuple[str, Inspection]] = []
        self.imported: list[tuple[str, bytes, Mapping[str, str], str]] = []
        self.events: dict[str, list[Mapping[str, str]]] = {}
        self._began = monotonic()
        self._intervals, self._increments = _facts()
        runs = [
            (m, START - timedelta(hours=4), None, f"WO-{10420 + n}", "p40")
            for n, m in enumerate(SECONDS)
            if m != "palletiser"
        ]
        self._runs = pl.DataFrame(runs, schema=dict(ORDER_RUNS), orient="row")
        self._orders: dict[str, OrderView] = {
            order: self._order(order, m, n) for n, (m, _, _, order, _) in enumerate(runs)
        }
        later = self._order("WO-10440", "palletiser", 10)
        waiting = {"state": "waiting", "good": 0, "reject": 0, "start": None, "expected": None}
        self._orders["WO-10440"] = cast(OrderView, {**later, **waiting})
        self._alerts: dict[str, AlertView] = {a["id"]: a for a in _alerts()}

    def now(self) -> datetime:
        return START + timedelta(seconds=monotonic() - self._began)

    def ledger(
        self, window: Window, equipment: Sequence[str] | None = None, cuts: Sequence[datetime] = ()
    ) -> pl.DataFrame:
        recodes = pl.DataFrame(self.entries, schema=dict(RECODES))
        clipped = Window(max(window.start, HISTORY), min(max(window.end, HISTORY), self.now()))
        said = pl.DataFrame(self.corrections, schema=dict(CORRECTIONS), orient="row")
        counted = corrected(self._increments, said)
        found = ledger(self._intervals, counted, self._runs, recodes, self.plant, clipped, cuts)
        return found if equipment is None else found.filter(pl.col("equipment").is_in(list(equipment)))

    def summary(
        self,
        window: Window,
        by: Sequence[str] = (),
        kpis: Collection[str] | None = None,
        convention: Convention | None = None,
        equipment: Sequence[str] | None = None,
        alerts: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        cuts = edges(window, self.plant.site.zone, *(name for name in by if name in EVERY))
        return summarise(self.ledger(window, equipment, cuts), by, self.plant, convention, kpis, alerts)

    def six_big_losses(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        return six_big_losses(self.ledger(window, equipment), self.plant)

    def cycles(self, window: Window, equipment: Sequence[str] | None = None) -> pl.DataFrame:
        found = rated_cycles(cycle_times(self._increments, self._intervals), self._runs, self.plant)
        found = found.filter(
            pl.col("time").is_between(window.start, min(window.end, self.now()), closed="left")
        )
        return found if equipment is None else found.filter(pl.col("equipment").is_in(list(equipment)))

    @cached_property
    def measured(self) -> MemoryHistorian:
        """Thirty days of the process values, up to the start."""
        historian = MemoryHistorian()
        begin = START - timedelta(days=30)
        for number, ((machine, signal), (_, seconds, middle, swing)) in enumerate(MEASURED.items()):
            at = pl.datetime_range(begin, START, f"{seconds}s", time_unit="us", eager=True, closed="left")
            turn = pl.int_range(at.len(), eager=True) * seconds / 3600
            samples = (
                at.alias("time")
                .to_frame()
                .with_columns(
                    equipment=pl.lit(machine),
                    signal=pl.lit(signal),
                    value=middle + swing * (turn + number).sin() + swing / 5 * (turn * 5_000).sin(),
                    text=pl.lit(None, pl.String),
                    quality=pl.lit(0, pl.UInt8),
                    received=pl.col("time"),
                )
            )
            historian.write(samples.filter(~pl.col("time").is_between(*SILENCE)))
        return historian

    def trend(
        self, window: Window, every: timedelta, equipment: Sequence[str], signals: Sequence[str]
    ) -> pl.DataFrame:
        return self.measured.trend(window, every, equipment, signals)

    def last(self, before: datetime, equipment: Sequence[str]) -> pl.DataFrame:
        return self.measured.last(before, equipment)

    def samples(self, window: Window, equipment: str, signal: str) -> pl.DataFrame:
        return self.measured.read(window, [equipment], [signal])

    def spc_limits(self, equipment: str, signal: str, study: str) -> list[Frozen]:
        return [f for of, f in self.frozen if of == (equipment, signal) and f.study == study]

    def spc_exclusions(self, equipment: str, signal: str) -> list[Exclusion]:
        return [e for of, e in self.excluded if of == (equipment, signal)]

    def freeze_limits(self, equipment: str, signal: str, limits: Frozen) -> None:
        self.frozen.append(((equipment, signal), limits))

    def exclude_point(self, equipment: str, signal: str, entry: Exclusion) -> None:
        self.excluded.append(((equipment, signal), entry))

    def inspections(self, window: Window, equipment: str) -> list[Inspection]:
        return [i for of, i in self.inspected if of == equipment and window.start <= i.time < window.end]

    def record_inspection(self, equipment: str, entry: Inspection, key: str = "") -> int:
        with self._one:
            if key not in self.keys:
                self.keys |= {key} - {""}
                self.inspected.append((equipment, replace(entry, number=len(self.inspected) + 1)))
            return len(self.inspected)

    def shifts(self, window: Window) -> list[ShiftView]:
        found: list[ShiftView] = []
        for day in range(-2, 2):
            base = datetime(2026, 3, 4, 5, tzinfo=UTC) + timedelta(days=day)
            for number, (shift, name) in enumerate(
                (("early", "Early"), ("late", "Late"), ("night", "Night"))
            ):
                start = base + timedelta(hours=8 * number)
                if start < window.end and start + timedelta(hours=8) > window.start:
                    end = start + timedelta(hours=8)
                    found.append(
                        {
                            "id": shift,
                            "name": name,
                            "start": start.isoformat(),
                            "end": end.isoformat(),
                            "crew": "C" if shift == "night" else None,
                        }
                    )
        return found

    def orders(self) -> list[OrderView]:
        return list(self._orders.values())

    def alerts(self, include_resolved: bool = False) -> list[AlertView]:
        return [a for a in self._alerts.values() if include_resolved or a["state"] != "resolved"]

    def alert_history(self, alert: str) -> list[Mapping[str, str]]:
        raised = {
            "at": self._find(alert)["raised"],
            "event": "raised",
            "detail": "down for longer than 5 min",
            "user": "",
        }
        return [raised, *self.events.get(alert, [])]

    def acknowledge(self, alert: str, user: str) -> None:
        found = self._find(alert)
        at = self.now().isoformat()
        self._alerts[alert] = {
            **found,
            "state": "acknowledged",
            "acknowledged": at,
            "acknowledged_by": user,
            "next_step": None,
            "next_to": None,
        }
        self.events.setdefault(alert, []).append(
            {"at": at, "event": "acknowledged", "detail": "", "user": user}
        )

    def _stop(self, equipment: str, start: datetime) -> Stop:
        now = self.now()
        found = stop_in(self.ledger(Window(start, now), [equipment]), start, now)
        if found is None:
            raise Changed(f"start: {equipment} has no stop that began at {start.isoformat()}")
        return found

    def _said(self, equipment: str) -> pl.DataFrame:
        return pl.DataFrame(self.entries, schema=dict(RECODES)).filter(pl.col("equipment") == equipment)

    def _following(self, stop: Stop) -> Stop | None:
        after = self.ledger(Window(stop.end, stop.end + sayings.LONGEST_BETWEEN), [stop.equipment])
        begun = after.filter(~pl.col("state").is_in(sayings.NOT_STOPPED), pl.col("stop_start") >= stop.end)
        return (
            None if begun.is_empty() or stop.goes_on else self._stop(stop.equipment, begun["stop_start"][0])
        )

    def _say(
        self,
        equipment: str,
        start: datetime,
        say: Callable[[Stop], list[sayings.Entry]],
        user: str,
        note: str,
        seen: str,
        key: str,
    ) -> None:
        with self._one:
            if key and key in self.keys:
                return
            stop = self._stop(equipment, start)
            said = sayings.about(self._said(equipment), stop.start, stop.end)
            if seen and seen != version(stop, said):
                raise Changed(
                    "Ana Silva changed this stop meanwhile: look at it again, then say what it was."
                )
            try:
                entries = say(stop)
            except sayings.UnsayableError as error:
                raise Refused(str(error)) from error
            self.keys.add(key)
            self.entries += sayings.frame(equipment, entries, user, self.now(), note).to_dicts()

    def stops(self, equipment: str, length: timedelta) -> list[datetime]:
        """When stops of that length began today that another one follows shortly."""
        mine = self._intervals.filter(pl.col("equipment") == equipment, pl.col("state") == "down")
        return mine.filter(pl.col("end") - pl.col("start") == length)["start"].to_list()

    def closed_shift(self) -> str:
        """When the last closed shift began, as the shift page names it."""
        return [s for s in self.shifts(Window(HISTORY, self.now())) if s["end"] <= self.now().isoformat()][
            -1
        ]["start"]

    def stop_at(self, equipment: str, start: datetime) -> StopView:
        stop = self._stop(equipment, start)
        said = sayings.about(self._said(equipment), stop.start, stop.end)
        return stop_view(stop, self._following(stop), said)

    def recodes(self, equipment: str, start: datetime) -> list[SaidView]:
        try:
            stop = self._stop(equipment, start)
            span = Window(stop.start, stop.end)
        except Changed:  # what was said of time that is no stop
            span = Window(start, start + timedelta(microseconds=1))
        return said_views(sayings.about(self._said(equipment), span.start, span.end))

    def recode(
        self,
        equipment: str,
        start: datetime,
        reason: str,
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        def say(stop: Stop) -> list[sayings.Entry]:
            return sayings.recode(stop, reason) if reason else sayings.take_back(stop)

        self._say(equipment, start, say, user, note, seen, key)

    def split_stop(
        self,
        equipment: str,
        start: datetime,
        at: datetime,
        reasons: tuple[str, str],
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        def say(stop: Stop) -> list[sayings.Entry]:
            return sayings.split(stop, at, reasons[0] or None, reasons[1] or None)

        self._say(equipment, start, say, user, note, seen, key)

    def merge_stop(
        self,
        equipment: str,
        start: datetime,
        reason: str,
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        def say(stop: Stop) -> list[sayings.Entry]:
            following = self._following(stop)
            if following is None:
                raise Refused("There is no next stop to merge it with.")
            return sayings.merge(stop, following, reason or None)

        self._say(equipment, start, say, user, note, seen, key)

    def retime_stop(
        self,
        equipment: str,
        start: datetime,
        begin: datetime,
        end: datetime | None,
        user: str,
        note: str = "",
        seen: str = "",
        key: str = "",
    ) -> None:
        self._say(equipment, start, lambda stop: sayings.retime(stop, begin, end), user, note, seen, key)

    def undo_stop(
        self, equipment: str, start: datetime, user: str, note: str = "", seen: str = "", key: str = ""
    ) -> None:
        self._say(
            equipment, start, lambda stop: sayings.undo(self._said(equipment), stop), user, note, seen, key
        )

    def say_state(
        self,
        equipment: str,
        window: Window,
        state: str,
        reason: str,
        user: str,
        note: str = "",
        key: str = "",
    ) -> None:
        if window.end > self.now():
            raise Refused("from, to: say it of time that is over, and end it after it starts.")
        said = [sayings.Entry(window.start, window.end, state or None, reason or None)]
        self.entries += sayings.frame(equipment, said, user, self.now(), note).to_dicts()

    def correct_counts(
        self, equipment: str, at: datetime, changes: Mapping[str, int], why: str, user: str, key: str = ""
    ) -> None:
        with self._one:
            if key and key in self.keys:
                return
            rows = self.ledger(Window(at - timedelta(hours=8), at), [equipment])
            for kind, quantity in changes.items():
                if rows[kind].sum() + quantity < 0:
                    raise Refused(f"{kind}: {rows[kind].sum()} are left, {-quantity} cannot be taken away")
            self.keys.add(key)
            self.corrections += [
                (equipment, at, kind, n, user, self.now(), why) for kind, n in changes.items()
            ]

    def published(self, window: Window) -> list[PublishedView]:
        """The shifts before this one; of one of them a figure moved."""
        found: list[PublishedView] = []
        for shift in self.shifts(window):
            start, end = (datetime.fromisoformat(shift[at]) for at in ("start", "end"))
            if not window.start <= start < window.end or end > self.now():
                continue
            for line, reported in figures(self.plant, self.ledger(Window(start, end))).items():
                corrected = {**reported, "availability": float(str(reported["availability"])) + 0.008}
                made = {
                    "at": end.isoformat(),
                    "user": "ana",
                    "cause": "recode",
                    "detail": "re-coded 12 min of PRESS-1 from Feeder jam to Tool breakage",
                    "moved": {"availability": 0.008},
                    "figures": corrected,
                }
                moved = line == "pressing"
                view = {
                    "line": line,
                    "shift": shift["id"],
                    "shift_start": shift["start"],
                    "closed_at": end.isoformat(),
                    "reported": reported,
                    "corrected": corrected if moved else reported,
                    "restatements": [made] if moved else [],
                }
                found.append(cast(PublishedView, view))
        return found

    def start_order(self, order: str, user: str) -> None:
        self._move(order, "waiting", "running")

    def finish_order(self, order: str, user: str) -> None:
        self._move(order, "running", "completed")

    @cached_property
    def looks(self) -> Looks:
        """Machines are added to a plant file of its own."""
        self._folder = TemporaryDirectory(prefix="lineside-looks-")
        return Looks(Path(self._folder.name) / "plant.toml", Path(self._folder.name))

    def look_at(self, url: str, seconds: float) -> str:
        return self.looks.look_at(url, seconds)

    def looking(self, job: str) -> Looking:
        return self.looks.looking(job)

    def section(self, job: str, machines: Sequence[Confirmed]) -> Section:
        return self.looks.section(job, machines)

    def add_machines(self, job: str, machines: Sequence[Confirmed], user: str) -> Section:
        return self.looks.add_machines(job, machines, user)

    def import_orders(self, name: str, content: bytes, columns: Mapping[str, str], user: str) -> int:
        rows = content.decode().splitlines()[1:]
        bad = [
            f"row {n}: quantity is not a number: {row}"
            for n, row in enumerate(rows, 2)
            if not row.split(",")[-1].isdigit()
        ]
        if bad:
            raise Refused("\n".join(bad))
        self.imported.append((name, content, columns, user))
        return len(rows)

    def sources(self) -> list[SourceView]:
        return [cast(SourceView, {k: s[k] for k in SourceView.__annotations__}) for s in self._sources()]  # type: ignore[literal-required]

    def source(self, source: str) -> SourceDetail:
        found = next((s for s in self._sources() if s["id"] == source), None)
        if found is None:
            raise Refused(f"source: the plant has no {source!r}")
        return found

    def _sources(self) -> list[SourceDetail]:
        """What a collector process would have written just now: a source with a wrong address, one that drops values,
        one that is away."""
        now, shown = self.now(), self.plant.sources
        process = CollectorProcess("collect", now, 1, {"problem": ""}, {s: self._told(s, now) for s in shown})
        lost = [
            Gap(
                "collect",
                now - timedelta(minutes=50),
                now - timedelta(minutes=49, seconds=12),
                0,
                "the connection was lost and the server has no history",
                now - timedelta(minutes=49),
                "cnc-2",
                ("cnc-2.good", "cnc-2.reject"),
            )
        ]
        return source_views([process], lost, self.plant, now)

    def _told(self, source: str, now: datetime) -> Mapping[str, Any]:
        signals = [s for s in self.plant.signals.values() if s.source == source]
        away, seconds = source in self.away, (now - START).total_seconds()
        seen: dict[str, Any] = {}
        for number, signal in enumerate(signals):
            key = f"{signal.equipment}.{signal.id}"
            at = (now - timedelta(seconds=(7 * number) % 5 + 0.2)).isoformat()
            value = {Role.STATE: "RUN"}.get(signal.role) or round(1200 + 100 * number + seconds, 1)
            if signal.role is Role.PROCESS_VALUE:
                value = round(MEASURED[signal.equipment, signal.id][2] + seconds % 7 / 50, 2)
            seen[key] = {
                "samples": int(8000 + seconds),
                "rate": 0.0 if away else 1.0,
                "time": at,
                "received": at,
                "value": None if away else value,
                "quality": 2 if away else 0,
            }
        bad, notes = {}, {}
        if source == "bottling-plc":
            bad = {"labeller.reject": "the server has no node ns=2;s=labeller.reject (BadNodeIdUnknown)"}
            notes = {"filler.pressure": "the server samples it every 250 ms, 50 ms was asked for"}
            seen["labeller.reject"] = {
                "samples": 0,
                "rate": 0.0,
                "time": None,
                "received": None,
                "value": None,
                "quality": None,
            }
        refused = "192.168.0.31:502 does not answer (connection refused); trying again every 8 s"
        return {
            "protocol": SOURCES[source],
            "connected": not away,
            "detail": refused if away else f"connected to {source}",
            "since": (START - timedelta(minutes=12 if away else 330)).isoformat(),
            "bad": bad,
            "notes": notes,
            "overflows": {"cnc-2.good": 3} if source == "cnc-2" else {},
            "overruns": 0,
            "samples": int(8000 + seconds) * len(signals),
            "rate": 0.0 if away else float(len(signals)),
            "last_sample": (now - timedelta(seconds=0.4)).isoformat(),
            "lag": None if away else 0.12,
            "gaps": 0,
            "signals": seen,
        }

    def health(self) -> Mapping[str, object]:
        return {"ok": True, "parts": {"historian": {"ok": True, "detail": "in memory"}}}

    def post_samples(self, source: str | None, authorization: str, body: bytes) -> tuple[int, bytes]:
        raise Refused("source: this plant has no http source")

    def metrics(self) -> bytes:
        return b"python_info 1.0\n"

    def snapshot(self) -> BoardSnapshot:
        now = self.now()
        shift = self.shifts(Window(now, now + timedelta(microseconds=1)))[0]
        began, ends = datetime.fromisoformat(shift["start"]), datetime.fromisoformat(shift["end"])
        share = (now - began) / (ends - began)
        rows = self.ledger(Window(began, now))
        by_machine = {r["equipment"]: r for r in summarise(rows, ["equipment"], self.plant).to_dicts()}
        by_line = {r["line"]: r for r in summarise(rows, ["line"], self.plant).to_dicts()}
        whole = summarise(rows, [], self.plant).to_dicts()[0]
        recent = self.ledger(Window(now - timedelta(hours=2), now))
        orders = {o["equipment"]: o for o in self._orders.values() if o["state"] == "running"}
        machines, lines = [], []
        for line, (name, ids, seconds) in LINES.items():
            target = int(8 * 3600 / seconds * 0.9)
            for machine in ids:
                last = self._intervals.filter(pl.col("equipment") == machine).row(-1, named=True)
                reason = next(
                    (e["reason"] for e in reversed(self.entries) if e["start"] == last["start"]),
                    last["reason"],
                )
                silent = machine in self.silent
                strip = (
                    recent.filter(pl.col("equipment") == machine)
                    .select("start", "end", "category")
                    .iter_rows()
                )
                sums = by_machine[machine]
                view: MachineView = {
                    "id": machine,
                    "name": self.plant.equipment[machine].name,
                    "description": ABOUT.get(machine, ""),
                    "line": line,
                    "state": "no_data" if silent else last["state"],
                    "since": last["start"].isoformat(),
                    "reason": self.plant.reasons[reason].name if reason else None,
                    "cause": "Waiting for Filler" if machine == "capper" else None,
                    "stop_start": last["start"].isoformat()
                    if last["state"] == "down" and not reason
                    else None,
                    "last_sample": (now - timedelta(seconds=42 if silent else 1)).isoformat(),
                    "kpi": _kpi(sums),
                    "good": sums["good"],
                    "reject": sums["reject"],
                    "target": target,
                    "expected": int(target * share),
                    "order": orders.get(machine),
                    "strip": [(a.isoformat(), b.isoformat(), c) for a, b, c in strip],
                    "alerts": sum(a["equipment"] == machine for a in self.alerts()),
                    "source": self.plant.signals[machine, "state"].source,
                    "unread": 1 if machine == "labeller" else 0,
                }
                machines.append(view)
            row: LineView = {
                "id": line,
                "name": name,
                "material": "Pump P40",
                "kpi": _kpi(by_line[line]),
                "good": by_machine[ids[-1]]["good"],
                "target": target,
                "machines": ids,
            }
            lines.append(row)
        down = rows.filter(pl.col("category") == "unplanned_downtime")
        top = down.group_by("reason").agg(s=pl.col("duration").sum() / 1e6, n=pl.col("stop_start").n_unique())
        top = top.drop_nulls("reason").sort("s", descending=True)
        self.revision += 1
        return {
            "revision": self.revision,
            "time": now.isoformat(),
            "site": {"id": "demo", "name": "Demo plant", "zone": "Europe/Berlin"},
            "shift": shift,
            "kpi": _kpi(whole),
            "target_oee": 0.85,
            "convention": "nakajima",
            "good": sum(r["good"] for r in lines),
            "target": sum(r["target"] or 0 for r in lines),
            "expected": int(sum(r["target"] or 0 for r in lines) * share),
            "forecast": int(sum(r["good"] for r in lines) / share),
            "downtime": down["duration"].sum() / 1e6,
            "planned": rows.filter(pl.col("category").is_in([c.value for c in BUSY_CATEGORIES]))[
                "duration"
            ].sum()
            / 1e6,
            "top": [
                {
                    "reason": r["reason"],
                    "name": self.plant.reasons[r["reason"]].name,
                    "seconds": r["s"],
                    "count": r["n"],
                }
                for r in top.to_dicts()
            ],
            "stops": down["stop_start"].n_unique(),
            "uncoded": down.filter(pl.col("reason").is_null())["stop_start"].n_unique(),
            "uncoded_share": 0.061,
            "lines": lines,
            "machines": machines,
            "alerts": self.alerts(),
        }

    def _find(self, alert: str) -> AlertView:
        if alert not in self._alerts:
            raise Refused(f"alert: there is no alert {alert!r}")
        return self._alerts[alert]

    def _move(self, order: str, old: str, new: str) -> None:
        found = self._orders.get(order)
        if found is None or found["state"] != old:
            raise Refused(f"order: {order!r} is not {old}")
        self._orders[order] = {**found, "state": new}

    def _order(self, order: str, machine: str, number: int) -> OrderView:
        slack = (-720.0, 1500.0, 30.0)[number % 3]
        due = START + timedelta(hours=3)
        return {
            "id": order,
            "material": "p40",
            "material_name": "Pump P40",
            "equipment": machine,
            "state": "running",
            "quantity": 9000,
            "good": 5200 - 310 * number,
            "reject": 12,
            "start": (START - timedelta(hours=4)).isoformat(),
            "end": None,
            "due": due.isoformat(),
            "finish_present": (due - timedelta(seconds=slack)).isoformat(),
            "finish_early": (due - timedelta(seconds=slack, minutes=20)).isoformat(),
            "finish_late": (due - timedelta(seconds=slack) + timedelta(minutes=35)).isoformat(),
            "finish_ideal": (due - timedelta(minutes=50)).isoformat(),
            "slack": slack,
            "expected": 4800,
            "risk": 0.85 if slack < 0 else 0.05,
            "why": "At the rate of the last hours it takes too long" if slack < 0 else None,
            "priority": 1,
        }


def _made(machine: str, start: datetime, end: datetime, seconds: int, number: int) -> list[tuple[Any, ...]]:
    """A reading a minute: a little slower than ideal, one in fifty bad."""
    found, total = [], 0.0
    for minute in range(1, int((end - start).total_seconds() // 60) + 1):
        before, total = total, total + 60 / seconds * (0.97 - number / 80)
        at = start + timedelta(minutes=minute)
        found.append((machine, at, "good", int(total) - int(before), None))
        found.append((machine, at, "reject", int(total / 50) - int(before / 50), None))
    return found


def _kpi(row: Mapping[str, Any]) -> KpiView:
    return {
        "oee": row["oee"],
        "availability": row["availability"],
        "performance": row["performance"],
        "quality": row["quality"],
        "coverage": row["coverage"],
    }


def _alerts() -> list[AlertView]:
    def alert(number: int, machine: str, title: str, state: str, severity: str, minutes: int) -> AlertView:
        acknowledged = state == "acknowledged"
        return {
            "id": f"a{number}",
            "rule": "long-stop",
            "title": title,
            "equipment": machine,
            "equipment_name": machine.upper() if "-" in machine else machine.title(),
            "state": state,
            "severity": severity,
            "raised": (START - timedelta(minutes=minutes)).isoformat(),
            "acknowledged": (START - timedelta(minutes=minutes - 1)).isoformat() if acknowledged else None,
            "acknowledged_by": "ana" if acknowledged else None,
            "resolved": START.isoformat() if state == "resolved" else None,
            "reason": None,
            "order": "WO-10421" if machine == "filler" else None,
            "slack": -720.0 if machine == "filler" else None,
            "steps_done": 1,
            "next_step": None if acknowledged else (START + timedelta(minutes=9)).isoformat(),
            "next_to": None if acknowledged else "Jan Novák",
        }

    return [
        alert(1, "filler", "Stopped without a reason for longer than 5 min", "unacknowledged", "high", 6),
        alert(2, "cnc-2", "Tool breakage", "acknowledged", "high", 31),
        alert(3, "labeller", "Changeover 4 min over standard", "unacknowledged", "medium", 3),
        alert(4, "press-1", "Maintenance due to finish in 20 min", "acknowledged", "low", 40),
        alert(5, "packer", "Stopped for longer than 5 min", "resolved", "high", 200),
    ]
