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
from plant.model import Plant

_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Span:
    start: datetime
    end: datetime
    order: str
    material: str | None


def machine_runs(
    plant: Plant, booked: Iterable[OrderRun], reported: pl.DataFrame, orders: Mapping[str, JobOrder]
) -> pl.DataFrame:
    """One answer per machine and instant, most specific source first.

    1. a run somebody booked on the machine itself, 2. what the machine's own order signal said, 3. a run
    booked on the line (then area...) it belongs to, 4. the schedule. A weaker source fills only the gaps
    of a stronger one; a line's run covers every machine below it.

    Args:
        booked: runs from the records, and `scheduled_runs`.
        reported: `plant.frames.ORDER_RUNS` derived from order signals; the material may be null.
        orders: by id: names the material of a reported order that the signal does not name.
    Returns:
        `plant.frames.ORDER_RUNS`, sorted by equipment and start, without overlap; touching pieces of
        the same order are one run. The material is null for a reported order that nobody entered.
    """
    layers: dict[tuple[str, str], list[_Span]] = defaultdict(list)
    for run in booked:
        kind = "schedule" if run.source == "schedule" else "booked"
        layers[kind, run.equipment].append(_Span(run.start, run.end or _FOREVER, run.order, run.material))
    for equipment, start, end, order, material in reported.select(list(ORDER_RUNS)).iter_rows():
        known = orders.get(order)
        named = material or (known.material if known else None)
        layers["reported", equipment].append(_Span(start, end or _FOREVER, order, named))
    rows: list[tuple[str, datetime, datetime | None, str, str | None]] = []
    for machine in plant.machines():
        above = (machine.id, *plant.ancestors(machine.id))
        ranked = [("booked", machine.id), ("reported", machine.id)]
        ranked += [("booked", node) for node in above[1:]] + [("schedule", node) for node in above]
        spans: list[_Span] = []
        for key in ranked:
            spans = _fill(spans, _without_overlap(layers.get(key, [])))
        for span in _joined(spans):
            end = None if span.end == _FOREVER else span.end
            rows.append((machine.id, span.start, end, span.order, span.material))
    if not rows:
        return empty(ORDER_RUNS)
    return pl.DataFrame(rows, schema=dict(ORDER_RUNS), orient="row").sort("equipment", "start")


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


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    joined: list[_Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last and (last.end, last.order, last.material) == (span.start, span.order, span.material):
            joined[-1] = _Span(last.start, span.end, span.order, span.material)
        else:
            joined.append(span)
    return joined
