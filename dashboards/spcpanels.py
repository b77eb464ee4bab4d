"""The panels of the page SPC: the verdict, the limits and where they come from, capability, and what breaks a rule."""

import polars as pl
from dash import html
from dash.development.base_component import Component

from analytics.spc.study import in_force
from dashboards import parts, spc, spccharts, words
from dashboards.ports import Backend

ROWS = 15
"""Violations listed: the newest ones."""


def nothing(shown: spc.Shown) -> str:
    """Why there is no point, and what to do."""
    if shown.asked.test is not None or (shown.signal is not None and shown.signal.source is None):
        counted = {"p": "nonconforming units", "np": "nonconforming units"}.get(shown.asked.chart, "defects")
        of = f" with {counted} counted" if shown.asked.test is not None else ""
        return (
            f"No inspection{of} in this window. Record one below, or choose a longer window or another chart."
        )
    if shown.signal is None:
        return f"No {shown.asked.per} with a part made is over in this window. Choose a longer window, or other lots."
    needed = " while the machine was running" if shown.signal.spc.running else ""
    size = shown.signal.spc.size
    whole = f" A subgroup takes {size} values." if size and size > 1 else ""
    return f"No usable value came{needed} in this window.{whole} Choose a longer window, or look at Sources."


def verdict(shown: spc.Shown) -> Component:
    """Whether the process is in control, in a sentence."""
    found = shown.study
    points = found.points.filter(~pl.col("excluded"), pl.col("phase").is_not_null())
    if points.is_empty():
        return html.P(f"No limits yet: {found.problem}.", className="lead")
    out = found.violations["time"].n_unique()
    breaks = "breaks" if out == 1 else "break"
    if shown.too_few is not None:
        broken = f" {words.number(out)} of them {breaks} a rule." if out else ""
        text = (
            f"Too few points to judge: {shown.too_few} of {spc.ENOUGH} that limits should be estimated from."
        )
        return html.P([html.B(text), broken], className="lead")
    if not out:
        text = f"In control: none of {words.number(points.height)} points breaks a rule."
        return html.P([html.B(text)], className="lead")
    last = found.violations.filter(pl.col("time") == points["time"][-1])
    return html.P(
        [
            html.B(
                f"{words.number(out)} of {words.number(points.height)} points {breaks} a rule.",
                className="late",
            ),
            " The newest point does not."
            if last.is_empty()
            else f" The newest point does: {last['text'][0].lower()}.",
        ],
        className="lead",
    )


def about_limits(backend: Backend, shown: spc.Shown) -> list[Component]:
    """Where the limits come from, and what the lines are."""
    plant, now, found = backend.plant, backend.now(), shown.study
    said = []
    used = found.points["limits"].drop_nulls()
    held = in_force(shown.limits, found.points["time"][-1])
    back = max((f for f in shown.limits if not f.estimate), key=lambda f: f.valid_from, default=None)
    if back is not None and in_force(shown.limits, now) is None:
        since = words.moment(back.valid_from, plant.site.zone, now)
        said.append(
            f"Back in phase 1 since {since}, by {_name(backend, back.user)}: {back.why}. Limits are estimated from the"
            " points since then; those before keep the limits of their time."
        )
    elif held is None or used.is_empty():
        said.append(
            "Phase 1: the limits are estimated from the points shown, so they move with the window. Freeze them once the"
            " points show only common causes."
        )
    else:
        since = words.moment(held.valid_from, plant.site.zone, now)
        why = held.why or "no reason given"
        said.append(f"Phase 2: limits frozen by {_name(backend, held.user)}, valid from {since}: {why}.")
    if found.estimate is not None:
        how = found.estimate
        said.append(
            f"{words.number(how.points)} points, n = {words.number(how.values)}"
            + (" parts" if found.chart.attribute else f" values, sigma {words.value(how.sigma)} ({how.how})")
            + (f", overall {words.value(how.overall)}." if how.overall else f", {how.how}.")
        )
    if found.points.height > spccharts.MOST:
        said.append(f"Drawn are the newest {spccharts.MOST} of {words.number(found.points.height)} points.")
    lines = "CL: centre line; UCL, LCL: control limits" + (
        "; dotted: one and two sigma." if found.chart.zoned else "."
    )
    said.append(f"{found.chart.source}. {lines}")
    return [html.P(text, className="muted") for text in said]


def _name(backend: Backend, user: str) -> str:
    known = backend.plant.users.get(user)
    return known.name if known else user


