"""How a process value is charted."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class ChartKind(StrEnum):
    """A control chart (ISO 7870)."""

    I_MR = "i_mr"
    XBAR_R = "xbar_r"
    XBAR_S = "xbar_s"
    EWMA = "ewma"
    CUSUM = "cusum"
    P = "p"
    NP = "np"
    C = "c"
    U = "u"


class RuleSet(StrEnum):
    """Run rules of a control chart."""

    WESTERN_ELECTRIC = "western_electric"
    NELSON = "nelson"


class Subgrouping(StrEnum):
    """Where a subgroup of values ends."""

    COUNT = "count"
    """After `size` values."""
    TIME = "time"
    """After a piece of time."""
    ORDER = "order"
    """With the order."""
    INSPECTION = "inspection"
    """When nothing came for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChart:
    """How a process value is charted. By default: single values, one a minute."""

    chart: ChartKind = ChartKind.I_MR
    by: Subgrouping = Subgrouping.TIME
    size: int | None = 1
    """Values in a subgroup: the first ones. None: all there are."""
    every: timedelta = timedelta(minutes=1)
    """By time: how long a piece is; they begin at midnight UTC."""
    gap: timedelta = timedelta(minutes=1)
    """By inspection: the pause that ends one."""
    rules: RuleSet = RuleSet.NELSON
    running: bool = True
    """Only values from while the machine was running."""
    weight: float = 0.2
    """EWMA: of the newest point (lambda)."""
    width: float = 3.0
    """EWMA: of the limits, in standard errors (L)."""
    slack: float = 0.5
    """CUSUM: the allowance K, in standard errors."""
    decision: float = 5.0
    """CUSUM: the decision interval H, in standard errors."""
