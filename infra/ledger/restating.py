"""Closed time that has become different: its ledger rows are derived again and stored where they differ, and published
figures that follow from them are restated, all in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl
from sqlalchemy import Connection

from analytics.ledger.attributes import min_running
from analytics.ledger.rows import startup_times
from infra.historians.waiting import History
from infra.ledger.joined import joined
from infra.ledger.rederive import AHEAD, LOOK_BACK
from infra.ledger.reported import figures, same
from infra.records.corrections import Restatement, Restatements
from infra.records.database import serialise
from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.shifts import LONGEST, lines_without_calendar, named, shift_edges
from pipelines.derive import facts
from plant.frames import BAD, LEDGER, Window
from plant.model import Convention, Plant

TICK = timedelta(microseconds=1)

Derive = Callable[[Connection, Window, Mapping[str, datetime], Sequence[datetime]], pl.DataFrame]
"""Ledger rows of machines over a window, as of what the connection sees, cut at these instants too. Each machine with the
time since when samples are needed: when it began what it was doing at the window's start."""


@dataclass(frozen=True, slots=True)
class Why:
    """Who changed something about closed time, and what."""

    user: str
    """"" when nobody did it."""
    cause: str
    """As in `Restatement`."""
    detail: str


class Kept(NamedTuple):
    """What became different."""

    changed: list[tuple[str, Window]]
    """Machines, and when their rows are others."""
    restated: list[Restatement]
    """New figures of closed shifts."""


def restate(
    connection: Connection,
    plant: Plant,
    derive: Derive,
    equipment: str,
    windows: Sequence[Window],
    now: datetime,
    why: Why,
) -> list[tuple[str, Window]]:
    """Derive what the windows say of a machine again, as far as it is stored, and nothing between them. Which rows are
    others now, if any.

    Whole stops are derived, for their length decides what they are, and the machines joined to this one in its line.
    Rows that come out as they are stored are not touched. Repeating it changes nothing.
    """
    serialise(connection, "ledger")
    rows = LedgerRows(connection)
    spans = {m: span for m in joined(plant, [equipment]) if (span := rows.span(m))}
    mine = spans.get(equipment)
    changed: list[tuple[str, Window]] = []
    for wide in _dirty(rows, plant, spans, equipment, windows) if mine else ():
        machines = sorted(m for m, s in spans.items() if s.start <= wide.start and wide.end <= s.end)
        stored = rows.touching(wide, machines)
        since = {m: min(rows.since(m, wide.start - _before(plant, m)), wide.start) for m in machines}
        derived = derive(connection, wide, since, shift_edges(plant, wide))
        changed += _replaced(rows, machines, stored, derived)
    restate_published(connection, plant, changed, now, why)
    return changed


def _dirty(
    rows: LedgerRows, plant: Plant, spans: Mapping[str, Window], equipment: str, windows: Sequence[Window]
) -> list[Window]:
    """What has to be derived again for these windows of a machine: whole stops, also those that running between them would
    be too short for, the start-up after them, and of machines joined to it (`spans`: what is stored of each) whole rows. In
    order, none over another."""
    mine = spans[equipment]
    blip, startup = min_running(plant).get(equipment, timedelta(0)), startup_times(plant)[equipment]
    found: list[Window] = []
    for window in sorted(windows, key=lambda w: (w.start, w.end)):
        if window.start >= mine.end or window.end <= mine.start:
            continue
        wide = rows.whole_stops(equipment, _inside(Window(window.start - blip, window.end + blip), mine))
        wide = _inside(Window(wide.start, wide.end + startup), mine)
        wide = common(rows, {m: s for m, s in spans.items() if _meets(s, wide)}, wide)
        while found and wide.start < found[-1].end:
            last = found.pop()
            wide = Window(min(last.start, wide.start), max(last.end, wide.end))
        found.append(wide)
    return found


def _before(plant: Plant, machine: str) -> timedelta:
    """How long before a time a stop may have ended of which it still matters."""
    return max(min_running(plant).get(machine, timedelta(0)), startup_times(plant)[machine])


def keep(
    connection: Connection,
    plant: Plant,
    machines: Sequence[str],
    stored: pl.DataFrame,
    derived: pl.DataFrame,
    now: datetime,
    why: Why,
) -> Kept:
    """Put derived rows of machines in place of stored ones where they differ, and note what it does to published figures.

    `stored`: whole rows of the time that `derived` covers; there may be less of them, or none.
    """
    changed = _replaced(LedgerRows(connection), machines, stored, derived)
    return Kept(changed, restate_published(connection, plant, changed, now, why))


def _replaced(
    rows: LedgerRows, machines: Sequence[str], stored: pl.DataFrame, derived: pl.DataFrame
) -> list[tuple[str, Window]]:
    changed: list[tuple[str, Window]] = []
    for machine in machines:
        before, after = (frame.filter(pl.col("equipment") == machine) for frame in (stored, derived))
        for part in _differing(before, after):
            inside = pl.col("start").is_between(part.start, part.end, closed="left")
            rows.replace(machine, part, after.filter(inside))
            changed.append((machine, part))
    return changed


