"""Published examples: their limits and their points out of control are ours."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.spc import constants
from analytics.spc.capability import Specified, capability
from analytics.spc.charts import POINTS, Estimate, NoLimits, charts
from analytics.spc.distributions import chi_square
from analytics.spc.study import Exclusion, Frozen, Study, in_force, key, phase_one_since, study
from analytics.spc.subgroups import reach, subgroups
from plant.frames import SAMPLES, Window
from plant.model import ChartKind, ControlChart, RuleSet, Subgrouping

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RINGS = [
    [float(value) for value in line.split(",")]
    for line in (Path(__file__).parent / "data" / "piston_rings.csv").read_text().splitlines()
    if not line.startswith("#")
]


def values(groups: Sequence[Sequence[float]]) -> pl.DataFrame:
    """One point per group, a minute apart."""
    one = pl.DataFrame({"v": [[float(v) for v in g] for g in groups]}, schema={"v": pl.List(pl.Float64)})
    made = one.with_row_index("i").select(
        time=pl.lit(T0) + MINUTE * pl.col("i"),
        end=pl.lit(T0) + MINUTE * pl.col("i"),
        n=pl.col("v").list.len(),
        mean=pl.col("v").list.mean(),
        range=pl.col("v").list.max() - pl.col("v").list.min(),
        sd=pl.col("v").list.std(),
        count=pl.lit(None),
    )
    return made.cast(pl.Schema(POINTS))


def counts(rejects: Sequence[int], sizes: Sequence[int]) -> pl.DataFrame:
    rows = [
        {"time": T0 + MINUTE * i, "end": T0 + MINUTE * i, "n": n, "count": c}
        for i, (c, n) in enumerate(zip(rejects, sizes, strict=True))
    ]
    return pl.DataFrame(rows, schema=POINTS)


def everything(points: pl.DataFrame) -> Window:
    return Window(T0, T0 + MINUTE * (points.height + 1))


def drawn(points: pl.DataFrame, kind: ChartKind, **more: Any) -> Study:
    return study(points, ControlChart(chart=kind, **more), [], [], everything(points))


def marks(found: Study, rule: str, plot: str = "location") -> list[int]:
    """Numbers of the marked points, from 1."""
    rows = found.violations.filter(pl.col("rule") == rule, pl.col("plot") == plot)
    return [round((time - T0) / MINUTE) + 1 for time in rows["time"]]


# n: A2, A3, c4, B3, B4, d2, d3, D3, D4: Montgomery, appendix VI; ASTM E2587, table 1.
TABLE = {
    2: (1.880, 2.659, 0.7979, 0, 3.267, 1.128, 0.853, 0, 3.267),
    3: (1.023, 1.954, 0.8862, 0, 2.568, 1.693, 0.888, 0, 2.574),
    4: (0.729, 1.628, 0.9213, 0, 2.266, 2.059, 0.880, 0, 2.282),
    5: (0.577, 1.427, 0.9400, 0, 2.089, 2.326, 0.864, 0, 2.114),
    6: (0.483, 1.287, 0.9515, 0.030, 1.970, 2.534, 0.848, 0, 2.004),
    7: (0.419, 1.182, 0.9594, 0.118, 1.882, 2.704, 0.833, 0.076, 1.924),
    8: (0.373, 1.099, 0.9650, 0.185, 1.815, 2.847, 0.820, 0.136, 1.864),
    9: (0.337, 1.032, 0.9693, 0.239, 1.761, 2.970, 0.808, 0.184, 1.816),
    10: (0.308, 0.975, 0.9727, 0.284, 1.716, 3.078, 0.797, 0.223, 1.777),
    15: (0.223, 0.789, 0.9823, 0.428, 1.572, 3.472, 0.756, 0.347, 1.653),
    20: (0.180, 0.680, 0.9869, 0.510, 1.490, 3.735, 0.729, 0.415, 1.585),
    25: (0.153, 0.606, 0.9896, 0.565, 1.435, 3.931, 0.708, 0.459, 1.541),
}


@pytest.mark.parametrize("n", TABLE)
def test_constants_are_those_of_the_published_tables(n: int) -> None:
    c = constants
    ours = (
        c.a2(n), c.a3(n), c.c4(n), c.b3(n), c.b4(n), c.d2(n), c.d3(n), c.lower_range(n), c.upper_range(n),
    )  # fmt: skip
    assert ours == pytest.approx(TABLE[n], abs=0.0012)


def test_constants_of_two_values_are_known_exactly() -> None:
    # The range of two normal values is half-normal: 2/sqrt(pi), and sqrt(2 - 4/pi).
    assert constants.d2(2) == pytest.approx(1.1283791670955126, abs=1e-9)
    assert constants.d3(2) == pytest.approx(0.8525024663, abs=1e-6)


def test_a_range_of_26_values_is_refused() -> None:
    with pytest.raises(ValueError, match="use standard deviations"):
        constants.d2(26)


def test_piston_rings_x_bar_and_r() -> None:
    found = charts()[ChartKind.XBAR_R].estimate(values(RINGS[:25]), ControlChart())
    lined = charts()[ChartKind.XBAR_R].lines(values(RINGS[:25]), found, ControlChart()).row(0, named=True)
    assert found.center == pytest.approx(74.001176)
    assert found.sigma == pytest.approx(0.009785, rel=1e-4)
    assert (lined["lower"], lined["upper"]) == pytest.approx((73.988048, 74.014304), abs=2e-6)
    assert lined["spread_center"] == pytest.approx(0.02276)
    assert (lined["spread_lower"], lined["spread_upper"]) == pytest.approx((0, 0.048125), abs=2e-5)


def test_piston_rings_x_bar_and_s() -> None:
    found = charts()[ChartKind.XBAR_S].estimate(values(RINGS[:25]), ControlChart())
    lined = charts()[ChartKind.XBAR_S].lines(values(RINGS[:25]), found, ControlChart()).row(0, named=True)
    assert found.sigma == pytest.approx(0.009829976728)
    assert lined["spread_center"] == pytest.approx(0.0092400366)
    assert (lined["spread_lower"], lined["spread_upper"]) == pytest.approx((0, 0.01930241677))


def frozen_from(plan: ControlChart, found: Estimate, start: datetime, *, at: datetime = T0) -> Frozen:
    return Frozen(
        study=key(plan),
        valid_from=start,
        estimate=found.to_json(),
        window_start=T0,
        window_end=start,
        at=at,
        user="ana",
        why="phase 1",
    )


@pytest.mark.parametrize("rules", RuleSet)
def test_piston_rings_by_frozen_limits(rules: RuleSet) -> None:
    plan = ControlChart(chart=ChartKind.XBAR_R, rules=rules)
    found = charts()[plan.chart].estimate(values(RINGS[:25]), plan)
    judged = study(values(RINGS), plan, [frozen_from(plan, found, T0)], [], everything(values(RINGS)))
    west = rules is RuleSet.WESTERN_ELECTRIC
    assert marks(judged, "WE1" if west else "N1") == [37, 38, 39]
    assert marks(judged, "WE2" if west else "N5") == [35, 37, 38, 39, 40]
    assert marks(judged, "WE3" if west else "N6") == [35, 38, 39, 40]
    for quiet in ("WE4",) if west else ("N2", "N3", "N4", "N7", "N8"):
        assert marks(judged, quiet) == []
    assert marks(judged, "N1", "spread") == []
    assert set(judged.points["phase"]) == {2}


def test_piston_rings_capability() -> None:
    plan = ControlChart(chart=ChartKind.XBAR_R)
    found = charts()[plan.chart].estimate(values(RINGS[:25]), plan)
    cp, cpk, pp, ppk = capability(found, Specified(lower=73.95, upper=74.05))
    assert cp.value == pytest.approx(1.7033, abs=1e-4)
    assert cpk.value == pytest.approx(1.6632, abs=1e-4)
    each = [v for ring in RINGS[:25] for v in ring]
    overall = pl.Series(each).std()
    assert isinstance(overall, float) and found.overall == pytest.approx(overall, rel=1e-9)
    assert pp.value == pytest.approx(0.1 / (6 * overall))
    assert ppk.value == pytest.approx((74.05 - found.center) / (3 * overall))
    for index in (cp, cpk, pp, ppk):
        assert index.low and index.value and index.high and index.low < index.value < index.high


def estimate(center: float, sigma: float) -> Estimate:
    return Estimate(center=center, sigma=sigma, overall=sigma, points=25, values=25, freedom=24, how="given")


@pytest.mark.parametrize(
    ("share", "freedom", "published"),
    [(0.95, 10, 18.307), (0.05, 10, 3.940), (0.975, 24, 39.364), (0.025, 24, 12.401), (0.975, 19, 32.852)],
)
def test_chi_square_tables(share: float, freedom: float, published: float) -> None:
    assert chi_square(share, freedom) == pytest.approx(published, abs=6e-4)


def test_montgomery_interval_of_cp() -> None:
    """Montgomery, example 8.4: limits 38 and 62, 20 parts, s = 1.75: 2.29, from 1.57 to 3.01."""
    found = Estimate(center=50, sigma=1.75, overall=1.75, points=20, values=20, freedom=19, how="s")
    pp = capability(found, Specified(lower=38, upper=62))[2]
    assert (pp.value, pp.low, pp.high) == pytest.approx((2.29, 1.57, 3.01), abs=6e-3)


def test_one_limit_gives_cpk_alone() -> None:
    cp, cpk, pp, ppk = capability(estimate(10, 1), Specified(lower=None, upper=14.5))
    assert cp.value is pp.value is None and "one specification limit" in cp.reason
    assert cpk.value == ppk.value == pytest.approx(1.5)


def test_a_mean_outside_of_the_limits_is_a_negative_cpk() -> None:
    assert capability(estimate(10, 1), Specified(lower=11.5, upper=14.5))[1].value == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("found", "limits", "why"),
    [
        (estimate(10, 0), Specified(lower=1, upper=2), "equal"),
        (estimate(10, 1), Specified(lower=None, upper=None), "no specification limits"),
        (
            Estimate(center=1, sigma=1, overall=1, points=5, values=5, freedom=4, how=""),
            Specified(lower=1, upper=2),
            "5 values are too few",
        ),
    ],
)
def test_no_value_says_why(found: Estimate, limits: Specified, why: str) -> None:
    assert all(index.value is None and why in index.reason for index in capability(found, limits))


@pytest.mark.parametrize(
    ("kind", "points", "why"),
    [
        (ChartKind.XBAR_R, values([[1, 2]]), "1 subgroups is too few"),
        (ChartKind.XBAR_R, values([[1], [2]]), "one value has no spread"),
        (ChartKind.XBAR_R, values([[1] * 30, [2] * 30]), "use standard deviations"),
        (ChartKind.XBAR_S, values([[1, 1], [1, 1]]), "equal"),
        (ChartKind.I_MR, values([[1], [1], [1]]), "equal"),
        (ChartKind.P, counts([0, 0], [9, 9]), "nothing was rejected"),
        (ChartKind.P, counts([9, 9], [9, 9]), "everything was rejected"),
        (ChartKind.P, counts([0, 0], [0, 0]), "nothing was inspected"),
        (ChartKind.NP, counts([1, 1], [9, 8]), "differ in size"),
        (ChartKind.C, counts([1, 1], [9, 8]), "differ in size"),
    ],
)
def test_no_limits_says_why(kind: ChartKind, points: pl.DataFrame, why: str) -> None:
    with pytest.raises(NoLimits, match=why):
        charts()[kind].estimate(points, ControlChart(chart=kind))
    judged = drawn(points, kind)
    assert judged.estimate is None and why in judged.problem
    assert judged.points.height == points.height and judged.violations.is_empty()


def test_a_point_is_judged_by_the_limits_of_its_time() -> None:
    plan = ControlChart()
    points = values([[v] for v in (0, 9, 0, 9, 0, 9)])
    wide, tight = estimate(0, 5), estimate(0, 1)
    limits = [frozen_from(plan, wide, T0), frozen_from(plan, tight, T0 + 4 * MINUTE)]
    judged = study(points, plan, limits, [], everything(points))
    assert marks(judged, "N1") == [6]
    assert judged.points["limits"].to_list() == [0, 0, 0, 0, 1, 1]
    again = [*limits, frozen_from(plan, wide, T0 + 4 * MINUTE)]
    assert marks(study(points, plan, again, [], everything(points)), "N1") == [], "entered last wins"


def test_what_comes_before_the_first_frozen_limits_is_phase_1() -> None:
    plan = ControlChart()
    points = values([[v] for v in (0, 1, 0, 1, 0, 9)])
    judged = study(points, plan, [frozen_from(plan, estimate(0, 1), T0 + 4 * MINUTE)], [], everything(points))
    assert judged.points["phase"].to_list() == [1, 1, 1, 1, 2, 2]
    assert judged.points["center"][0] == pytest.approx(0.5), "from its own points, not from those of phase 2"


def test_phase_1_again_is_estimated_from_the_points_since() -> None:
    plan = ControlChart()
    points = values([[v] for v in (0, 9, 0, 9, 100, 101, 100, 101)])
    back = replace(frozen_from(plan, estimate(0, 1), T0 + 4 * MINUTE), estimate={}, why="new tool")
    limits = [frozen_from(plan, estimate(0, 1), T0), back]
    judged = study(points, plan, limits, [], everything(points))
    assert judged.points["phase"].to_list() == [2, 2, 2, 2, 1, 1, 1, 1]
    assert marks(judged, "N1") == [2, 4], "the points before keep the limits of their time"
    assert judged.points["center"][5] == pytest.approx(100.5)
    assert judged.estimate and judged.estimate.center == pytest.approx(100.5)
    assert in_force(limits, T0 + 3 * MINUTE) == limits[0] and in_force(limits, T0 + 4 * MINUTE) is None
    window = everything(points)
    assert phase_one_since(limits, window) == T0 + 4 * MINUTE
    again = [*limits, frozen_from(plan, estimate(100, 1), T0 + 6 * MINUTE)]
    frozen_again = study(points, plan, again, [], window)
    assert frozen_again.points["phase"].to_list() == [2, 2, 2, 2, None, None, 2, 2], "two points are too few"
    assert frozen_again.points["limits"].to_list() == [0, 0, 0, 0, None, None, 2, 2]
    assert phase_one_since(again, window) is None


@pytest.mark.parametrize("kind", [ChartKind.CUSUM, ChartKind.EWMA])
def test_charts_that_remember_begin_with_their_limits_and_after_an_explained_point(kind: ChartKind) -> None:
    plan = ControlChart(chart=kind)
    points = values([[v] for v in (2, 2, 2, 2, 2, 9, 0, 2, 2)])
    first, second = estimate(0, 1), estimate(1, 1)
    limits = [frozen_from(plan, first, T0), frozen_from(plan, second, T0 + 3 * MINUTE)]
    explained = Exclusion(time=T0 + 5 * MINUTE, excluded=True, at=T0, user="ana", why="tool broke")
    judged = study(points, plan, limits, [explained], everything(points))
    alone = [
        study(values([[v] for v in part]), plan, [frozen_from(plan, of, T0)], [], everything(points))
        for part, of in (
            ((2, 2, 2), first),
            ((2, 2, 9), second),
            ((0, 2, 2), second),
        )
    ]
    expected = [value for one in alone for value in one.points["value"]]
    assert judged.points["value"].to_list() == pytest.approx(expected), (
        "the point itself shows what it signalled"
    )
    assert judged.points["excluded"].to_list() == [False] * 5 + [True] + [False] * 3
    assert T0 + 5 * MINUTE not in set(judged.violations["time"])


def test_charts_that_remember_are_followed_from_their_limits_on() -> None:
    noon = T0 + timedelta(hours=12)
    plan = ControlChart(chart=ChartKind.CUSUM)
    day = timedelta(days=1)
    assert reach(ControlChart(), noon, noon - 5 * day) == T0 - day
    assert reach(plan, noon) == T0 - day
    assert reach(plan, noon, noon - 5 * day) == T0 - 5 * day
    assert reach(plan, noon, noon - 30 * day) == T0 - 7 * day


def test_a_point_left_out_counts_for_nothing_until_it_is_taken_in_again() -> None:
    points = values([[v] for v in (0, 1, 0, 1, 0, 1, 0, 1, 500, 0, 1, 0, 1)])
    plan = ControlChart()
    out = Exclusion(time=T0 + 8 * MINUTE, excluded=True, at=T0, user="ana", why="gauge dropped")
    without = study(points, plan, [], [out], everything(points))
    assert without.estimate and without.estimate.center == pytest.approx(0.5)
    assert without.points["center"][0] == pytest.approx(0.5), "nor for the limits that are drawn"
    assert without.points["excluded"].to_list().index(True) == 8
    assert without.points["value"][8] == 500 and marks(without, "N1") == []
    back = Exclusion(time=out.time, excluded=False, at=T0, user="ana", why="it was real")
    again = study(points, plan, [], [out, back], everything(points))
    assert again.points["excluded"].sum() == 0 and again.estimate and again.estimate.center > 30


def samples(times: Sequence[float], numbers: Sequence[float | None], quality: int = 0) -> pl.DataFrame:
    """`times` in seconds."""
    rows = [
        {
            "time": T0 + timedelta(seconds=at),
            "equipment": "m",
            "signal": "s",
            "value": value,
            "quality": quality,
            "received": T0,
        }
        for at, value in zip(times, numbers, strict=True)
    ]
    return pl.DataFrame(rows, schema=SAMPLES)


LATER = T0 + timedelta(days=1)


def test_subgroups_by_count() -> None:
    plan = ControlChart(chart=ChartKind.XBAR_R, by=Subgrouping.COUNT, size=3)
    found = subgroups(samples(range(8), [1, 2, 6, 4, None, 4, 4, 9]), plan, [], LATER)
    assert found["n"].to_list() == [3, 3]
    assert found["mean"].to_list() == [3.0, 4.0] and found["range"].to_list() == [5.0, 0.0]
    assert found["time"][1] == T0 + timedelta(seconds=3), "a sample without a value is none"


def test_bad_values_do_not_count() -> None:
    plan = ControlChart(by=Subgrouping.COUNT)
    both = pl.concat([samples([0, 1], [1, 2], quality=1), samples([2], [3], quality=2)])
    assert subgroups(both, plan, [], LATER)["mean"].to_list() == [1.0, 2.0]


def test_subgroups_by_time_take_the_first_values_of_each_piece() -> None:
    plan = ControlChart(chart=ChartKind.XBAR_R, by=Subgrouping.TIME, size=2, every=MINUTE)
    found = subgroups(samples([0, 10, 20, 60, 119, 125], [1, 3, 99, 5, 7, 9]), plan, [], LATER)
    assert found["mean"].to_list() == [2.0, 6.0]


def test_a_piece_of_time_is_a_subgroup_when_it_is_over() -> None:
    plan = ControlChart(chart=ChartKind.XBAR_S, by=Subgrouping.TIME, size=None, every=MINUTE)
    given = samples([0, 10, 20, 60, 70], [1, 3, 5, 5, 7])
    assert subgroups(given, plan, [], T0 + timedelta(seconds=119))["n"].to_list() == [3]
    assert subgroups(given, plan, [], T0 + timedelta(seconds=120))["n"].to_list() == [3, 2]


def test_no_subgroup_is_of_two_orders() -> None:
    plan = ControlChart(chart=ChartKind.XBAR_R, by=Subgrouping.ORDER, size=2)
    orders = [T0, T0 + timedelta(seconds=3)]
    found = subgroups(samples(range(7), [1, 2, 3, 4, 5, 6, 7]), plan, orders, LATER)
    assert found["mean"].to_list() == [1.5, 4.5, 6.5]
    whole = ControlChart(chart=ChartKind.XBAR_S, by=Subgrouping.ORDER, size=None)
    assert subgroups(samples(range(7), [1] * 7), whole, orders, LATER)["n"].to_list() == [3], "one still runs"


def test_an_inspection_ends_with_a_pause() -> None:
    plan = ControlChart(chart=ChartKind.XBAR_S, by=Subgrouping.INSPECTION, size=None, gap=MINUTE)
    given = samples([0, 5, 9, 600, 610, 900], [1, 2, 3, 4, 5, 6])
    found = subgroups(given, plan, [], T0 + timedelta(seconds=910))
    assert found["n"].to_list() == [3, 2]


@pytest.mark.parametrize(
    ("kind", "points", "usual"),
    [
        (ChartKind.I_MR, values([[0], [1], [0], [1]]), 1.0),
        (ChartKind.XBAR_R, values([[0, 1], [1, 2], [0, 1]]), 1.0),
        (ChartKind.XBAR_S, values([[0, 1], [1, 2], [0, 1]]), 0.5**0.5),
    ],
    ids=lambda value: str(value) if isinstance(value, ChartKind) else "",
)
def test_the_spread_of_two_has_limits_at_three_sigma(
    kind: ChartKind, points: pl.DataFrame, usual: float
) -> None:
    found = drawn(points, kind).points.row(1, named=True)
    lines = found["spread_lower"], found["spread_center"], found["spread_upper"]
    assert lines == pytest.approx((0, usual, 3.267 * usual), abs=1e-3)
