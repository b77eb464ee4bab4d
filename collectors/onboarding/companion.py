"""What companion specifications say a node is: a small table, by namespace, name and type. No NodeSet is needed.

Sources: OPC 30050 (PackML, numbers of ISA-TR88.00.02), OPC 40001-1 (Machinery), OPC 40501-1 (Machine Tools),
OPC 10031-4 (ISA-95 Job Control).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collectors.onboarding.found import Step, Variable
from collectors.onboarding.states import Meaning
from plant.model import Role
from plant.packml import PACKML as PACKML_STATES
from plant.states import MachineState

UA = "http://opcfoundation.org/UA/"
PACKML = UA + "PackML/"
MACHINERY = UA + "Machinery/"
MACHINE_TOOL = UA + "MachineTool/"
JOB_CONTROL = UA + "ISA95-JOBCONTROL_V2/"
MTCONNECT = "urn:mtconnect"
"""Of the types of an MTConnect agent, which has no namespaces."""
_URIS = {
    "mt": MTCONNECT,
    "ua": UA,
    "packml": PACKML,
    "machinery": MACHINERY,
    "tool": MACHINE_TOOL,
    "jobs": JOB_CONTROL,
}

SPECIFICATIONS: Mapping[str, str] = {
    PACKML: "PackML",
    MACHINERY: "Machinery",
    MACHINE_TOOL: "Machine Tools",
    JOB_CONTROL: "ISA-95 Job Control",
    MTCONNECT: "MTConnect",
}

_JUDGED = ("Idle", "Complete", "Suspended", "Suspending", "Unsuspending", "Completing")
_ITEM: Mapping[int, tuple[str, MachineState]] = {
    0: ("NotAvailable", MachineState.UNKNOWN),
    1: ("OutOfService", MachineState.MAINTENANCE),
    2: ("NotExecuting", MachineState.DOWN),
    3: ("Executing", MachineState.RUNNING),
}
_PROGRAM: Mapping[int, tuple[str, MachineState]] = {
    0: ("Initializing", MachineState.DOWN),
    1: ("Running", MachineState.RUNNING),
    2: ("Ended", MachineState.DOWN),
    3: ("Interrupted", MachineState.DOWN),
    4: ("Aborted", MachineState.DOWN),
}


_EXECUTION: Mapping[str, MachineState] = {
    "ACTIVE": MachineState.RUNNING,
    **dict.fromkeys(
        (
            "READY",
            "INTERRUPTED",
            "FEED_HOLD",
            "STOPPED",
            "PROGRAM_STOPPED",
            "PROGRAM_COMPLETED",
            "OPTIONAL_STOP",
        ),
        MachineState.DOWN,
    ),
    "WAIT": MachineState.STARVED,
}


def _numbers(table: Mapping[int, tuple[str, MachineState]]) -> dict[str, Meaning]:
    return {str(n): _meaning(name, state) for n, (name, state) in table.items()}


def _texts(table: Mapping[int, tuple[str, MachineState]]) -> dict[str, Meaning]:
    return {name: _meaning(name, state) for name, state in table.values()}


def _meaning(name: str, state: MachineState) -> Meaning:
    return Meaning(state=state, why=name, sure=name not in _JUDGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a specification says about a variable."""

    pattern: str
    """Its last steps, "prefix:Name" each: a browse name or a type. "*" stands for any namespace."""
    role: Role | None
    """None: it is known, and no signal Lineside derives from."""
    confidence: float
    why: str
    states: Mapping[str, Meaning] = field(default_factory=dict)


