"""The OPC UA collector of one source: connection after connection, with what outlives them."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from collectors.connection import keep_connected
from collectors.held import Held
from collectors.opcua.connect import Link
from collectors.opcua.context import Context
from collectors.opcua.session import collect
from collectors.opcua.shown import Shown
from collectors.opcua.state import Store
from collectors.opcua.wanted import Wanted
from collectors.ports import Emit, SourceStatus
from plant.model import Signal, Source

RETRY_ITEMS = 15.0
"""Seconds until signals the server refused are asked for again, at first."""


class OpcUaCollector:
    """Collects one server. `wants`: what is asked for each signal, by "equipment.signal"."""

    def __init__(
        self,
        source: Source,
        signals: tuple[Signal, ...],
        wants: Mapping[str, Wanted],
        options: Mapping[str, Any],
        folder: Path,
        retry_items: float = RETRY_ITEMS,
    ) -> None:
        self.status = SourceStatus()
        self._source, self._signals, self._wants = source, signals, wants
        self._options, self._folder, self._retry_items = options, folder, retry_items

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled; then the subscriptions stay on the server for their lifetime, for whoever starts
        next."""
        store = Store(self._folder / "sources" / self._source.id)
        held = Held(self._signals, timedelta(seconds=self._options["heartbeat"]))
        context = Context(
            signals=dict(zip(self._wants, self._signals, strict=True)),
            wants=self._wants,
            options=self._options,
            link=Link(self._source.id, self._options, self._folder),
            store=store,
            state=store.load(),
            held=held,
            status=self.status,
            shown=Shown(self.status),
            emit=emit,
        )
        try:
            await keep_connected(self.status, lambda: collect(context, self._retry_items), held.lost, emit)
        finally:
            await context.link.leave()
            store.close()
