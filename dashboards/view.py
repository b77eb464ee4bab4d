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
    finish_early: str | None  # the finish lies between early and late in 8 of 10 cases
    finish_late: str | None  # null while there is too little to tell
    finish_ideal: str | None  # at the ideal rate
    slack: float | None  # seconds from finish_present to due; negative: late
    expected: int | None  # what should have been made by now to be on time
    risk: float | None  # probability of being late
    why: str | None  # in words, if it is at risk
    priority: int


class MachineView(TypedDict):
    """One tile."""

    id: str
    name: str
    description: str
    line: str
    state: str  # MachineState, or "no_data": unknown, or not connected and silent for 5 s
    since: str | None
    reason: str | None  # name of the reason, or null
    cause: str | None  # one short line: what the tile says about why ("Waiting for Capper: Feeder jam")
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
    source: str | None  # id of the source its state comes from; null: nothing is connected, it is imported
    unread: int  # of its signals, how many give no value now


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
    crew: str | None  # who works it, where the calendar says so


class StopView(TypedDict):
    """A stop as the ledger has it now."""

    equipment: str
    start: str
    end: str | None  # null: it goes on
    seconds: float  # so far
    state: str
    reason: str | None  # reason id
    following: str | None  # when the next stop began, if it can be merged with this one
    between: float | None  # seconds from the end of this one to the next
    version: str  # send it with what you say of the stop: refused when somebody else said something meanwhile


class SpanView(TypedDict):
    """What is said of a span of a machine's time."""

    start: str
    end: str | None  # null: the rest of the stop
    state: str | None
    reason: str | None  # reason id; with no state either: what was said before is taken back


class SaidView(TypedDict):
    """One thing somebody did to a stop."""

    reason: str  # the reason id it said, the last one when it said several; "": none
    user: str
    at: str
    note: str
    spans: list[SpanView]  # in the order they hold: the later over the earlier


class RestatementView(TypedDict):
    """Why the figures of a closed shift are others than before."""

    at: str
    user: str  # "" when nobody did it
    cause: str
    detail: str
    moved: dict[str, float]  # KPI id to the change of its value; points are hundredths
    figures: dict[str, object]


class PublishedView(TypedDict):
    """A closed shift of a line: its figures as reported when it closed, and as corrected since."""

    line: str
    shift: str
    shift_start: str
    closed_at: str
    reported: dict[str, object]
    corrected: dict[str, object]
    restatements: list[RestatementView]  # oldest first


class CountsView(TypedDict):
    """How many signals are in which state."""

    ok: int
    uncertain: int
    bad: int
    silent: int


class SourceView(TypedDict):
    """A connection to equipment as its collector sees it. Counters are since the collector process started."""

    id: str
    protocol: str
    process: str  # the collector process it runs in
    state: str  # ok; look: something of it is not well; away: not connected, or its process does not answer
    problems: list[str]  # what is not well, in words, the worst first
    connected: bool
    detail: str  # what the collector says of the connection
    since: str | None  # when it was connected or lost
    heard: str | None  # when its process last said anything; null: never
    machines: list[str]  # equipment that has signals from it
    signals: int
    counts: CountsView
    notes: int  # signals that work, with something to know about them
    samples: int
    rate: float  # samples a second
    last_sample: str | None  # the source's time of the newest
    lag: float | None  # seconds the newest sample was old when it came
    overruns: int  # polls left out because an earlier one took too long
    overflows: int  # times the source said that it dropped values before they were taken
    gaps: int  # times of the last 24 h for which samples are lost for good
    lost: int  # samples known to be lost in them


class SignalView(TypedDict):
    """A signal of a source."""

    id: str  # equipment.signal
    equipment: str
    signal: str
    role: str | None
    unit: str
    address: str
    state: str  # ok, uncertain, bad (no value), silent (nothing came, or not for too long)
    problem: str | None  # why it is not ok
    note: str | None  # what to know although it works
    value: float | str | None
    meaning: str | None  # of a state: what the plant file says the value is
    quality: str | None  # good, uncertain, bad
    time: str | None  # the source's time of the newest sample
    received: str | None  # when that came
    samples: int
    rate: float
    overflows: int


class GapView(TypedDict):
    """A time for which samples are lost for good."""

    first: str
    last: str  # included
    rows: int  # samples; 0: nobody knows how many
    why: str
    signals: list[str]  # equipment.signal; none: any
    whole: bool  # not of this source alone, of all its process had
    recorded: str


class SourceDetail(SourceView):
    """A source with all there is to see of it."""

    signal_list: list[SignalView]  # in the order of the plant file
    gap_list: list[GapView]  # of the last 24 h, newest first


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
    forecast_low: int | None  # it lies between low and high in 8 of 10 cases
    forecast_high: int | None
    downtime: float  # unplanned seconds this shift
    planned: float  # planned busy seconds this shift, so far
    top: list[LossView]
    stops: int
    uncoded: int  # stops without a reason
    uncoded_share: float | None  # of stop time
    lines: list[LineView]
    machines: list[MachineView]
    alerts: list[AlertView]
