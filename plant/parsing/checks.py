"""Errors that only a protocol, a channel or a store can find, put at their place in the plant file."""

import re
from collections.abc import Callable, Mapping

from plant.model import ChannelConfig, HistorianConfig, RecordsConfig, Signal, Source
from plant.parsing.reader import Table
from plant.parsing.registry import Registry

CheckSource = Callable[[Source, tuple[Signal, ...]], list[str]]
"""What is wrong with a source's options and its signals' addresses: "problem; fix" each."""
CheckChannel = Callable[[ChannelConfig], list[str]]
"""What is wrong with a channel's options: "problem; fix" each."""
CheckHistorian = Callable[[HistorianConfig], list[str]]
"""What is wrong with the historian's options: "problem; fix" each."""
CheckRecords = Callable[[RecordsConfig], list[str]]
"""What is wrong with the address of the records: "problem; fix" each."""

_SIGNAL = re.compile(r'signal "([^"]+)"')
_OPTION = re.compile(r'option "([^"]+)"')
_WORD = re.compile(r'^(protocol|kind) "')


def check_sources(
    check: CheckSource,
    sources: Mapping[str, Source],
    signals: Mapping[tuple[str, str], Signal],
    registry: Registry,
) -> None:
    """Ask the protocol of each source about it and the signals read from it."""
    for source in sources.values():
        table = registry.place("source", source.id)
        own = {f"{s.equipment}.{s.id}": s for s in signals.values() if s.source == source.id}
        # A signal without an address has been reported; the protocol need not repeat it.
        addressed = tuple(s for s in own.values() if s.address)
        for message in check(source, addressed):
            named = _SIGNAL.search(message)
            if named and (signal := own.get(named[1])):
                place = registry.place("signal", f"{signal.equipment}/{signal.id}")
                _note(place, ("address",), message, "Correct the address")
            else:
                _note(table, _option(table, message), message, "Correct the options of this source")


def check_channels(check: CheckChannel, channels: Mapping[str, ChannelConfig], registry: Registry) -> None:
    """Ask the kind of each channel about its options."""
    for channel in channels.values():
        table = registry.place("channel", channel.id)
        for message in check(channel):
            _note(table, _option(table, message), message, "Correct the options of this channel")


def check_store(table: Table | None, messages: list[str]) -> None:
    """Put what a store says about its table where it belongs."""
    if table is not None:
        for message in messages:
            _note(table, _option(table, message), message, f"Correct [{table.path}]")


def _option(table: Table, message: str) -> tuple[str, ...]:
    """The key the message is about, if it names one that is written in the table."""
    named = _OPTION.search(message) or _WORD.search(message)
    return (named[1],) if named and named[1] in table.data else ()


def _note(table: Table, key: tuple[str, ...], message: str, otherwise: str) -> None:
    problem, _, fix = message.strip().removesuffix(".").partition("; ")
    table.error(key, problem, fix[:1].upper() + fix[1:] if fix else otherwise)
