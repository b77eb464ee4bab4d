"""What the pages and the REST API show: the board snapshot and the read models around it.

Plain JSON shapes; times are ISO 8601 UTC strings, durations seconds, ratios 0..1. A figure that cannot
be computed is null, never 0.
"""

from typing import TypedDict


class KpiView(TypedDict):
    """OEE and its factors over one window, with the share of the window that is known."""

    oee: float | None
    availability: float | None
    performance: float | None
    quality: float | None
    coverage: float | None


class OrderView(TypedDict):
    """An order on one machine (or line), with its forecast."""

    id: str
    material: str
    material_name: str
    equipment: str
    state: str  # waiting, running, held, completed, cancelled (ISA-95 JobOrder states, lower case)
    quantity: int
    good: int
    reject: int
    start: str | None
    end: str | None
    due: str | None
    finish_present: str | None  # at the present rate
    finish_ideal: str | None  # at the ideal rate
    slack: float | None  # seconds from finish_present to due; negative: late
    expected: int | None  # what should have been made by now to be on time
    priority: int


class MachineView(TypedDict):
    """One tile."""

    id: str
    name: str
    description: str
    line: str
    state: str  # MachineState, or "no_data" when nothing has arrived for 5 s
    since: str | None
    reason: str | None  # name of the reason, or null
    cause: str | None  # one short line: what the tile says about why ("Blocked by Capper")
    stop_start: str | None  # of the stop that wants a reason; null if none does
    last_sample: str | None
    kpi: KpiView
    good: int
    reject: int
    target: int | None  # good parts of the whole shift at the target OEE
    expected: int | None  # of that, due by now
    order: OrderView | None
    strip: list[tuple[str, str, str]]  # (start, end, category) for the last two hours
    alerts: int


class LineView(TypedDict):
    """A row of tiles."""

    id: str
    name: str
    material: str | None
    kpi: KpiView
    good: int
    target: int | None
    machines: list[str]  # in flow order


class AlertView(TypedDict):
    """An alert as people see it (ISA-18.2 states)."""

    id: str
    rule: str
    title: str  # what and why in words
    equipment: str
    equipment_name: str
    state: str  # unacknowledged, acknowledged, resolved (returned to normal)
    severity: str  # urgent, high, medium, low
    raised: str
    acknowledged: str | None
    acknowledged_by: str | None
    resolved: str | None
    reason: str | None
    order: str | None
    slack: float | None  # seconds; negative: the order will be that late
    steps_done: int
    next_step: str | None  # when the next escalation step fires
    next_to: str | None  # whom it tells


class LossView(TypedDict):
    """A bar of the Pareto."""

    reason: str | None
    name: str
    seconds: float
    count: int


class ShiftView(TypedDict):
    """A shift instance."""

    id: str
    name: str
    start: str
    end: str


class BoardSnapshot(TypedDict):
    """The whole board at one tick."""

    revision: int
    time: str
    site: dict[str, str]  # id, name, zone
    shift: ShiftView | None
    kpi: KpiView
    target_oee: float
    convention: str
    good: int
    target: int | None
    expected: int | None
    forecast: int | None  # good parts at shift end at the present rate
    downtime: float  # unplanned seconds this shift
    planned: float  # planned busy seconds this shift, so far
    top: list[LossView]
    stops: int
    uncoded: int  # stops without a reason
    uncoded_share: float | None  # of stop time
    lines: list[LineView]
    machines: list[MachineView]
    alerts: list[AlertView]
