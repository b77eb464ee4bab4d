"""The state of machines that no single signal tells: from the outcomes of comparisons with several of them.

Each signal has edges of its own, where what it says changes or lapses, as a state signal has. The edges of a
machine's signals are then laid together: at each of them the first rule that holds gives the state. So the rule
looks at no more than one sample and its successor of each signal, and it cannot matter how samples were batched.

What is not known leaves the state unknown, unless it makes no difference: an unknown rule is passed over when the
rule that holds after it means the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from analytics.facts.outcomes import outcome, tests_of
from analytics.facts.readings import HAS_VALUE, SAME_SERIES, TOLD, shortest
from analytics.facts.timeline import EDGES
from plant.expressions import Comparison, truth
from plant.frames import TIME
from plant.model import Plant, StateRule
from plant.states import MachineState

INPUT_EDGES: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "code": pl.UInt32,
    "time": TIME,
    "label": pl.Int64,  # the outcomes of its comparisons (`analytics.facts.outcomes`), 0 where it has none; null: unknown
}
"""From `time` on this is what a signal says."""

HEARD = "cycles"
"""Raw value of time in which a machine's parts can be heard: its state is to be told from its cycles."""

_UNKNOWN = MachineState.UNKNOWN.value
_Meaning = tuple[str | None, str, str | None]


@dataclass(frozen=True, slots=True)
class Told:
    """The machines of a plant whose state is told from several signals."""

    inputs: pl.DataFrame
    """code, state, place: each signal, the series its machine's state is (`TOLD`), and its number there."""
    rules: Mapping[int, tuple[StateRule, ...]]
    """By series of the state; empty: the time in which everything is heard is `HEARD`."""
    tests: Mapping[int, tuple[tuple[str, tuple[str, ...]], ...]]
    """By series of the state: of each place the signal and its comparisons."""
    _meant: dict[tuple[int, ...], _Meaning] = field(default_factory=dict)

    def meaning(self, state: int, labels: tuple[int, ...]) -> _Meaning:
        """raw, state and reason where the signals say that; -1: not known."""
        key = (state, *labels)
        if key not in self._meant:
            self._meant[key] = self._decide(state, labels)
        return self._meant[key]

    def _decide(self, state: int, labels: tuple[int, ...]) -> _Meaning:
        tests = self.tests[state]
        if not self.rules[state]:
            heard = all(label >= 0 for label in labels[: len(tests)])
            return (HEARD if heard else None, _UNKNOWN, None)
        known = {
            (signal, text): None if label < 0 else outcome(label, place)
            for (signal, texts), label in zip(tests, labels, strict=False)
            for place, text in enumerate(texts)
        }

        def said(test: Comparison) -> bool | None:
            return known[test.signal, test.text]

        doubtful: list[StateRule] = []
        for rule in self.rules[state]:
            holds = True if rule.condition is None else truth(rule.condition, said)
            if holds is None:
                doubtful.append(rule)
            elif holds:
                if any(other.means != rule.means for other in doubtful):
                    break
                return (rule.when or "otherwise", rule.means.state.value, rule.means.reason)
        return (None, _UNKNOWN, None)


def told(plant: Plant, known: pl.DataFrame) -> Told:
    """How the states of the plant's machines are told from several signals (`known`: `analytics.facts.readings.SERIES`)."""
    states = known.filter(pl.col("signal") == TOLD).select("equipment", state="code")
    inputs = (
        known.filter("tells")
        .join(states, on="equipment")
        .sort("state", "code")
        .with_columns(place=pl.int_range(pl.len()).over("state"))
    )
    tests: dict[int, list[tuple[str, tuple[str, ...]]]] = {code: [] for code in states["state"]}
    for state, signal, lines in inputs.select("state", "signal", "tests").iter_rows():
        texts = () if lines is None else tuple(test.text for test in tests_of(lines))
        tests[state].append((signal, texts))
    rules = {state: plant.equipment[machine].states for machine, state in states.iter_rows()}
    return Told(
        inputs.select("code", "state", "place"),
        rules,
        {state: tuple(found) for state, found in tests.items()},
    )


def input_edges(readings: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Where what a signal says may change (`INPUT_EDGES`): at samples unlike the one before, and where one went stale.

    As `analytics.facts.timeline.state_edges`: it needs each sample that differs from the one before it or comes more than
    `stale_after` later, and that one.
    """
    inputs = known.filter("tells")
    longest = shortest(inputs["stale"].to_list())
    went_stale = pl.lit(False) if longest is None else pl.col("time") - pl.col("before") > longest
    tested = inputs.filter(pl.col("tests").is_not_null())["code"].implode()
    label = (
        pl.when(pl.col("code").is_in(tested)).then(pl.col("value").cast(pl.Int64, strict=False)).otherwise(0)
    )
    rows = readings.filter(pl.col("code").is_in(inputs["code"].implode())).with_columns(
        label=pl.when(HAS_VALUE).then(label), same=SAME_SERIES, before=pl.col("time").shift()
    )
    unchanged = pl.col("same") & pl.col("label").eq_missing(pl.col("label").shift()) & ~went_stale
    kept = rows.filter(~unchanged.fill_null(False) & ~pl.col("carried")).join(
        inputs.select("code", "stale"), on="code", how="left", maintain_order="left"
    )
    lapsed = kept.filter(pl.col("same") & (pl.col("time") - pl.col("before") > pl.col("stale")))
    return pl.concat(
        [
            kept.select(list(INPUT_EDGES)),
            lapsed.select("code", time=pl.col("before") + pl.col("stale"), label=pl.lit(None, pl.Int64)),
        ]
    )


def lapses(last: pl.DataFrame, known: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """`INPUT_EDGES` where the newest sample of a signal (`last`: code, time) is stale before `until`."""
    tails = last.join(known.filter("tells").select("code", "stale"), on="code").select(
        "code", time=pl.col("time") + pl.col("stale"), label=pl.lit(None, pl.Int64)
    )
    return tails.filter(pl.col("time") < until)


def told_edges(edges: pl.DataFrame, of: Told) -> pl.DataFrame:
    """`analytics.facts.timeline.EDGES` of the machines these `INPUT_EDGES` are of: where their state changes."""
    rows = edges.join(of.inputs, on="code").with_columns(pl.col("label").fill_null(-1))
    if rows.is_empty():
        return pl.DataFrame(schema=dict(EDGES))
    places = range(int(of.inputs["place"].max()) + 1)  # type: ignore[arg-type]
    names = [f"label{place}" for place in places]
    rows = rows.sort("state", "time").select(
        "state",
        "time",
        *(pl.when(pl.col("place") == place).then("label").alias(f"label{place}") for place in places),
    )
    laid = rows.with_columns(pl.col(names).forward_fill().over("state").fill_null(-1))
    another = (pl.col("state") != pl.col("state").shift(-1)) | (pl.col("time") != pl.col("time").shift(-1))
    laid = laid.filter(another.fill_null(True))
    seen = laid.select("state", *names).unique()
    meant = [(*row, *of.meaning(row[0], row[1:])) for row in seen.iter_rows()]
    schema = seen.schema | {"raw": pl.String, "meant": pl.String, "reason": pl.String}
    found = laid.join(
        pl.DataFrame(meant, schema=schema, orient="row"),
        on=["state", *names],
        how="left",
        maintain_order="left",
    ).select("time", "raw", "reason", code="state", state="meant")
    differs = ~SAME_SERIES
    for name in ("raw", "state", "reason"):
        differs = differs | pl.col(name).ne_missing(pl.col(name).shift())
    return found.filter(differs.fill_null(True)).select(list(EDGES))
