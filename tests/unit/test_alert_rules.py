"""Which stops deserve an alert, and what becomes of the ones that have one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from alerting.alert import Alert, AlertState
from alerting.rules import Condition, MachineStatus, Standing, evaluate, standing
from plant.model import AlertRule, Equipment, EquipmentLevel, Plant, Reason, Site
from plant.states import MachineState, TimeCategory

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

RULE = AlertRule(id="stop", name="Stop longer than 5 min", longer_than=5 * MINUTE)
PLANT = Plant(
    site=Site(id="demo", name="Demo", zone=ZoneInfo("Europe/Berlin")),
    equipment={
        "line": Equipment(id="line", name="Line", level=EquipmentLevel.PRODUCTION_LINE),
        "filler": Equipment(id="filler", name="Filler", level=EquipmentLevel.WORK_UNIT, parent="line"),
        "press": Equipment(id="press", name="Press", level=EquipmentLevel.WORK_UNIT),
    },
    reasons={
        "jam": Reason(id="jam", name="Bottle jam"),
        "cleaning": Reason(id="cleaning", name="Cleaning", planned=True),
    },
    alert_rules={"stop": RULE},
)
DOWN = MachineStatus(
    equipment="filler",
    state=MachineState.DOWN,
    since=NOW - 5 * MINUTE,
    reason="jam",
    category=TimeCategory.UNPLANNED_DOWNTIME,
)
ALERT = Alert(
    id="a",
    fingerprint="f",
    rule="stop",
    rule_name="Stop",
    equipment="filler",
    equipment_name="Filler",
    severity="high",
    state=AlertState.UNACKNOWLEDGED,
    machine_state=MachineState.DOWN,
    stop_start=NOW - 5 * MINUTE,
    raised=NOW,
    confirmed=NOW,
)


def with_rule(**changes: object) -> Plant:
    return replace(PLANT, alert_rules={"stop": replace(RULE, **changes)})  # type: ignore[arg-type]


def test_a_stop_is_met_when_it_is_long_enough_to_the_microsecond() -> None:
    expected = Condition(
        rule="stop", equipment="filler", since=DOWN.since, state=MachineState.DOWN, reason="jam"
    )
    assert evaluate(PLANT, [DOWN], NOW) == [expected]
    assert evaluate(PLANT, [DOWN], NOW - timedelta(microseconds=1)) == []


@pytest.mark.parametrize(
    "status",
    [
        replace(DOWN, state=MachineState.RUNNING, category=TimeCategory.RUNNING),
        replace(DOWN, state=MachineState.UNKNOWN, category=TimeCategory.UNKNOWN),
        replace(DOWN, category=TimeCategory.NOT_SCHEDULED),
        replace(DOWN, category=TimeCategory.PLANNED_DOWNTIME),
        replace(DOWN, reason="cleaning"),
        replace(DOWN, equipment="not-in-the-plant"),
    ],
)
def test_what_is_not_met(status: MachineStatus) -> None:
    assert evaluate(PLANT, [status], NOW) == []


def test_only_planned_time_counts() -> None:
    overnight = replace(DOWN, since=NOW - timedelta(hours=10), planned=4 * MINUTE)
    assert evaluate(PLANT, [overnight], NOW) == []
    assert len(evaluate(PLANT, [replace(overnight, planned=5 * MINUTE)], NOW)) == 1


def test_a_rule_covers_what_is_below_what_it_names() -> None:
    press = replace(DOWN, equipment="press")
    assert [c.equipment for c in evaluate(with_rule(equipment=("line",)), [DOWN, press], NOW)] == ["filler"]
    assert [c.equipment for c in evaluate(with_rule(equipment=("press",)), [DOWN, press], NOW)] == ["press"]
    assert [c.equipment for c in evaluate(PLANT, [DOWN, press], NOW)] == ["filler", "press"]


def test_a_rule_names_its_states() -> None:
    plant = with_rule(states=(MachineState.STARVED, MachineState.UNKNOWN))
    starved = replace(DOWN, state=MachineState.STARVED, category=TimeCategory.STARVED)
    assert evaluate(plant, [DOWN], NOW) == []
    assert len(evaluate(plant, [starved], NOW)) == 1


def test_the_fingerprint_is_of_the_stop_not_of_when_or_how_it_is_looked_at() -> None:
    first = evaluate(PLANT, [DOWN], NOW)[0]
    berlin = DOWN.since.astimezone(timezone(timedelta(hours=1)))
    later = evaluate(PLANT, [replace(DOWN, reason=None, since=berlin)], NOW + MINUTE)[0]
    assert first.fingerprint == later.fingerprint == "stop:filler:20261122T095500.000000Z"


RUNNING = replace(DOWN, state=MachineState.RUNNING, category=TimeCategory.RUNNING, since=NOW + MINUTE)
UNKNOWN = replace(DOWN, state=MachineState.UNKNOWN, category=TimeCategory.UNKNOWN, since=NOW + MINUTE)
NEW_STOP = replace(DOWN, since=NOW + 2 * MINUTE)


@pytest.mark.parametrize(
    ("alert", "status", "expected"),
    [
        (ALERT, DOWN, Standing.SAME_STOP),
        (ALERT, replace(DOWN, since=NOW - 4 * MINUTE), Standing.SAME_STOP),  # restated by late data
        (ALERT, replace(DOWN, category=TimeCategory.PLANNED_DOWNTIME), Standing.SAME_STOP),  # a break
        (ALERT, RUNNING, Standing.STOP_ENDED),
        (ALERT, NEW_STOP, Standing.STOP_ENDED),
        (ALERT, UNKNOWN, Standing.NO_DATA),
        (ALERT, None, Standing.NO_DATA),
        (replace(ALERT, held=True), UNKNOWN, Standing.NO_DATA),
        (replace(ALERT, held=True), NEW_STOP, Standing.DATA_BACK),
        (replace(ALERT, held=True), RUNNING, Standing.STOP_ENDED),
        (ALERT, replace(DOWN, reason="cleaning"), Standing.PLANNED),
        (ALERT, replace(DOWN, category=TimeCategory.NOT_SCHEDULED), Standing.NOT_SCHEDULED),
        (ALERT, replace(UNKNOWN, category=TimeCategory.NOT_SCHEDULED), Standing.NOT_SCHEDULED),
        (ALERT, replace(RUNNING, category=TimeCategory.NOT_SCHEDULED), Standing.STOP_ENDED),
        (replace(ALERT, rule="gone"), DOWN, Standing.RULE_GONE),
        (replace(ALERT, equipment="gone"), DOWN, Standing.RULE_GONE),
    ],
)
def test_what_became_of_a_stop(alert: Alert, status: MachineStatus | None, expected: Standing) -> None:
    assert standing(PLANT, alert, status) is expected


def test_a_rule_that_no_longer_covers_the_machine_ends_its_alert() -> None:
    assert standing(with_rule(equipment=("press",)), ALERT, DOWN) is Standing.RULE_GONE
