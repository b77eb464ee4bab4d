"""Control charts, and the inspections people record."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from dashboards import inspections, params, spc
from dashboards.api.answers import Json
from dashboards.api.asked import From, Once, To
from dashboards.ports import Backend


class Inspected(Once):
    """An inspection: units counted, or values measured."""

    equipment: str = Field(description="Machine id")
    test: str = Field(
        description="What it was: a process value without a source for values, any name for counted units"
    )
    time: str = Field("", description="When the sample was taken, ISO 8601 with zone; empty: now")
    inspected: int | None = Field(None, description="Units inspected")
    nonconforming: int | None = Field(None, description="Nonconforming units, for p and np charts")
    defects: int | None = Field(None, description="Nonconformities, for c and u charts")
    values: list[float] = Field([], max_length=1000, description="Values measured")


class Withdrawn(Once):
    """An inspection that was wrong."""

    equipment: str = Field(description="Machine id")
    number: int = Field(description="The inspection's number")


def routes(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/spc", tags=["quality"])
    def control_chart(
        machine: Annotated[str, Query(description="Machine id")],
        signal: Annotated[
            str | None,
            Query(
                description="A process value, @rejects, or @inspection:NAME for what units are inspected for;"
                " default: the first there is"
            ),
        ] = None,
        per: Annotated[str, Query(description="@rejects: lots per hour, shift or order")] = "hour",
        chart: Annotated[str, Query(description="@rejects, @inspection: p, np, c or u")] = "p",
        start: From = None,
        to: To = None,
    ) -> Response:
        """A control chart: its points with the limits of their time, what breaks a rule, and the capability."""
        window = params.window(backend, start, to)
        asked = spc.chosen(backend.plant, machine, signal, per, chart)
        return Json(spc.to_json(spc.find(backend, asked, window), window))

    @api.get("/api/v1/inspections", tags=["quality"])
    def recorded(equipment: str, start: From = None, to: To = None) -> Response:
        """The inspections of a machine whose samples were taken in a window, in the order they were entered. One with
        `withdraws` says that the inspection of that number does not count."""
        params.machines(backend.plant, [equipment])
        found = backend.inspections(params.window(backend, start, to), equipment)
        return Json([asdict(entry) for entry in found])

    @api.post("/api/v1/inspections", tags=["quality"], status_code=201)
    def record(body: Inspected) -> Response:
        """Record an inspection; answers with its number. It is never changed: withdraw one that was wrong."""
        machine = _machine(backend, body.equipment)
        time = params.instant("time", body.time) if body.time else backend.now()
        found = inspections.Found(
            inspected=body.inspected,
            nonconforming=body.nonconforming,
            defects=body.defects,
            values=tuple(body.values),
        )
        entry = inspections.recording(backend, machine, body.test, time, found, body.user, body.note)
        return Json({"number": backend.record_inspection(machine, entry, body.key)}, 201)

    @api.post("/api/v1/inspections/withdraw", tags=["quality"], status_code=204)
    def withdraw(body: Withdrawn) -> Response:
        """Take an inspection back: it stays in the list, and no chart counts it any more."""
        machine = _machine(backend, body.equipment)
        entry = inspections.withdrawing(backend, machine, body.number, body.user, body.note)
        backend.record_inspection(machine, entry, body.key)
        return Response(status_code=204)


def _machine(backend: Backend, equipment: str) -> str:
    params.choices("equipment", [equipment], [machine.id for machine in backend.plant.machines()])
    return equipment
