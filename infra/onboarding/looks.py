"""Looks at sources on behalf of the pages: each in a thread of its own, a few at a time, and what becomes of them."""

import asyncio
import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from collectors.onboarding import look, scheme
from collectors.onboarding.found import Access, Offer, OnboardingError, Series
from collectors.onboarding.propose import (
    MachineProposal,
    Proposal,
    SignalProposal,
    adjusted,
    common_folders,
    propose,
)
from dashboards.onboarding import Confirmed, FoundMachine, FoundSignal, Looking, Section
from dashboards.ports import Refused
from infra.onboarding.text import Chosen, cycle_of, in_words
from infra.onboarding.write import Draft, WriteError, draft, write
from plant.model import Role
from plant.states import MachineState

log = logging.getLogger(__name__)

AT_ONCE = 2
KEPT = 3600.0
"""Seconds a look is remembered after its end."""
LONGEST = 300.0
"""Seconds of watching."""
MOST_SHOWN = 500
"""Variables of one machine, and of none, that are shown."""


@dataclass(slots=True)
class _Look:
    """One look; written by its own thread, read by others."""

    url: str
    seconds: float
    said: str = "Connecting"
    done: float = 0.0
    failed: bool = False
    ended: float | None = None
    offer: Offer | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    watched_since: float = 0.0
    written: bool = False
    kept: tuple[Proposal, float] | None = None
    """The newest proposal, and how long had been watched."""
    good_until: float = 0.0
    """When it is to be made anew."""

    def progress(self, said: str, done: float) -> None:
        self.said, self.done = said, done

    def found(self, offer: Offer, series: Mapping[str, Series]) -> None:
        self.series, self.watched_since = series, time.monotonic()
        self.offer = offer

    def proposal(self) -> tuple[Proposal, float]:
        """What can be said by now, and for how long it was watched. Made anew now and then, so that following a look at
        thousands of variables costs the server little; after the end once."""
        assert self.offer is not None
        began, ended = time.monotonic(), self.ended is not None
        if self.kept is not None and began < self.good_until:
            return self.kept
        until = min((self.ended or time.monotonic()) - self.watched_since, self.seconds)
        said = {address: list(series) for address, series in list(self.series.items())}
        self.kept = propose(self.offer, said, until), until
        now = time.monotonic()
        self.good_until = math.inf if ended else now + max(0.5, 9 * (now - began))
        return self.kept


class Looks:
    """`dashboards.onboarding.Onboarding` for one plant file."""

    def __init__(self, plant_file: Path, folder: Path) -> None:
        self._plant_file, self._folder = plant_file, folder
        self._looks: dict[str, _Look] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def look_at(self, url: str, seconds: float) -> str:
        url = url.strip()
        try:
            scheme(url)
        except OnboardingError as error:
            raise Refused(str(error)) from error
        if not 0 <= seconds <= LONGEST:
            raise Refused(f"Watch between 0 and {LONGEST:.0f} seconds.")
        with self._lock:
            self._forget()
            if sum(one.ended is None for one in self._looks.values()) >= AT_ONCE:
                raise Refused(f"{AT_ONCE} sources are being looked at already: wait until one is done.")
            job = f"{os.urandom(4).hex()}-{next(self._numbers)}"
            one = self._looks[job] = _Look(url, seconds)
        threading.Thread(target=self._run, args=(one,), name=f"look {job}", daemon=True).start()
        return job

    def looking(self, job: str) -> Looking:
        one = self._look(job)
        offer, machines, others = one.offer, [], []
        if offer is not None and not one.failed:
            proposal, _ = one.proposal()
            machines = [_machine_view(m) for m in proposal.machines]
            others = [_signal_view(s, 0) for s in proposal.others[:MOST_SHOWN]]
        state = "failed" if one.failed else "done" if one.ended else "watching" if offer else "looking"
        return Looking(
            job=job,
            url=one.url,
            state=state,
            said=one.said,
            done=one.done,
            product=offer.product if offer else "",
            name=offer.name if offer else "",
            security=list(offer.security) if offer else [],
            notes=list(offer.notes) if offer else [],
            machines=machines,
            others=others,
        )

    def section(self, job: str, machines: Sequence[Confirmed]) -> Section:
        ready = self._draft(self._look(job), machines)
        return _section_view(ready)

    def add_machines(self, job: str, machines: Sequence[Confirmed], user: str) -> Section:
        one = self._look(job)
        with self._lock:
            if one.written:
                raise Refused(
                    "This look has been written already: look at the source again for more machines."
                )
            ready = self._draft(one, machines)
            try:
                write(ready, datetime.now(UTC))
            except WriteError as error:
                raise Refused(str(error)) from error
            one.written = True
        log.info("%s added %s from %s", user or "somebody", ", ".join(ready.machines), one.url)
        return _section_view(ready)

    def _look(self, job: str) -> _Look:
        found = self._looks.get(job)
        if found is None:
            raise Refused("That look is not known any more: look at the source again.")
        return found

    def _run(self, one: _Look) -> None:
        try:
            offer, series = asyncio.run(look(one.url, one.seconds, Access(folder=self._folder), one))
            one.offer, one.series = offer, series
        except OnboardingError as error:
            one.said, one.failed = str(error), True
        except Exception:
            log.exception("looking at %s failed", one.url)
            one.said, one.failed = "That failed; the server's log says why.", True
        finally:
            one.good_until, one.ended = 0.0, time.monotonic()

    def _forget(self) -> None:
        now = time.monotonic()
        old = [job for job, one in self._looks.items() if one.ended is not None and now - one.ended > KEPT]
        for job in old:
            del self._looks[job]

    def _draft(self, one: _Look, machines: Sequence[Confirmed]) -> Draft:
        if one.offer is None or one.ended is None or one.failed:
            raise Refused("The look is not done yet: wait until it has watched.")
        if not machines:
            raise Refused("No machine is chosen.")
        proposal, until = one.proposal()
        known = {m.id: m for m in proposal.machines}
        chosen = [_confirmed(known, said, one.series, until) for said in machines]
        try:
            return draft(self._plant_file, one.offer, chosen)
        except WriteError as error:
            raise Refused(str(error)) from error


