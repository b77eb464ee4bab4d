"""The plant file on disk: reading it with its includes, checking it, and reloading it while running."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import alerting.channels
import collectors
from infra import stores
from plant.model import ChannelConfig, HistorianConfig, Plant, RecordsConfig, Signal, Source
from plant.parse import PlantError, PlantErrors, parse
from plant.parsing.problems import suggestion

_STAND_IN = "a-secret-that-is-not-set-here"
_STAND_IN_URL = "http://secret"


def load(path: Path) -> Plant:
    """Read and check a plant file and what it includes.

    `include` patterns are relative to the file's folder and taken in sorted order. Raises PlantErrors
    with everything wrong in all files: TOML syntax (with its line), what `plant.parse` finds, and what
    the protocols and channels say about their options and addresses.
    """
    errors: list[PlantError] = []
    documents = _documents(path, errors)
    if errors:
        raise PlantErrors(errors + _others(documents, errors))
    return _parsed(documents)


def files(path: Path) -> list[Path]:
    """A plant file and what it includes. Raises PlantErrors."""
    errors: list[PlantError] = []
    documents = _documents(path, errors)
    if errors:
        raise PlantErrors(errors)
    return [path.parent / name for name in documents]


class PlantFile:
    """A plant file in use: a reload that finds errors keeps the plant there was.

    Raises PlantErrors when there is no good plant to begin with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plant = load(path)

    def reload(self) -> Plant | PlantErrors:
        """Read the file again. The new plant, which is then `self.plant`; or what is wrong with it."""
        try:
            self.plant = load(self.path)
        except PlantErrors as errors:
            return errors
        return self.plant


class PlantWatch:
    """Notices that a plant file, or one it includes, has been written."""

    def __init__(self, path: Path) -> None:
        self._file = PlantFile(path)
        self._seen = self._written()

    def look(self) -> Plant | PlantErrors | None:
        """The plant of a file that has changed, or what is wrong with it; None: nothing has changed."""
        written = self._written()
        if written == self._seen:
            return None
        self._seen = written
        return self._file.reload()

    def _written(self) -> frozenset[tuple[Path, int]]:
        found = set()
        for path in sorted(self._file.path.parent.rglob("*.toml")):
            try:
                found.add((path, path.stat().st_mtime_ns))
            except FileNotFoundError:
                continue
        return frozenset(found)


