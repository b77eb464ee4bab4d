"""Run by Alembic: migrates the connection that `upgrade` hands over."""

from alembic import context

from infra.records.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
