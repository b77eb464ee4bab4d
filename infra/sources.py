"""The sources as people see them: what their collector processes say of themselves, beside the plant file and what was
lost. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from collectors.gaps import Gap
from dashboards import words
from dashboards.view import CountsView, GapView, SignalView, SourceDetail
from infra.collecting import CollectorProcess
from plant.frames import BAD, GOOD, UNCERTAIN
from plant.model import COUNTER_ROLES, Plant, Role, Signal

SHOWN_GAPS = timedelta(hours=24)
RECENT = timedelta(hours=1)
"""Overruns and overflows older than this are counted but are no problem any more."""
SETTLE = timedelta(seconds=10)
"""A source that has been connected for less may not have sent every signal yet."""
EXPECTED = (Role.STATE, Role.PROCESS_VALUE, *COUNTER_ROLES)
"""Roles of which something should have come; an alarm, an order or a cycle may just not have happened."""
HELD = (Role.STATE, Role.ORDER, Role.MATERIAL)
"""Roles whose value holds for `stale_after` only."""
QUALITIES = {GOOD: "good", UNCERTAIN: "uncertain", BAD: "bad"}
NAMED = 3
"""Signals a problem names."""

Risen = Mapping[tuple[str, str], datetime]
"""(source, "overruns" or "overflows"): when that was last seen to rise."""


def source_views(
    processes: Sequence[CollectorProcess],
    lost: Iterable[Gap],
    plant: Plant | None,
    now: datetime,
    risen: Risen | None = None,
) -> list[SourceDetail]:
    """All sources of the plant in its order; without a plant all that the processes tell of, with less to say about
    each (which signals should have come, units). Without `risen` every overrun and overflow counts as recent."""
    told = {name: (process, said) for process in processes for name, said in process.sources.items()}
    recent = [gap for gap in lost if now - gap.recorded_at < SHOWN_GAPS]
    signals: dict[str, list[Signal]] = {}
    for signal in plant.signals.values() if plant else ():
        if signal.source is not None:
            signals.setdefault(signal.source, []).append(signal)
    found = []
    for name in plant.sources if plant else told:
        process, said = told.get(name, (None, {}))
        if plant:
            source = plant.sources[name]
            made = _Source(name, source.protocol, source.process, process, said, now)
            if process is None:
                made.process = next((p for p in processes if p.name == source.process), None)
        else:
            assert process is not None
            made = _Source(name, str(said["protocol"]), process.name, process, said, now)
        mine = [
            gap for gap in recent if gap.source == name or (not gap.source and gap.collector == made.runs_in)
        ]
        found.append(made.view(signals.get(name, []), plant, mine, risen))
    return found


def raw(value: float | str) -> str:
    """A value as the plant file writes it in a signal's `states`."""
    return value if isinstance(value, str) else str(int(value)) if value == int(value) else str(value)


