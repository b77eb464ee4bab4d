"""Modbus TCP: the device is polled, neighbouring registers in one request.

Options: `host`, `port` (502), `unit` (1); `poll` ("1s"); `timeout` ("1s"); `word_order` ("big", or "little"
when the low word of a 32 or 64 bit value comes first); `max_gap` (16 unused registers read along to save a
request); `clock` (an address with the device's time in milliseconds since 1970, like "holding:22:uint64",
used as the samples' time: a poll that finds it unchanged is no new sample).
A signal's address is `holding|input|coil|discrete:ADDRESS:TYPE`, addresses counting from 0.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from collectors.modbus.address import parse
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
    "unit": whole(0, 255),
    "poll": period,
    "timeout": period,
    "word_order": one_of("big", "little"),
    "max_gap": whole(0, 124),
    "clock": _clock,
}
DEFAULTS = {
    "port": 502,
    "unit": 1,
    "poll": "1s",
    "timeout": "1s",
    "word_order": "big",
    "max_gap": 16,
    "clock": None,
}


def check(source: Source, signals: tuple[Signal, ...]) -> list[str]:
    """What is wrong with the source's options and its signals' addresses; empty when nothing is."""
    _, problems = read_options(source, READERS, DEFAULTS)
    for signal in signals:
        problems += read_collect(signal, "modbus", {}, {})[1]
        try:
            parse(signal.address)
        except ValueError as error:
            problems.append(
                f'signal "{signal.equipment}.{signal.id}": {signal.address!r} is no Modbus address; {error}'
            )
    return problems


def create(source: Source, signals: tuple[Signal, ...], folder: Path) -> "ModbusCollector":
    """The collector of that source. Raises ValueError with what `check` found."""
    from collectors.modbus.client import ModbusCollector

    if problems := check(source, signals):
        raise ValueError("\n".join(problems))
    options, _ = read_options(source, READERS, DEFAULTS)
    return ModbusCollector(source, signals, options)
