"""The REST API: what the board shows, for machines and scripts; described at /docs and /openapi.json.

Times are ISO 8601 with a zone, durations microseconds where the column says so and seconds otherwise.
Every refusal is JSON, {"error": "<parameter>: <what is wrong and what would do>"}.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast

import orjson
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from analytics.figures.summary import DIMENSIONS
from analytics.improvement.bottleneck import bottleneck_shares, bottlenecks
from analytics.improvement.idealcycle import audit
from analytics.improvement.microstops import clusters
from analytics.kpis import catalogue
from dashboards import improvement, kpitables, lineaccount, params, spc, trends
from dashboards.live import Broadcast
from dashboards.ports import Backend, Changed, Refused, Unavailable
from plant.frames import Window
from plant.model import Convention
from plant.states import MachineState

From = Annotated[
    str | None, Query(alias="from", description="Start, ISO 8601 with zone; default: the running shift")
]
To = Annotated[str | None, Query(description="End (exclusive), ISO 8601 with zone; default: now")]
Equipment = Annotated[
    list[str] | None, Query(description="Equipment ids, each with everything below it; default: all")
]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Rows a page has at most")]
Offset = Annotated[
    int, Query(ge=0, description="Rows to leave out at the beginning: `next` of the page before")
]
Figures = Annotated[Convention | None, Query(description="OEE arithmetic; default: the plant's")]
User = Annotated[
    str, Field(min_length=1, max_length=100, description="Who does it: a user id of the plant file")
]


class ByUser(BaseModel):
    """Who does it."""

    user: User


class Once(ByUser):
    """Who does it, and how it is told from another request."""

    key: str = Field("", max_length=100, description="The same request with the same key has effect once")
    note: str = Field("", max_length=1000, description="Free text, kept with it")


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


class Doing(Once):
    """What a machine was doing, whatever its signal says."""

    model_config = ConfigDict(populate_by_name=True)

    equipment: str = Field(description="Machine id")
    start: str = Field(alias="from", description="ISO 8601 with zone")
    end: str = Field(alias="to", description="Exclusive, ISO 8601 with zone")
    state: MachineState
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


class Json(Response):
    """JSON by orjson: datetimes as ISO 8601."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def router(backend: Backend, broadcast: Broadcast) -> APIRouter:
    """Every route under /api/v1, /health and /metrics."""
    api = APIRouter(default_response_class=Json)
    _reads(api, backend)
    _improvement(api, backend)
    _sources(api, backend)
    _actions(api, backend)
    _samples(api, backend)
    _live(api, backend, broadcast)
    _operations(api, backend, broadcast)

    @api.api_route(
        "/api/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    def unknown(rest: str) -> Response:
        return JSONResponse({"error": f"/api/{rest} does not exist; /docs lists what does"}, 404)

    return api


def install_errors(app: FastAPI) -> None:
    """Refusals as 400 with one sentence, instead of FastAPI's list; 503 when a store is away, 409 when somebody else was
    faster."""

    def refused(request: Request, error: Exception) -> Response:
        status = 503 if isinstance(error, Unavailable) else 409 if isinstance(error, Changed) else 400
        return JSONResponse({"error": str(error)}, status)

    def invalid(request: Request, error: Exception) -> Response:
        first = cast(RequestValidationError, error).errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return JSONResponse({"error": f"{name}: {first['msg']}"}, 400)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)


def _reads(api: APIRouter, backend: Backend) -> None:
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
        found, _ = kpitables.table(backend, window, machines, groups, used, ids)
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

    @api.get("/api/v1/spc", tags=["figures"])
    def control_chart(
        machine: Annotated[str, Query(description="Machine id")],
        signal: Annotated[
            str | None, Query(description="A process value, or @rejects; default: the first there is")
        ] = None,
        per: Annotated[str, Query(description="@rejects: lots per hour, shift or order")] = "hour",
        chart: Annotated[str, Query(description="@rejects: p, np, c or u")] = "p",
        start: From = None,
        to: To = None,
    ) -> Response:
        """A control chart: its points with the limits of their time, what breaks a rule, and the capability."""
        window = params.window(backend, start, to)
        asked = spc.chosen(backend.plant, machine, signal, per, chart)
        return Json(spc.to_json(spc.find(backend, asked, window), window))

    @api.get("/api/v1/shifts", tags=["figures"])
    def shifts(start: From = None, to: To = None) -> Response:
        """The shifts that touch a window, oldest first."""
        return Json(backend.shifts(params.window(backend, start, to)))

    @api.get("/api/v1/orders", tags=["orders"])
    def orders() -> Response:
        """Every open order and its forecast."""
        return Json(backend.orders())

    @api.get("/api/v1/alerts", tags=["alerts"])
    def alerts(resolved: bool = False) -> Response:
        """Open alerts; with `resolved=true` also those that are over."""
        return Json(backend.alerts(include_resolved=resolved))

    @api.get("/api/v1/alerts/{alert}/history", tags=["alerts"])
    def history(alert: str) -> Response:
        """Everything that happened to an alert, oldest first."""
        return Json([dict(event) for event in backend.alert_history(alert)])

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

    @api.get("/api/v1/shifts/published", tags=["figures"])
    def published(start: From = None, to: To = None) -> Response:
        """The closed shifts that began in a window, per line: figures as reported, as corrected, and each restatement with
        who, when, why and how far each KPI moved."""
        return Json(backend.published(params.window(backend, start, to)))