_TABLE = (
    Known(pattern="mt:EXECUTION", role=Role.STATE, confidence=0.92, why="MTConnect's execution state",
          states={name: Meaning(state=state, why=name, sure=name not in ("READY", "WAIT"))
                  for name, state in _EXECUTION.items()}),
    Known(pattern="mt:PART_COUNT", role=Role.TOTAL, confidence=0.85, why="MTConnect's part count"),
    Known(pattern="mt:PART_COUNT.ALL", role=Role.TOTAL, confidence=0.9, why="MTConnect's count of all parts"),
    Known(pattern="mt:PART_COUNT.GOOD", role=Role.GOOD, confidence=0.92, why="MTConnect's count of good parts"),
    Known(pattern="mt:PART_COUNT.BAD", role=Role.REJECT, confidence=0.92, why="MTConnect's count of bad parts"),
    Known(pattern="mt:PART_COUNT.TARGET", role=None, confidence=0.9, why="how many parts are wanted"),
    Known(pattern="mt:PART_COUNT.REMAINING", role=None, confidence=0.9, why="how many parts are left to make"),
    Known(pattern="mt:AVAILABILITY", role=None, confidence=0.9, why="whether the agent reaches the device"),
    Known(pattern="mt:CONTROLLER_MODE", role=None, confidence=0.9, why="the mode, not whether it runs"),
    Known(pattern="mt:PROGRAM", role=None, confidence=0.8, why="the program, not an order"),
    Known(pattern="mt:CONDITION", role=Role.ALARM, confidence=0.8, why="an MTConnect condition"),
    Known(pattern="*:StateCurrent", role=Role.STATE, confidence=0.9, why="PackML's state, by its tag name",
          states=_numbers(PACKML_STATES)),
    Known(pattern="packml:PackMLExecuteStateMachineType/ua:CurrentState/ua:Number", role=Role.STATE, confidence=0.88,
          why="PackML's execute state as a number", states=_numbers(PACKML_STATES)),
    Known(pattern="packml:PackMLExecuteStateMachineType/ua:CurrentState", role=Role.STATE, confidence=0.85,
          why="PackML's execute state; while the machine is stopped or aborted it may have no value, which is unknown time",
          states=_texts(PACKML_STATES)),
    Known(pattern="packml:PackMLMachineStateMachineType/ua:CurrentState", role=None, confidence=0.8,
          why="PackML's outer state machine: the execute state says more"),
    Known(pattern="packml:PackMLBaseStateMachineType/ua:CurrentState", role=None, confidence=0.8,
          why="PackML's outer state machine: the execute state says more"),
    Known(pattern="*:ProdProcessedCount", role=Role.TOTAL, confidence=0.9,
          why="PackML's count of all parts processed, good and defective"),
    Known(pattern="*:ProdDefectiveCount", role=Role.REJECT, confidence=0.9, why="PackML's count of defective parts"),
    Known(pattern="*:ProdConsumedCount", role=None, confidence=0.9, why="PackML's count of material used, not of parts"),
    Known(pattern="*:CurMachSpeed", role=Role.PROCESS_VALUE, confidence=0.9, why="PackML's present machine speed"),
    Known(pattern="*:MachSpeed", role=None, confidence=0.8, why="PackML's wanted machine speed, a setpoint"),
    Known(pattern="*:MachDesignSpeed", role=None, confidence=0.8,
          why="PackML's design speed: tells the ideal cycle, is no signal"),
    Known(pattern="*:StateRequested", role=None, confidence=0.8, why="a command to the machine, not its state"),
    Known(pattern="*:UnitModeCurrent", role=None, confidence=0.8, why="PackML's mode, not its state"),
    Known(pattern="machinery:MachineryItemState_StateMachineType/ua:CurrentState/ua:Number", role=Role.STATE,
          confidence=0.93, why="Machinery's item state as a number", states=_numbers(_ITEM)),
    Known(pattern="machinery:MachineryItemState_StateMachineType/ua:CurrentState", role=Role.STATE, confidence=0.92,
          why="Machinery's item state", states=_texts(_ITEM)),
    Known(pattern="machinery:MachineryItemState/ua:CurrentState", role=Role.STATE, confidence=0.92,
          why="Machinery's item state", states=_texts(_ITEM)),
    Known(pattern="machinery:MachineryOperationModeStateMachineType/ua:CurrentState", role=None, confidence=0.9,
          why="Machinery's operation mode: what it is set to, not whether it runs"),
    Known(pattern="machinery:MachineryOperationMode/ua:CurrentState", role=None, confidence=0.9,
          why="Machinery's operation mode: what it is set to, not whether it runs"),
    Known(pattern="tool:OperationMode", role=None, confidence=0.9, why="the operation mode, not whether it runs"),
    Known(pattern="tool:ActiveProgram/tool:State/ua:CurrentState/ua:Number", role=Role.STATE, confidence=0.87,
          why="Machine Tools' state of the active program as a number", states=_numbers(_PROGRAM)),
    Known(pattern="tool:ActiveProgram/tool:State/ua:CurrentState", role=Role.STATE, confidence=0.86,
          why="Machine Tools' state of the active program", states=_texts(_PROGRAM)),
    Known(pattern="tool:PartsProducedInLifetime", role=Role.TOTAL, confidence=0.88,
          why="Machine Tools' count of all parts ever made"),
    Known(pattern="tool:PartsGood", role=Role.GOOD, confidence=0.9, why="Machine Tools' good parts of a job"),
    Known(pattern="tool:PartsCompleted", role=Role.TOTAL, confidence=0.85, why="Machine Tools' parts of a job"),
    Known(pattern="tool:ProductionJobType/tool:OrderIdentifier", role=Role.ORDER, confidence=0.85,
          why="Machine Tools' order of a job"),
    Known(pattern="tool:ChannelState", role=None, confidence=0.7, why="the state of one channel, not of the machine"),
    Known(pattern="jobs:JobOrderList", role=None, confidence=0.9,
          why="ISA-95's list of job orders, a structure: start orders in Lineside, or import them"),
)  # fmt: skip


def known(variable: Variable) -> Known | None:
    """What the specifications say about a variable; None: nothing."""
    found = [entry for entry in _TABLE if _matches(entry.pattern, variable.path)]
    return max(found, key=lambda entry: entry.pattern.count("/"), default=None)


def specifications(path: tuple[Step, ...]) -> list[str]:
    """The specifications that names and types on a path come from."""
    uris = [uri for step in path for uri in (step.uri, step.type_uri)]
    return list(dict.fromkeys(SPECIFICATIONS[uri] for uri in uris if uri in SPECIFICATIONS))


def _matches(pattern: str, path: tuple[Step, ...]) -> bool:
    steps = pattern.split("/")
    if len(steps) > len(path):
        return False
    return all(_is(step, at) for step, at in zip(steps, path[-len(steps) :], strict=True))


def _is(step: str, at: Step) -> bool:
    prefix, name = step.split(":")
    if prefix == "*":
        return at.name == name
    uri = _URIS[prefix]
    return (at.uri, at.name) == (uri, name) or (at.type_uri, at.type_name) == (uri, name)
