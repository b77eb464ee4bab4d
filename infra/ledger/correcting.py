"""What people correct about past time: stops re-coded, split and merged, states said, counts put right. Each is one
transaction: the new facts, who did it, and the ledger rows and published figures that follow."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl
from sqlalchemy import Connection

from analytics.ledger import sayings
from analytics.ledger.sayings import Entry, Stop, UnsayableError
from dashboards import words
from dashboards.ports import Changed, Refused
from dashboards.stops import said_views, stop_view, version
from dashboards.view import PublishedView, RestatementView, SaidView, StopView
from infra.ledger.reported import moved
from infra.ledger.restating import Why
from infra.live import Live
from infra.records.audit import Audit
from infra.records.corrections import CountCorrections, Restatements
from infra.records.database import serialise
from infra.records.jobs import ShiftClosures
from infra.records.ledger import LedgerRows
from infra.records.recodes import Recodes
from infra.runtime import Runtime
from plant.calendar import shift_instances
from plant.frames import CORRECTIONS, Window
from plant.model import Plant
from plant.states import MachineState

COUNTED = ("good", "reject", "rework")
FAR = timedelta(days=400)
_TICK = timedelta(microseconds=1)

Say = Callable[[Stop, pl.DataFrame], tuple[list[Entry], str]]
"""From a stop and all that was said of its machine: what is said now, and that in words."""


class By(NamedTuple):
    """Who says something, and how."""

    user: str
    now: datetime
    note: str = ""
    """Free text, kept with it."""
    seen: str = ""
    """Version of the stop it answers; "": whatever it is now."""
    key: str = ""
    """The same again with the same key has no effect; "": it has."""


class Correcting:
    """Corrections of one running plant."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def _plant(self) -> Plant:
        return self._runtime.plant

    def stop(self, equipment: str, start: datetime, now: datetime) -> StopView:
        """See `dashboards.ports.Backend.stop_at`."""
        with self._runtime.looking() as (connection, live):
            stop = self._stop(connection, live, equipment, start, now)
            following = self._following(connection, live, stop, now)
            said = self._about(connection, stop)
        return stop_view(stop, following, said)

    def said(self, equipment: str, start: datetime, now: datetime) -> list[SaidView]:
        """See `dashboards.ports.Backend.recodes`."""
        with self._runtime.looking() as (connection, live):
            found = sayings.stop_in(self._rows(connection, live, equipment, start, now), start, now)
            stop = found or Stop(equipment, start, start + _TICK, False, "", None)
            said = self._about(connection, stop)
        return said_views(said)

    def recode(self, equipment: str, start: datetime, reason: str, by: By) -> None:
        """See `dashboards.ports.Backend.recode`."""
        self._known(reason)

        def say(stop: Stop, entries: pl.DataFrame) -> tuple[list[Entry], str]:
            of = self._of(stop)
            if not reason:
                return sayings.take_back(stop), f"took back what was said of {of}"
            return sayings.recode(stop, reason), (
                f"re-coded {of} from {self._name(stop.reason)} to {self._name(reason)}"
            )

        cause = "recode" if reason else "take_back"
        self._say(equipment, start, say, cause, by, {"reason": reason})

    def split(self, equipment: str, start: datetime, at: datetime, reasons: tuple[str, str], by: By) -> None:
        """See `dashboards.ports.Backend.split_stop`."""
        for reason in reasons:
            self._known(reason)

        def say(stop: Stop, entries: pl.DataFrame) -> tuple[list[Entry], str]:
            one, two = (self._name(reason or stop.reason) for reason in reasons)
            first, second = (words.length(s.total_seconds()) for s in (at - stop.start, stop.end - at))
            done = f"split {self._of(stop)} into {first} {one} and {second} {two}"
            return sayings.split(stop, at, reasons[0] or None, reasons[1] or None), done

        detail = {"at": at.isoformat(), "reasons": list(reasons)}
        self._say(equipment, start, say, "split", by, detail)

    def merge(self, equipment: str, start: datetime, reason: str, by: By) -> None:
        """See `dashboards.ports.Backend.merge_stop`."""
        self._known(reason)
        with self._runtime.correcting() as (connection, live):
            if self._done(connection, equipment, start, by.key):
                return
            stop = self._seen(connection, live, equipment, start, by)
            following = self._following(connection, live, stop, by.now)
            if following is None:
                longest = sayings.LONGEST_BETWEEN // timedelta(minutes=1)
                raise Refused(
                    f"No stop began within {longest} min after this one: there is none to merge with."
                )
            said = sayings.merge(stop, following, reason or None)
            whole = words.length((following.end - stop.start).total_seconds())
            done = f"merged {self._of(stop)} and the next into one of {whole}"
            self._add(connection, live, stop, said, "merge", done, by, {"reason": reason})

    def retime(self, equipment: str, start: datetime, begin: datetime, end: datetime | None, by: By) -> None:
        """See `dashboards.ports.Backend.retime_stop`."""
        if (end or begin) > by.now:
            raise Refused("The new times are in the future: say when the stop began and ended.")

        def say(stop: Stop, entries: pl.DataFrame) -> tuple[list[Entry], str]:
            said = sayings.retime(stop, begin, end)
            zone = self._plant.site.zone
            times = " to ".join(f"{at.astimezone(zone):%H:%M:%S}" for at in (begin, end or stop.end))
            return said, f"said that {self._of(stop)} was a stop from {times}"

        detail = {"begin": begin.isoformat(), "end": end.isoformat() if end else None}
        self._say(equipment, start, say, "state", by, detail)

    def undo(self, equipment: str, start: datetime, by: By) -> None:
        """See `dashboards.ports.Backend.undo_stop`."""

        def say(stop: Stop, entries: pl.DataFrame) -> tuple[list[Entry], str]:
            return sayings.undo(entries, stop), f"undid the last change of {self._of(stop)}"

        self._say(equipment, start, say, "take_back", by, {"undo": True})

    def state(self, equipment: str, window: Window, state: str, reason: str, by: By) -> None:
        """See `dashboards.ports.Backend.say_state`."""
        self._known(reason)
        self._machine(equipment)
        if state and state not in {s.value for s in MachineState}:
            known = ", ".join(s.value for s in MachineState)
            raise Refused(f"state: {state!r} is none; use one of {known}")
        if not window.start < window.end <= by.now:
            raise Refused("from, to: say it of time that is over, and end it after it starts.")
        said = [Entry(window.start, window.end, state or None, reason or None)]
        stop = Stop(equipment, window.start, window.end, False, state, reason or None)
        done = f"took back what was said of {self._of(stop)}"
        if state:
            done = f"said that {self._of(stop)} was {state.replace('_', ' ')}"
        with self._runtime.correcting() as (connection, live):
            if self._done(connection, equipment, window.start, by.key):
                return
            detail = {"state": state, "reason": reason, "to": window.end.isoformat()}
            self._add(connection, live, stop, said, "state" if state else "take_back", done, by, detail)

    def counts(self, equipment: str, at: datetime, changes: Mapping[str, int], why: str, by: By) -> None:
        """See `dashboards.ports.Backend.correct_counts`."""
        self._machine(equipment)
        wanted = {kind: quantity for kind, quantity in changes.items() if quantity}
        if not wanted or set(wanted) - set(COUNTED):
            raise Refused(f"Say by how much {', '.join(COUNTED)} change: at least one, by a whole number.")
        if not why.strip():
            raise Refused("why: say why the counts are wrong.")
        if at > by.now:
            raise Refused("at: parts are corrected at a time that is over.")
        name = self._plant.equipment[equipment].name
        with self._runtime.correcting() as (connection, live):
            serialise(connection, "ledger")
            subject = f"{equipment} counts"
            if by.key and any(
                entry.detail.get("key") == by.key for entry in Audit(connection).of(subject, 100)
            ):
                return
            shift = self._shift(equipment, at)
            counted = self._between(connection, live, equipment, shift, by.now)
            for kind, quantity in wanted.items():
                left = int(counted[kind].sum())
                if left + quantity < 0:
                    raise Refused(
                        f"{kind}: {name} has {left} left from {words.moment(shift.start, self._plant.site.zone)} to "
                        f"{words.moment(shift.end, self._plant.site.zone)}, {-quantity} cannot be taken away."
                    )
            rows = [
                (equipment, at, kind, quantity, by.user, by.now, why) for kind, quantity in wanted.items()
            ]
            CountCorrections(connection).add(pl.DataFrame(rows, schema=dict(CORRECTIONS), orient="row"))
            detail = {"at": at.isoformat(), **wanted, "why": why, "key": by.key}
            Audit(connection).add(by.now, by.user, "counts.correct", subject, detail)
            said = ", ".join(f"{quantity:+d} {kind}" for kind, quantity in wanted.items())
            because = Why(by.user, "count_correction", f"corrected the counts of {name} by {said} ({why})")
            live.restate(connection, equipment, Window(at, at + _TICK), by.now, because)

    def published(self, window: Window) -> list[PublishedView]:
        """See `dashboards.ports.Backend.published`."""
        found: list[PublishedView] = []
        with self._runtime.database.read() as connection:
            for closure in ShiftClosures(connection).begun_in(window):
                last = closure.figures
                changes: list[RestatementView] = []
                for made in Restatements(connection).of(
                    closure.equipment, closure.shift, closure.shift_start
                ):
                    changes.append(
                        RestatementView(
                            at=words.utc(made.at),
                            user=made.user,
                            cause=made.cause,
                            detail=made.detail,
                            moved=moved(last, made.figures),
                            figures=dict(made.figures),
                        )
                    )
                    last = made.figures
                found.append(
                    PublishedView(
                        line=closure.equipment,
                        shift=closure.shift,
                        shift_start=words.utc(closure.shift_start),
                        closed_at=words.utc(closure.closed_at),
                        reported=dict(closure.figures),
                        corrected=dict(last),
                        restatements=changes,
                    )
                )
        return found

    def _say(
        self,
        equipment: str,
        start: datetime,
        say: Say,
        cause: str,
        by: By,
        detail: Mapping[str, object],
    ) -> None:
        with self._runtime.correcting() as (connection, live):
            if self._done(connection, equipment, start, by.key):
                return
            stop = self._seen(connection, live, equipment, start, by)
            entries = Recodes(connection).touching(Window(stop.start - FAR, stop.end + FAR), [equipment])
            try:
                said, done = say(stop, entries)
            except UnsayableError as error:
                raise Refused(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
            self._add(connection, live, stop, said, cause, done, by, detail)

    def _add(
        self,
        connection: Connection,
        live: Live,
        stop: Stop,
        said: Sequence[Entry],
        cause: str,
        done: str,
        by: By,
        detail: Mapping[str, object],
    ) -> None:
        recodes = Recodes(connection)
        for entry in said:
            recodes.add(
                stop.equipment,
                entry.start,
                entry.end,
                entry.reason,
                by.user,
                by.now,
                entry.state,
                by.note or None,
            )
        subject = f"{stop.equipment} {stop.start.isoformat()}"
        more = {name: value for name, value in (("note", by.note), ("key", by.key)) if value}
        Audit(connection).add(by.now, by.user, f"stop.{cause}", subject, {**detail, **more})
        span = Window(min(e.start for e in said), max([stop.end, *(e.end for e in said if e.end)]))
        why = Why(by.user, cause, f"{done} ({by.note})" if by.note else done)
        live.restate(connection, stop.equipment, span, by.now, why)

    def _done(self, connection: Connection, equipment: str, start: datetime, key: str) -> bool:
        """Whether that very request was carried out before. From here on nobody else corrects anything."""
        self._machine(equipment)
        serialise(connection, "ledger")
        earlier = Audit(connection).of(f"{equipment} {start.isoformat()}", 100) if key else []
        return any(entry.detail.get("key") == key for entry in earlier)

    def _seen(self, connection: Connection, live: Live, equipment: str, start: datetime, by: By) -> Stop:
        """The stop, if it is as it was seen."""
        stop = self._stop(connection, live, equipment, start, by.now)
        said = self._about(connection, stop)
        if by.seen and by.seen != version(stop, said):
            who = self._who(said["user"][-1]) if said.height else "New data"
            raise Changed(f"{who} changed this stop meanwhile: look at it again, then say what it was.")
        return stop

    def _stop(
        self, connection: Connection, live: Live, equipment: str, start: datetime, now: datetime
    ) -> Stop:
        self._machine(equipment)
        found = sayings.stop_in(self._rows(connection, live, equipment, start, now), start, now)
        if found is None:
            raise Changed(
                f"{equipment} did not stop at {start.isoformat()}: reload the page, its stops have changed."
            )
        return found

    def _rows(
        self, connection: Connection, live: Live, equipment: str, start: datetime, now: datetime
    ) -> pl.DataFrame:
        """The ledger rows of what the machine began to do then."""
        rows = LedgerRows(connection)
        span = rows.span(equipment)
        stored = rows.of_stop(equipment, start)
        if span is not None and (stored.is_empty() or stored["end"][-1] < span.end) and start < span.end:
            return stored
        since = start if span is None or start >= span.end else span.end
        fresh = live.ledger(Window(min(since, now), now), now).filter(
            pl.col("equipment") == equipment, pl.col("stop_start") == start
        )
        return pl.concat([stored, fresh])

    def _following(self, connection: Connection, live: Live, stop: Stop, now: datetime) -> Stop | None:
        """The next stop, if the machine did nothing else for long before it."""
        if stop.goes_on:
            return None
        after = self._between(
            connection, live, stop.equipment, Window(stop.end, stop.end + sayings.LONGEST_BETWEEN), now
        )
        begun = after.filter(~pl.col("state").is_in(sayings.NOT_STOPPED), pl.col("stop_start") >= stop.end)
        if begun.is_empty():
            return None
        start: datetime = begun.sort("start")["stop_start"][0]
        return sayings.stop_in(self._rows(connection, live, stop.equipment, start, now), start, now)

    def _between(
        self, connection: Connection, live: Live, equipment: str, window: Window, now: datetime
    ) -> pl.DataFrame:
        """Ledger rows of the machine in the window: stored ones, then derived ones."""
        rows = LedgerRows(connection)
        span = rows.span(equipment)
        closed = span.end if span else window.start
        stored = rows.touching(window, [equipment])
        if window.end <= closed:
            return stored
        fresh = live.ledger(Window(max(window.start, closed), min(window.end, now)), now)
        return pl.concat([stored, fresh.filter(pl.col("equipment") == equipment)])

    def _about(self, connection: Connection, stop: Stop) -> pl.DataFrame:
        entries = Recodes(connection).touching(Window(stop.start, stop.end), [stop.equipment])
        return sayings.about(entries, stop.start, stop.end)

    def _shift(self, equipment: str, at: datetime) -> Window:
        """The shift of that machine which holds the time; outside shifts the time between two."""
        calendar = self._plant.calendar_of(equipment)
        day = timedelta(days=1)
        if calendar is None:
            midnight = at.astimezone(self._plant.site.zone).replace(hour=0, minute=0, second=0, microsecond=0)
            return Window(midnight, midnight + day)
        around = Window(at - 7 * day, at + 7 * day)
        shifts = shift_instances(calendar, self._plant.site.zone, around)
        inside = next((s for s in shifts if s.start <= at < s.end), None)
        if inside is not None:
            return Window(inside.start, inside.end)
        ended = [s.end for s in shifts if s.end <= at]
        begun = [s.start for s in shifts if s.start > at]
        return Window(max(ended, default=around.start), min(begun, default=around.end))

    def _machine(self, equipment: str) -> None:
        if equipment not in {m.id for m in self._plant.machines()}:
            raise Refused(f"equipment: the plant has no machine {equipment!r}")

    def _known(self, reason: str) -> None:
        if reason and reason not in self._plant.reasons:
            raise Refused(f"The plant file has no reason {reason!r}: choose one of its reasons.")

    def _of(self, stop: Stop) -> str:
        return f"{words.length(stop.length.total_seconds())} of {self._plant.equipment[stop.equipment].name}"

    def _name(self, reason: str | None) -> str:
        known = self._plant.reasons.get(reason or "")
        return known.name if known else reason or "no reason"

    def _who(self, user: str) -> str:
        known = self._plant.users.get(user)
        return known.name if known else user
