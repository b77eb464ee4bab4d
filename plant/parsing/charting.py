"""Specification limits and control chart of a process value."""

from dataclasses import dataclass
from datetime import timedelta

from plant.model import ChartKind, ControlChart, RuleSet, Subgrouping
from plant.parsing.reader import Table, shown

_OF_VALUES = (ChartKind.I_MR, ChartKind.XBAR_R, ChartKind.XBAR_S, ChartKind.EWMA, ChartKind.CUSUM)
_LARGEST_RANGE = 25
_LARGEST = 1000
_OWN = {
    "weight": ChartKind.EWMA,
    "width": ChartKind.EWMA,
    "slack": ChartKind.CUSUM,
    "decision": ChartKind.CUSUM,
}
"""Keys that one chart has."""


@dataclass(frozen=True, slots=True)
class Specification:
    """What a [[signal]] says about what its value should be."""

    lower: float | None
    upper: float | None
    target: float | None
    spc: ControlChart


def read_specification(table: Table) -> Specification:
    """lower, upper, target and spc of a [[signal]]."""
    lower, upper, target = (
        table.number(k, 0.0) if k in table.data else None for k in ("lower", "upper", "target")
    )
    if lower is not None and upper is not None and lower >= upper:
        table.error("lower", f"{lower:g} is not below upper, {upper:g}", "Swap them")
    elif target is not None:
        for key, limit, outside in (
            ("lower", lower, lower is not None and target < lower),
            ("upper", upper, upper is not None and target > upper),
        ):
            if outside:
                table.error(
                    "target", f"{target:g} is outside of {key}, {limit:g}", "Write a value between them"
                )
    return Specification(lower, upper, target, _read_chart(table))


def _read_chart(table: Table) -> ControlChart:
    value = table.data.get("spc", {})
    if not isinstance(value, dict):
        table.error("spc", f"{shown(value)} is not a table", 'Write { chart = "xbar_r", size = 5 }')
        return ControlChart()
    if not value:
        return ControlChart()
    own = table.child(("spc",), "signal.spc", value)
    usual = ControlChart()
    kind = own.choice("chart", ChartKind, ChartKind.I_MR)
    if kind not in _OF_VALUES:
        own.error("chart", f"{kind} counts rejects, it is not for a value", f"Use {', '.join(_OF_VALUES)}")
    single = kind is ChartKind.I_MR
    by = own.choice("by", Subgrouping, Subgrouping.TIME if "every" in value else Subgrouping.COUNT)
    size = _read_size(own, kind, by)
    for key, needed in (("every", Subgrouping.TIME), ("gap", Subgrouping.INSPECTION)):
        if key in value and by is not needed:
            own.error(key, f'{key} is for by = "{needed}"', f'Remove {key}, or write by = "{needed}"')
    for key, chart in _OWN.items():
        if key in value and kind is not chart:
            own.error(key, f"a {kind} chart has no {key}", f'Remove {key}, or write chart = "{chart}"')
    weight = own.number("weight", usual.weight)
    if not 0 < weight <= 1:
        own.error("weight", f"{weight:g} is not above 0 and at most 1", "Write a share, such as 0.2")
    above = {}
    for key in ("width", "slack", "decision"):
        above[key] = own.number(key, getattr(usual, key))
        if above[key] <= 0 and not (key == "slack" and above[key] == 0):
            own.error(
                key,
                f"{above[key]:g} is too small",
                f"Write a number above zero, such as {getattr(usual, key)}",
            )
    return ControlChart(
        chart=kind,
        by=by,
        size=1 if single else size,
        every=own.duration("every", zero=False, longest=timedelta(days=1)) or usual.every,
        gap=own.duration("gap", zero=False) or usual.gap,
        rules=own.choice("rules", RuleSet, usual.rules),
        running=own.boolean("running", usual.running),
        weight=weight,
        width=above["width"],
        slack=above["slack"],
        decision=above["decision"],
    )


def _read_size(own: Table, kind: ChartKind, by: Subgrouping) -> int | None:
    size = own.integer("size")
    if kind is ChartKind.I_MR:
        if size not in (None, 1):
            own.error("size", "an i_mr chart is of single values", 'Remove size, or write chart = "xbar_r"')
        return 1
    grouped = kind in (ChartKind.XBAR_R, ChartKind.XBAR_S)
    if size is None:
        if by is Subgrouping.COUNT:
            return 5 if grouped else 1
        return None
    most = _LARGEST_RANGE if kind is ChartKind.XBAR_R else _LARGEST
    if not (2 if grouped else 1) <= size <= most:
        fix = f"Write {2 if grouped else 1} to {most}" + (', or chart = "xbar_s"' if most < size else "")
        own.error("size", f"{size} is no size of a subgroup of this chart", fix)
    return size
