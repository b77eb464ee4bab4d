"""Every records table, by importing the modules that define them: what migrations are compared with."""

from infra.records.base import metadata

__all__ = ["metadata"]
