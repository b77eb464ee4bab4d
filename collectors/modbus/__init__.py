"""Modbus over TCP: devices are polled, neighbouring registers in one request.

Options: `host`, `port` (502), `framing` ("tcp", or "rtu" for RTU frames over TCP); `unit` (1); `poll` ("1s");
`timeout` ("1s", and never longer than the poll); `byte_order` ("ABCD", "CDAB", "BADC", "DCBA"; `word_order` "little"
is the same as "CDAB"); `max_gap` (16 unused registers read along to save a request); `max_block` (125 registers in a
request); `clock` (an address with the device's time in milliseconds since 1970, like "holding:22:uint64",
used as the samples' time: a poll that finds it unchanged is no new sample).
A signal's address is `holding|input|coil|discrete:ADDRESS:TYPE`, addresses counting from 0; its `collect` may give
`unit`, `byte_order` and `poll` of its own.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from collectors.modbus.address import BYTE_ORDERS, MOST_REGISTERS, is_bits, parse
from collectors.options import read_collect, read_options
from plant.model import Signal, Source
from plant.parsing.options import one_of, period, text, whole

if TYPE_CHECKING:
    from collectors.modbus.client import ModbusCollector

__all__ = ["check", "create"]


def _clock(value: object) -> str:
    given = text(value)
    if parse(given).kind not in ("uint64", "int64"):
        raise ValueError('the clock is a 64 bit number of milliseconds since 1970, like "holding:22:uint64"')
    return given


READERS = {
    "host": text,
    "port": whole(1, 65535),
    "framing": one_of("tcp", "rtu"),
    "unit": whole(0, 255),
    "poll": period,
    "timeout": period,
    "byte_order": one_of(*BYTE_ORDERS),
    "word_order": one_of("big", "little"),
    "max_gap": whole(0, MOST_REGISTERS - 1),
    "max_block": whole(1, MOST_REGISTERS),
    "clock": _clock,
}
DEFAULTS = {
    "port": 502,
    "framing": "tcp",
    "unit": 1,
    "poll": "1s",
    "timeout": "1s",
    "byte_order": None,
    "word_order": None,
    "max_gap": 16,
    "max_block": MOST_REGISTERS,
    "clock": None,
}
COLLECT = {"unit": whole(0, 255), "byte_order": one_of(*BYTE_ORDERS), "poll": period}
NO_COLLECT = dict.fromkeys(COLLECT)
"""None: as the source has it."""


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    options, problems = read_options(source, READERS, DEFAULTS)
    if options.get("byte_order") and options.get("word_order"):
        problems.append(
            f'source "{source.id}": "byte_order" and "word_order" say the same; '
            f'leave out "word_order" ("little" is byte_order "CDAB")'
        )
    longest = options.get("max_block", MOST_REGISTERS)
    if options.get("clock") and parse(options["clock"]).length > longest:
        problems.append(
            f'source "{source.id}": the clock has 4 registers, and "max_block" lets a request have {longest}; '
            "a value is never split, so make it at least 4"
        )
    for signal in signals:
        name = f'signal "{signal.equipment}.{signal.id}"'
        problems += read_collect(signal, "modbus", COLLECT, NO_COLLECT)[1]
        try:
            address = parse(signal.address)
        except ValueError as error:
            problems.append(f"{name}: {signal.address!r} is no Modbus address; {error}")
            continue
        if not is_bits(address.area) and address.length > longest:
            problems.append(
                f'{name}: it has {address.length} registers, and "max_block" of source "{source.id}" lets a request '
                f"have {longest}; a value is never split, so make it at least {address.length}"
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "ModbusCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.modbus.client import ModbusCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    collect = [read_collect(signal, "modbus", COLLECT, NO_COLLECT)[0] for signal in signals]
    return ModbusCollector(signals, options, collect, folder / "sources" / source.id)
