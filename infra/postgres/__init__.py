"""A PostgreSQL of one's own: for the tests, and for trying Lineside on one."""
