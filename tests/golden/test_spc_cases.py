"""Published control charts: their lines and their points beyond the limits are ours (README.md: how a case is written)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.spc.charts import POINTS, Estimate
from analytics.spc.study import Frozen, key, study
from plant.frames import Window
from plant.model import ChartKind, ControlChart

CASES = sorted((Path(__file__).parent / "spc").glob("*.case"))
T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Case:
    settings: dict[str, Any] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)
    frozen: tuple[float, float] | None = None
    expected: list[tuple[str, int, float, float]] = field(default_factory=list)
    out: list[int] | None = None


def read(path: Path) -> Case:
    case = Case()
    for line in path.read_text().splitlines():
        word, _, rest = line.partition(" ")
        match word:
            case "" | "#":
                pass
            case "chart":
                case.settings["chart"] = ChartKind(rest)
            case "weight" | "width" | "slack" | "decision":
                case.settings[word] = float(rest)
            case "frozen":
                center, sigma = map(float, rest.split())
                case.frozen = center, sigma
            case "group":
                case.points += [_group([float(v) for v in one.split()]) for one in rest.split("|")]
            case "lot":
                counts = [one.split("/") for one in rest.split("|")]
                case.points += [{"count": int(count), "n": int(n)} for count, n in counts]
            case "expect":
                case.expected.append(_expected(rest.split()))
            case "out":
                case.out = [] if rest == "none" else [int(number) for number in rest.split()]
            case _:
                raise ValueError(f"{path.name}: {line!r}")
    return case


def _group(values: list[float]) -> dict[str, Any]:
    each = pl.Series(values)
    spread = max(values) - min(values)
    return {"n": len(values), "mean": each.mean(), "range": spread, "sd": each.std()}


def _expected(words: list[str]) -> tuple[str, int, float, float]:
    """figure, number of the point (the last one when none is said), value, tolerance (half a unit of the last digit)."""
    words, tolerance = (words[:-2], float(words[-1])) if "within" in words else (words, None)
    digits = len(words[-1].partition(".")[2])
    number = int(words[1]) if len(words) == 3 else -1
    return words[0], number, float(words[-1]), 0.501 * 10**-digits if tolerance is None else tolerance


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_published_chart(path: Path) -> None:
    case = read(path)
    plan = ControlChart(**case.settings)
    rows = [{**row, "time": T0 + MINUTE * i, "end": T0 + MINUTE * i} for i, row in enumerate(case.points)]
    window = Window(T0, T0 + MINUTE * len(rows))
    frozen = []
    if case.frozen is not None:
        center, sigma = case.frozen
        given = Estimate(
            center=center, sigma=sigma, overall=sigma, points=25, values=25, freedom=24, how="given"
        )
        frozen.append(
            Frozen(
                study=key(plan), valid_from=T0, estimate=given.to_json(), window_start=T0, window_end=T0,
                at=T0, user="", why="",
            )
        )  # fmt: skip
    judged = study(pl.DataFrame(rows, schema=POINTS), plan, frozen, [], window)
    for figure, number, value, tolerance in case.expected:
        found = judged.points[figure][number - 1 if number > 0 else -1]
        assert found == pytest.approx(value, abs=tolerance), (figure, number)
    beyond = judged.violations.filter(pl.col("number") == 1, pl.col("plot") == "location")
    assert [round((time - T0) / MINUTE) + 1 for time in beyond["time"]] == case.out
