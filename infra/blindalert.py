"""The alert that nothing is known of a machine: it goes through the lifecycle and escalation of the plant's own alerts.

To the alert rules a collector process, a source and the state signal of a machine are more machines, which stand while
they say nothing; the plant the board shows does not have them. What is away as a whole is one alert, whatever hangs on it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alerting.rules import MachineStatus
from dashboards.view import SourceDetail
from infra.collecting import CollectorProcess
from infra.storingalert import most_urgent_escalation, own_rules
from plant.model import AlertRule, Equipment, EquipmentLevel, Plant, Reason, Role
from plant.states import MachineState, TimeCategory

BLIND = "@blind"
"""Rule id; ids of a plant file have no "@"."""
PROCESS, SOURCE, MACHINE = "@collector:", "@source:", "@machine:"
"""In front of the id of a collector process, source or machine: the equipment such an alert is about."""
QUIET = timedelta(seconds=5)
"""A machine something came from since then is seen, whoever sent it (a replay, an import)."""
NAMED = 4
"""Machines named in the alert."""


def feeds(plant: Plant) -> dict[str, str]:
    """Machine to the source its state comes from (of several the last); machines that are only imported are not in it."""
    return {s.equipment: s.source for s in plant.state_signals() if s.source is not None}


def with_blind(plant: Plant, why: Mapping[str, str]) -> Plant:
    """The plant as the alert rules see it: with what can go blind, a rule for that alone, and why something is blind
    (`BlindWatch.why`)."""
    fed = feeds(plant)
    names = {
        PROCESS + plant.sources[s].process: f"Collector process {plant.sources[s].process}"
        for s in fed.values()
    }
    names |= {SOURCE + source: f"Source {source}" for source in fed.values()}
    names |= {MACHINE + machine: plant.equipment[machine].name for machine in fed}
    if not names or not plant.settings.blind_after:
        return plant
    rules = own_rules(plant)
    rules[BLIND] = AlertRule(
        id=BLIND,
        name="Machine without data",
        longer_than=plant.settings.blind_after,
        equipment=tuple(names),
        states=(MachineState.UNKNOWN,),
        severity="high",
        escalation=most_urgent_escalation(plant),
    )
    subjects = {i: Equipment(id=i, name=name, level=EquipmentLevel.WORK_UNIT) for i, name in names.items()}
    reasons = {i: Reason(id=i, name=text) for i, text in why.items()}
    return replace(
        plant,
        equipment={**plant.equipment, **subjects},
        alert_rules=rules,
        reasons={**plant.reasons, **reasons},
    )


def about(equipment: str) -> str:
    """The machine an alert about a machine's state signal is about; any other equipment as it is."""
    return equipment.removeprefix(MACHINE)


@dataclass(slots=True)
class _Spell:
    since: datetime
    why: str


class BlindWatch:
    """Remembers since when something is blind. A collector starts the clock of its source anew with each of its own
    restarts; this one does not."""

    def __init__(self, started: datetime) -> None:
        self._started = started
        self._spells: dict[str, _Spell] = {}

    @property
    def why(self) -> dict[str, str]:
        """Of each subject that is blind, what the alert says. Fixed once it is due, so that an alert does not change
        with each try to connect."""
        return {subject: spell.why for subject, spell in self._spells.items()}

    def statuses(
        self,
        plant: Plant,
        processes: Sequence[CollectorProcess],
        sources: Sequence[SourceDetail],
        heard: Mapping[str, datetime],
        unknown: Collection[str],
        now: datetime,
    ) -> list[MachineStatus]:
        """One per subject of which it is known whether it is blind; an alert about the others is held.

        Args:
            heard: when something usable last came from each machine.
            unknown: machines of which the ledger does not know what they do now.
        """
        fed = feeds(plant)
        silent = {m for m in fed if m not in heard or now - heard[m] > QUIET}
        views = {view["id"]: view for view in sources}
        found: dict[str, tuple[datetime, str] | None] = {}
        for subject, machines, blind in self._looked(plant, fed, processes, views, unknown, now):
            found[subject] = blind if silent & set(machines) else None
        self._spells = {subject: spell for subject, spell in self._spells.items() if found.get(subject)}
        after = plant.settings.blind_after
        for subject, blind in found.items():
            if blind is None:
                continue
            since, why = blind
            spell = self._spells.setdefault(subject, _Spell(min(since, now), why))
            if now - spell.since < after:
                spell.why = why
        return [self._status(subject, blind is not None, now) for subject, blind in found.items()]

    def _looked(
        self,
        plant: Plant,
        fed: Mapping[str, str],
        processes: Sequence[CollectorProcess],
        views: Mapping[str, SourceDetail],
        unknown: Collection[str],
        now: datetime,
    ) -> Iterator[tuple[str, list[str], tuple[datetime, str] | None]]:
        """Subject, its machines, and since when and why it is blind."""
        told = {process.name: process for process in processes}
        machines: dict[str, list[str]] = {}
        for machine, source in fed.items():
            machines.setdefault(PROCESS + plant.sources[source].process, []).append(machine)
            machines.setdefault(SOURCE + source, []).append(machine)
        for name in dict.fromkeys(plant.sources[source].process for source in fed.values()):
            subject, process = PROCESS + name, told.get(name)
            if process is None or process.stale(now):
                since = max(process.time, self._started) if process else self._started
                yield (
                    subject,
                    machines[subject],
                    (since, _unknown_of(plant, machines[subject], "it does not answer")),
                )
                continue
            yield subject, machines[subject], None
            for source, view in views.items():
                if view["process"] != name or SOURCE + source not in machines:
                    continue
                yield from self._source(plant, view, machines[SOURCE + source], unknown, now)

    def _source(
        self, plant: Plant, view: SourceDetail, machines: list[str], unknown: Collection[str], now: datetime
    ) -> Iterator[tuple[str, list[str], tuple[datetime, str] | None]]:
        if not view["connected"]:
            since = datetime.fromisoformat(view["since"]) if view["since"] else now
            why = _unknown_of(plant, machines, view["detail"].partition("; trying again")[0])
            yield SOURCE + view["id"], machines, (since, why)
            return
        yield SOURCE + view["id"], machines, None
        for signal in view["signal_list"]:
            if signal["role"] != Role.STATE.value:
                continue
            machine = signal["equipment"]
            missing = signal["state"] == "silent" or (signal["state"] == "bad" and signal["value"] is None)
            blind = (now, f"no state: {signal['problem']}") if missing and machine in unknown else None
            yield MACHINE + machine, [machine], blind

    def _status(self, subject: str, blind: bool, now: datetime) -> MachineStatus:
        return MachineStatus(
            equipment=subject,
            state=MachineState.UNKNOWN if blind else MachineState.RUNNING,
            since=self._spells[subject].since if blind else now,
            reason=subject if blind else None,
            category=TimeCategory.UNKNOWN if blind else TimeCategory.RUNNING,
        )


def _unknown_of(plant: Plant, machines: Sequence[str], why: str) -> str:
    names = [plant.equipment[machine].name for machine in machines]
    more = len(names) - NAMED
    listed = ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{why}; nothing is known of {listed}"
