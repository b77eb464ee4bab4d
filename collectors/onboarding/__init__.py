"""From an unknown server to a proposal for the plant file: list what it offers, watch it, say what it probably means.

`found` is what a source offers, `behaviour` what it did while watched, `naming` and `companion` what its names and
types say, `states` what the values of a state mean, `propose` puts all of it together. These are pure; one module
per protocol does the talking (`opcua`, `modbus`, `mqtt`, `mtconnect`).
"""

import importlib
from collections.abc import Mapping

from collectors.onboarding.found import Access, Listener, Offer, OnboardingError, Series

SCHEMES: Mapping[str, str] = {
    "opc.tcp": "opcua",
    "modbus": "modbus",
    "mqtt": "mqtt",
    "http": "mtconnect",
    "https": "mtconnect",
}
"""Beginning of an address to the module that looks at it; each has `look(url, watch, access, listener)`."""
LONGEST_ADDRESS = 500
LONGEST_WATCH = 600.0
"""Seconds."""


def scheme(url: str) -> str:
    """The beginning of an address that can be looked at.

    Raises OnboardingError naming those there are.
    """
    beginning, found, host = url.partition("://")
    if (
        not found
        or beginning not in SCHEMES
        or not host
        or len(url) > LONGEST_ADDRESS
        or not url.isprintable()
    ):
        examples = (
            "opc.tcp://192.168.0.10:4840, modbus://host:502?unit=1, mqtt://host/prefix or http://agent:5000"
        )
        raise OnboardingError(f"{url[:80]!r} is no address of a source: write it like {examples}")
    return beginning


async def look(
    url: str, watch: float, access: Access, listener: Listener
) -> tuple[Offer, Mapping[str, Series]]:
    """What a source offers, and what its variables said in `watch` seconds, by address.

    Raises OnboardingError.
    """
    module = importlib.import_module(f"{__name__}.{SCHEMES[scheme(url)]}")
    found: tuple[Offer, Mapping[str, Series]] = await module.look(
        url, min(watch, LONGEST_WATCH), access, listener
    )
    return found
