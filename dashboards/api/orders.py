"""Orders: open ones, start and finish, import."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from dashboards import params
from dashboards.api.answers import Json
from dashboards.api.asked import ByUser
from dashboards.ports import Backend


def routes(api: APIRouter, backend: Backend) -> None:
    @api.get("/api/v1/orders", tags=["orders"])
    def orders() -> Response:
        """Every open order and its forecast."""
        return Json(backend.orders())

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
