"""Ids declared in the plant file, and the references to them."""

from collections.abc import Iterable, Mapping

from plant.parsing.problems import suggestion
from plant.parsing.reader import Table, shown

NOUNS = {
    "equipment": "equipment",
    "source": "source",
    "signal": "signal",
    "material": "material",
    "calendar": "calendar",
    "reason": "reason",
    "user": "user",
    "channel": "channel",
    "escalation": "escalation",
    "alert": "alert rule",
}


class Registry:
    """Which ids exist. An id counts as declared even when its table has other errors, so one slip
    is not reported again at every place that refers to it."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, Table]] = {kind: {} for kind in NOUNS}

    def declare(self, kind: str, table: Table, name: str, key: str = "id") -> bool:
        """Note an id; an error when it is taken. False for one that cannot be used."""
        if not name:
            return False
        if first := self._places[kind].get(name):
            table.error(
                key,
                f'the {NOUNS[kind]} "{name}" already exists ({first.file}: {first.path})',
                "Give this one another id or remove it",
            )
            return False
        self._places[kind][name] = table
        return True

    def place(self, kind: str, name: str) -> Table:
        """The table that declared an id."""
        return self._places[kind][name]

    def known(self, kind: str) -> Iterable[str]:
        """All ids of a kind."""
        return self._places[kind].keys()

    def refer(self, kind: str, table: Table, key: str | Iterable[str | int], name: str) -> bool:
        """Whether the id exists; an error at `key` when not. An empty name was reported before."""
        if not name:
            return False
        if name in self._places[kind]:
            return True
        known = ", ".join(list(self._places[kind])[:8])
        fix = f"Add it, or use one of {known}" if known else f"Add a [[{kind}]] with that id"
        table.error(
            key, f"there is no {NOUNS[kind]} {shown(name)}", suggestion(name, self._places[kind], fix)
        )
        return False

    def unroll(self, kind: str, parents: Mapping[str, str | None]) -> None:
        """Follow parents from everywhere; an error for each ring they go round in, once."""
        settled: set[str] = set()
        for start in parents:
            trail: dict[str, None] = {}
            node: str | None = start
            while node is not None and node not in settled and node not in trail:
                trail[node] = None
                node = parents.get(node)
            if node is not None and node in trail:
                ids = list(trail)
                ring = ids[ids.index(node) :]
                self.place(kind, node).error(
                    "parent",
                    f"parents go round in a circle: {' -> '.join([*ring, node])}",
                    "Give one of them another parent, or none",
                )
            settled.update(trail)
