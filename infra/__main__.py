"""`python -m infra` is the `lineside` command."""

from infra.cli import main

main()
