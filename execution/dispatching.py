"""Starting, holding, completing and cancelling orders: the rules that need more than the order itself."""

from datetime import datetime

from execution.orders import JobOrder, OrderAction, OrderError, OrderState, Refusal, transition
from execution.ports import ExecutionRecords, OrderRun
from plant.model import Plant


def dispatch(
    records: ExecutionRecords, plant: Plant, order_id: str, action: OrderAction, user: str, at: datetime
) -> JobOrder:
    """Do one action on one order and record who did it.

    Only one order runs on a machine, so an order on a line excludes one on a machine of that line and
    the other way round.

    Args:
        records: of one transaction; commit it when this returns, roll it back when it raises.
        at: when it happened (UTC); start and end of the run.
    Returns:
        The order as it is now.
    Raises:
        OrderError: nothing was changed; the text says why and what to do.
    """
    order = records.orders.get(order_id)
    if order is None:
        raise OrderError(
            Refusal.UNKNOWN_ORDER, f"there is no order {order_id!r}; import it, or check the number"
        )
    state = transition(order, action)
    if action is OrderAction.START:
        _start(records, plant, order, user, at)
    elif order.state is OrderState.RUNNING:
        _stop(records, order, user, at)
    records.orders.set_state(order.id, state, user, at)
    records.audit.add(at, user, f"order.{action}", order.id, {"from": order.state, "to": state})
    changed = records.orders.get(order_id)
    assert changed is not None, "the order was there a moment ago, in the same transaction"
    return changed


def _start(records: ExecutionRecords, plant: Plant, order: JobOrder, user: str, at: datetime) -> None:
    if order.equipment not in plant.equipment:
        raise OrderError(
            Refusal.NOT_IN_PLANT,
            f"order {order.id!r}: the plant has no equipment {order.equipment!r} any more; "
            "import the order again with the equipment it is to run on",
        )
    sharing = plant.below(order.equipment) | set(plant.ancestors(order.equipment))
    busy = records.runs.running(sharing)
    if busy:
        raise OrderError(
            Refusal.EQUIPMENT_BUSY,
            f"order {order.id!r}: order {busy[0].order!r} is running on {busy[0].equipment!r} since "
            f"{busy[0].start.isoformat()}; complete or hold that one first",
        )
    ended = records.runs.last_end(sharing)
    if ended is not None and at < ended:
        raise OrderError(
            Refusal.TOO_EARLY,
            f"order {order.id!r}: cannot start at {at.isoformat()}, an order ran there until "
            f"{ended.isoformat()}; start it then or later",
        )
    run = OrderRun(order=order.id, material=order.material, equipment=order.equipment, start=at, end=None)
    records.runs.open(run, user)


def _stop(records: ExecutionRecords, order: JobOrder, user: str, at: datetime) -> None:
    for run in records.runs.running([order.equipment]):
        if run.order == order.id and at < run.start:
            raise OrderError(
                Refusal.TOO_EARLY,
                f"order {order.id!r}: cannot end at {at.isoformat()}, it was started at "
                f"{run.start.isoformat()}",
            )
    records.runs.close(order.id, at, user)
