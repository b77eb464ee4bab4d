"""The text of a plant file's section for the machines of one source, with the reasons as comments. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from collectors.onboarding.found import Offer
from collectors.onboarding.propose import MachineProposal, SignalProposal, slug, unique
from plant.model import Plant, Role
from plant.parsing.values import duration

STALE_AFTER = "15s"
_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A machine as it was confirmed."""

    machine: MachineProposal
    cycle: timedelta | None
    """The ideal cycle; None: it will have no performance."""


def head(zone: str, zone_why: str) -> str:
    """The beginning of a new plant file."""
    return "\n".join(
        [
            "schema = 1",
            "",
            "# What the plant is called, and the zone of its wall times: change it as you like.",
            "[site]",
            'id = "plant"',
            'name = "Plant"',
            *_comment(f"The zone: {zone_why}."),
            f"zone = {_text(zone)}",
            "",
            "# There is no calendar yet: every machine counts as scheduled around the clock (docs/plant-file.md).",
            "",
            "",
        ]
    )


def section(
    offer: Offer, machines: Sequence[Chosen], plant: Plant | None
) -> tuple[str, tuple[str, ...], str]:
    """The id of the source, those of its machines, and the tables of both. A source the plant has already is used as it
    is; of other things ids the plant has are not used."""
    known = existing(offer, plant)
    source = known or unique(slug(offer.name)[:40] or "source", set(plant.sources) if plant else set())
    taken = set(plant.equipment) if plant else set()
    materials = set(plant.materials) if plant else set()
    lines = _comment(f"{offer.product} at {offer.url}")
    if known is None:
        lines += _source(source, offer)
    names = []
    for chosen in machines:
        name = unique(chosen.machine.id, taken)
        taken.add(name)
        names.append(name)
        material = None
        if chosen.cycle is not None:
            material = unique(f"{name}-part", materials)
            materials.add(material)
        lines += _machine(name, chosen, material, offer)
        for signal in chosen.machine.signals:
            if signal.role is not None:
                lines += _signal(name, source, signal)
    return source, tuple(names), "\n".join(lines) + "\n"


def existing(offer: Offer, plant: Plant | None) -> str | None:
    """The id of the plant's source that is this one; None: it has none."""
    for source in plant.sources.values() if plant else ():
        same = all(
            source.options.get(key) == offer.options.get(key) for key in ("url", "host", "port", "unit")
        )
        if same and source.protocol == offer.protocol:
            return source.id
    return None


def _source(source: str, offer: Offer) -> list[str]:
    return [
        "[[source]]",
        f"id = {_text(source)}",
        f"protocol = {_text(offer.protocol)}",
        *(f"{key} = {_value(value)}" for key, value in offer.options.items()),
    ]


def _machine(name: str, chosen: Chosen, material: str | None, offer: Offer) -> list[str]:
    machine = chosen.machine
    lines = ["", *_comment(f"{machine.name}: {machine.why}."), "[[equipment]]", f"id = {_text(name)}"]
    lines += [f"name = {_text(machine.name)}", 'level = "WorkUnit"']
    if offer.repeats:
        lines += [
            *_comment(
                "What it says holds this long; then it is unknown: the source repeats itself more often."
            ),
            f"stale_after = {_text(STALE_AFTER)}",
        ]
    if material is None or chosen.cycle is None:
        lines += [
            *_comment(
                "It has no ideal cycle, so no performance: add a [[material]] and `material = ...` here."
            )
        ]
        return lines
    lines += [
        *_comment("What it makes when no order says it."),
        f"material = {_text(material)}",
        "",
        *_comment(f"The ideal cycle you gave, {in_words(chosen.cycle)} a part."),
        "[[material]]",
        f"id = {_text(material)}",
        f"name = {_text(f'Part of {machine.name}')}",
        f"ideal_cycle = [{{ equipment = {_text(name)}, cycle = {_text(in_words(chosen.cycle))} }}]",
    ]
    return lines


def _signal(machine: str, source: str, signal: SignalProposal) -> list[str]:
    variable = signal.variable
    lines = ["", *_comment(f"{variable.place}: {'; '.join(signal.reasons)}.")]
    lines += [
        "[[signal]]",
        f"equipment = {_text(machine)}",
        f"id = {_text(signal.id)}",
        f"role = {_text(str(signal.role))}",
        f"source = {_text(source)}",
        f"address = {_text(variable.address)}",
    ]
    if variable.collect:
        lines.append(f"collect = {_value(variable.collect)}")
    if variable.unit and signal.role in (Role.PROCESS_VALUE, Role.CYCLE):
        lines.append(f"unit = {_text(variable.unit)}")
    if signal.modulus is not None:
        lines += [f"modulus = {signal.modulus}  # {variable.data_type}"]
    if signal.role is Role.STATE:
        lines += ["# A value that is not listed is unknown time.", "[signal.states]"]
        for raw, meaning in sorted(signal.states.items(), key=lambda item: _by_number(item[0])):
            asks = "" if meaning.sure else ": please check"
            lines.append(f"{_text(raw)} = {_text(str(meaning.state))}  # {_plain(meaning.why)}{asks}")
    return lines


def cycle_of(text: str) -> timedelta:
    """An ideal cycle as people say it: "2.4s", "500 ms", "2.4" (seconds), "30/min", "1200/h". Raises ValueError."""
    given = text.strip().replace(",", ".")
    rate, slash, per = given.partition("/")
    try:
        if slash:
            unit = {"s": 1, "min": 60, "m": 60, "h": 3600}[per.strip()]
            found = timedelta(seconds=unit / float(rate))
        else:
            found = (
                timedelta(seconds=float(given)) if given.replace(".", "", 1).isdigit() else duration(given)
            )
    except (KeyError, ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f'"{text}" is no ideal cycle: write "2.4s", or "30/min"') from None
    if not timedelta(milliseconds=1) <= found <= timedelta(days=1):
        raise ValueError(f'"{text}" is no ideal cycle: it is not between 1 ms and a day')
    return found


def in_words(cycle: timedelta) -> str:
    """A cycle as the plant file has it."""
    return f"{cycle.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def _by_number(raw: str) -> tuple[int, float, str]:
    try:
        return 0, float(raw), raw
    except ValueError:
        return 1, 0.0, raw


def _text(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v) for v in value)}]"
    return _text(str(value))


def _key(key: object) -> str:
    return str(key) if str(key).replace("_", "").isalnum() and str(key).isascii() else _text(str(key))


def _comment(text: str) -> list[str]:
    """A comment in lines that can be read; what a server says cannot leave it."""
    lines, line = [], "#"
    for word in _plain(text).split():
        if len(line) + 1 + len(word) > _WIDTH and line != "#":
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line]


def _plain(text: str) -> str:
    """Without line ends and control characters, which TOML allows in no comment."""
    return "".join(c if c.isprintable() else " " for c in text)
