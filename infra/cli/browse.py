"""`lineside browse`: from the address of a source to a section of the plant file."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.prompt import Prompt
from rich.table import Table
from rich.text import Text

from collectors.onboarding import look, scheme
from collectors.onboarding.behaviour import Behaviour
from collectors.onboarding.found import Access, Offer, OnboardingError, Series
from collectors.onboarding.propose import (
    MachineProposal,
    Proposal,
    SignalProposal,
    adjusted,
    common_folders,
    propose,
)
from infra.onboarding.text import Chosen, cycle_of, in_words
from infra.onboarding.write import WriteError, draft, write
from plant.model import Role
from plant.parsing.values import duration

PASSWORD = "LINESIDE_SOURCE_PASSWORD"
"""The variable that holds a source's password."""
_BARS = "▁▂▃▄▅▆▇█"
_LINE = 16
_LEAVE_OUT = "none"


def run(
    url: str,
    watch: str,
    plant: Path | None,
    cycles: Sequence[str],
    yes: bool,
    every: bool,
    as_json: bool,
    data: Path,
    user: str,
    security: str,
) -> int:
    """Look at a source; with `plant`, write its machines there. The exit code: 0 done, 1 not."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        scheme(url)
        seconds = _seconds(watch)
        given = _given_cycles(cycles)
        access, options = _access(data, user, security)
        offer, watched = _looked(url, seconds, access, errors, quiet=as_json)
        offer = replace(offer, options={**offer.options, **options})
        proposal = propose(offer, watched, seconds)
        if as_json:
            sys.stdout.write(
                orjson.dumps(as_data(offer, proposal), option=orjson.OPT_INDENT_2).decode() + "\n"
            )
        else:
            _show(Console(highlight=False, markup=False), offer, proposal, every)
        if plant is None:
            return 0
        return _write(plant, offer, proposal, given, yes or as_json, watched, seconds, errors)
    except (OnboardingError, WriteError, ValueError) as error:
        errors.print(str(error))
        return 1
    except (KeyboardInterrupt, EOFError):
        errors.print("Nothing was written.")
        return 1


def _seconds(text: str) -> float:
    try:
        return duration(text).total_seconds()
    except ValueError as error:
        raise ValueError(f'--watch: {error}; write it like "60s"') from error


def _given_cycles(cycles: Sequence[str]) -> dict[str, timedelta]:
    """Machine, or "" for all, to ideal cycle."""
    found = {}
    for text in cycles:
        machine, named, cycle = text.partition("=")
        found[machine if named else ""] = cycle_of(cycle if named else text)
    return found


def _access(data: Path, user: str, security: str) -> tuple[Access, dict[str, object]]:
    """How to get in, and the same as the plant file says it: the password stays where it is."""
    said: dict[str, object] = {"security": security} if security else {}
    if not user:
        return Access(folder=data, options=said), said
    password = os.environ.get(PASSWORD)
    if not password:
        raise ValueError(f"--user needs a password: set {PASSWORD} to it")
    written = {**said, "user": user, "password": {"env": PASSWORD}}
    return Access(folder=data, options={**said, "user": user, "password": password}), written


def _looked(
    url: str, seconds: float, access: Access, console: Console, quiet: bool
) -> tuple[Offer, Mapping[str, Series]]:
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("Connecting", total=1.0)
        return asyncio.run(look(url, seconds, access, _Bar(bar, task)))


class _Bar:
    """Shows how a look goes on."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def progress(self, said: str, done: float) -> None:
        self._bar.update(self._task, description=said, completed=done)

    def found(self, offer: Offer, series: Mapping[str, Series]) -> None:
        pass