class _Source:
    def __init__(
        self,
        name: str,
        protocol: str,
        runs_in: str,
        process: CollectorProcess | None,
        said: Mapping[str, Any],
        now: datetime,
    ) -> None:
        self.name, self.protocol, self.runs_in = name, protocol, runs_in
        self.process, self.said, self.now = process, said, now

    @property
    def answers(self) -> bool:
        return self.process is not None and not self.process.stale(self.now) and bool(self.said)

    def view(
        self, signals: Sequence[Signal], plant: Plant | None, lost: Sequence[Gap], risen: Risen | None
    ) -> SourceDetail:
        said, answers = self.said, self.answers
        connected = answers and bool(said["connected"])
        since = said.get("since") if answers else self.process.time.isoformat() if self.process else None
        listed = self._signals(signals, plant, connected)
        counts = CountsView(ok=0, uncertain=0, bad=0, silent=0)
        for signal in listed:
            counts[signal["state"]] += 1  # type: ignore[literal-required]
        overflows: Mapping[str, int] = said.get("overflows", {})
        view = SourceDetail(
            id=self.name,
            protocol=self.protocol,
            process=self.runs_in,
            state="away",
            problems=[],
            connected=connected,
            detail=str(said["detail"]) if answers else self._silence(),
            since=since,
            heard=self.process.time.isoformat() if self.process and said else None,
            machines=list(dict.fromkeys(s["equipment"] for s in listed)),
            signals=len(listed),
            counts=counts,
            notes=sum(1 for s in listed if s["note"]),
            samples=said.get("samples", 0),
            rate=said.get("rate", 0.0) if answers else 0.0,
            last_sample=said.get("last_sample"),
            lag=said.get("lag"),
            overruns=said.get("overruns", 0),
            overflows=sum(overflows.values()),
            gaps=len(lost),
            lost=sum(gap.rows for gap in lost),
            signal_list=listed,
            gap_list=[_gap(gap) for gap in sorted(lost, key=lambda gap: gap.recorded_at, reverse=True)],
        )
        if not connected:
            view["problems"] = [view["detail"]]
        else:
            view["problems"] = self._problems(view, risen)
            view["state"] = "look" if view["problems"] else "ok"
        return view

    def _silence(self) -> str:
        what = f'the collector process "{self.runs_in}"'
        if self.process is None:
            return f"{what} has not started yet"
        if self.process.stale(self.now):
            age = (self.now - self.process.time).total_seconds()
            return f"{what} has not answered for {words.length(age)}"
        return f"{what} does not collect from it yet; its log says why if that stays"

    def _problems(self, view: SourceDetail, risen: Risen | None) -> list[str]:
        assert self.process is not None
        found = []
        if problem := self.process.spool.get("problem"):
            found.append(f"nothing more is taken from it: {problem}")
        listed, counts = view["signal_list"], view["counts"]
        if counts["bad"]:
            first = next(s["problem"] for s in listed if s["state"] == "bad")
            names = _names([s["id"] for s in listed if s["state"] == "bad"])
            found.append(f"{_count(counts['bad'], 'signal')} without a value ({names}): {first}")
        since = view["since"]
        settled = since is None or self.now - datetime.fromisoformat(since) > SETTLE
        missing = [s["id"] for s in listed if s["state"] == "silent" and s["role"] in EXPECTED]
        if missing and settled:
            found.append(f"nothing has come from {_count(len(missing), 'signal')} ({_names(missing)})")
        if view["gaps"]:
            samples = f", at least {_count(view['lost'], 'sample')}" if view["lost"] else ""
            found.append(
                f"{_count(view['gaps'], 'gap')} in the last 24 h{samples}: {view['gap_list'][0]['why']}"
            )
        if view["overflows"] and self._recent("overflows", risen):
            found.append(f"it dropped values {_count(view['overflows'], 'time')} before they were taken")
        if view["overruns"] and self._recent("overruns", risen):
            found.append(f"{_count(view['overruns'], 'poll')} left out because an earlier one took too long")
        return found

    def _recent(self, counter: str, risen: Risen | None) -> bool:
        if risen is None:
            return True
        at = risen.get((self.name, counter))
        return at is not None and self.now - at < RECENT

    def _signals(self, signals: Sequence[Signal], plant: Plant | None, connected: bool) -> list[SignalView]:
        seen: Mapping[str, Mapping[str, Any]] = self.said.get("signals", {})
        if plant is None:
            return [self._signal(key, None, None, one, connected) for key, one in seen.items()]
        return [
            self._signal(
                key := f"{s.equipment}.{s.id}",
                s,
                plant.equipment[s.equipment].stale_after,
                seen.get(key, {}),
                connected,
            )
            for s in signals
        ]

    def _signal(
        self,
        key: str,
        signal: Signal | None,
        stale_after: timedelta | None,
        seen: Mapping[str, Any],
        connected: bool,
    ) -> SignalView:
        said = self.said
        equipment, _, name = key.rpartition(".") if signal is None else (signal.equipment, "", signal.id)
        state, problem = self._state(key, signal, stale_after, seen, connected)
        quality, value = seen.get("quality"), seen.get("value")
        meaning = signal.states.get(raw(value)) if signal and value is not None else None
        return SignalView(
            id=key,
            equipment=equipment,
            signal=name,
            role=signal.role.value if signal else None,
            unit=signal.unit if signal else "",
            address=signal.address if signal else "",
            state=state,
            problem=problem,
            note=said.get("notes", {}).get(key),
            value=value,
            meaning=meaning.state.value if meaning else None,
            quality=None if quality is None else QUALITIES.get(quality),
            time=seen.get("time"),
            received=seen.get("received"),
            samples=seen.get("samples", 0),
            rate=seen.get("rate", 0.0) if connected else 0.0,
            overflows=said.get("overflows", {}).get(key, 0),
        )

    def _state(
        self,
        key: str,
        signal: Signal | None,
        stale_after: timedelta | None,
        seen: Mapping[str, Any],
        connected: bool,
    ) -> tuple[str, str | None]:
        if not connected:
            return "bad", "its source is not connected" if self.answers else "its collector does not answer"
        value, quality, received = seen.get("value"), seen.get("quality"), seen.get("received")
        why = self.said.get("bad", {}).get(key)
        if why is not None:
            usable = quality == UNCERTAIN and value is not None
            return "uncertain" if usable else "bad", str(why)
        if received is None:
            return "silent", "nothing has come since the collector started"
        if quality == BAD and isinstance(value, str):
            return "bad", f'"{value[:40]}" is no number'
        if quality == BAD or value is None:
            return "bad", "the newest sample has no value"
        if signal is not None and (signal.role in HELD or signal.decides) and stale_after is not None:
            age = self.now - datetime.fromisoformat(received)
            if age > stale_after:
                return "silent", f"nothing for {words.length(age.total_seconds())}, stale_after has passed"
        if signal is not None and signal.role is Role.STATE and not signal.means(raw(value)):
            return "bad", f'"{raw(value)}" is none of its states in the plant file'
        if quality == UNCERTAIN:
            return "uncertain", "the source says that the value is uncertain"
        return "ok", None


def _gap(gap: Gap) -> GapView:
    return GapView(
        first=gap.first.isoformat(),
        last=gap.last.isoformat(),
        rows=gap.rows,
        why=gap.why,
        signals=list(gap.signals),
        whole=not gap.source,
        recorded=gap.recorded_at.isoformat(),
    )


def _names(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