def _confirmed(
    known: Mapping[str, MachineProposal], said: Confirmed, series: Mapping[str, Series], until: float
) -> Chosen:
    if said["id"] not in known:
        raise Refused(f"There is no machine {said['id']!r} in this look: look at the source again.")
    machine = known[said["id"]]
    try:
        roles = {a: Role(role) if role else None for a, role in said["roles"].items()}
        meanings = {raw: MachineState(state) for raw, state in said["states"].items()}
        cycle = cycle_of(said["cycle"]) if said["cycle"].strip() else None
    except ValueError as error:
        raise Refused(f"{machine.name}: {error}") from error
    changed = adjusted(machine, roles, meanings, series, until)
    if Role.STATE not in {s.role for s in changed.signals}:
        raise Refused(f"{machine.name} needs a state signal: choose the one that says whether it runs.")
    return Chosen(machine=replace(changed, name=said["name"].strip()[:80] or machine.name), cycle=cycle)


def _section_view(ready: Draft) -> Section:
    file = next(iter(ready.files))
    return Section(file=str(file), text=ready.section, machines=list(ready.machines))


def _machine_view(machine: MachineProposal) -> FoundMachine:
    above = common_folders(machine.signals)
    return FoundMachine(
        id=machine.id,
        name=machine.name,
        why=machine.why,
        cycle=in_words(timedelta(seconds=round(machine.cycle, 3))) if machine.cycle else None,
        cycle_why=machine.cycle_why,
        problems=list(machine.problems),
        signals=[_signal_view(s, above) for s in machine.signals[:MOST_SHOWN]],
    )


def _signal_view(signal: SignalProposal, above: int) -> FoundSignal:
    variable, did = signal.variable, signal.behaviour
    value = variable.value
    if did is not None and did.values:
        value = did.last
    return FoundSignal(
        address=variable.address,
        name=" / ".join(step.name for step in variable.path[above:]),
        data_type=variable.data_type,
        unit=variable.unit,
        value="" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)[:60],
        did=did.words if did else "",
        line=list(did.line) if did else [],
        role=str(signal.role) if signal.role else None,
        confidence=signal.confidence,
        reasons=list(signal.reasons),
        alternatives=[str(role) for role in signal.alternatives],
        states=[
            {"raw": raw, "state": str(m.state), "why": m.why, "sure": m.sure}
            for raw, m in signal.states.items()
        ],
    )
