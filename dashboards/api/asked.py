"""What requests have in common: a window, equipment, a page, and who asks."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from plant.model import Convention

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
