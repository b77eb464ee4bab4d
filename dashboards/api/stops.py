"""What people say of stops, states and counts."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from dashboards import params
from dashboards.api.answers import Json
from dashboards.api.asked import ByUser, Once
from dashboards.ports import Backend, Refused
from plant.frames import Window
from plant.states import MachineState


class OfStop(Once):
    """What is said of a stop."""

    equipment: str = Field(description="Machine id")
    start: str = Field(
        description="When the stop began (`stop_start` of its ledger rows), ISO 8601 with zone"
    )
    seen: str = Field(
        "", description="`version` of the stop this answers: refused with 409 when it has changed since"
    )


class Recode(OfStop):
    """What a stop was."""

    reason: str = Field(description="Reason id of the plant file; empty takes what was said before back")


class Split(OfStop):
    """Where a stop is split in two."""

    at: str = Field(description="When the second one began, ISO 8601 with zone")
    first: str = Field("", description="Reason id of the first; empty: the one it has")
    second: str = Field("", description="Reason id of the second; empty: the one it has")


class Merge(OfStop):
    """A stop and the next are one."""

    reason: str = Field("", description="Reason id; empty: that of the longer of the two")


class Times(OfStop):
    """When a stop really began and ended."""

    begin: str = Field(description="ISO 8601 with zone")
    end: str = Field("", description="ISO 8601 with zone; empty: the end it has")


class Doing(Once):
    """What a machine was doing, whatever its signal says."""

    model_config = ConfigDict(populate_by_name=True)

    equipment: str = Field(description="Machine id")
    start: str = Field(alias="from", description="ISO 8601 with zone")
    end: str = Field(alias="to", description="Exclusive, ISO 8601 with zone")
    state: MachineState | Literal[""] = Field(description="Empty takes back what was said before")
    reason: str = Field("", description="Reason id; empty: none")


class Counts(ByUser):
    """Parts to add to what was counted; negative: to take away. 12 good that were rejects: good -12, reject 12."""

    equipment: str = Field(description="Machine id")
    at: str = Field(description="When they were made, ISO 8601 with zone")
    good: int = 0
    reject: int = 0
    rework: int = 0
    why: str = Field(min_length=1, max_length=1000)
    key: str = Field("", max_length=100, description="The same request with the same key has effect once")


def routes(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/stops/stop", tags=["stops"])
    def stop(equipment: str, start: str) -> Response:
        """One stop as the ledger has it now, with its `version`."""
        params.machines(backend.plant, [equipment])
        return Json(dict(backend.stop_at(equipment, params.instant("start", start))))

    @api.get("/api/v1/stops/recodes", tags=["stops"])
    def recodes(equipment: str, start: str) -> Response:
        """What was said about one stop, oldest first; the last entry counts."""
        params.machines(backend.plant, [equipment])
        return Json([dict(entry) for entry in backend.recodes(equipment, params.instant("start", start))])

    @api.post("/api/v1/stops/recode", tags=["stops"], status_code=204)
    def recode(body: Recode) -> Response:
        """Give a stop of any age its reason. Kept with who and when; the entry made last counts."""
        params.choices("reason", [body.reason], list(backend.plant.reasons))
        machine, start = _stop(backend, body)
        backend.recode(machine, start, body.reason, body.user, body.note, body.seen, body.key)
        return Response(status_code=204)

    @api.post("/api/v1/stops/split", tags=["stops"], status_code=204)
    def split(body: Split) -> Response:
        """Make two stops of one."""
        reasons = body.first, body.second
        params.choices("first, second", reasons, list(backend.plant.reasons))
        machine, start = _stop(backend, body)
        at = params.instant("at", body.at)
        backend.split_stop(machine, start, at, reasons, body.user, body.note, body.seen, body.key)
        return Response(status_code=204)

    @api.post("/api/v1/stops/merge", tags=["stops"], status_code=204)
    def merge(body: Merge) -> Response:
        """Make one stop of this and the next, with the short run between."""
        params.choices("reason", [body.reason], list(backend.plant.reasons))
        machine, start = _stop(backend, body)
        backend.merge_stop(machine, start, body.reason, body.user, body.note, body.seen, body.key)
        return Response(status_code=204)

    @api.post("/api/v1/stops/times", tags=["stops"], status_code=204)
    def retime(body: Times) -> Response:
        """Move the begin or the end of a stop. Where it is shorter the machine ran; parts counted stay counted."""
        machine, start = _stop(backend, body)
        begin, end = (
            params.instant("begin", body.begin),
            params.instant("end", body.end) if body.end else None,
        )
        backend.retime_stop(machine, start, begin, end, body.user, body.note, body.seen, body.key)
        return Response(status_code=204)

    @api.post("/api/v1/stops/undo", tags=["stops"], status_code=204)
    def undo(body: OfStop) -> Response:
        """As it was before the last thing that was said of the stop; nothing is deleted."""
        machine, start = _stop(backend, body)
        backend.undo_stop(machine, start, body.user, body.note, body.seen, body.key)
        return Response(status_code=204)

    @api.post("/api/v1/states/say", tags=["stops"], status_code=204)
    def say_state(body: Doing) -> Response:
        """Say what a machine was doing from one time to another. Its signal is kept, and parts counted stay counted."""
        params.machines(backend.plant, [body.equipment])
        params.choices("reason", [body.reason], list(backend.plant.reasons))
        start, end = params.instant("from", body.start), params.instant("to", body.end)
        if end <= start:
            raise Refused("to: it must be after from")
        window = Window(start, end)
        backend.say_state(
            body.equipment, window, str(body.state), body.reason, body.user, body.note, body.key
        )
        return Response(status_code=204)

    @api.post("/api/v1/counts/correct", tags=["stops"], status_code=204)
    def correct(body: Counts) -> Response:
        """Correct counted parts. Refused when a shift's count would become negative."""
        params.machines(backend.plant, [body.equipment])
        changes = {"good": body.good, "reject": body.reject, "rework": body.rework}
        at = params.instant("at", body.at)
        backend.correct_counts(body.equipment, at, changes, body.why, body.user, body.key)
        return Response(status_code=204)


def _stop(backend: Backend, body: OfStop) -> tuple[str, datetime]:
    params.machines(backend.plant, [body.equipment])
    return body.equipment, params.instant("start", body.start)
