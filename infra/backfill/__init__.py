"""Months of many machines from the historian into the stored ledger (docs/backfill.md, docs/adr/0017)."""
