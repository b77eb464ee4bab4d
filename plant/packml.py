"""The 17 states of PackML (ISA-TR88.00.02, OPC 30050) by number and name, and what they are to the ledger."""

from collections.abc import Collection, Mapping

from plant.states import MachineState

PACKML: Mapping[int, tuple[str, MachineState]] = {
    0: ("Undefined", MachineState.UNKNOWN),
    1: ("Clearing", MachineState.DOWN),
    2: ("Stopped", MachineState.DOWN),
    3: ("Starting", MachineState.DOWN),
    4: ("Idle", MachineState.DOWN),
    5: ("Suspended", MachineState.STARVED),
    6: ("Execute", MachineState.RUNNING),
    7: ("Stopping", MachineState.DOWN),
    8: ("Aborting", MachineState.DOWN),
    9: ("Aborted", MachineState.DOWN),
    10: ("Holding", MachineState.DOWN),
    11: ("Held", MachineState.DOWN),
    12: ("Unholding", MachineState.DOWN),
    13: ("Suspending", MachineState.STARVED),
    14: ("Unsuspending", MachineState.STARVED),
    15: ("Resetting", MachineState.DOWN),
    16: ("Completing", MachineState.DOWN),
    17: ("Complete", MachineState.DOWN),
}
"""Suspended is an outside cause (ISA-TR88.00.02): nothing comes, or nothing can leave. Which of both PackML does not
say; it counts as starved until the plant file says otherwise. 0 is no state: OPC 30050 has it for "not known"."""


def spellings(number: int) -> tuple[str, ...]:
    """Raw values that mean a state: its number, and its name as servers write it."""
    name = PACKML[number][0]
    return (str(number), name, name.upper())


def named(raw: str, known: Collection[str]) -> str | None:
    """The PackML state a raw value says, where all of PackML is among the `known` values of its signal; else None."""
    said = {spelling: name for number, (name, _) in PACKML.items() for spelling in spellings(number)}
    return said.get(raw) if said.keys() <= set(known) else None