def _improvement(api: APIRouter, backend: Backend) -> None:
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


def _sources(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/sources", tags=["sources"])
    def sources() -> Response:
        """Every source: connected or not and why, rate, lag, how many signals give a value, what was left out, dropped or
        lost. `state` is ok, look or away; `problems` says why in words."""
        return Json(backend.sources())

    @api.get("/api/v1/sources/{source}", tags=["sources"])
    def source(source: str) -> Response:
        """One source with each of its signals (`signal_list`: last value, times, quality, rate, what is wrong) and the gaps
        of the last 24 hours (`gap_list`)."""
        return Json(backend.source(source))


def _actions(api: APIRouter, backend: Backend) -> None:
    @api.post("/api/v1/alerts/{alert}/acknowledge", tags=["alerts"], status_code=204)
    def acknowledge(alert: str, body: ByUser) -> Response:
        """Say that somebody cares: the escalation steps still to come do not fire."""
        backend.acknowledge(alert, body.user)
        return Response(status_code=204)

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
            body.equipment, window, body.state.value, body.reason, body.user, body.note, body.key
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

    @api.post("/api/v1/orders/{order}/start", tags=["orders"], status_code=204)
    def start_order(order: str, body: ByUser) -> Response:
        """The order is the one being made on its machine from now on."""
        backend.start_order(order, body.user)
        return Response(status_code=204)

    @api.post("/api/v1/orders/{order}/finish", tags=["orders"], status_code=204)
    def finish_order(order: str, body: ByUser) -> Response:
        """The order is done."""
        backend.finish_order(order, body.user)
        return Response(status_code=204)

    @api.post("/api/v1/orders/import", tags=["orders"])
    async def import_orders(
        request: Request,
        name: Annotated[str, Query(description="File name; its ending says what it is: .csv or .xlsx")],
        user: Annotated[str, Query(min_length=1, max_length=100, description="Who imports")],
        columns: Annotated[
            str | None,
            Query(description='JSON: which column of the file holds what, e.g. {"quantity": "Menge"}'),
        ] = None,
    ) -> Response:
        """Orders from a CSV or Excel file sent as the body. All rows or none; each bad row is named."""
        content = await request.body()
        chosen = params.mapping("columns", columns)
        count = await run_in_threadpool(backend.import_orders, name, content, chosen, user)
        return Json({"imported": count})


def _stop(backend: Backend, body: OfStop) -> tuple[str, datetime]:
    params.machines(backend.plant, [body.equipment])
    return body.equipment, params.instant("start", body.start)


def _samples(api: APIRouter, backend: Backend) -> None:
    body = {
        "application/json": {
            "example": {
                "samples": [
                    {"signal": "filler/state", "time": "2026-01-31T06:00:00Z", "value": 6, "quality": "good"}
                ]
            }
        }
    }

    @api.post(
        "/api/v1/samples",
        tags=["samples"],
        openapi_extra={"requestBody": {"required": True, "content": body}},
    )
    async def post_samples(
        request: Request,
        source: Annotated[str | None, Query(description="Which http source; default: the only one")] = None,
    ) -> Response:
        """Samples of an http source. Header `Authorization: Bearer TOKEN`. 200 when all are on disk; wrong anywhere: 400 and
        none is taken; 401, 503: send the same again later. Sending twice changes nothing: signal and time are the key."""
        given = request.headers.get("authorization", "")
        status, answer = await run_in_threadpool(backend.post_samples, source, given, await request.body())
        return Response(answer, status, media_type="application/json")

    @api.get("/api/v1/samples", include_in_schema=False)
    def only_posted() -> Response:
        answer = {"error": "samples are posted here; read trends at /api/v1/trend"}
        return JSONResponse(answer, 405, {"Allow": "POST"})


def _live(api: APIRouter, backend: Backend, broadcast: Broadcast) -> None:
    @api.get("/api/v1/board", tags=["board"])
    def board(request: Request) -> Response:
        """The whole board as of the last tick. Send its ETag as If-None-Match: 304 when nothing changed."""
        tick = broadcast.tick
        if tick is None:
            return Json(backend.snapshot())
        headers = {"ETag": tick.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if tick.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(tick.packed, 200, headers | {"Content-Encoding": "gzip"}, "application/json")
        return Response(tick.full, 200, headers, "application/json")

    @api.get("/api/v1/board/stream", tags=["board"])
    async def stream() -> Response:
        """Server-sent events: `full` with the whole board first, then a `delta` per tick."""
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(broadcast.stream(), media_type="text/event-stream", headers=headers)


def _operations(api: APIRouter, backend: Backend, broadcast: Broadcast) -> None:
    own = CollectorRegistry()
    Gauge("lineside_board_viewers", "Open live streams", registry=own).set_function(lambda: broadcast.viewers)
    Gauge("lineside_board_ticks", "Snapshots published", registry=own).set_function(
        lambda: broadcast.tick.number if broadcast.tick else 0
    )

    @api.get("/health", tags=["operations"])
    def health() -> Response:
        """200 when every part works, 503 when one does not; `detail` says which and why."""
        state: Mapping[str, object] = backend.health()
        return Response(
            orjson.dumps(dict(state)), 200 if state.get("ok") else 503, media_type="application/json"
        )

    @api.get("/metrics", tags=["operations"])
    def metrics() -> Response:
        """Prometheus text format."""
        return Response(backend.metrics() + generate_latest(own), media_type=CONTENT_TYPE_LATEST)
