"""The ledger of a window from stored rows where there are any, and derived where there are none.

Rows that reach over the edges of the window are cut there. Times are cut with a knife; parts belong to an instant, so
the samples of such a row are asked, and only those.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import polars as pl

from plant.frames import LEDGER, TIME, Window

Derive = Callable[[Window, Sequence[datetime], Sequence[str]], pl.DataFrame]
"""Ledger rows of machines over a window, cut at these instants too, from samples."""

COUNTS = ("good", "reject", "rework", "startup", "ideal", "ideal_good", "unrated", "flagged")
"""What a row holds of instants, not of time."""
APART = 8
"""Spans that are derived one by one; of more, all between the first and the last is."""


def window_of(
    stored: pl.DataFrame,
    window: Window,
    machines: Sequence[str],
    derive: Derive,
    edges: Iterable[datetime] = (),
    besides: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """`plant.frames.LEDGER` of the machines over the window, cut at `edges` too.

    `stored`: whole rows that overlap the window, of any machines. `besides`: time (equipment, start, end) that nothing is
    wanted of.
    """
    if window.start >= window.end or not machines:
        return stored.clear()
    cuts = sorted({window.start, window.end, *(at for at in edges if window.start < at < window.end)})
    of_ours = stored.filter(pl.col("equipment").is_in(list(machines)))
    known = of_ours.select("equipment", "start", "end")
    missing = _missing(known if besides is None else pl.concat([known, besides]), window, machines)
    derived = _derived(missing, derive, cuts)
    return pl.concat([_cut(of_ours, cuts, derive), *derived]).sort("equipment", "start")


def _missing(rows: pl.DataFrame, window: Window, machines: Sequence[str]) -> pl.DataFrame:
    """equipment, start, end: time of the window that no row covers."""
    start, end = pl.lit(window.start, TIME), pl.lit(window.end, TIME)
    all_of_them = pl.DataFrame({"equipment": sorted(machines)}, schema={"equipment": pl.String})
    bounds = [all_of_them.with_columns(start=at, end=at) for at in (start, end)]
    spans = rows.select(
        "equipment", start=pl.max_horizontal("start", start), end=pl.min_horizontal("end", end)
    )
    ordered = pl.concat([spans, *bounds]).sort("equipment", "start", "end")
    before = pl.col("end").shift()
    apart = (pl.col("equipment") == pl.col("equipment").shift()) & (before < pl.col("start"))
    return ordered.select("equipment", start=before, end="start").filter(
        ordered.select(apart.fill_null(False)).to_series()
    )


def _derived(spans: pl.DataFrame, derive: Derive, cuts: Sequence[datetime]) -> list[pl.DataFrame]:
    """Rows of spans (equipment, start, end), cut at their ends."""
    same = spans.group_by("start", "end", maintain_order=True).agg("equipment")
    if same.height > APART:
        same = spans.select(
            pl.col("start").min(), pl.col("end").max(), pl.col("equipment").unique().implode()
        )
    ends = {*spans["start"], *spans["end"], *cuts}
    found = []
    for start, end, machines in same.select("start", "end", "equipment").iter_rows():
        rows = derive(Window(start, end), sorted(at for at in ends if start < at < end), machines)
        inside = rows.select("equipment", "start", "end").join(
            spans.rename({"start": "begin", "end": "over"}), on="equipment", maintain_order="left"
        )
        inside = inside.filter(pl.col("start") >= pl.col("begin"), pl.col("end") <= pl.col("over"))
        inside = inside.filter(pl.col("begin") >= start, pl.col("over") <= end)
        found.append(rows.join(inside, on=["equipment", "start"], how="semi", maintain_order="left"))
    return found


def _cut(rows: pl.DataFrame, cuts: Sequence[datetime], derive: Derive) -> pl.DataFrame:
    """The rows cut at these instants, between the first and the last."""
    at = pl.Series("at", list(cuts), dtype=TIME)
    first = pl.Series("first", at.search_sorted(rows["start"], side="right"))
    last = pl.Series("last", at.search_sorted(rows["end"], side="left"))
    whole = rows.filter(first == last)
    over = rows.with_columns(low=first, high=last).filter(pl.col("low") < pl.col("high"))
    if over.is_empty():
        return whole
    over = over.with_row_index("row").with_columns(
        edge=pl.int_ranges("low", "high"), row_start="start", row_end="end"
    )
    inner = over.explode("edge").with_columns(start=at.gather(over.explode("edge")["edge"]))
    pieces = pl.concat([over.drop("edge"), inner.drop("edge")]).sort("row", "start")
    follows = pl.col("row") == pl.col("row").shift(-1)
    pieces = pieces.with_columns(
        end=pl.when(follows).then(pl.col("start").shift(-1)).otherwise("row_end"),
        last=~follows.fill_null(False),
    ).with_columns(duration=(pl.col("end") - pl.col("start")).dt.total_microseconds())
    counted = pl.any_horizontal(pl.col(name) != 0 for name in COUNTS)
    idle, busy = pieces.filter(~counted), pieces.filter(counted)
    pieces = pl.concat([idle, _shared(busy, derive)]) if busy.height else idle
    inside = (pl.col("start") >= cuts[0]) & (pl.col("end") <= cuts[-1])
    return pl.concat([whole, pieces.filter(inside).select(list(LEDGER))])


def _shared(pieces: pl.DataFrame, derive: Derive) -> pl.DataFrame:
    """Pieces of rows with the parts made in each. What no sample tells apart stays with the last piece of its row."""
    rows = pieces.select("equipment", start="row_start", end="row_end").unique()
    edges = pieces["start"].unique().to_list()
    spans = _spans(rows)
    ends = sorted({*edges, *rows["end"]})
    made = pl.concat(
        derive(Window(start, end), [at for at in ends if start < at < end], machines)
        for start, end, machines in spans.iter_rows()
    )
    shown = (
        made.select("equipment", "start", *COUNTS)
        .sort("start")
        .join_asof(
            pieces.select("equipment", "start", "end", piece="start").sort("start"),
            on="start",
            by="equipment",
            check_sortedness=False,
        )
        .filter(pl.col("start") < pl.col("end"))
        .group_by("equipment", "piece")
        .agg(pl.col(COUNTS).sum().name.suffix("_made"))
    )
    found = pieces.join(
        shown,
        left_on=["equipment", "start"],
        right_on=["equipment", "piece"],
        how="left",
        maintain_order="left",
    )
    first = [pl.col(f"{name}_made").fill_null(0) for name in COUNTS]
    before = [
        pl.when(pl.col("last")).then(0).otherwise(one).sum().over("row").alias(f"{name}_before")
        for name, one in zip(COUNTS, first, strict=True)
    ]
    return (
        found.with_columns(before)
        .with_columns(
            pl.when(pl.col("last")).then(pl.col(name) - pl.col(f"{name}_before")).otherwise(one).alias(name)
            for name, one in zip(COUNTS, first, strict=True)
        )
        .select(pieces.columns)
    )


def _spans(rows: pl.DataFrame) -> pl.DataFrame:
    """start, end, equipment: the time rows cover, in spans that do not overlap, and whose rows they are."""
    ordered = rows.sort("start", "end")
    apart = (ordered["start"] >= ordered["end"].cum_max().shift()).fill_null(True)
    spans = ordered.group_by(apart.cum_sum().alias("span"), maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("equipment").unique().sort()
    )
    if spans.height > APART:
        spans = spans.select(
            pl.col("start").min(), pl.col("end").max(), pl.col("equipment").explode().unique().implode()
        )
    return spans.select("start", "end", "equipment")
