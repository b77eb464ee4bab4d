"""ISO 22400-2 formulas against hand numbers, what cannot be rated, failures, money, and docs/kpis.md."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from analytics.figures.elements import ELEMENTS
from analytics.figures.explain import explain
from analytics.figures.losses import pareto, six_big_losses
from analytics.figures.reliability import WAITS, failure_events
from analytics.figures.summary import summarise
from analytics.figures.yields import steps
from analytics.kpis import catalogue
from plant.frames import LEDGER
from plant.model import Convention, Equipment, EquipmentLevel, IdealCycle, Material, Plant, Role, Signal, Site
from plant.states import TimeCategory

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
MINUTE = 60_000_000
EVERY = list(catalogue())
Row = Mapping[str, Any]


def plant(machines: tuple[str, ...] = ("m",), upstream: Mapping[str, tuple[str, ...]] | None = None) -> Plant:
    """Machines of one line; `p` has an ideal cycle of a minute, `q` one from the second hour on, `x` has none."""
    roles = (Role.STATE, Role.GOOD, Role.REJECT, Role.REWORK)
    line = Equipment(id="l", name="l", level=EquipmentLevel.PRODUCTION_LINE)
    of = [
        Equipment(
            id=m,
            name=m,
            level=EquipmentLevel.WORK_UNIT,
            parent="l",
            upstream=(upstream or {}).get(m, ()),
            cost_per_hour=120.0 if m == "m" else None,
        )
        for m in machines
    ]
    minute, later = timedelta(minutes=1), START + timedelta(hours=1)
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC"), currency="EUR"),
        equipment={e.id: e for e in (line, *of)},
        signals={(m, r.value): Signal(id=r.value, equipment=m, role=r) for m in machines for r in roles},
        materials={
            "p": Material(
                id="p",
                name="p",
                value=2.5,
                ideal_cycles=tuple(IdealCycle(equipment=m, cycle=minute) for m in machines),
            ),
            "q": Material(
                id="q", name="q", ideal_cycles=(IdealCycle(equipment="m", cycle=minute, valid_from=later),)
            ),
            "x": Material(id="x", name="x"),
        },
    )


def ledger(*rows: Row, cycle: int = MINUTE) -> pl.DataFrame:
    """Rows one after the other on each machine: minutes and category, and what differs from nothing."""
    reached: dict[str, datetime] = {}
    full = []
    for row in rows:
        machine, minutes = row.get("equipment", "m"), row["minutes"]
        begin = row.get("start", reached.get(machine, START))
        reached[machine] = begin + timedelta(minutes=minutes)
        good, reject, rework = (row.get(kind, 0) for kind in ("good", "reject", "rework"))
        rated = row.get("material", "p") == "p"
        values = dict.fromkeys(LEDGER) | {
            "equipment": machine,
            "line": "l",
            "start": begin,
            "end": reached[machine],
            "stop_start": begin,
            "order": "A1",
            "material": "p",
            "state": row["category"] if row["category"] in ("running", "unknown") else "down",
            "duration": minutes * MINUTE,
            "good": 0,
            "reject": 0,
            "rework": 0,
            "startup": 0,
            "flagged": 0,
            "ideal": (good + reject + rework) * cycle if rated else 0,
            "ideal_good": good * cycle if rated else 0,
            "unrated": 0 if rated else good + reject + rework,
        }
        full.append(values | {k: v for k, v in row.items() if k in LEDGER})
    return pl.DataFrame(full, schema=dict(LEDGER), orient="row")


SHIFT = ledger(
    {"minutes": 100, "category": "not_scheduled", "order": None, "material": None},
    {"minutes": 20, "category": "changeover", "state": "setup"},
    {"minutes": 100, "category": "running", "good": 70, "reject": 6, "startup": 2, "rework": 4},
    {"minutes": 30, "category": "unplanned_downtime"},
    {"minutes": 10, "category": "micro_stop"},
    {"minutes": 40, "category": "planned_downtime", "state": "maintenance"},
    {"minutes": 20, "category": "unplanned_downtime", "state": "maintenance"},
    {"minutes": 15, "category": "starved"},
    {"minutes": 5, "category": "starved", "order": None, "material": None},
    {"minutes": 20, "category": "unknown"},
    {"minutes": 40, "category": "running", "good": 20},
)
"""400 min: 100 not scheduled, 40 planned, 260 PBT: 20 unknown, 140 running, 20 setup, 80 stops, 5 of them without order."""


def figures(
    rows: pl.DataFrame, convention: Convention | None = None, of: Plant | None = None
) -> dict[str, Any]:
    return summarise(rows, [], of or plant(), convention, EVERY).row(0, named=True)


def test_the_elements_are_sums_of_rows() -> None:
    found = figures(SHIFT)
    minutes = {
        name: found[name] / MINUTE
        for name in ("PBT", "PDOT", "APT", "AUST", "AUPT", "ADET", "AUBT", "ADOT", "AOET")
    }
    assert minutes == {
        "PBT": 260,
        "PDOT": 40,
        "APT": 140,
        "AUST": 20,
        "AUPT": 160,
        "ADET": 75,
        "AUBT": 235,
        "ADOT": 5,
        "AOET": 275,
    }
    assert minutes["PBT"] == minutes["AUBT"] + minutes["ADOT"] + 20
    assert [found[name] for name in ("GQ", "SQ", "RQ", "PQ", "IP", "GP")] == [90, 6, 4, 100, 100, 90]
    assert (found["CMT"] / MINUTE, found["PMT"] / MINUTE) == (20, 40)


@pytest.mark.parametrize(
    ("kpi", "value"),
    [
        ("availability", 140 / 240),
        ("performance", 100 / 140),
        ("quality", 0.9),
        ("oee", 90 / 240),
        ("nee", 160 / 240 * 90 / 140),
        ("teep", 90 / 380),
        ("ooe", 90 / 280),
        ("utilisation", 260 / 400),
        ("coverage", 240 / 260),
        ("utilisation_efficiency", 140 / 235),
        ("allocation_efficiency", 235 / 240),
        ("allocation_ratio", 235 / 275),
        ("technical_efficiency", 140 / 215),
        ("setup_ratio", 20 / 160),
        ("production_process_ratio", 140 / 275),
        ("throughput", 100 / (275 / 60)),
        ("first_pass_yield", 0.9),
        ("rolled_throughput_yield", 0.9),
        ("scrap_ratio", 0.06),
        ("rework_ratio", 0.04),
        ("fall_off_ratio", 0.06),
        ("corrective_maintenance_ratio", 20 / 60),
        ("mtbf", 160 / 60 / 2),
        ("mttr", 25),
        ("mtta", None),
    ],
)
def test_iso_22400_formulas_by_hand(kpi: str, value: float | None) -> None:
    assert figures(SHIFT, Convention.ISO22400)[kpi] == (value if value is None else pytest.approx(value))


def test_nakajima_has_micro_stops_in_performance() -> None:
    found = figures(SHIFT)
    assert found["availability"] == pytest.approx(150 / 240)
    assert found["performance"] == pytest.approx(100 / 150)
    assert found["oee"] == pytest.approx(found["availability"] * found["performance"] * found["quality"])


def test_every_kpi_is_tested_and_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "kpis.md").read_text(encoding="utf-8")
    rows = []
    for kpi in catalogue().values():
        formulas = list(dict.fromkeys(kpi.formulas[c].text for c in Convention))
        said = formulas[0] if len(formulas) == 1 else f"{formulas[0]}; ISO 22400: {formulas[1]}"
        rows.append(f"| {kpi.name} | `{kpi.id}` | {kpi.unit} | {said} | {kpi.source} |")
    rows += [f"| {name} | {e.name} | {e.rule} |" for name, e in ELEMENTS.items()]
    missing = [row for row in rows if row not in text]
    assert not missing, "docs/kpis.md lacks:\n" + "\n".join(missing)
    assert text.count("| `") == len(catalogue())


RUN = {"minutes": 60, "category": "running", "good": 30}
STOP = {"minutes": 60, "category": "unplanned_downtime"}


@pytest.mark.parametrize("nothing", [{"order": None, "material": None}, {"material": "x"}])
def test_what_runs_without_an_ideal_cycle_has_no_performance_and_no_oee(nothing: Row) -> None:
    found = figures(ledger(RUN | nothing, STOP | nothing))
    assert (found["performance"], found["oee"], found["teep"], found["ooe"], found["nee"]) == (None,) * 5
    assert (found["availability"], found["quality"], found["unrated"]) == (0.5, 1.0, 30)
    said = explain(
        catalogue()["oee"], ledger(RUN | nothing, STOP | nothing, STOP | {"material": None}), plant()
    )
    assert "no ideal cycle" in said.note


def test_a_machine_that_stood_still_has_an_oee_of_nothing() -> None:
    found = figures(ledger(STOP | {"order": None, "material": None}))
    assert (found["oee"], found["availability"], found["performance"]) == (0.0, 0.0, None)


def test_of_rated_and_unrated_products_only_the_rated_ones_count() -> None:
    other = {"material": "x"}
    found = figures(ledger(RUN, STOP, RUN | other, STOP | other, STOP | {"order": None, "material": None}))
    assert found["performance"] == 0.5
    assert found["oee"] == pytest.approx(30 / 180)
    assert found["availability"] == pytest.approx(120 / 300)


def test_a_product_is_rated_from_the_day_its_ideal_cycle_begins() -> None:
    of = {"material": "q", "ideal": 0}
    rows = ledger(RUN | of, RUN | of | {"ideal": 30 * MINUTE, "ideal_good": 30 * MINUTE})
    assert figures(rows)["performance"] == 0.5
    assert figures(rows.head(1))["performance"] is None


def test_texts_as_enum_or_categorical_and_lazy_rows_give_the_same() -> None:
    texts = [name for name, kind in LEDGER.items() if kind == pl.String]
    enums = SHIFT.with_columns(
        pl.col(n).cast(
            pl.Enum([c.value for c in TimeCategory])
            if n == "category"
            else pl.Enum(
                ["?", *SHIFT[n].drop_nulls().unique(), "maintenance", "down"]
                if n != "state"
                else ["running", "down", "setup", "maintenance", "unknown"]
            )
        )
        for n in texts
    )
    for by in ([], ["product"], ["category", "order"], ["hour"]):
        rows = SHIFT if by != ["hour"] else SHIFT.head(0)
        wanted = summarise(rows, by, plant(), kpis=EVERY)
        assert summarise(rows.lazy(), by, plant(), kpis=EVERY).equals(wanted)
        other = enums if by != ["hour"] else enums.head(0)
        assert summarise(other.lazy(), by, plant(), kpis=EVERY).equals(wanted)


DOWN = {"minutes": 10, "category": "unplanned_downtime", "stop_start": START}


def test_a_failure_is_one_however_many_rows_it_has() -> None:
    first = START + timedelta(minutes=60)
    stop = {"stop_start": first}
    rows = ledger(
        {"minutes": 60, "category": "running"},
        DOWN | stop,
        {"minutes": 30, "category": "planned_downtime", "state": "down"} | stop,
        DOWN | stop | {"reason": "jam", "shift": "late"},
        {"minutes": 60, "category": "running", "shift": "late"},
    )
    found = figures(rows)
    assert (found["failures"], found["mtbf"], found["mttr"]) == (1, 2.0, 20.0)
    late = summarise(rows, ["shift"], plant(), kpis=EVERY).filter(shift="late").row(0, named=True)
    assert (late["failures"], late["mtbf"]) == (None, None)  # it is counted where it began
    assert summarise(rows, ["reason"], plant(), kpis=EVERY)["mtbf"].to_list() == [None, None]


def test_a_failure_that_begins_as_a_changeover_is_seen_whole() -> None:
    stop = {"stop_start": START + timedelta(minutes=60)}
    rows = ledger(
        {"minutes": 60, "category": "running"},
        {"minutes": 20, "category": "changeover", "state": "down"} | stop,
        DOWN | stop,
        {"minutes": 60, "category": "running"},
    )
    found = figures(rows)
    assert (found["repairs"], found["mttr"]) == (1, 10.0)


@pytest.mark.parametrize(
    ("rows", "repairs"),
    [
        (
            ({"minutes": 5, "category": "running"}, {"minutes": 10, "category": "unplanned_downtime"}),
            0,
        ),  # goes on
        (
            (
                DOWN | {"stop_start": START - timedelta(hours=1)},
                {"minutes": 5, "category": "running"},
            ),
            0,
        ),  # began before
        (
            (
                {"minutes": 5, "category": "unknown"},
                {"minutes": 9, "category": "unplanned_downtime"},
                {"minutes": 5, "category": "running"},
            ),
            0,
        ),
        (
            (
                {"minutes": 5, "category": "running"},
                {"minutes": 9, "category": "unplanned_downtime"},
                {"minutes": 5, "category": "unknown"},
            ),
            0,
        ),
        (
            (
                {"minutes": 5, "category": "running"},
                {"minutes": 9, "category": "unplanned_downtime"},
                {"minutes": 5, "category": "not_scheduled", "state": "unknown"},
                {"minutes": 5, "category": "running"},
            ),
            0,
        ),  # nobody saw at night when it ended
        (
            (
                {"minutes": 5, "category": "running"},
                {"minutes": 9, "category": "unplanned_downtime"},
                {"minutes": 5, "category": "running"},
            ),
            1,
        ),
    ],
)
def test_a_failure_nobody_saw_whole_has_no_repair_time(rows: tuple[Row, ...], repairs: int) -> None:
    found = figures(ledger(*rows))
    assert (found["failures"], found["repairs"]) == (1, repairs)
    assert found["mttr"] == (9 if repairs else None)
    assert failure_events(ledger(*rows).reverse()).height == 1
    assert bool(explain(catalogue()["mttr"], ledger(*rows), plant()).note) == (not repairs)


def test_the_time_to_acknowledge_is_of_alerts_somebody_acknowledged() -> None:
    rows = [
        ("m", "l", START, START + timedelta(minutes=4)),
        ("m", "l", START, START + timedelta(minutes=6)),
        ("m", "l", START, None),
    ]
    alerts = pl.DataFrame(rows, schema=dict(WAITS), orient="row")
    for by in ([], ["equipment"], ["line"]):
        assert summarise(SHIFT, by, plant(), kpis=["mtta"], alerts=alerts)["mtta"].item() == 5
    assert summarise(SHIFT, ["order"], plant(), kpis=["mtta"], alerts=alerts)["mtta"].to_list() == [
        None,
        None,
    ]


def test_failures_without_an_order_are_those_of_the_group_without_one() -> None:
    rows = ledger(RUN | {"order": None}, STOP | {"order": None}, RUN | {"order": None})
    assert summarise(rows, ["order"], plant(), kpis=["mtbf"]).select("order", "mtbf").rows() == [(None, 2.0)]


def test_machines_side_by_side_are_one_step() -> None:
    of = plant(("a", "b", "c", "d"), {"b": ("a",), "c": ("a",), "d": ("b", "c")})
    assert steps(of).rows() == [
        ("a", "l", "a", True),
        ("b", "l", "b", False),
        ("c", "l", "b", False),
        ("d", "l", "d", False),
    ]
    made = {"minutes": 60, "category": "running"}
    rows = ledger(
        made | {"equipment": "a", "good": 90, "reject": 10},
        made | {"equipment": "b", "good": 30, "reject": 10},
        made | {"equipment": "c", "good": 50},
        made | {"equipment": "d", "good": 80},
    )
    found = figures(rows, of=of)
    assert found["rolled_throughput_yield"] == pytest.approx(0.9 * 80 / 90)
    assert found["fall_off_ratio"] == pytest.approx(20 / 100)


def test_a_step_that_yields_nothing_is_among_the_rows_behind_a_rolled_yield() -> None:
    of = plant(("a", "b"), {"b": ("a",)})
    made = {"minutes": 60, "category": "running"}
    rows = ledger(
        made | {"equipment": "a", "good": 90, "reject": 10},
        made | {"equipment": "b", "good": 0, "reject": 90},
    )
    found = explain(catalogue()["rolled_throughput_yield"], rows, of)
    assert found.value == 0
    assert found.sides[0].groups["amount"].to_list() == [0.9, 0.0]


def test_losses_in_money() -> None:
    found = {row["loss"]: row for row in six_big_losses(SHIFT, plant()).iter_rows(named=True)}
    minutes = {loss: row["duration"] / MINUTE for loss, row in found.items()}
    assert minutes == {
        "breakdowns": 50,
        "setup_adjustment": 20,
        "minor_stops_idling": 30,
        "reduced_speed": 40,
        "process_defects": 8,
        "startup_rejects": 2,
        "unrated": 0,
        "ideal_good": 90,
    }
    assert found["breakdowns"]["cost"] == pytest.approx(100)
    assert found["startup_rejects"]["cost"] == pytest.approx(2 * 2 + 2 * 2.5)
    assert found["process_defects"]["cost"] == pytest.approx(8 * 2 + 4 * 2.5)
    by_state = pareto(SHIFT, by=("state",), plant=plant(), measure="cost")
    assert by_state.select("state", "cost", "count").rows() == [("down", 60.0, 1), ("maintenance", 40.0, 1)]
    assert by_state["cumulative"].to_list() == pytest.approx([0.6, 1.0])


def test_start_up_rejects_a_total_counter_shows_in_another_row_are_start_up_rejects() -> None:
    """Three rejects of a start-up; the total counter was read just before, so their row has as many good parts too few."""
    rows = ledger(
        {"minutes": 10, "category": "running", "material": "p", "good": 10},
        {"minutes": 1, "category": "running", "material": "p", "good": -3, "reject": 3, "startup": 3},
    )
    found = dict(six_big_losses(rows, plant()).select("loss", "duration").iter_rows())
    assert found["startup_rejects"] == 3 * MINUTE and found["process_defects"] == 0
    assert found["reduced_speed"] == MINUTE and found["ideal_good"] == 7 * MINUTE


def test_what_nobody_knows_is_asked_for_by_name() -> None:
    with pytest.raises(ValueError, match="cannot compute oea: known are"):
        summarise(SHIFT, [], plant(), kpis=["oea"])
