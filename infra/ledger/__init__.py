"""Closed time: what a shift close stores, what changes it later, and how it is read."""
