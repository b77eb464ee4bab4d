"""Backup of a plant into one file, and its restore (docs/records.md)."""
