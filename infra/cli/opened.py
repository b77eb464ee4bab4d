"""The plant and the stores a maintenance command works on."""

from pathlib import Path
from zoneinfo import ZoneInfo

from infra.folder import DataFolder
from infra.plantfile import load, with_secrets
from infra.records.database import Database, RecordsError
from infra.stores import open_database
from plant.model import Plant, Site

NO_PLANT = Plant(site=Site(id="", name="", zone=ZoneInfo("UTC")))
"""Without a plant file everything is in the data folder."""


def plant_of(path: Path | None) -> Plant:
    """The plant of that file, its secrets resolved. Raises PlantErrors."""
    return NO_PLANT if path is None else with_secrets(load(path))


def existing_database(plant: Plant, folder: DataFolder) -> Database:
    """The records of a plant, unless that is a file which does not exist. Raises RecordsError."""
    if plant.records.url is None and not folder.records.exists():
        raise RecordsError(
            f"there are no records in {folder.root} yet: give the data folder with --data, or the plant file if its "
            "[records] are elsewhere; `lineside up` and `lineside db upgrade` make them"
        )
    return open_database(plant, folder)
