"""Alembic migrations of the records database, run by `infra.records.database.upgrade`."""
