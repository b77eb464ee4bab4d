"""KPIs and what is behind them, the ledger, trends, shifts."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from analytics.figures.summary import DIMENSIONS
from analytics.kpis import catalogue
from dashboards import kpitables, params, trends
from dashboards.api.answers import Json
from dashboards.api.asked import Equipment, Figures, From, Limit, Offset, To
from dashboards.ports import Backend


def routes(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/kpis", tags=["figures"])
    def kpis(
        start: From = None,
        to: To = None,
        equipment: Equipment = None,
        by: Annotated[list[str] | None, Query(description=f"Group by: {', '.join(DIMENSIONS)}")] = None,
        kpi: Annotated[
            list[str] | None, Query(description="KPI ids, see /api/v1/kpis/catalogue; default: all")
        ] = None,
        convention: Figures = None,
        format: Annotated[Literal["json", "csv"], Query(description="csv: KPIs only, as a file")] = "json",
    ) -> Response:
        """KPIs with their numerators and denominators, the sums they are made of, and the elements of ISO 22400-2."""
        window = params.window(backend, start, to)
        groups = params.choices("by", by or (), list(DIMENSIONS))
        ids = params.choices("kpi", kpi or (), list(catalogue())) or list(catalogue())
        used = convention or backend.plant.settings.convention
        machines = params.machines(backend.plant, equipment or ())
        found = kpitables.figures(backend, window, machines, groups, used, ids)
        if format == "csv":
            return Response(kpitables.csv(found, groups, ids), media_type="text/csv")
        return Json(
            {"from": window.start, "to": window.end, "convention": used.value, "rows": found.to_dicts()}
        )

    @api.get("/api/v1/kpis/catalogue", tags=["figures"])
    def kpi_catalogue() -> Response:
        """Every KPI: what it is called, its unit (1: a share), where it is from, and its formula in both conventions."""
        return Json([kpitables.described(kpi) for kpi in catalogue().values()])

    @api.get("/api/v1/kpis/{kpi}/explanation", tags=["figures"])
    def explanation(
        kpi: str,
        start: From = None,
        to: To = None,
        equipment: Equipment = None,
        by: Annotated[str, Query(description="With `of`: a dimension of /api/v1/kpis")] = "",
        of: Annotated[str | None, Query(description="The group of it; empty: rows that have none")] = None,
        convention: Figures = None,
    ) -> Response:
        """What is behind a figure: formula, numerator and denominator, and the ledger rows behind them. `groups`: by
        category and reason, all of them; `rows`: the largest. Amounts in microseconds, parts or counts, see `unit`."""
        window = params.window(backend, start, to)
        used = convention or backend.plant.settings.convention
        machines = params.machines(backend.plant, equipment or ())
        return Json(kpitables.explained(kpitables.behind(backend, window, machines, kpi, used, by, of)))

    @api.get("/api/v1/ledger", tags=["figures"])
    def ledger(
        start: From = None,
        to: To = None,
        equipment: Equipment = None,
        limit: Limit = 1000,
        offset: Offset = 0,
    ) -> Response:
        """The ledger: every microsecond of every machine once. `next` is null on the last page."""
        frame = backend.ledger(
            params.window(backend, start, to), params.machines(backend.plant, equipment or ())
        )
        page = frame.slice(offset, limit)
        after = offset + page.height
        return Json(
            {"rows": page.to_dicts(), "total": frame.height, "next": after if after < frame.height else None}
        )

    @api.get("/api/v1/trend", tags=["figures"])
    def trend(
        equipment: Annotated[
            list[str], Query(min_length=1, description="Equipment ids, each with everything below it")
        ],
        signals: Annotated[
            list[str] | None, Query(description="Signal ids; default: process values and cycle times")
        ] = None,
        start: From = None,
        to: To = None,
        every: Annotated[
            float | None,
            Query(ge=1, le=86_400, description="Seconds of a step; default: about 600 steps in the window"),
        ] = None,
    ) -> Response:
        """Numbers thinned out: mean, min and max of each step. Steps without a number are left out."""
        window = params.window(backend, start, to)
        machines = params.machines(backend.plant, equipment) or []
        asked = params.signals(backend.plant, machines, signals or ())
        step = timedelta(seconds=every) if every else trends.bucket(window)
        trends.check_size(window, step, asked)
        rows = backend.trend(window, step, machines, sorted({signal.id for signal in asked}))
        body = {
            "from": window.start,
            "to": window.end,
            "every": step.total_seconds(),
            "rows": rows.to_dicts(),
        }
        return Json(body)

    @api.get("/api/v1/shifts", tags=["figures"])
    def shifts(start: From = None, to: To = None) -> Response:
        """The shifts that touch a window, oldest first."""
        return Json(backend.shifts(params.window(backend, start, to)))

    @api.get("/api/v1/shifts/published", tags=["figures"])
    def published(start: From = None, to: To = None) -> Response:
        """The closed shifts that began in a window, per line: figures as reported, as corrected, and each restatement with
        who, when, why and how far each KPI moved."""
        return Json(backend.published(params.window(backend, start, to)))
