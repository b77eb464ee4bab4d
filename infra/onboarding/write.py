"""Writing a section into a plant file: a new one, or an included file of one that exists. All or nothing."""

import contextlib
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from collectors.durable import make_directory, write_durably
from collectors.onboarding.found import Offer
from infra.onboarding.text import Chosen, existing, head, section
from infra.plantfile import files, load
from plant.model import Plant, Role
from plant.parse import PlantErrors

FOLDER = "sources"
PATTERN = f"{FOLDER}/*.toml"


class WriteError(Exception):
    """The section cannot be written; nothing has changed. The message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What would be written: file to its whole text, in the order of writing. `section` is the part that is new."""

    plant_file: Path
    files: Mapping[Path, str]
    section: str
    machines: tuple[str, ...]
    """The equipment ids of the new machines."""
    plant: Plant
    """What the plant file says then; it was read without an error."""


def draft(path: Path, offer: Offer, machines: Sequence[Chosen]) -> Draft:
    """What to write into a plant file for these machines, tried out: it is a plant file without errors.

    Raises WriteError.
    """
    if not path.exists():
        zone, why = local_zone()
        _, names, tables = section(offer, machines, None)
        whole = head(zone, why) + tables
        tried = _tried(path, {path: whole}, [])
        return Draft(plant_file=path, files={path: whole}, section=whole, machines=names, plant=tried)
    try:
        plant, existing = load(path), files(path)
    except PlantErrors as errors:
        raise WriteError(f"{path} has errors, so nothing is added to it: {errors}") from errors
    _refuse_known(plant, offer, machines)
    source, names, tables = section(offer, machines, plant)
    stem = f"{source}-{names[0]}" if source in plant.sources else source
    added = path.parent / FOLDER / f"{stem}.toml"
    if added.exists():
        raise WriteError(f"{added} exists already and is not in use: remove it, or include it")
    text = "schema = 1\n\n" + tables
    main = path.read_text("utf-8-sig")
    changed = including(main)
    new = {added: text} | ({path: changed} if changed != main else {})
    tried = _tried(path, new, existing)
    return Draft(plant_file=path, files=new, section=text, machines=names, plant=tried)


def write(draft: Draft, now: datetime) -> list[Path]:
    """Write it, durably; a file that is replaced is kept beside itself with the time in its name. The files.

    Raises WriteError.
    """
    written = []
    try:
        for path, text in draft.files.items():
            make_directory(path.parent)
            if path.exists():
                write_durably(path.with_name(f"{path.name}.{now:%Y%m%dT%H%M%SZ}.bak"), path.read_bytes())
            write_durably(path, text.encode())
            written.append(path)
    except OSError as error:
        raise WriteError(
            f"{error.filename or draft.plant_file} cannot be written: {error.strerror}"
        ) from error
    return written


def _refuse_known(plant: Plant, offer: Offer, machines: Sequence[Chosen]) -> None:
    """A machine added twice would count its parts twice."""
    source = existing(offer, plant)
    read = {
        s.address: s for s in plant.signals.values() if source and s.source == source and s.role is Role.STATE
    }
    for chosen in machines:
        for signal in chosen.machine.signals:
            there = read.get(signal.variable.address) if signal.role is Role.STATE else None
            if there is not None:
                name = plant.equipment[there.equipment].name
                there_already = f"{name} ({there.equipment}) reads its state"
                raise WriteError(
                    f"{chosen.machine.name} is in the plant already, leave it out: {there_already}"
                )


def including(main: str) -> str:
    """The text of a main plant file that includes the sections; unchanged when it does.

    Raises WriteError when its `include` cannot be changed safely.
    """
    before = tomllib.loads(main)
    patterns = before.get("include", [])
    if PATTERN in patterns:
        return main
    if "include" in before:
        changed = re.sub(r"(?m)^(\s*include\s*=\s*\[)", rf'\g<1>"{PATTERN}", ', main, count=1)
    else:
        changed = re.sub(r"(?m)^(\s*schema\s*=.*)$", rf'\g<1>\ninclude = ["{PATTERN}"]', main, count=1)
    try:
        after = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        after = {}
    if after != {**before, "include": [PATTERN, *patterns]}:
        raise WriteError(f'Add "{PATTERN}" to the `include` of the plant file by hand, then try again')
    return changed


def _tried(path: Path, new: Mapping[Path, str], existing: Sequence[Path]) -> Plant:
    """The plant that these files would be, read from copies."""
    with tempfile.TemporaryDirectory(prefix="lineside-") as name:
        folder = Path(name)
        for file in existing:
            if not file.resolve().is_relative_to(path.parent.resolve()):
                raise WriteError(
                    f"{path} includes {file}, which is outside its folder: add the section by hand"
                )
            copy = folder / file.relative_to(path.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        for file, text in new.items():
            copy = folder / file.relative_to(path.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, "utf-8")
        try:
            return load(folder / path.name)
        except PlantErrors as errors:
            raise WriteError(f"It would not be a good plant file: {errors}") from errors


def local_zone() -> tuple[str, str]:
    """The IANA zone of this machine, and how it is known; UTC where it does not say."""
    named = os.environ.get("TZ", "").removeprefix(":")
    candidates = [(named, "this machine's TZ")]
    with contextlib.suppress(OSError):
        candidates.append((Path("/etc/timezone").read_text().strip(), "this machine's /etc/timezone"))
    link = os.path.realpath("/etc/localtime")
    candidates.append((link.partition("zoneinfo/")[2], "this machine's /etc/localtime"))
    for zone, why in candidates:
        try:
            if zone and ZoneInfo(zone).key:
                return zone, why
        except (KeyError, ValueError, OSError):
            continue
    return "UTC", "this machine does not say where it is"