def capability(shown: spc.Shown, theme: str) -> Component:
    """The histogram in its specification, and the indices with their intervals."""
    found, signal = shown.study, shown.signal
    assert signal is not None
    if found.estimate is None or not shown.histogram:
        return parts.panel(
            "Capability", html.P(f"No value: {found.problem or 'no points'}.", className="empty")
        )
    marks = [
        (name, at)
        for name, at in (("LSL", signal.lower), ("Target", signal.target), ("USL", signal.upper))
        if at is not None
    ]
    how = found.estimate
    chart = spccharts.histogram(shown.histogram, marks, how.center, how.overall, signal.unit, theme)
    figures = []
    for index in shown.indices:
        note = index.reason
        if index.low is not None and index.high is not None:
            note = f"{index.low:.2f} to {index.high:.2f} (95 %)"
        text = words.NONE if index.value is None else f"{index.value:.2f}"
        judge = (
            "none"
            if index.value is None
            else "ahead"
            if index.value >= 1.33
            else "behind"
            if index.value < 1
            else "near"
        )
        figures.append(parts.figure(index.name, text, note, judge))
    held = f"Cp, Cpk: sigma within subgroups {words.value(how.sigma)} ({how.how}). "
    held += f"Pp, Ppk: overall sigma {words.value(how.overall)}. "
    held += f"n = {words.number(how.values)}, mean {words.value(how.center)}. "
    outside = sum(
        (signal.lower is not None and one < signal.lower) or (signal.upper is not None and one > signal.upper)
        for one in shown.histogram
    )
    if marks:
        held += f"Outside of the specification: {words.number(outside)} of {words.number(len(shown.histogram))} values."
    unstable = (
        "" if found.violations.is_empty() else " The process is not in control: Cp and Cpk say little yet."
    )
    return parts.panel(
        "Capability",
        parts.graph("spc-histogram", chart, tips=False),
        html.Div(figures, className="figures-row two-by-two")
        if marks
        else html.P(shown.indices[0].reason.capitalize() + "."),
        html.P(held + unstable, className="muted"),
    )


def violations(backend: Backend, shown: spc.Shown) -> Component:
    """The rules that are broken, and the newest points that break them."""
    plant, now = backend.plant, backend.now()
    chart, found = shown.study.chart, shown.study.violations
    points = (
        found.group_by("time", "plot", maintain_order=True)
        .agg("number", "name", "text", pl.col("value").first(), pl.col("phase").first())
        .sort("time", descending=True, maintain_order=True)
    )
    rows = []
    for row in points.head(ROWS).iter_rows(named=True):
        at = words.moment(row["time"], plant.site.zone, now)
        out = html.Button(
            "Leave out",
            id={"type": "spc-out", "time": words.utc(row["time"]), "plot": row["plot"]},
            className="button small",
            **{"data-needs-user": "1", "aria-label": f"Leave out {at}"},
        )
        broken = [
            html.Span(str(number), title=f"{name}: {text}", className="state")
            for number, name, text in zip(row["number"], row["name"], row["text"], strict=True)
        ]
        plot = chart.location if row["plot"] == "location" else chart.spread
        rows.append(
            (
                at,
                plot,
                words.value(row["value"]),
                f"Phase {row['phase']}",
                html.Div(broken, className="chips"),
                out,
            )
        )
    rules = found.group_by("number", "text").agg(points=pl.len()).sort("number", "text")
    meaning = [
        html.Span(
            [
                html.B(str(number), className="state"),
                f" {text}: {words.number(count)} {'point' if count == 1 else 'points'}.",
            ]
        )
        for number, text, count in rules.iter_rows()
    ]
    heads = ("When", "Plot", "Value", "Limits", "Rules it breaks", "")
    note = html.P(f"The newest {ROWS} of {words.number(points.height)}.", className="muted")
    table = parts.table(heads, rows, "No point breaks a rule in this window.", numeric=(2,))
    told = [html.Div(meaning, className="rules")] if meaning else []
    return parts.panel("Points that break a rule", *told, table, *([note] if points.height > ROWS else []))


def left_out(backend: Backend, shown: spc.Shown) -> Component:
    """The points left out, by whom and why."""
    if not shown.exclusions:
        return html.Div(hidden=True)
    plant, now = backend.plant, backend.now()
    rows = [
        (
            words.moment(entry.time, plant.site.zone, now),
            _name(backend, entry.user),
            words.moment(entry.at, plant.site.zone, now),
            entry.why,
            html.Button(
                "Take in again",
                id={"type": "spc-in", "time": words.utc(entry.time)},
                className="button small",
                **{"data-needs-user": "1"},
            ),
        )
        for entry in shown.exclusions
    ]
    return parts.panel("Points left out", parts.table(("Point", "By", "When", "Why", ""), rows, ""))
