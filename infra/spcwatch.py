"""The alert that a process is out of control: every chart with frozen limits is looked at again and again.

To the alert rules such a chart is one more machine, which stands while the newest point breaks a rule; the plant the board
shows does not have it. Charts without frozen limits raise nothing.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from zlib import crc32

from alerting.alert import OrderContext
from alerting.rules import MachineStatus
from alerting.text import OUT_OF_CONTROL
from analytics.spc.study import in_force, key
from dashboards import spc
from infra.records.database import Database, RecordsError
from infra.records.spc import SpcRecords
from infra.storingalert import most_urgent_escalation, own_rules
from pipelines.ports import HistorianError
from plant.frames import Window
from plant.model import AlertRule, ChartKind, Equipment, EquipmentLevel, Plant, Reason
from plant.states import MachineState, TimeCategory

log = logging.getLogger(__name__)

SUBJECT = "@spc:"
"""In front of machine and signal: the equipment such an alert is about."""
EVERY = 2.0
"""Seconds between two looks, at least."""
_REST = 9
"""Times as long as a look took nothing is looked at: however many charts there are, a tenth of one processor is theirs."""
LOOKED = timedelta(hours=1)
"""How far back a point that breaks a rule may be the newest one."""
_LOTS = timedelta(days=2)
_INSPECTIONS = timedelta(days=30)
_LONGEST = 80
"""Letters an alert's equipment may have."""


def with_spc(plant: Plant, found: "Mapping[str, OutOfControl | None]") -> Plant:
    """The plant as the alert rules see it: with the charts that have frozen limits, and a rule for them alone."""
    if not found:
        return plant
    rules = own_rules(plant)
    rules[OUT_OF_CONTROL] = AlertRule(
        id=OUT_OF_CONTROL,
        name="Out of control",
        longer_than=timedelta(0),
        equipment=tuple(found),
        severity="medium",
        escalation=most_urgent_escalation(plant),
    )
    subjects = {
        subject: Equipment(id=subject, name=_name(plant, subject), level=EquipmentLevel.WORK_UNIT)
        for subject in found
    }
    reasons = {subject: Reason(id=subject, name=one.why) for subject, one in found.items() if one is not None}
    return replace(
        plant,
        equipment={**plant.equipment, **subjects},
        alert_rules=rules,
        reasons={**plant.reasons, **reasons},
    )


def machine_of(subject: str) -> str:
    """The machine an alert about a chart is about; any other equipment as it is."""
    return subject.removeprefix(SUBJECT).partition("/")[0] if subject.startswith(SUBJECT) else subject


def with_orders(
    contexts: Mapping[str, OrderContext], found: "Mapping[str, OutOfControl | None]"
) -> Mapping[str, OrderContext]:
    """The running order of its machine is what an alert about a chart hurts."""
    ours = {subject: contexts[m] for subject in found if (m := machine_of(subject)) in contexts}
    return {**contexts, **ours}


@dataclass(frozen=True, slots=True)
class OutOfControl:
    """Since which point, and the sentence an alert says."""

    since: datetime
    why: str


class SpcWatch:
    """Looks at the charts with frozen limits in a thread of its own, as their values must be read."""

    def __init__(self, source: spc.Source, database: Database) -> None:
        self._source, self._database = source, database
        self.found: dict[str, OutOfControl | None] = {}
        """Of the last look."""

    def look(self, now: datetime) -> None:
        """Read and judge. An alert keeps the point it was raised for until the chart is in control."""
        with self._database.read() as connection:
            charts = SpcRecords(connection).frozen()
        before, found = self.found, look(self._source, charts, now)
        self.found = {s: (before.get(s) or out) if out else None for s, out in found.items()}

    def run(self, stop: threading.Event) -> None:
        """Look until stopped; what cannot be read now is read the next time."""
        took = 0.0
        while not stop.wait(max(EVERY, _REST * took)):
            begun, took = monotonic(), 0.0
            try:
                self.look(datetime.now(UTC))
                took = monotonic() - begun
            except (HistorianError, RecordsError) as error:
                log.warning("control charts wait: %s", error)
            except Exception:
                log.exception("the control charts could not be judged")


def look(
    source: spc.Source, charts: Sequence[tuple[str, str, str]], now: datetime
) -> dict[str, OutOfControl | None]:
    """By subject, each chart (equipment, signal, study) with frozen limits that the plant still has; None: in control, or
    back in phase 1."""
    found: dict[str, OutOfControl | None] = {}
    for equipment, signal, study in charts:
        asked = _asked(source.plant, equipment, signal, study)
        if asked is None:
            continue
        shown = spc.find(source, asked, Window(now - _back(source.plant, asked), now))
        judged = shown.study
        live = judged.points.filter(judged.points["phase"] == 2, ~judged.points["excluded"])
        subject = _subject(equipment, signal)
        found.setdefault(subject, None)
        if live.is_empty() or in_force(shown.limits, now) is None:
            continue
        broken = set(judged.violations["time"])
        times = live["time"].to_list()
        if times[-1] not in broken:
            continue
        since = times[-1]
        for time in reversed(times):
            if time not in broken:
                break
            since = time
        last = judged.violations.filter(judged.violations["time"] == times[-1]).row(0, named=True)
        found[subject] = OutOfControl(since, f"rule {last['number']}: {last['text'].lower()}")
    return found


def statuses(found: Mapping[str, OutOfControl | None], now: datetime) -> list[MachineStatus]:
    """One per chart that has frozen limits."""
    return [
        MachineStatus(
            equipment=subject,
            state=MachineState.DOWN if out else MachineState.RUNNING,
            since=out.since if out else now,
            reason=subject if out else None,
            category=TimeCategory.UNPLANNED_DOWNTIME if out else TimeCategory.RUNNING,
        )
        for subject, out in found.items()
    ]


def _back(plant: Plant, asked: spc.Asked) -> timedelta:
    """How far: machines say something all the time, people a few times a day."""
    if asked.signal == spc.REJECTS:
        return _LOTS
    by_hand = asked.counts or plant.signals[asked.machine, asked.signal].source is None
    return _INSPECTIONS if by_hand else LOOKED


def _subject(equipment: str, signal: str) -> str:
    """Its beginning and a checksum when it is too long for an alert."""
    whole = f"{SUBJECT}{equipment}/{signal}"
    return whole if len(whole) <= _LONGEST else f"{whole[: _LONGEST - 9]}~{crc32(whole.encode()):08x}"


def _asked(plant: Plant, equipment: str, signal: str, study: str) -> spc.Asked | None:
    """None: the plant has no such chart any more."""
    if equipment not in plant.equipment:
        return None
    if signal == spc.REJECTS or signal.startswith(spc.INSPECTION):
        chart, _, per = study.partition(" per ")
        return spc.Asked(machine=equipment, signal=signal, per=per, chart=ChartKind(chart))
    known = plant.signals.get((equipment, signal))
    return spc.Asked(machine=equipment, signal=signal) if known and key(known.spc) == study else None


def _name(plant: Plant, subject: str) -> str:
    machine = machine_of(subject)
    signal = subject.partition("/")[2]
    name = "rejects" if signal == spc.REJECTS else signal.removeprefix(spc.INSPECTION)
    return f"{plant.equipment[machine].name} {name}"
