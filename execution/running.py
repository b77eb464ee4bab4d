"""Which order ran on each machine, from everything that says something about it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl

from execution.orders import JobOrder, OrderState
from execution.ports import OrderRun
from plant.frames import ORDER_RUNS, empty
from plant.model import Equipment, OrderSource, Plant

_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Span:
    start: datetime
    end: datetime
    order: str | None
    material: str | None


def machine_runs(
    plant: Plant, booked: Iterable[OrderRun], reported: pl.DataFrame, orders: Mapping[str, JobOrder]
) -> pl.DataFrame:
    """One answer per machine and instant, from whom the machine's `orders_from` believes most.

    By default 1. a run somebody booked on the machine itself (terminal), 2. what its own order signal said (PLC),
    3. a run booked on the line (then area...) it belongs to, 4. the schedule. A weaker source fills only the gaps
    of a stronger one; a line's run covers every machine below it. What the machine's material signal said is the
    product where nobody who is believed more says an order, also where there is no order at all.

    Args:
        booked: runs from the records, and `scheduled_runs`.
        reported: `plant.frames.ORDER_RUNS` derived from order and material signals; one of both may be null.
        orders: by id: names the material of a reported order that the signal does not name.
    Returns:
        `plant.frames.ORDER_RUNS`, sorted by equipment and start, without overlap; touching pieces of
        the same order and material are one run. The material is null for a reported order that nobody entered, the
        order where only the product is known.
    """
    layers: dict[tuple[str, str], list[_Span]] = defaultdict(list)
    for run in booked:
        kind = "schedule" if run.source == "schedule" else "booked"
        layers[kind, run.equipment].append(_Span(run.start, run.end or _FOREVER, run.order, run.material))
    for equipment, start, end, order, material in reported.select(list(ORDER_RUNS)).iter_rows():
        if order is None:
            layers["made", equipment].append(_Span(start, end or _FOREVER, None, material))
            continue
        known = orders.get(order)
        named = material or (known.material if known else None)
        layers["reported", equipment].append(_Span(start, end or _FOREVER, order, named))
    rows: list[tuple[str, datetime, datetime | None, str | None, str | None]] = []
    for machine in plant.machines():
        ranked = _ranked(machine, plant.ancestors(machine.id))
        made = _without_overlap(layers.get(("made", machine.id), []))
        place = ranked.index(("made", machine.id)) if made and ("made", machine.id) in ranked else len(ranked)
        spans = _layered(layers, ranked[:place])
        if place < len(ranked):
            # Who is believed less says which order it is, but not what is made.
            weaker = _without(_layered(layers, ranked[place + 1 :]), spans)
            spans = sorted([*spans, *_overlaid(weaker, _without(made, spans))], key=lambda s: s.start)
        for span in _joined(spans):
            end = None if span.end == _FOREVER else span.end
            rows.append((machine.id, span.start, end, span.order, span.material))
    if not rows:
        return empty(ORDER_RUNS)
    return pl.DataFrame(rows, schema=dict(ORDER_RUNS), orient="row").sort("equipment", "start")


def _ranked(machine: Equipment, above: Sequence[str]) -> list[tuple[str, str]]:
    """What says something about a machine's orders, the most believed first."""
    own = {
        OrderSource.TERMINAL: [("booked", machine.id)],
        OrderSource.PLC: [("reported", machine.id), ("made", machine.id)],
        OrderSource.SCHEDULE: [("schedule", node) for node in (machine.id, *above)],
    }
    believed = machine.orders_from or tuple(OrderSource)
    ranked: list[tuple[str, str]] = []
    for place, source in enumerate(believed):
        ranked += own[source]
        # What is booked on the line is the terminal's word, but less about this machine than its own PLC's.
        rest = believed[place + 1 :]
        last = source is not OrderSource.SCHEDULE and not {OrderSource.TERMINAL, OrderSource.PLC} & set(rest)
        if last and OrderSource.TERMINAL in believed:
            ranked += [("booked", node) for node in above]
    return ranked


def scheduled_runs(orders: Iterable[JobOrder]) -> list[OrderRun]:
    """The plan read as runs, for machines nobody books orders on: from planned start to planned end, or
    to the next planned start on the same equipment. Cancelled orders and those without a planned start
    are left out."""
    planned: dict[str, list[tuple[datetime, JobOrder]]] = defaultdict(list)
    for order in orders:
        if order.planned_start is not None and order.state is not OrderState.CANCELLED:
            planned[order.equipment].append((order.planned_start, order))
    runs: list[OrderRun] = []
    for equipment, queue in planned.items():
        queue.sort(key=lambda entry: (entry[0], entry[1].id))
        starts = [start for start, _ in queue]
        for (start, order), following in zip(queue, [*starts[1:], None], strict=True):
            ends = [end for end in (order.planned_end, following) if end is not None]
            end = min(ends, default=None)
            if end is None or end > start:
                runs.append(
                    OrderRun(
                        order=order.id,
                        material=order.material,
                        equipment=equipment,
                        start=start,
                        end=end,
                        source="schedule",
                    )
                )
    return runs


def _without_overlap(spans: Sequence[_Span]) -> list[_Span]:
    """Sorted; a span ends where the next one of its source begins."""
    ordered = sorted(spans, key=lambda s: s.start)
    cut = [_Span(a.start, min(a.end, b.start), a.order, a.material) for a, b in pairwise(ordered)]
    return [span for span in [*cut, *ordered[-1:]] if span.start < span.end]


def _fill(strong: list[_Span], weak: list[_Span]) -> list[_Span]:
    """The strong spans, and of the weak ones what lies in the gaps between them. Both sorted."""
    filled = list(strong)
    first = 0
    for span in weak:
        while first < len(strong) and strong[first].end <= span.start:
            first += 1
        start = span.start
        for taken in strong[first:]:
            if taken.start >= span.end:
                break
            if start < taken.start:
                filled.append(_Span(start, taken.start, span.order, span.material))
            start = max(start, taken.end)
        if start < span.end:
            filled.append(_Span(start, span.end, span.order, span.material))
    return sorted(filled, key=lambda s: s.start)


def _layered(layers: Mapping[tuple[str, str], list[_Span]], ranked: Iterable[tuple[str, str]]) -> list[_Span]:
    """What holds where several say something, the first of them most. Sorted, without overlap."""
    spans: list[_Span] = []
    for key in ranked:
        spans = _fill(spans, _without_overlap(layers.get(key, [])))
    return spans


def _without(spans: list[_Span], taken: list[_Span]) -> list[_Span]:
    """The spans less the time that is taken."""
    return [span for span in _fill(taken, spans) if span not in taken]


def _overlaid(orders: list[_Span], made: list[_Span]) -> list[_Span]:
    """The order of the ones, with the material of the others where there is one. Both sorted, without overlap."""
    found: list[_Span] = []
    marks = sorted({mark for span in (*orders, *made) for mark in (span.start, span.end)})
    order, product = 0, 0
    for start, end in pairwise(marks):
        while order < len(orders) and orders[order].end <= start:
            order += 1
        while product < len(made) and made[product].end <= start:
            product += 1
        one = orders[order] if order < len(orders) and orders[order].start <= start else None
        two = made[product] if product < len(made) and made[product].start <= start else None
        if one or two:
            material = two.material if two else one.material if one else None
            found.append(_Span(start, end, one.order if one else None, material))
    return found


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    joined: list[_Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and (last.end, last.order, last.material) == (span.start, span.order, span.material):
            joined[-1] = _Span(last.start, span.end, span.order, span.material)
        else:
            joined.append(span)
    return joined
