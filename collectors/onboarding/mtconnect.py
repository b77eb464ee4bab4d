"""Looking at an MTConnect agent: `http://agent:5000`. Its data items say themselves what they are."""

import asyncio
from collections.abc import Mapping

from collectors.connection import ConnectionLostError
from collectors.mtconnect.agent import Agent
from collectors.mtconnect.document import DataItem, Observation
from collectors.mtconnect.observed import LEVELS, SETS, UNAVAILABLE
from collectors.onboarding.companion import MTCONNECT
from collectors.onboarding.found import (
    Access,
    Kind,
    Listener,
    Offer,
    OnboardingError,
    Series,
    Step,
    Value,
    Variable,
)

EVERY = 1.0
"""Seconds between two looks."""
MOST_VALUES = 5_000


async def look(
    url: str, watch: float, access: Access, listener: Listener
) -> tuple[Offer, Mapping[str, Series]]:
    """What an agent offers, and what its data items said in `watch` seconds, by address.

    Raises OnboardingError.
    """
    device = access.options.get("device")
    try:
        async with Agent(url.rstrip("/"), str(device) if device else None) as agent:
            listener.progress("Asking what the agent offers", 0.05)
            offered = await agent.probe()
            now = {o.item: o for o in (await agent.current()).observations}
            variables = tuple(_variable(item, now.get(item.id)) for item in offered.items)
            offer = Offer(
                url=url,
                protocol="mtconnect",
                options={"url": url.rstrip("/"), **access.options},
                product=f"an MTConnect agent, version {offered.version}",
                name=offered.items[0].device if offered.items else "MTConnect agent",
                variables=variables,
            )
            series: dict[str, list[tuple[float, Value]]] = {v.address: [] for v in variables}
            listener.found(offer, series)
            kinds = {v.address: v.kind for v in variables}
            clock = asyncio.get_running_loop().time
            began = clock()
            while (passed := clock() - began) < watch:
                for observation in (await agent.current()).observations:
                    said = series.get(observation.item)
                    value = _value(observation, kinds.get(observation.item, Kind.OTHER))
                    if said is not None and len(said) < MOST_VALUES and (not said or said[-1][1] != value):
                        said.append((passed, value))
                listener.progress(f"Watching: {watch - passed:.0f} s left", 0.1 + 0.9 * passed / watch)
                await asyncio.sleep(min(EVERY, max(watch - (clock() - began), 0.0)))
    except ConnectionLostError as error:
        raise OnboardingError(str(error)) from error
    listener.progress("Watched", 1.0)
    return offer, series if watch > 0 else {}


def _variable(item: DataItem, now: Observation | None) -> Variable:
    kind = Kind.TEXT
    if item.representation in SETS:
        kind = Kind.OTHER
    elif item.category == "SAMPLE":
        kind = Kind.FLOAT
    elif item.type in ("PART_COUNT", "LINE", "LINE_NUMBER", "BLOCK_COUNT"):
        kind = Kind.INTEGER
    steps = [Step(name=item.device, type_uri=MTCONNECT, type_name="Device")]
    steps += [Step(name=name) for name in item.component.split("/") if name]
    type_name = f"{item.type}.{item.sub_type}" if item.sub_type else item.type
    what = "CONDITION" if item.category == "CONDITION" else type_name
    steps.append(Step(name=item.name or item.id, type_uri=MTCONNECT, type_name=what))
    return Variable(
        address=item.id,
        path=tuple(steps),
        data_type=type_name if kind is not Kind.OTHER else f"{SETS[item.representation]} of {type_name}",
        kind=kind,
        unit=item.units.replace("_", " ").lower(),
        value=_value(now, kind) if now is not None else None,
    )


def _value(observation: Observation, kind: Kind) -> Value:
    """As its collector would deliver it."""
    if observation.entries or observation.value == UNAVAILABLE:
        return None
    if observation.element.upper() in LEVELS:
        return observation.element.upper()
    if kind in (Kind.FLOAT, Kind.INTEGER):
        try:
            number = float(observation.value.split()[-1] if observation.series else observation.value)
            return int(number) if kind is Kind.INTEGER else number
        except (ValueError, OverflowError, IndexError):
            return None
    return observation.value
