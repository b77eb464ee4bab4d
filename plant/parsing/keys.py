"""Every table of the plant file and the keys it may have: the one list that the parser, the
did-you-mean of an unknown key and the check of docs/plant-file.md share."""

from collections.abc import Mapping

LISTS = (
    "equipment",
    "source",
    "signal",
    "material",
    "calendar",
    "reason",
    "user",
    "channel",
    "escalation",
    "alert",
)
"""The tables written [[name]]; they may stand in the main file or in an included one."""

STORES = ("historian", "records", "spool")
"""The tables that say where things are kept; main file only."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "": ("schema", "include", "site", "settings", *STORES, *LISTS),
    "site": ("id", "name", "zone", "currency"),
    "settings": (
        "convention",
        "micro_stop",
        "min_running",
        "changeover",
        "startup",
        "breaks",
        "orders_from",
        "target_oee",
        "blind_after",
    ),
    "historian": ("kind", "keep"),
    "records": ("url",),
    "spool": ("max_size", "max_age"),
    "equipment": (
        "id",
        "name",
        "level",
        "parent",
        "description",
        "calendar",
        "stale_after",
        "micro_stop",
        "min_running",
        "changeover",
        "startup",
        "upstream",
        "buffer",
        "constraint",
        "material",
        "orders_from",
        "states",
        "state_from",
        "cycle_gaps",
        "cost_per_hour",
    ),
    "equipment.states": ("when", "state", "reason"),
    "equipment.cycle_gaps": ("running", "slow", "micro_stop"),
    "source": ("id", "protocol", "process"),
    "signal": (
        "equipment",
        "id",
        "role",
        "source",
        "address",
        "unit",
        "modulus",
        "min_cycle",
        "scale",
        "offset",
        "states",
        "bits",
        "otherwise",
        "cycle",
        "materials",
        "collect",
    ),
    "signal.states": ("state", "reason"),
    "signal.bits": ("bit", "state", "reason"),
    "signal.collect": (),
    "material": ("id", "name", "unit", "value", "ideal_cycle"),
    "material.ideal_cycle": ("equipment", "cycle", "from"),
    "calendar": ("id", "cycle", "anchor", "shift", "exception"),
    "calendar.shift": ("id", "name", "start", "end", "days", "crews", "breaks"),
    "calendar.shift.breaks": ("start", "end", "name"),
    "calendar.exception": ("date", "until", "name", "equipment", "shifts", "add", "closed"),
    "calendar.exception.shifts": ("id", "name", "start", "end", "crew", "breaks"),
    "calendar.exception.closed": ("start", "end"),
    "reason": ("id", "name", "parent", "planned"),
    "user": ("id", "name", "email", "roles"),
    "channel": ("id", "kind"),
    "escalation": ("id", "name", "steps"),
    "escalation.steps": ("after", "channel", "to"),
    "alert": ("id", "name", "longer_than", "equipment", "states", "severity", "escalation"),
}

OPEN = ("source", "signal.collect", "channel", "historian")
"""Tables whose other keys are options, checked by the protocol, the channel or the store itself."""