def _show(console: Console, offer: Offer, proposal: Proposal, every: bool) -> None:
    console.print(Text(f"{offer.name}: {offer.product}", "bold"))
    if offer.security:
        console.print(f"Ways to connect: {'; '.join(offer.security)}")
    console.print(f"{len(offer.variables)} variables")
    for note in offer.notes:
        console.print(Text(note, "yellow"))
    for machine in proposal.machines:
        _show_machine(console, machine, every)
    if not proposal.machines:
        console.print(
            "Nothing here looks like a machine: no state and no part counter. --all lists everything."
        )
    if every and proposal.others:
        console.print(Text("\nBelongs to no machine", "bold"))
        console.print(_table(proposal.others, numbered=False))


def _show_machine(console: Console, machine: MachineProposal, every: bool) -> None:
    console.print(Text(f"\n{machine.name}", "bold"), Text(f"({machine.id}): {machine.why}"))
    shown = [s for s in machine.signals if s.role is not None or every]
    console.print(_table(shown, numbered=True))
    left = len(machine.signals) - len(shown)
    if left:
        console.print(f"{left} more variables are left out; --all lists them.")
    for signal in machine.signals:
        if signal.role is Role.STATE:
            said = ", ".join(
                f"{raw} = {m.state}{'' if m.sure else ' (?)'}" for raw, m in sorted(signal.states.items())
            )
            console.print(f"States: {said or 'none known'}")
    for problem in machine.problems:
        console.print(Text(problem, "yellow"))


def _table(signals: Sequence[SignalProposal], numbered: bool) -> Table:
    above = common_folders(signals)
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for name in (*(["#"] if numbered else []), "role", "sure", "variable", "now", "did", "", "why"):
        table.add_column(name, overflow="fold", max_width=44 if name in ("variable", "why") else 24)
    for number, signal in enumerate(signals, 1):
        did = signal.behaviour
        row = [
            str(signal.role or _LEAVE_OUT),
            f"{signal.confidence:.0%}" if signal.role else "",
            "/".join(step.name for step in signal.variable.path[above:]),
            _short(signal.variable.value),
            did.words if did else "not watched",
            sparkline(did),
            "; ".join(signal.reasons),
        ]
        table.add_row(*(Text(cell) for cell in ([str(number), *row] if numbered else row)))
    return table


