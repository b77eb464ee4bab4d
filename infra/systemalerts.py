"""Alerts no rule of the plant file asks for: samples not stored, blind machines, processes out of control.

To the alert rules each of their subjects is one more machine, which stands while something is wrong; the plant the board
shows does not have them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from alerting.alert import OrderContext
from alerting.rules import MachineStatus
from infra.blindalert import BlindWatch, with_blind
from infra.sourcewatch import SourceWatch
from infra.spcwatch import OutOfControl, SpcWatch, with_orders, with_spc
from infra.spcwatch import statuses as spc_statuses
from infra.storing import Storing
from infra.storingalert import storing_status, with_storing
from plant.model import Plant
from plant.states import MachineState


class SystemAlerts:
    """Looks at storing, sources and control charts, once a tick. Not for several threads."""

    def __init__(self, storing: Storing, sources: SourceWatch, now: datetime) -> None:
        self._storing, self._sources, self._blind = storing, sources, BlindWatch(now)
        self._full_since: datetime | None = None
        """Since when the spool's alarm is on."""
        self.spc: SpcWatch | None = None
        """What it finds raises alerts, too."""
        self._charts: Mapping[str, OutOfControl | None] = {}
        """What it had found at the last `statuses`."""

    def statuses(
        self,
        plant: Plant,
        machines: Sequence[MachineStatus],
        heard: Mapping[str, datetime],
        full: bool,
        now: datetime,
    ) -> list[MachineStatus]:
        """What the subjects do now. `heard`: when something last came from a machine. `full`: the spool's alarm is on."""
        self._full_since = (self._full_since or now) if full else None
        known = {m.equipment for m in machines if m.state is not MachineState.UNKNOWN}
        unknown = {m.id for m in plant.machines()} - known
        processes, views = self._sources.processes, self._sources.views(plant, now)
        self._charts = self.spc.found if self.spc else {}
        return [
            *self._of_storing(now),
            *self._blind.statuses(plant, processes, views, heard, unknown, now),
            *spc_statuses(self._charts, now),
        ]

    def ruled(self, plant: Plant) -> Plant:
        """The plant as the alert rules see it, after the last `statuses`."""
        return with_spc(with_blind(with_storing(plant), self._blind.why), self._charts)

    def contexts(self, orders: Mapping[str, OrderContext]) -> Mapping[str, OrderContext]:
        """Which order each subject hurts, beside those of the machines."""
        return with_orders(orders, self._charts)

    def _of_storing(self, now: datetime) -> list[MachineStatus]:
        """Nothing until it was tried once: an alert from before the start is neither ended nor raised again."""
        if not self._storing.tried:
            return []
        trouble = self._storing.trouble
        return [storing_status(trouble.since if trouble else None, self._full_since, now)]
