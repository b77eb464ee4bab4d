"""What the raw values of a state signal mean: by their names, else by what the good counter did meanwhile. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from collectors.onboarding.found import Value
from collectors.onboarding.naming import words_of
from plant.states import MachineState

_RUN, _DOWN, _STARVED, _BLOCKED = (
    MachineState.RUNNING,
    MachineState.DOWN,
    MachineState.STARVED,
    MachineState.BLOCKED,
)
_SETUP, _PLANNED, _SERVICE = MachineState.SETUP, MachineState.PLANNED_STOP, MachineState.MAINTENANCE

_MEANS: Mapping[MachineState, frozenset[str]] = {
    state: frozenset(words.split())
    for state, words in {
        MachineState.UNKNOWN: "unknown undefined unbekannt notavailable unavailable offline invalid undefiniert",
        _SERVICE: "maintenance wartung service outofservice instandhaltung maint reparatur repair",
        _SETUP: "setup changeover ruesten einrichten umruesten einricht teach settingup umbau preparing",
        _STARVED: "starved starving suspended suspending unsuspending lack mangel waiting wait wartet warten "
        "nomaterial materialmangel upstream missing",
        _BLOCKED: "blocked blocking tailback stau rueckstau full voll downstream jammed",
        _PLANNED: "break pause pausing paused off aus ausgeschaltet holiday planned geplant shutdown poweroff",
        _DOWN: "fault faulted error alarm aborted aborting abort stop stopped stopping failure failed stoerung "
        "gestoert fehler emergency notaus notstop estop held holding hold unholding stillstand halt gestoppt angehalten "
        "interrupted unterbrochen down trip tripped jam defekt clearing cleared resetting reset idle standby ready bereit "
        "betriebsbereit starting complete completed completing ended finished fertig initializing init notexecuting "
        "inactive notrunning manual hand handbetrieb idling loaded leerlauf",
        _RUN: "execute executing run running runs operating operation producing production produktion produziert active "
        "aktiv automatic auto automatik laeuft lauf betrieb arbeiten arbeitet processing working inproduction normal "
        "machining cutting executionactive automatikbetrieb on ein",
    }.items()
}
"""Words for each state; those that come first in this table win over later ones in the same name."""

_JUDGED = frozenset(("idle", "standby", "ready", "bereit", "betriebsbereit", "complete", "completed", "ended", "finished",
                     "fertig", "manual", "hand", "handbetrieb", "leerlauf", "suspended", "on", "ein", "off", "aus",
                     "auto", "automatic", "automatik"))  # fmt: skip
"""Words whose meaning differs from plant to plant: to be confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What one raw value means, with why. `sure`: False where somebody who knows the machine should look."""

    state: MachineState
    why: str
    sure: bool = True


def by_name(name: str) -> Meaning | None:
    """What a value means by its name: "Execute", "Störung", "NotExecuting"."""
    words = words_of(name)
    joined = {"".join(words), *("".join(words[i : i + 2]) for i in range(len(words) - 1))}
    candidates = {*words, *joined}
    for negated in ("not", "nicht", "kein", "no"):
        if negated in words:
            candidates -= set(words)
            if "".join(words) not in {w for known in _MEANS.values() for w in known}:
                return Meaning(state=_DOWN, why=f'"{name}"', sure=False)
    for state, known in _MEANS.items():
        if hit := candidates & known:
            return Meaning(state=state, why=f'"{name}"', sure=not hit <= _JUDGED)
    return None


def by_names(names: Mapping[str, str]) -> dict[str, Meaning]:
    """The same for all values of a signal; one whose name says nothing is down, to be confirmed."""
    return {
        raw: by_name(name) or Meaning(state=_DOWN, why=f'"{name}" is no word we know', sure=False)
        for raw, name in names.items()
    }


def by_counter(during: Mapping[Value, tuple[float, float]]) -> dict[str, Meaning]:
    """What values mean by the counter: `during` is, per value, how much it rose and for how many seconds it held
    (`behaviour.rises_during`). Without any rise nothing is known: an empty dict."""
    if not any(rise > 0 for rise, _ in during.values()):
        return {}
    best = max(rise / seconds for rise, seconds in during.values() if seconds > 0)
    found = {}
    for value, (rise, seconds) in during.items():
        rate = rise / seconds if seconds > 0 else 0.0
        if rate >= 0.2 * best:
            why = f"parts were counted while it held ({rise:g} in {seconds:.0f} s)"
            found[raw(value)] = Meaning(state=_RUN, why=why, sure=seconds >= 5)
        else:
            why = f"no parts were counted while it held ({seconds:.0f} s)"
            found[raw(value)] = Meaning(state=_DOWN, why=why, sure=False)
    return found


def of_boolean(name: str) -> dict[str, Meaning]:
    """What true and false mean, by the name of the signal: "Running", "Stopped"."""
    said = by_name(name)
    if said is not None and said.state is not _RUN:
        return {
            "0": Meaning(state=_RUN, why=f'not "{name}"', sure=False),
            "1": Meaning(state=said.state, why=f'"{name}"', sure=False),
        }
    sure = said is not None
    return {
        "1": Meaning(state=_RUN, why=f'"{name}"', sure=sure),
        "0": Meaning(state=_DOWN, why=f'not "{name}"', sure=sure),
    }


def unknown(values: Iterable[Value]) -> dict[str, Meaning]:
    """Values nobody can say anything about: down until somebody does."""
    why = "nothing says what it means"
    return {raw(value): Meaning(state=_DOWN, why=why, sure=False) for value in values if value is not None}


def raw(value: Value) -> str:
    """A value as the plant file writes it: numbers as whole text, true as "1"."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)