def sparkline(did: Behaviour | None) -> str:
    """What it did, as a line of bars."""
    if did is None or not did.line or did.minimum is None or did.maximum is None:
        return ""
    step = max(len(did.line) // _LINE, 1)
    points = did.line[::step][:_LINE]
    span = did.maximum - did.minimum
    top = len(_BARS) - 1
    return "".join(_BARS[round((p - did.minimum) / span * top) if span else 0] for p in points)


def _short(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _write(
    path: Path,
    offer: Offer,
    proposal: Proposal,
    given: Mapping[str, timedelta],
    yes: bool,
    watched: Mapping[str, Series],
    until: float,
    console: Console,
) -> int:
    if unknown := sorted(set(given) - {""} - {m.id for m in proposal.machines}):
        known = ", ".join(m.id for m in proposal.machines)
        raise ValueError(f"--cycle: there is no machine {', '.join(unknown)}; there are {known}")
    chosen = []
    for machine in proposal.machines:
        cycle = given.get(machine.id, given.get(""))
        if yes:
            if Role.STATE in {s.role for s in machine.signals}:
                chosen.append(Chosen(machine=machine, cycle=cycle))
            else:
                console.print(f"{machine.name} is left out. {' '.join(machine.problems)}")
        elif (asked := _ask(machine, cycle, watched, until, console)) is not None:
            chosen.append(asked)
    if not chosen:
        console.print("No machine was chosen: nothing is written.")
        return 1
    ready = draft(path, offer, chosen)
    for file in write(ready, datetime.now(UTC)):
        console.print(f"Wrote {file}")
    for one in chosen:
        if one.cycle is None:
            console.print(
                f"{one.machine.name} has no ideal cycle, so no performance and no OEE: give --cycle."
            )
    console.print(f"Next: lineside up {path}\n(a Lineside that runs on it already takes it up by itself)")
    return 0


def _ask(
    machine: MachineProposal,
    cycle: timedelta | None,
    watched: Mapping[str, Series],
    until: float,
    console: Console,
) -> Chosen | None:
    """What the user makes of a proposal; None: leave the machine out."""
    prompts = Console(stderr=True, highlight=False)
    shown = [s for s in machine.signals if s.role is not None]
    while True:
        answer = Prompt.ask(
            f"{machine.name}: Enter takes this, NUMBER changes the role of one, all lists everything, skip leaves it out",
            console=prompts,
            default="",
            show_default=False,
        ).strip()
        if answer == "skip":
            return None
        if answer == "all":
            shown = list(machine.signals)
            console.print(_table(shown, numbered=True))
        elif answer.isdigit() and 1 <= int(answer) <= len(shown):
            machine = _changed(machine, shown[int(answer) - 1], watched, until, prompts)
            shown = [s for s in machine.signals if s.role is not None]
            console.print(_table(shown, numbered=True))
        elif answer:
            console.print("Enter, a number from the list, all or skip.")
        elif Role.STATE not in {s.role for s in machine.signals}:
            console.print(
                "A machine needs a state signal: choose the one that says whether it runs, or skip."
            )
        else:
            break
    hint = f"; {in_words(timedelta(seconds=machine.cycle))} is {machine.cycle_why}" if machine.cycle else ""
    while cycle is None:
        answer = Prompt.ask(
            f"Ideal cycle of {machine.name} (2.4s or 30/min; Enter: none{hint})",
            console=prompts,
            default="",
            show_default=False,
        )
        if not answer.strip():
            break
        try:
            cycle = cycle_of(answer)
        except ValueError as error:
            console.print(str(error))
    return Chosen(machine=machine, cycle=cycle)


def _changed(
    machine: MachineProposal,
    signal: SignalProposal,
    watched: Mapping[str, Series],
    until: float,
    prompts: Console,
) -> MachineProposal:
    """The machine with another role for one of its signals; the one that had a role of which there is one loses it."""
    likely = ", ".join(signal.alternatives) or "nothing else is likely"
    answer = Prompt.ask(
        f"Role of {signal.variable.name} ({likely})",
        console=prompts,
        choices=[*(str(role) for role in Role), _LEAVE_OUT],
        default=str(signal.role or _LEAVE_OUT),
    )
    role = None if answer == _LEAVE_OUT else Role(answer)
    roles: dict[str, Role | None] = {signal.variable.address: role}
    if role in (Role.STATE, Role.GOOD, Role.REJECT, Role.REWORK, Role.TOTAL, Role.ORDER, Role.MATERIAL):
        roles |= {
            s.variable.address: None
            for s in machine.signals
            if s.role is role and s.variable.address != signal.variable.address
        }
    return adjusted(machine, roles, {}, watched, until)


def as_data(offer: Offer, proposal: Proposal) -> Mapping[str, object]:
    """The proposal for scripts."""
    return {
        "url": offer.url,
        "protocol": offer.protocol,
        "name": offer.name,
        "product": offer.product,
        "security": offer.security,
        "notes": offer.notes,
        "machines": [
            {
                "id": m.id,
                "name": m.name,
                "why": m.why,
                "cycle_seen": m.cycle,
                "problems": m.problems,
                "signals": [_signal_data(s) for s in m.signals],
            }
            for m in proposal.machines
        ],
        "others": [_signal_data(s) for s in proposal.others],
    }


def _signal_data(signal: SignalProposal) -> Mapping[str, object]:
    variable, did = signal.variable, signal.behaviour
    return {
        "address": variable.address,
        "path": [step.name for step in variable.path],
        "type": variable.data_type,
        "unit": variable.unit,
        "description": variable.description,
        "value": variable.value,
        "status": variable.status,
        "role": signal.role,
        "confidence": round(signal.confidence, 3),
        "reasons": signal.reasons,
        "alternatives": signal.alternatives,
        "did": did.words if did else None,
        "states": {raw: {"state": m.state, "why": m.why, "sure": m.sure} for raw, m in signal.states.items()},
    }
