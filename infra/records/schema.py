"""Every records table, by importing the modules that define them: what migrations are compared with."""

from infra.records import admin_tables, alert_tables, order_tables, pipeline_tables, spc_tables
from infra.records.base import metadata

__all__ = ["admin_tables", "alert_tables", "metadata", "order_tables", "pipeline_tables", "spc_tables"]