def check_source(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What the protocol of a source says about it: "problem; fix" each."""
    known = collectors.discover()
    if source.protocol not in known:
        return [_unknown("protocol", source.protocol, known)]
    found: list[str] = known[source.protocol].check(
        replace(source, options=_with_stand_ins(source.options)), signals
    )
    return found


def check_channel(channel: ChannelConfig) -> list[str]:
    """What the kind of a channel says about it: "problem; fix" each."""
    known = alerting.channels.discover()
    if channel.kind not in known:
        return [_unknown("kind", channel.kind, known)]
    return list(known[channel.kind].check(replace(channel, options=_with_stand_ins(channel.options))))


def check_historian(config: HistorianConfig) -> list[str]:
    """What the kind of historian says about its options: "problem; fix" each."""
    standing = _with_stand_ins(config.options)
    if standing.get("url") == _STAND_IN:
        standing["url"] = _STAND_IN_URL
    return stores.check_historian(replace(config, options=standing))


def check_records(config: RecordsConfig) -> list[str]:
    """What is wrong with the address of the records; one that is a secret not set here is not looked at."""
    url = config.url
    if name := _secrets({"url": url}).get("url"):
        url = os.environ.get(name)
    return stores.check_records(replace(config, url=url)) if isinstance(url, str) else []


def with_options(plant: Plant, options: Mapping[str, Mapping[str, object]]) -> Plant:
    """The plant with options of sources or channels replaced, by their id: {"line-plc": {"url": ...}}.

    Raises KeyError for an id that is neither.
    """
    for name in options:
        if name not in plant.sources and name not in plant.channels:
            raise KeyError(f"the plant has no source or channel {name!r}")
    return replace(
        plant,
        sources={
            s.id: replace(s, options={**s.options, **options.get(s.id, {})}) for s in plant.sources.values()
        },
        channels={
            c.id: replace(c, options={**c.options, **options.get(c.id, {})}) for c in plant.channels.values()
        },
    )


def with_secrets(plant: Plant, environment: Mapping[str, str] | None = None) -> Plant:
    """The plant with every option {env = "NAME"} replaced by that variable; done once, at start.

    Raises PlantErrors naming every variable that is not set, or empty.
    """
    given = os.environ if environment is None else environment
    missing: list[PlantError] = []

    def resolved(place: str, options: Mapping[str, object]) -> dict[str, object]:
        found = dict(options)
        for key, name in _secrets(options).items():
            if given.get(name):
                found[key] = given[name]
            else:
                fix = f"Set {name} before starting Lineside"
                problem = f"the variable {name} is {'empty' if name in given else 'not set'}"
                missing.append(PlantError("environment", f"{place}: {key}", problem, fix))
        return found

    known = replace(
        plant,
        sources={
            s.id: replace(s, options=resolved(f'source "{s.id}"', s.options)) for s in plant.sources.values()
        },
        channels={
            c.id: replace(c, options=resolved(f'channel "{c.id}"', c.options))
            for c in plant.channels.values()
        },
        historian=replace(plant.historian, options=resolved("historian", plant.historian.options)),
        records=RecordsConfig(url=resolved("records", {"url": plant.records.url})["url"]),
    )
    if missing:
        raise PlantErrors(missing)
    return known


def _parsed(documents: Mapping[str, Mapping[str, object]]) -> Plant:
    return parse(documents, check_source, check_channel, check_historian, check_records)


def _documents(path: Path, errors: list[PlantError]) -> dict[str, Mapping[str, object]]:
    """Everything that is read, by name relative to the file's folder."""
    documents = {path.name: _read(path, path.name, errors)}
    patterns = documents[path.name].get("include", [])
    if isinstance(patterns, list):
        for index, pattern in enumerate(patterns):
            if isinstance(pattern, str):
                _include(path, f"include[{index}]", pattern, documents, errors)
    return documents


def _include(
    main: Path,
    place: str,
    pattern: str,
    documents: dict[str, Mapping[str, object]],
    errors: list[PlantError],
) -> None:
    try:
        found = sorted(p for p in main.parent.glob(pattern) if p.is_file())
    except (ValueError, NotImplementedError) as error:
        errors.append(
            PlantError(main.name, place, f'"{pattern}" is not a pattern ({error})', 'Write "lines/*.toml"')
        )
        return
    if not found:
        fix = f"Patterns are relative to {main.parent}: correct it, or remove it"
        errors.append(PlantError(main.name, place, f'nothing matches "{pattern}"', fix))
    for path in found:
        name = path.relative_to(main.parent).as_posix() if path.is_relative_to(main.parent) else str(path)
        if path != main and name not in documents:
            documents[name] = _read(path, name, errors)


def _read(path: Path, name: str, errors: list[PlantError]) -> Mapping[str, object]:
    """One document; empty, with an error noted, when it cannot be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        errors.append(PlantError(name, "", f"there is no file {path}", "Correct the path"))
    except OSError as error:
        errors.append(PlantError(name, "", f"cannot be read ({error.strerror})", "Check its permissions"))
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
        errors.append(PlantError(name, "", problem, "Save it as UTF-8"))
    except tomllib.TOMLDecodeError as error:
        errors.append(PlantError(name, "", f"is not TOML: {error}", "Correct the syntax there"))
    except RecursionError:
        errors.append(PlantError(name, "", "is nested too deeply", "Remove the nesting"))
    return {}


def _others(documents: Mapping[str, Mapping[str, object]], broken: list[PlantError]) -> list[PlantError]:
    """What else is wrong. Nothing is said when a file could not be read: all that refers to it would be."""
    if any(not documents.get(e.file) for e in broken):
        return []
    try:
        _parsed(documents)
    except PlantErrors as errors:
        return errors.errors
    return []


def _secrets(options: Mapping[str, object]) -> dict[str, str]:
    return {k: str(v["env"]) for k, v in options.items() if isinstance(v, Mapping) and set(v) == {"env"}}


def _with_stand_ins(options: Mapping[str, object]) -> dict[str, object]:
    """Options as the checks see them: a secret may be unset where the file is only checked."""
    secrets = _secrets(options)
    return {k: os.environ.get(secrets[k], _STAND_IN) if k in secrets else v for k, v in options.items()}


def _unknown(what: str, name: str, known: Mapping[str, object]) -> str:
    return f'{what} "{name}" is not known; {suggestion(name, known, "use one of " + ", ".join(known))}'
