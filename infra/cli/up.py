"""`lineside up`: run the plant of a plant file."""

from pathlib import Path

from rich.console import Console

from infra.folder import DataFolder, FolderError
from infra.logs import log_to_file
from infra.plantfile import load
from infra.records.database import RecordsError
from infra.serve import AddressError, check_address, serve
from pipelines.ports import HistorianError
from plant.parse import PlantErrors


def run(path: Path, data: Path, host: str, port: int) -> int:
    """Serve until it is stopped. 1 when it cannot start; one sentence says why."""
    console = Console(stderr=True, soft_wrap=True)
    try:
        plant = load(path)
        check_address(host, port)
        with DataFolder(data) as folder:
            log_to_file(folder.logs / "server.log")
            console.print(
                f"Lineside runs {plant.site.name}: http://{host}:{port}  (Ctrl-C stops it)", highlight=False
            )
            serve(plant, path, folder, host, port, {})
    except PlantErrors as errors:
        console.print(
            f"{errors}\nRun `lineside check {path}` for the details.", markup=False, highlight=False
        )
        return 1
    except (AddressError, FolderError, HistorianError, RecordsError) as error:
        console.print(str(error), markup=False, highlight=False)
        return 1
    return 0
