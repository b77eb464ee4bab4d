"""Which of an adapter's items belongs to which signal. Pure."""

from collections.abc import Iterable

from plant.model import Signal


class Items:
    """An item is a signal's by its name, with or without the device before it. Of several devices with an item of that
    name only the first one's is taken: machines must not mix."""

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._addresses = {s.address.strip() for s in signals}
        self._device: dict[str, str] = {}
        self.mixed: dict[str, str] = {}
        """Address to what is not taken because of that."""

    def address(self, item: str) -> str | None:
        """The address an item of the adapter answers to; None: it is of no signal."""
        if item in self._addresses:
            return item if ":" in item else self._of("", item)
        device, colon, name = item.partition(":")
        return self._of(device, name) if colon and name in self._addresses else None

    def _of(self, device: str, name: str) -> str | None:
        first = self._device.setdefault(name, device)
        if first == device:
            return name
        taken = f'"{first}:{name}"' if first else f'"{name}" without a device'
        other = f"{device}:{name}" if device else name
        self.mixed[name] = (
            f'the adapter also sends "{other}"; {taken} is taken: write DEVICE:{name} as the address'
        )
        return None
