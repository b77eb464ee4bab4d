"""Looking at an OPC UA server: browse everything below Objects, then watch what can be a signal."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from asyncua import ua

from collectors.onboarding.found import Access, Kind, Listener, Offer, OnboardingError, Series
from collectors.onboarding.opcua.browse import browse
from collectors.onboarding.opcua.session import connected, security
from collectors.onboarding.opcua.watch import Watch
from collectors.onboarding.propose import likeliest

logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it meets, we say ourselves

MOST_WATCHED = 2_000


async def look(
    url: str, watch: float, access: Access, listener: Listener
) -> tuple[Offer, Mapping[str, Series]]:
    """What a server offers, and what its variables said in `watch` seconds (by address).

    Raises OnboardingError.
    """
    async with connected(url, access) as client:
        try:
            listener.progress("Connected; looking at what there is", 0.02)
            offer, nodes = await browse(client, url, listener.progress)
            offer = replace(offer, security=await security(url))
            watched: Mapping[str, Series] = {}
            if watch > 0:
                able = [v for v in offer.variables if v.kind is not Kind.OTHER]
                if len(able) > MOST_WATCHED:
                    note = f"Only the {MOST_WATCHED} likeliest of {len(able)} variables were watched."
                    offer = replace(offer, notes=(*offer.notes, note))
                    able = likeliest(able, MOST_WATCHED)
                chosen = {v.address: nodes[v.address] for v in able}
                watching = Watch(client, chosen)
                listener.found(offer, watching.series)
                watched = await watching.run(watch, listener.progress)
                offer = replace(offer, repeats=watching.same_clock)
        except (OSError, TimeoutError, ua.UaError) as error:
            raise OnboardingError(f"{url}: {error or type(error).__name__}") from error
    return offer, watched
