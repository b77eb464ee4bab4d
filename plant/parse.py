"""From the documents of a plant file to a checked `Plant`, or every error in them at once."""

import re
from collections.abc import Mapping

from plant.model import Plant
from plant.parsing.calendars import read_calendars
from plant.parsing.checks import (
    CheckChannel,
    CheckHistorian,
    CheckRecords,
    CheckSource,
    check_channels,
    check_sources,
    check_store,
)
from plant.parsing.equipment import (
    check_constraints,
    check_costs,
    check_equipment,
    check_materials,
    inherit,
    read_equipment,
    read_settings,
    read_site,
)
from plant.parsing.keys import LISTS, STORES
from plant.parsing.materials import check_reasons, read_materials, read_reasons
from plant.parsing.people import read_alerts, read_channels, read_escalations, read_users
from plant.parsing.problems import PlantError, PlantErrors
from plant.parsing.reader import Table
from plant.parsing.registry import Registry
from plant.parsing.signals import (
    check_signals,
    read_signals,
    read_sources,
    resolve_decides,
    resolve_min_cycles,
)
from plant.parsing.stores import read_historian, read_records, read_spool
from plant.parsing.telling import check_telling, deciding
from plant.parsing.telling import machines as told

__all__ = ["SCHEMA", "PlantError", "PlantErrors", "parse"]

SCHEMA = 1
"""The version of the plant file this program reads."""

_MAIN_ONLY = ("include", "site", "settings", *STORES)


def parse(
    documents: Mapping[str, Mapping[str, object]],
    check_source: CheckSource | None = None,
    check_channel: CheckChannel | None = None,
    check_historian: CheckHistorian | None = None,
    check_records: CheckRecords | None = None,
) -> Plant:
    """Check the documents and build the plant.

    `documents` maps file names to parsed TOML; the first is the main file, the others are what it
    includes. Inherited values (calendar, stale_after, micro_stop) and the default min_cycle are
    resolved in the result. What the options of sources, channels and stores mean is known to them alone:
    the `check_...` functions ask them (`infra.plantfile` does), so that their errors come with all the
    others; without them only the shape is checked.

    Raises PlantErrors with everything that is wrong, sorted by file and path.
    """
    errors: list[PlantError] = []
    roots = [Table(errors, file, "", "", data) for file, data in documents.items()]
    main = roots[0]
    _check_heads(roots)

    def tables(kind: str) -> list[Table]:
        return [table for root in roots for table in root.tables(kind)]

    registry = Registry()
    site = read_site(main.table("site", required=True))
    settings = read_settings(main.table("settings"))
    kept, recorded = main.table("historian"), main.table("records")
    historian, records = read_historian(kept), read_records(recorded)
    spool = read_spool(main.table("spool"))
    equipment = read_equipment(tables("equipment"), registry)
    calendars = read_calendars(tables("calendar"), registry, equipment)
    check_equipment(equipment, registry)
    reasons = read_reasons(tables("reason"), registry)
    check_reasons(reasons, registry)
    sources = read_sources(tables("source"), registry)
    signals = read_signals(tables("signal"), registry)
    machines = told(equipment, signals.values())
    materials = read_materials(tables("material"), registry, machines, site.zone)
    check_signals(signals, machines, registry)
    check_telling(equipment, signals, registry)
    check_materials(equipment, machines, registry)
    check_costs(equipment, machines, registry)
    check_constraints(equipment, machines, registry)
    users = read_users(tables("user"), registry)
    channels = read_channels(tables("channel"), registry)
    escalations = read_escalations(tables("escalation"), registry, users, channels)
    alerts = read_alerts(tables("alert"), registry)
    if check_source:
        check_sources(check_source, sources, signals, registry)
    if check_channel:
        check_channels(check_channel, channels, registry)
    if check_historian and historian.kind:
        check_store(kept, check_historian(historian))
    if check_records and recorded and recorded.ok and records.url is not None:
        check_store(recorded, check_records(records))
    if errors:
        files = list(documents)
        raise PlantErrors(sorted(set(errors), key=lambda e: (files.index(e.file), _natural(e.path))))
    return Plant(
        site=site,
        settings=settings,
        equipment=inherit(equipment, settings),
        sources=sources,
        signals=resolve_min_cycles(resolve_decides(signals, deciding(equipment)), materials),
        materials=materials,
        calendars=calendars,
        reasons=reasons,
        users=users,
        channels=channels,
        escalations=escalations,
        alert_rules=alerts,
        historian=historian,
        records=records,
        spool=spool,
    )


def _check_heads(roots: list[Table]) -> None:
    """`schema` of every file, and that only the main file says what the site is and what to include."""
    main, *included = roots
    main.strings("include")
    for root in roots:
        version = root.integer("schema")
        if version is None and root is main and "schema" not in root.data:
            root.error("schema", '"schema" is missing', f"Begin the file with schema = {SCHEMA}")
        elif version is not None and version != SCHEMA:
            root.error("schema", f"schema {version} is not known", f"This program reads schema = {SCHEMA}")
    for root in included:
        for key in _MAIN_ONLY:
            if key in root.data:
                root.error(
                    key, f"{key} belongs in {main.file}", f"Included files hold [[{']], [['.join(LISTS)}]]"
                )


def _natural(path: str) -> list[tuple[int, str]]:
    """Sort key that puts signal[2] before signal[10]."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]
