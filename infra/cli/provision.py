"""`lineside provision`: creates what the plant's stores need on their servers, and says what it did."""

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from infra.folder import DataFolder
from infra.plantfile import load, with_secrets
from infra.records.database import RecordsError, upgrade
from infra.records.provisioning import provision as create
from infra.stores import open_database
from pipelines.ports import HistorianError
from plant.model import Plant
from plant.parse import PlantErrors

USER = "LINESIDE_INFLUX_ADMIN_USER"
PASSWORD = "LINESIDE_INFLUX_ADMIN_PASSWORD"
TOKEN = "LINESIDE_INFLUX_ADMIN_TOKEN"
POSTGRES = "LINESIDE_POSTGRES_ADMIN_URL"
OWN_TOKEN = "LINESIDE_INFLUX_TOKEN"


def run(path: Path, data: Path, admin_user: str) -> int:
    """Provision historian and records. 0: all is there; 1 with what to do when it is not."""
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    try:
        plant, variable = _plant(path, os.environ)
        _historian(plant, variable, admin_user, DataFolder(data), console)
        _records(plant, DataFolder(data), console)
    except (PlantErrors, HistorianError, RecordsError) as error:
        console.stderr = True
        console.print(str(error))
        return 1
    return 0


def _plant(path: Path, environment: Mapping[str, str]) -> tuple[Plant, str]:
    """The plant with the secrets of its stores, and the variable its token comes from.

    That one need not be set: it is what provisioning makes.
    """
    plant = replace(load(path), sources={}, channels={})
    options = dict(plant.historian.options)
    secret = options.get("token")
    variable = str(secret["env"]) if isinstance(secret, Mapping) else ""
    if variable and not environment.get(variable):
        del options["token"]
    return with_secrets(replace(plant, historian=replace(plant.historian, options=options))), variable


def _historian(plant: Plant, variable: str, admin_user: str, folder: DataFolder, console: Console) -> None:
    if plant.historian.kind == "parquet":
        console.print(f"Historian: files in {folder.historian}, made by `lineside up`")
        return
    from infra.historians.influx import options
    from infra.historians.influx.provisioning import Admin, ProvisionError, provision

    settings = options.settings(plant.historian)
    admin = Admin(user=admin_user, password=os.environ.get(PASSWORD, ""), token=os.environ.get(TOKEN, ""))
    try:
        done = provision(settings, plant.historian.keep, admin)
    except ProvisionError as error:
        raise HistorianError(str(error), configuration=True) from error
    console.print(f"Historian: {done.server} at {settings.url}")
    for step in done.steps:
        console.print(f"  {step.state:<8} {step.what}")
    for note in done.notes:
        console.print(f"  {note}")
    if done.operator:
        console.print(
            "The server's operator token may do everything on it. Keep it safe; it is not shown again:"
        )
        console.print(f"  {TOKEN}={done.operator}")
    if done.token:
        console.print("Lineside's token. Set it where Lineside is started; it is not shown again:")
        console.print(f"  {variable or OWN_TOKEN}={done.token}")
        if not variable:
            console.print(f'and write into [historian]: token = {{ env = "{OWN_TOKEN}" }}')


def _records(plant: Plant, folder: DataFolder, console: Console) -> None:
    if plant.records.url is None:
        console.print(f"Records: {folder.records}, made by `lineside up`")
        return
    with closing(open_database(plant, folder)) as database:
        console.print(f"Records: {database.name}")
        if admin_url := os.environ.get(POSTGRES):
            for state, what in create(str(plant.records.url), admin_url):
                console.print(f"  {state:<8} {what}")
        before, now = upgrade(database)
    if before == now:
        console.print(f"  there    schema {now}")
    elif before is None:
        console.print(f"  created  schema {now}")
    else:
        console.print(f"  changed  schema {now}, before {before}")
