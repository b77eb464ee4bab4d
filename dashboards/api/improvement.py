"""Where to improve: why OEE changed, ideal cycles, bottlenecks, a line's account, micro-stops."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from analytics.improvement.bottleneck import bottleneck_shares, bottlenecks
from analytics.improvement.idealcycle import audit
from analytics.improvement.microstops import clusters
from dashboards import improvement, lineaccount, params
from dashboards.api.answers import Json
from dashboards.api.asked import Equipment, From, To
from dashboards.ports import Backend, Refused


def routes(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/bridge", tags=["figures"])
    def oee_bridge(
        before_from: Annotated[str, Query(description="Start of the first window, ISO 8601 with zone")],
        before_to: Annotated[str, Query(description="Its end")],
        start: From = None,
        to: To = None,
        equipment: Equipment = None,
    ) -> Response:
        """Why the OEE of [from, to) differs from that of another window: effects whose points add up to the difference."""
        machines = params.machines(backend.plant, equipment or ())
        before = params.window(backend, before_from, before_to)
        found = improvement.compare(backend, before, params.window(backend, start, to), machines)
        if found.problem:
            raise Refused(f"bridge: {found.problem}")
        effects = found.effects.to_dicts()
        return Json({"oee_before": found.oee_before, "oee_after": found.oee_after, "effects": effects})

    @api.get("/api/v1/ideal-cycles", tags=["figures"])
    def ideal_cycles(start: From = None, to: To = None, equipment: Equipment = None) -> Response:
        """Each ideal cycle against the cycle times of the window (microseconds), and what it should be from when."""
        machines = params.machines(backend.plant, equipment or ())
        cycles = backend.cycles(params.window(backend, start, to), machines)
        return Json({"rows": audit(cycles, backend.plant.site.zone).to_dicts()})

    @api.get("/api/v1/bottlenecks", tags=["figures"])
    def bottleneck_spans(start: From = None, to: To = None, equipment: Equipment = None) -> Response:
        """Which machine held its line up, and when (active period method); `shares` sums it up per machine."""
        machines = params.machines(backend.plant, equipment or ())
        rows = backend.ledger(params.window(backend, start, to), machines)
        found, shares = bottlenecks(rows).to_dicts(), bottleneck_shares(rows).to_dicts()
        return Json({"spans": found, "shares": shares})

    @api.get("/api/v1/line-account", tags=["figures"])
    def account(
        line: Annotated[str, Query(description="Id of the line, or of a machine that stands alone")],
        start: From = None,
        to: To = None,
    ) -> Response:
        """Where the time of a line went, each microsecond once: its constraint's running time and own losses, and what is
        charged to the first causes of its waiting."""
        window = params.window(backend, start, to)
        found = lineaccount.account(backend, window, line)
        return Json({"from": window.start, "to": window.end, "line": line, "rows": found.to_dicts()})

    @api.get("/api/v1/micro-stops", tags=["figures"])
    def micro_stops(start: From = None, to: To = None, equipment: Equipment = None) -> Response:
        """Swarms of micro-stops, most time lost first (microseconds)."""
        machines = params.machines(backend.plant, equipment or ())
        rows = backend.ledger(params.window(backend, start, to), machines)
        return Json({"rows": clusters(rows).to_dicts()})
