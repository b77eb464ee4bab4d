"""Telling what comes late from what is new. Pure."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from plant.frames import TIME

KEY = pl.concat_str("equipment", "signal", separator=".")


def split_late(samples: pl.DataFrame, newest: Mapping[str, datetime]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Samples that are not older than what is known of their signal ("equipment.signal" to time), and those that are: a
    broker's queue, a device that kept them. What a source holds does not change by those."""
    oldest = samples["time"].min()
    if not newest or not isinstance(oldest, datetime) or oldest >= max(newest.values()):
        return samples, samples.clear()
    known = KEY.replace_strict(list(newest), list(newest.values()), default=None, return_dtype=TIME)
    late = (pl.col("time") < known).fill_null(False)
    return samples.filter(~late), samples.filter(late)
