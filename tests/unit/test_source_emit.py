"""What every source's samples go through on their way to disk: text that must be a number, and clocks set wrong."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from collectors.emit import SourceEmit, SpoolEmit
from collectors.seen import Seen
from collectors.spool import Spool
from plant.frames import BAD, GOOD, SAMPLES
from plant.model import Role, Signal

START = datetime(2026, 1, 31, 6, tzinfo=UTC)
SIGNALS = tuple(
    Signal(id=role.value, equipment="m", role=role)
    for role in (Role.STATE, Role.GOOD, Role.PROCESS_VALUE, Role.ORDER)
)


def samples(*rows: tuple[str, float | None, str | None, timedelta]) -> pl.DataFrame:
    full = [(START + ahead, "m", signal, value, text, GOOD, START) for signal, value, text, ahead in rows]
    return pl.DataFrame(full, schema=dict(SAMPLES), orient="row")


def test_a_text_where_a_number_must_be_is_kept_and_bad(tmp_path: Path) -> None:
    now = timedelta()
    sent = samples(
        ("good", None, "12x", now),
        ("good", 12, None, timedelta(seconds=1)),
        ("process_value", None, "12,5", now),
        ("state", None, "Lauf", now),
        ("order", None, "0042", now),
    )
    spool = Spool(tmp_path, "collect")

    async def send() -> None:
        emit = SpoolEmit(spool)
        await SourceEmit(emit, "s", SIGNALS)(sent)
        await emit.close()

    asyncio.run(send())
    (entry,) = spool.pending()
    stored = spool.read(entry).select("signal", "text", "quality").rows()
    assert stored == [
        ("good", "12x", BAD),
        ("good", None, GOOD),
        ("process_value", "12,5", BAD),
        ("state", "Lauf", GOOD),
        ("order", "0042", GOOD),
    ]


def test_one_sample_of_a_wrong_clock_does_not_hide_the_others() -> None:
    seen = Seen(SIGNALS)
    seen.add(samples(("good", 1, None, timedelta(days=3650))))
    seen.look(START)
    assert seen.last_sample is None and seen.lag is None
    seen.add(samples(("good", 2, None, timedelta(seconds=-3)), ("state", 1, None, timedelta(days=3650))))
    seen.look(START + timedelta(seconds=1))
    assert seen.last_sample == START - timedelta(seconds=3) and seen.lag == 3
    assert seen.signals["m.good"].value == 2
