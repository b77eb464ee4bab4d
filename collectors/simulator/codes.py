"""The vocabulary of the simulated plant: machines, signals, state and fault codes, materials, addresses.

`infra/demo/plant.toml` describes the same plant to Lineside; a test keeps both equal.
The numbers lean on the PackML StateEnum (ANSI/ISA-TR88.00.02: 4 Idle, 6 Execute, 9 Aborted) and go their own
way where it has no word, as real controllers do: a fault with a known reason is 900 + n.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PLANNED_STOP = 4
RUNNING = 6
DOWN = 9
MAINTENANCE = 11
CHANGEOVER = 15
STARVED = 51
BLOCKED = 52

STATES: Mapping[int, str] = {
    RUNNING: "running",
    DOWN: "down",
    STARVED: "starved",
    BLOCKED: "blocked",
    CHANGEOVER: "setup",
    PLANNED_STOP: "planned_stop",
    MAINTENANCE: "maintenance",
}
"""Raw state code to plant.states.MachineState value. DOWN carries no reason; faults are in FAULTS."""

FAULTS: Mapping[int, tuple[str, str]] = {
    901: ("bottle-jam", "Bottle jam"),
    902: ("fill-level", "Fill level out of range"),
    903: ("drive-overload", "Drive overload"),
    904: ("cap-feed", "Cap feed empty or jammed"),
    905: ("label-break", "Label web break"),
    906: ("carton-jam", "Carton jam"),
    907: ("gripper-fault", "Gripper fault"),
    908: ("low-air-pressure", "Low air pressure"),
    911: ("tool-broken", "Tool broken"),
    912: ("coolant-low", "Coolant low"),
    913: ("spindle-overheat", "Spindle overheated"),
    921: ("die-jam", "Die jam"),
    922: ("hydraulic-pressure", "Hydraulic pressure low"),
    923: ("light-curtain", "Light curtain broken"),
}
"""Raw state code to (reason id, reason name). All of them mean down."""

LINE = "bottling"
STATIONS = ("rinser", "filler", "capper", "labeller", "packer", "palletiser")
CNCS = ("cnc-1", "cnc-2")
PRESS = "press-1"
MACHINES = (*STATIONS, *CNCS, PRESS)

MOD16 = 65_536
MOD32 = 4_294_967_296
MODULUS: Mapping[str, int] = {m: MOD32 if m == PRESS else MOD16 for m in MACHINES}
"""Modulus of the good counter. The reject counter is 16 bit everywhere."""

PROCESS_VALUES: Mapping[str, tuple[str, str]] = {
    "rinser": ("temperature", "°C"),
    "filler": ("temperature", "°C"),
    "capper": ("torque", "N.m"),
    "labeller": ("temperature", "°C"),
    "packer": ("torque", "N.m"),
    "palletiser": ("torque", "N.m"),
    "cnc-1": ("temperature", "°C"),
    "cnc-2": ("temperature", "°C"),
    PRESS: ("force", "kN"),
}
"""The one process value of each machine: (signal id, unit)."""


def signals(machine: str) -> tuple[str, ...]:
    """Signal ids of a machine: state, good, reject, order and its process value."""
    return ("state", "good", "reject", "order", PROCESS_VALUES[machine][0])


@dataclass(frozen=True, slots=True)
class Material:
    """A product and its ideal cycle per machine, in microseconds per piece (bottles at every station)."""

    id: str
    name: str
    unit: str
    cycles: Mapping[str, int]


MATERIALS: Mapping[str, Material] = {
    m.id: m
    for m in (
        Material(
            "water-05l",
            "Water 0.5 l",
            "bottle",
            {
                "rinser": 450_000,
                "filler": 500_000,
                "capper": 480_000,
                "labeller": 460_000,
                "packer": 440_000,
                "palletiser": 420_000,
            },
        ),
        Material(
            "juice-1l",
            "Juice 1 l",
            "bottle",
            {
                "rinser": 675_000,
                "filler": 750_000,
                "capper": 720_000,
                "labeller": 690_000,
                "packer": 660_000,
                "palletiser": 630_000,
            },
        ),
        Material("shaft-18", "Shaft 18 mm", "piece", {"cnc-1": 45_000_000, "cnc-2": 48_000_000}),
        Material("flange-40", "Flange 40 mm", "piece", {"cnc-1": 80_000_000, "cnc-2": 84_000_000}),
        Material("bracket", "Bracket", "piece", {PRESS: 4_000_000}),
    )
}

OPCUA_NAMESPACE = "urn:lineside:demo"
"""OPC UA namespace URI; a signal's node id in it is `s=<machine>.<signal>`."""

MODBUS_ADDRESSES: Mapping[str, str] = {
    "state": "holding:0:uint16",
    "good": "holding:1:uint32",
    "reject": "holding:3:uint16",
    "order": "holding:4:string<32>",
    "force": "holding:20:float32",
    "clock": "holding:22:uint64",
}
"""Registers of the press, big endian (ABCD). `order` is 32 bytes of ASCII, zero padded;
`clock` is the device's time of the values in milliseconds since 1970-01-01 UTC."""
