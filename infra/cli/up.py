"""`lineside up`: run the plant of a plant file, or a part of it."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from rich.console import Console

from infra.folder import DataFolder, FolderError
from infra.logs import log_to_file
from infra.plantfile import load
from infra.records.database import RecordsError
from infra.serve import AddressError, alert, check_address, collect, derive, serve, serve_pages
from pipelines.ports import HistorianError
from plant.model import Plant
from plant.parse import PlantErrors


class Part(StrEnum):
    """What a plant's work is divided into."""

    COLLECT = "collect"
    DERIVE = "derive"
    SERVE = "serve"
    ALERT = "alert"


def run(path: Path, data: Path, host: str, port: int, part: Part | None) -> int:
    """Run until it is stopped. 1 when it cannot start; one sentence says why."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    folder = DataFolder(data)
    try:
        plant = load(path)
        if part in (None, Part.SERVE):
            check_address(host, port)
        _start(part, plant, path, folder, host, port, console.print)
    except PlantErrors as errors:
        console.print(f"{errors}\nRun `lineside check {path}` for the details.")
        return 1
    except (AddressError, FolderError, HistorianError, RecordsError) as error:
        console.print(str(error))
        return 1
    return 0


def _start(
    part: Part | None,
    plant: Plant,
    path: Path,
    folder: DataFolder,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    name, url = plant.site.name, f"http://{host}:{port}"

    def waits(leader: str) -> None:
        say(f"{leader} runs {name} on these records; this one stands by and takes over when it is gone.")

    match part:
        case Part.COLLECT:
            log_to_file(folder.beside().logs / "collecting.log")
            say(f"Lineside collects for {name} into {folder.spool}")
            collect(plant, path, folder)
        case Part.DERIVE:
            with folder:
                log_to_file(folder.logs / "derive.log")
                say(f"Lineside derives the figures of {name}")
                derive(plant, path, folder, url, waits)
        case Part.SERVE:
            log_to_file(folder.beside().logs / "serve.log")
            say(f"Lineside serves {name}: {url}")
            serve_pages(folder, host, port, lambda: say("Waiting for the part that derives: is it running?"))
        case Part.ALERT:
            log_to_file(folder.beside().logs / "alert.log")
            say(f"Lineside sends the messages of {name}")
            alert(plant, path, folder, waits)
        case None:
            with folder:
                log_to_file(folder.logs / "server.log")
                say(f"Lineside runs {name}: {url}  (Ctrl-C stops it)")
                serve(plant, path, folder, host, port, {}, waits=waits)
