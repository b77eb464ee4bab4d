"""What every route answers with: JSON, refusals too."""

from typing import Any, cast

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from dashboards.ports import Changed, Refused, Unavailable


class Json(Response):
    """JSON by orjson: datetimes as ISO 8601."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


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
