"""Opens the historian and the records that the plant file chooses.

What talks to InfluxDB is imported where a plant uses it: its client takes as long to import as `lineside check`
takes altogether.
"""

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from infra.folder import DataFolder
from infra.historians.parquet import ParquetHistorian
from infra.records.database import Database
from pipelines.ports import Historian, HistorianError
from plant.model import HistorianConfig, Plant, RecordsConfig
from plant.parsing.problems import suggestion

KINDS = ("parquet", "influxdb")


def open_historian(plant: Plant, folder: DataFolder) -> Historian:
    """The historian of a plant whose secrets are resolved. Raises HistorianError when it cannot be used."""
    if plant.historian.kind == "influxdb":
        from infra.historians.influx import InfluxHistorian, options

        try:
            return InfluxHistorian(options.settings(plant.historian))
        except ValueError as error:
            raise HistorianError(f"The historian cannot be used: {error}", configuration=True) from error
    return ParquetHistorian(folder.historian)


def open_database(plant: Plant, folder: DataFolder) -> Database:
    """The records of a plant whose secrets are resolved; nothing is connected yet. Raises RecordsError."""
    return Database(str(plant.records.url or f"sqlite:///{folder.records}"))


def check_historian(config: HistorianConfig) -> list[str]:
    """What is wrong with [historian], "problem; fix" each."""
    match config.kind:
        case "influxdb":
            from infra.historians.influx import options

            return options.check(config)
        case "parquet":
            return [f'unknown option "{key}" for parquet; it has none, remove it' for key in config.options]
    return [
        f'kind "{config.kind}" is not known; {suggestion(config.kind, KINDS, "use one of " + ", ".join(KINDS))}'
    ]


def check_records(config: RecordsConfig) -> list[str]:
    """What is wrong with [records], "problem; fix" each. The URL is not repeated: it may hold a password."""
    fix = 'write "postgresql://user@host/name", or leave [records] out for a file in the data folder'
    try:
        url = make_url(str(config.url))
    except (ArgumentError, ValueError):
        return [f'option "url" is not the address of a database; {fix}']
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        return [f'option "url" is for {url.drivername}, which is not supported; {fix}']
    return [] if url.database else [f'option "url" names no database; {fix}']
