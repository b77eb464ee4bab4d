"""What people and late samples change about closed shifts: whatever comes in whatever order, the stored ledger is the one
derived from all facts, and the published figures say what was reported and what is true now."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from collectors.spool import Spool
from dashboards.ports import Changed, Refused
from dashboards.words import utc as words_utc
from infra.backend import PlantBackend
from infra.folder import DataFolder
from infra.ledger.closing import close_shifts
from infra.ledger.replanning import follow_plant
from infra.ledger.reported import figures, same
from infra.live import Live
from infra.metrics import Metrics
from infra.records.audit import Audit
from infra.records.corrections import CountCorrections, Restatements
from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.records.recodes import Recodes
from infra.runtime import Runtime
from infra.shifts import instances
from pipelines.derive import derive
from plant.frames import SAMPLES, Window
from plant.model import (
    ChangeoverRule,
    CycleGaps,
    Equipment,
    EquipmentLevel,
    IdealCycle,
    Material,
    Plant,
    Reason,
    Role,
    Shift,
    Signal,
    Site,
    StateMapping,
    User,
    WorkCalendar,
)
from plant.states import MachineState

HISTORY = timedelta(hours=7)
RUN, STOP, SETUP = 1.0, 2.0, 3.0
STATES = {
    "1": StateMapping(state=MachineState.RUNNING),
    "2": StateMapping(state=MachineState.DOWN),
    "3": StateMapping(state=MachineState.SETUP),
}
HOURLY = tuple(Shift(id=f"h{h}", name=f"Hour {h}", start=time(h), end=time((h + 1) % 24)) for h in range(24))


def plant() -> Plant:
    machines = [
        Equipment(
            id=m,
            name=f"Press {m}",
            level=EquipmentLevel.WORK_UNIT,
            parent="line",
            calendar="c",
            material="p",
            micro_stop=timedelta(minutes=2),
            upstream=("a",) if m == "b" else (),
        )
        for m in "ab"
    ]
    line = Equipment(id="line", name="Line", level=EquipmentLevel.PRODUCTION_LINE)
    signals = [
        Signal(id=r.value, equipment=m, role=r, states=STATES if r is Role.STATE else {})
        for m in "ab"
        for r in (Role.STATE, Role.GOOD, Role.REJECT)
    ]
    return Plant(
        site=Site(id="s", name="s", zone=ZoneInfo("UTC")),
        equipment={e.id: e for e in (line, *machines)},
        signals={(s.equipment, s.id): s for s in signals},
        materials={
            "p": Material(
                id="p",
                name="p",
                ideal_cycles=tuple(IdealCycle(equipment=m, cycle=timedelta(seconds=20)) for m in "ab"),
            )
        },
        calendars={"c": WorkCalendar(id="c", shifts=HOURLY)},
        reasons={
            "jam": Reason(id="jam", name="Jam"),
            "clean": Reason(id="clean", name="Cleaning", planned=True),
        },
        users={"ada": User(id="ada", name="Ada")},
    )


def sample(at: datetime, machine: str, signal: str, value: float, received: datetime) -> tuple[Any, ...]:
    return at, machine, signal, value, None, 0, received


class Corrected:
    """A plant whose last hours are closed; its clock stands still."""

    def __init__(self, folder: DataFolder, now: datetime, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.now = now
        self.begin = self.now - HISTORY
        self.folder = folder
        self.spool = Spool(folder.spool, "history")

    @classmethod
    def made(cls, folder: DataFolder, seed: int = 1) -> "Corrected":
        found = cls(folder, datetime.now(UTC).replace(microsecond=0), seed)
        found.live()
        return found

    def live(self) -> None:
        """The hours, and the end of their shifts."""
        rows = []
        for machine in "ab":
            at, good, reject = self.begin, 0, 0
            while at < self.now:
                state = self.rng.choice([RUN, RUN, STOP, SETUP])
                rows.append(sample(at, machine, "state", state, at))
                length = self.rng.choice([40, 100, 300, 1500])
                for _ in range(length // 30 if state == RUN else 0):
                    at += timedelta(seconds=30)
                    good, reject = good + self.rng.choice([0, 1, 2]), reject + self.rng.choice([0, 0, 1])
                    rows += [
                        sample(at, machine, "good", good, at),
                        sample(at, machine, "reject", reject, at),
                    ]
                at += timedelta(seconds=length if state != RUN else 7)
        self.close_with(rows)

    def close_with(self, rows: list[tuple[Any, ...]]) -> None:
        """These samples, and the end of their shifts."""
        inside = [row for row in rows if row[0] < self.now]
        self.spool.append(pl.DataFrame(inside, schema=dict(SAMPLES), orient="row"))
        self.open()
        close_shifts(self.runtime, self.now)

    def open(self, of: Plant | None = None) -> None:
        self.runtime = Runtime(of or plant(), self.folder, "", Metrics.unregistered())
        self.runtime.take_all()
        self.runtime.tick(datetime.now(UTC))
        self.backend = PlantBackend(self.runtime)

    def close(self) -> None:
        self.runtime.stop()

    def stops(self, machine: str, closed: bool = True) -> list[tuple[datetime, datetime]]:
        stored = self.stored([machine]).filter(pl.col("state").is_in(["down", "setup"]))
        found = stored.group_by("stop_start").agg(pl.col("end").max()).sort("stop_start")
        return list(found.iter_rows())

    def stored(self, machines: list[str] | None = None) -> pl.DataFrame:
        with self.runtime.database.read() as connection:
            rows = LedgerRows(connection)
            span = rows.span()
            assert span is not None
            return rows.touching(span, machines)

    def late(self, *rows: tuple[Any, ...]) -> None:
        self.spool.append(pl.DataFrame(rows, schema=dict(SAMPLES), orient="row"))
        self.runtime.take_all()

    def from_scratch(self) -> pl.DataFrame:
        with self.runtime.database.read() as connection:
            span = LedgerRows(connection).span()
            assert span is not None
            recodes = Recodes(connection).touching(span)
            corrections = CountCorrections(connection).made_in(span)
        samples = self.runtime.historian.read(Window(span.start - HISTORY, self.now + HISTORY))
        cuts = [edge for s in instances(self.runtime.plant, span) for edge in (s.start, s.end)]
        return derive(
            samples,
            self.runtime.plant,
            span,
            recodes=recodes,
            corrections=corrections,
            until=self.now,
            edges=cuts,
        )

    def check(self, reported: dict[Any, Any]) -> None:
        """The invariant, for all closed shifts."""
        stored = self.stored()
        assert_frame_equal(stored, self.from_scratch())
        with self.runtime.database.read() as connection:
            closures = ShiftClosures(connection).begun_in(Window(self.now - timedelta(days=2), self.now))
            for closure in closures:
                key = closure.equipment, closure.shift, closure.shift_start
                assert dict(closure.figures) == reported[key], "as reported never changes"
                made = Restatements(connection).of(*key)
                end = datetime.fromisoformat(str(closure.figures["end"]))
                rows = LedgerRows(connection).touching(Window(closure.shift_start, end))
                present = figures(self.runtime.plant, rows)["line"]
                assert same(made[-1].figures if made else closure.figures, present)
                chain = [closure.figures, *(m.figures for m in made)]
                assert not any(same(one, other) for one, other in pairwise(chain))

    def reported(self) -> dict[Any, Any]:
        with self.runtime.database.read() as connection:
            closures = ShiftClosures(connection).begun_in(Window(self.now - timedelta(days=2), self.now))
        return {(c.equipment, c.shift, c.shift_start): dict(c.figures) for c in closures}

    def published(self) -> list[Any]:
        found = self.backend.published(Window(self.now - timedelta(days=2), self.now))
        return [p for p in found if p["restatements"]]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """The data folder every test has a copy of, and its time."""
    with DataFolder(tmp_path_factory.mktemp("lived")) as folder:
        found = Corrected.made(folder)
        found.close()
    return folder.root, found.now


@pytest.fixture
def corrected(lived: tuple[Path, datetime], tmp_path: Path) -> Iterator[Corrected]:
    root, now = lived
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    with DataFolder(tmp_path) as folder:
        found = Corrected(folder, now)
        found.open()
        yield found
        found.close()


def inside(corrected: Corrected, machine: str = "a", shortest: float = 200) -> tuple[datetime, datetime]:
    """A stop in the middle of closed time."""
    found = [
        (start, end)
        for start, end in corrected.stops(machine)
        if corrected.begin + timedelta(hours=2) < start and (end - start).total_seconds() >= shortest
    ]
    return found[0]


def test_a_recode_of_a_closed_shift_restates_it_and_touches_nothing_else(
    corrected: Corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, end = inside(corrected)
    before, reported = corrected.stored(), corrected.reported()
    replaced: list[tuple[str, Window]] = []
    real = LedgerRows.replace

    def replace(self: LedgerRows, equipment: str, window: Window, rows: pl.DataFrame) -> None:
        replaced.append((equipment, window))
        real(self, equipment, window, rows)

    monkeypatch.setattr(LedgerRows, "replace", replace)
    corrected.backend.recode("a", start, "clean", "ada", note="drip tray")
    assert replaced == [("a", Window(start, end))]
    after = corrected.stored()
    touched = (pl.col("equipment") == "a") & pl.col("start").is_between(start, end, closed="left")
    assert_frame_equal(before.filter(~touched), after.filter(~touched))
    assert set(after.filter(touched)["category"]) == {"planned_downtime"}
    corrected.check(reported)
    restated = corrected.published()
    assert restated, "planned downtime moves OEE"
    made = restated[0]["restatements"][-1]
    assert (made["user"], made["cause"]) == ("ada", "recode")
    assert "of Press a from no reason to Cleaning (drip tray)" in made["detail"]
    assert made["moved"]["oee"] > 0
    assert restated[0]["corrected"]["oee"] - restated[0]["reported"]["oee"] == pytest.approx(
        made["moved"]["oee"]
    )
    corrected.backend.undo_stop("a", start, "ada")
    assert_frame_equal(corrected.stored(), before)
    undone = corrected.published()[0]
    assert same(undone["reported"], undone["corrected"]) and len(undone["restatements"]) == 2


def test_what_moves_no_figure_restates_nothing(corrected: Corrected) -> None:
    rows = corrected.stored(["a"])
    row = rows.filter(pl.col("state") == "running", pl.col("duration") > 60_000_000).row(0, named=True)
    corrected.late(sample(row["start"] + timedelta(seconds=11), "a", "state", RUN, corrected.now))
    assert corrected.published() == []
    assert_frame_equal(corrected.stored(["a"]), rows)


@pytest.mark.slow
def test_a_split_stop_can_be_split_again_merged_and_undone(corrected: Corrected) -> None:
    start, end = inside(corrected, shortest=300)
    before, reported, backend = corrected.stored(), corrected.reported(), corrected.backend
    half, third = start + (end - start) / 2, start + (end - start) / 3
    backend.split_stop("a", start, half, ("jam", "clean"), "ada")
    backend.split_stop("a", start, third, ("", "clean"), "ada")
    assert [s for s, _ in corrected.stops("a") if start <= s < end] == [start, third, half]
    corrected.check(reported)
    backend.merge_stop("a", start, "jam", "ada")
    backend.merge_stop("a", start, "jam", "ada")
    assert (start, end) in corrected.stops("a")
    corrected.check(reported)
    for _ in range(2):
        backend.undo_stop("a", start, "ada")
    corrected.check(reported)
    backend.recode("a", start, "", "ada")
    for part in [s for s, _ in corrected.stops("a") if start < s < end]:
        backend.recode("a", part, "", "ada")
    assert_frame_equal(corrected.stored(), before)


def test_the_second_of_two_sees_that_the_stop_changed_and_a_second_click_does_nothing(
    corrected: Corrected,
) -> None:
    start, _ = inside(corrected)
    seen = corrected.backend.stop_at("a", start)["version"]
    corrected.backend.recode("a", start, "clean", "ada", seen=seen, key="k1")
    corrected.backend.recode("a", start, "clean", "ada", seen=seen, key="k1")
    with pytest.raises(Changed, match="Ada changed this stop"):
        corrected.backend.recode("a", start, "jam", "bob", seen=seen, key="k2")
    assert [said["reason"] for said in corrected.backend.recodes("a", start)] == ["clean"]
    with corrected.runtime.database.read() as connection:
        assert len(Audit(connection).of(f"a {start.isoformat()}")) == 1


def test_counts_are_corrected_and_never_below_zero(corrected: Corrected) -> None:
    reported = corrected.reported()
    row = corrected.stored(["a"]).sort("good").row(-1, named=True)
    at, shift = row["start"], row["shift_start"]
    of_shift = corrected.stored(["a"]).filter(pl.col("shift_start") == shift)
    good = int(of_shift["good"].sum())
    with pytest.raises(Refused, match=f"has {good} left"):
        corrected.backend.correct_counts("a", at, {"good": -good - 1}, "wrong bin", "ada")
    corrected.backend.correct_counts("a", at, {"good": -3, "reject": 3}, "wrong bin", "ada", key="k")
    corrected.backend.correct_counts("a", at, {"good": -3, "reject": 3}, "wrong bin", "ada", key="k")
    now = corrected.stored(["a"]).filter(pl.col("shift_start") == shift)
    assert (int(now["good"].sum()), int(now["reject"].sum())) == (good - 3, int(of_shift["reject"].sum()) + 3)
    corrected.check(reported)
    made = corrected.published()[0]["restatements"]
    assert len(made) == 1 and made[0]["moved"]["quality"] < 0
    assert "-3 good, +3 reject (wrong bin)" in made[0]["detail"]


@pytest.mark.slow
def test_what_goes_on_after_a_said_state_began_with_its_end(tmp_path: Path) -> None:
    """Also in the next shift, when only that is derived again, for a machine joined to it."""
    with DataFolder(tmp_path) as folder:
        found = Corrected(folder, datetime.now(UTC).replace(minute=0, second=0, microsecond=0))

        def at(hours: int, minutes: int) -> datetime:
            return found.now - timedelta(hours=hours) + timedelta(minutes=minutes)

        states = [
            ("a", 6, 0, RUN),
            ("b", 6, 0, RUN),
            ("a", 4, 55, STOP),
            ("a", 3, 10, RUN),
            ("b", 2, 30, STOP),
        ]
        states += [("a", 3, 20, STOP), ("a", 3, 25, RUN)]
        found.close_with([sample(at(h, m), machine, "state", v, at(h, m)) for machine, h, m, v in states])
        reported = found.reported()
        found.backend.say_state("b", Window(at(4, 30), at(4, 50)), "starved", "", "ada")
        found.check(reported)
        found.late(sample(at(3, 22), "a", "state", SETUP, found.now))
        found.check(reported)
        shown = found.stored(["b"]).filter(pl.col("start") == at(3, 0))
        assert shown["stop_start"].to_list() == [at(4, 50)]
        found.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_comes_as_corrected_is_what_the_ledger_gives(tmp_path: Path, seed: int) -> None:
    with DataFolder(tmp_path) as folder:
        plant_now = Corrected.made(folder, seed)
        rng, backend = plant_now.rng, plant_now.backend
        reported = plant_now.reported()
        for step in range(30):
            machine = rng.choice("ab")
            stops = plant_now.stops(machine)
            start, end = rng.choice(stops)
            somewhere = plant_now.begin + (plant_now.now - plant_now.begin) * rng.random() * 0.8
            what = rng.choice(["late", "late", "recode", "split", "merge", "undo", "state", "counts", "back"])
            try:
                if what == "late":
                    signal = rng.choice(["state", "state", "good", "reject"])
                    value = float(rng.choice([1, 2, 3]) if signal == "state" else rng.randrange(60))
                    plant_now.late(sample(somewhere, machine, signal, value, plant_now.now))
                elif what == "recode":
                    backend.recode(machine, start, rng.choice(["jam", "clean"]), "ada")
                elif what == "back":
                    backend.recode(machine, start, "", "ada")
                elif what == "split":
                    at = start + (end - start) * rng.random()
                    backend.split_stop(machine, start, at, (rng.choice(["jam", ""]), "clean"), "ada")
                elif what == "merge":
                    backend.merge_stop(machine, start, "", "bob")
                elif what == "undo":
                    backend.undo_stop(machine, start, "bob")
                elif what == "state":
                    window = Window(somewhere, somewhere + timedelta(seconds=rng.choice([30, 200, 2000])))
                    state = rng.choice(["running", "down", "setup", "starved"])
                    backend.say_state(machine, window, state, "", "ada")
                else:
                    changes = {"good": rng.randrange(-9, 9), "reject": rng.randrange(-3, 9)}
                    backend.correct_counts(machine, somewhere, changes, "counted", "ada")
            except Refused:
                continue
            try:
                plant_now.check(reported)
            except AssertionError as error:
                raise AssertionError(f"step {step}: {what} of {machine} at {start}, {somewhere}") from error
        assert plant_now.published()
        plant_now.close()


def changed(of: Plant, **fields: Any) -> Plant:
    return replace(of, **fields)


def cycles(*seconds: tuple[float, datetime | None]) -> dict[str, Material]:
    """Of machine a, from dates on; b as ever."""
    of_a = [IdealCycle(equipment="a", cycle=timedelta(seconds=s), valid_from=at) for s, at in seconds]
    of_b = IdealCycle(equipment="b", cycle=timedelta(seconds=20))
    return {"p": Material(id="p", name="p", ideal_cycles=(*of_a, of_b))}


@pytest.mark.slow
def test_a_cycle_from_a_date_restates_from_that_date_on_also_after_a_restart(corrected: Corrected) -> None:
    reported, before = corrected.reported(), corrected.stored()
    assert follow_plant(corrected.runtime, corrected.now) == 0
    since = corrected.begin + timedelta(hours=3, minutes=20)
    corrected.runtime.stop()
    corrected.open(changed(plant(), materials=cycles((20, None), (10, since))))
    assert follow_plant(corrected.runtime, corrected.now) == 1
    assert follow_plant(corrected.runtime, corrected.now) == 0
    after = corrected.stored()
    elsewhere = (pl.col("equipment") == "b") | (pl.col("end") < since)
    assert_frame_equal(before.filter(elsewhere), after.filter(elsewhere))
    corrected.check(reported)
    restated = corrected.published()
    assert restated and all(p["shift_start"] >= words_utc(since - timedelta(hours=1)) for p in restated)
    assert {r["cause"] for p in restated for r in p["restatements"]} == {"ideal_cycle"}
    assert all(p["corrected"]["performance"] < p["reported"]["performance"] for p in restated)


@pytest.mark.slow
def test_a_reason_that_is_planned_now_and_another_threshold_restate_what_they_change(
    corrected: Corrected,
) -> None:
    start, _ = inside(corrected)
    corrected.backend.recode("a", start, "jam", "ada")
    reported = corrected.reported()
    follow_plant(corrected.runtime, corrected.now)
    planned = {**plant().reasons, "jam": Reason(id="jam", name="Jam", planned=True)}
    corrected.runtime.replace_plant(changed(plant(), reasons=planned))
    assert follow_plant(corrected.runtime, corrected.now) == 1
    assert corrected.stored(["a"]).filter(pl.col("reason") == "jam")["category"].unique().to_list() == [
        "planned_downtime"
    ]
    corrected.check(reported)
    machines = {
        m: replace(e, micro_stop=timedelta(minutes=6)) if m == "a" else e
        for m, e in plant().equipment.items()
    }
    corrected.runtime.replace_plant(changed(plant(), reasons=planned, equipment=machines))
    follow_plant(corrected.runtime, corrected.now)
    corrected.check(reported)


def test_a_sample_older_than_what_is_remembered_restates_its_shift(corrected: Corrected) -> None:
    corrected.runtime.forget(corrected.now + timedelta(hours=5))
    reported = corrected.reported()
    stopped = corrected.now - timedelta(hours=22)
    corrected.late(sample(stopped, "a", "state", STOP, corrected.now))
    assert stopped in set(corrected.stored(["a"])["start"])
    assert corrected.published()
    assert corrected.reported() == reported


def test_samples_that_come_in_order_but_after_their_shift_was_closed_restate_it(corrected: Corrected) -> None:
    """As after an outage of the collector: no sample is late for its signal, all are late for the shift."""
    close_shifts(corrected.runtime, corrected.now + timedelta(hours=2))
    reported = corrected.reported()
    read = corrected.runtime.historian.read(Window(corrected.begin, corrected.now), ["a"], ["state"])
    ran, stopped, back = (corrected.now - timedelta(minutes=m) for m in (12, 9, 4))
    assert read["time"].max() < ran
    corrected.late(
        sample(ran, "a", "state", RUN, corrected.now),
        sample(stopped, "a", "state", STOP, corrected.now),
        sample(back, "a", "state", RUN, corrected.now),
    )
    assert {stopped, back} <= set(corrected.stored(["a"])["start"])
    assert corrected.published()
    assert corrected.reported() == reported


@pytest.mark.slow
def test_a_stop_is_moved_and_moved_back(corrected: Corrected) -> None:
    reported, before = corrected.reported(), corrected.stored()
    start, end = inside(corrected)
    backend, minute = corrected.backend, timedelta(minutes=1)
    backend.recode("a", start, "clean", "ada")
    coded = corrected.stored()
    longer, shorter = (start - 2 * minute, end + minute), (start + minute, end - minute)
    for begin, over in (longer, shorter):
        backend.retime_stop("a", start, begin, over, "ada", seen=backend.stop_at("a", start)["version"])
        now = backend.stop_at("a", begin)
        assert (now["start"], now["end"], now["reason"]) == (words_utc(begin), words_utc(over), "clean")
        corrected.check(reported)
        backend.undo_stop("a", begin, "ada")
        assert_frame_equal(corrected.stored(), coded)
    backend.recode("a", start, "", "ada")
    assert_frame_equal(corrected.stored(), before)
    causes = {r["cause"] for p in corrected.published() for r in p["restatements"]}
    assert {"state", "take_back"} <= causes


def test_times_that_make_no_sense_change_nothing(corrected: Corrected) -> None:
    start, end = inside(corrected)
    before, hour = corrected.stored(), timedelta(hours=1)
    for begin, over, why in (
        (end, start, "ends after it begins"),
        (start - 2 * hour, start - hour, "do not touch"),
        (start, None, "the times it has"),
        (start, corrected.backend.now() + hour, "future"),
    ):
        with pytest.raises(Refused, match=why):
            corrected.backend.retime_stop("a", start, begin, over, "ada")
    assert_frame_equal(corrected.stored(), before)


@pytest.mark.slow
def test_a_state_that_was_said_is_taken_back(corrected: Corrected) -> None:
    reported, before = corrected.reported(), corrected.stored()
    start, end = inside(corrected)
    corrected.backend.say_state("a", Window(start, end), "running", "", "ada")
    assert start not in {begun for begun, _ in corrected.stops("a")}
    corrected.check(reported)
    corrected.backend.say_state("a", Window(start, end), "", "", "ada")
    assert_frame_equal(corrected.stored(), before)
    corrected.check(reported)


def derived(monkeypatch: pytest.MonkeyPatch) -> list[Window]:
    """The windows that are derived again from now on."""
    found: list[Window] = []
    real = Live._again

    def again(self: Live, now: datetime, connection: Any, window: Window, *more: Any) -> pl.DataFrame:
        found.append(window)
        return real(self, now, connection, window, *more)

    monkeypatch.setattr(Live, "_again", again)
    return found


def test_of_late_samples_far_apart_only_their_stops_are_derived_again(
    corrected: Corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = corrected.reported()
    down = set(corrected.stored(["a"]).filter(pl.col("state") == "down")["stop_start"])
    stops = [s for s in corrected.stops("a") if s[0] in down and s[1] - s[0] > timedelta(seconds=200)]
    first, last = (start + timedelta(seconds=11) for start, _ in (stops[0], stops[-1]))
    assert last - first > timedelta(hours=2)
    again = derived(monkeypatch)
    corrected.late(*(sample(at, "a", "state", SETUP, corrected.now) for at in (first, last)))
    assert len(again) == 2
    for at, window in zip((first, last), again, strict=True):
        assert window.start <= at < window.end
    assert again[0].end < again[1].start, "what lies between is left alone"
    assert {first, last} <= set(corrected.stored(["a"])["start"])
    corrected.check(reported)


def test_of_late_samples_in_one_stop_that_is_derived_once(
    corrected: Corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = corrected.reported()
    start, end = max(corrected.stops("a"), key=lambda stop: stop[1] - stop[0])
    assert end - start > timedelta(minutes=20)
    again = derived(monkeypatch)
    times = [start + timedelta(minutes=m) for m in (2, 9, 16)]
    corrected.late(*(sample(at, "a", "state", SETUP, corrected.now) for at in times))
    assert len(again) == 1
    restated = [p["shift_start"] for p in corrected.published() for _ in p["restatements"]]
    assert len(restated) == len(set(restated)), "one restatement of each shift"
    corrected.check(reported)


@pytest.mark.slow
def test_a_late_reading_of_a_machine_told_from_its_cycles_changes_the_whole_gap_it_is_in(
    corrected: Corrected,
) -> None:
    """Parts that were one reading are two, or were made earlier: the gaps before and after are others."""
    of = plant()
    signals = {key: s for key, s in of.signals.items() if key != ("a", "state")}
    alone = {
        "a": replace(of.equipment["a"], cycle_gaps=CycleGaps()),
        "b": replace(of.equipment["b"], upstream=()),
    }
    assert follow_plant(corrected.runtime, corrected.now) == 0
    corrected.close()
    corrected.open(replace(of, signals=signals, equipment={**of.equipment, **alone}))
    assert follow_plant(corrected.runtime, corrected.now) == 2
    corrected.check(reported := corrected.reported())
    window = Window(corrected.begin, corrected.now)
    read = corrected.runtime.historian.read(window, ["a"], ["good"]).select("time", "value").rows()
    long = [
        (one, value, other, after)
        for (one, value), (other, after) in pairwise(read)
        if after > value and other - one > timedelta(seconds=100)
    ]
    for number, (one, value, other, after) in enumerate(long[1:7]):
        said = value + (after - value) // 2 if number % 3 else after
        for part in ((0.9,), (0.5, 0.2))[number % 2]:
            at = one + (other - one) * part
            corrected.late(sample(at, "a", "good", said, corrected.now))
            corrected.check(reported)


@pytest.mark.slow
def test_late_samples_of_orders_and_short_runs_change_the_stops_and_start_ups_around_them(
    tmp_path: Path,
) -> None:
    """Changeovers told by the product, start-ups and a minimum running time reach beyond the sample that changes them."""
    of = plant()
    told = replace(
        of.equipment["a"],
        changeover=ChangeoverRule.DETECT,
        startup=timedelta(minutes=5),
        min_running=timedelta(minutes=1),
    )
    alone = {**of.equipment, "a": told, "b": replace(of.equipment["b"], upstream=())}
    states = {"1": STATES["1"], "2": STATES["2"]}
    signals = {
        **of.signals,
        ("a", "state"): replace(of.signals["a", "state"], states=states),
        ("a", "order"): Signal(id="order", equipment="a", role=Role.ORDER),
    }
    with DataFolder(tmp_path) as folder:
        made = Corrected(folder, datetime.now(UTC).replace(microsecond=0), seed=3)
        rows: list[tuple[Any, ...]] = []
        at, good, reject = made.begin, 0, 0
        while at < made.now:
            rows.append(sample(at, "a", "state", made.rng.choice([RUN, STOP, STOP]), at))
            if made.rng.random() < 0.4:
                said = made.rng.choice(["A", "B", "", "", None])
                quality = 2 if said is None else 0
                rows.append((at + timedelta(seconds=7), "a", "order", None, said, quality, at))
            end = at + timedelta(seconds=made.rng.choice([30, 50, 90, 400]))
            while at < end:
                good, reject = good + made.rng.choice([0, 1]), reject + made.rng.choice([0, 0, 1])
                rows += [sample(at, "a", "good", good, at), sample(at, "a", "reject", reject, at)]
                at += timedelta(seconds=made.rng.choice([20, 45, 100]))
        rows = [row for row in rows if row[0] < made.now - timedelta(minutes=9)]
        late = made.rng.sample(rows, 24)
        first = [row for row in rows if row not in late]
        made.spool.append(pl.DataFrame(first, schema=dict(SAMPLES), orient="row"))
        made.open(replace(of, equipment=alone, signals=signals))
        close_shifts(made.runtime, made.now)
        made.check(reported := made.reported())
        for number in range(0, 24, 2):
            made.late(*late[number : number + 2])
            made.check(reported)
        made.close()