def reach(history: History, plant: Plant, equipment: str, span: Window, limit: datetime) -> Window:
    """What samples of that span say something of: up to the next usable sample of each of their signals, and where the state
    comes from cycles whole gaps between two parts."""
    signals = [s.id for s in plant.derived_signals() if s.equipment == equipment]
    missing = set(history.read(span, [equipment], signals)["signal"])
    start, step, end = span.end, AHEAD, span.end
    usable = (pl.col("quality") < BAD) & (pl.col("value").is_not_null() | pl.col("text").is_not_null())
    while missing and start < limit:
        found = history.read(Window(start, min(start + step, limit)), [equipment], sorted(missing))
        following = found.filter(usable).group_by("signal").agg(pl.col("time").min())
        end = max([end, *(time + TICK for time in following["time"])])
        missing -= set(following["signal"])
        start, step = start + step, 4 * step
    wide = Window(span.start, max(end, limit) if missing else end)
    by_cycles = plant.equipment[equipment].cycle_gaps is not None
    return _whole_gaps(history, plant, equipment, wide, limit) if by_cycles else wide


def _whole_gaps(history: History, plant: Plant, equipment: str, span: Window, limit: datetime) -> Window:
    """From the last part before the span, else the first reading, to the first part after it."""
    signals = [s.id for s in plant.cycling(equipment)]

    def parts(window: Window) -> tuple[pl.Series, pl.Series]:
        """Times of readings, and of those that show parts."""
        samples = history.read(window, [equipment], signals)
        made = facts(samples, plant, window.end).increments.filter(pl.col("quantity") > 0)
        return samples["time"], made["time"]

    start, end, step = span.start, span.end, AHEAD
    while step <= LOOK_BACK:
        readings, made = parts(Window(span.start - step, span.start))
        start = min([start, *readings])
        if not made.is_empty():
            start = max(made)
            break
        step *= 4
    step = AHEAD
    while end < limit:
        _, made = parts(Window(span.end - TICK, min(span.end + step, limit)))
        end = min(made) + TICK if not made.is_empty() else min(span.end + step, limit)
        if not made.is_empty():
            break
        step *= 4
    return Window(start, end)


def _inside(window: Window, span: Window) -> Window:
    return Window(max(window.start, span.start), min(window.end, span.end))


def _meets(one: Window, other: Window) -> bool:
    return one.start < other.end and other.start < one.end


def common(rows: LedgerRows, spans: Mapping[str, Window], window: Window) -> Window:
    """The smallest window around this one that cuts no row of any of the machines."""
    while True:
        each = [rows.widened(m, _inside(window, span)) for m, span in spans.items()]
        wide = Window(min(w.start for w in each), max(w.end for w in each))
        wide = Window(min(wide.start, window.start), max(wide.end, window.end))
        if wide == window:
            return wide
        window = wide


def _differing(before: pl.DataFrame, after: pl.DataFrame) -> list[Window]:
    """The windows in which rows of one machine, over the same time, are others than before."""
    names = list(LEDGER)
    other = after.join(before, on=names, how="anti", nulls_equal=True).sort("start")
    apart = (pl.col("start") != pl.col("end").shift()).fill_null(True)
    parts = other.group_by(part=apart.cum_sum()).agg(pl.col("start").min(), pl.col("end").max())
    return [Window(start, end) for start, end in parts.sort("start").select("start", "end").iter_rows()]


def restate_published(
    connection: Connection, plant: Plant, changed: Sequence[tuple[str, Window]], now: datetime, why: Why
) -> list[Restatement]:
    """Note the new figures of closed shifts these rows belong to, where any of them moved.

    As corrected is all that the rows say belongs to the shift, also where it goes on for longer than when it was closed.
    """
    made: list[Restatement] = []
    touched: dict[str, list[Window]] = {}
    for machine, part in changed:
        touched.setdefault(plant.line_of(machine), []).append(part)
    rows, published, noted = LedgerRows(connection), ShiftClosures(connection), Restatements(connection)
    free = lines_without_calendar(plant)  # their rows do not say the shift: what was closed keeps its hours
    for line, parts in touched.items():
        around = Window(min(p.start for p in parts) - LONGEST, max(p.end for p in parts))
        for closure in published.begun_in(around):
            if closure.equipment != line:
                continue
            end = datetime.fromisoformat(str(closure.figures["end"]))
            shift = Window(closure.shift_start, end if line in free else closure.shift_start + LONGEST)
            if not any(_meets(shift, part) for part in parts):
                continue
            of_line = [m.id for m in plant.machines() if plant.line_of(m.id) == line]
            found = named(plant, rows.touching(shift, of_line)).filter(
                pl.col("line") == line,
                pl.col("shift") == closure.shift,
                pl.col("shift_start") == closure.shift_start,
            )
            convention = Convention(str(closure.figures["convention"]))
            now_figures = figures(plant, found, convention).get(line)
            earlier = noted.of(line, closure.shift, closure.shift_start)
            last = earlier[-1].figures if earlier else closure.figures
            if now_figures is not None and not same(last, now_figures):
                of_shift = line, closure.shift, closure.shift_start
                made.append(Restatement(*of_shift, now, why.user, why.cause, why.detail, now_figures))
                noted.add(made[-1])
    return made
