"""Run by Alembic: migrates the connection it is handed, or compares the tables with it."""

from typing import Any, Literal

from alembic import context

from infra.records.database import UtcTime
from infra.records.schema import metadata


def render(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Write our own types into a revision as what they are in the database, so that it never changes."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, UtcTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    render_item=render,
)
with context.begin_transaction():
    context.run_migrations()
