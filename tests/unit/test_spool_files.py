"""The spool on a real folder: order, bounds, damage, two writers; and the emit that feeds it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from collectors.emit import SpoolEmit
from collectors.spool import Spool, SpoolDamagedError, SpoolError, SpoolFullError
from plant.frames import GOOD, SAMPLES, empty

AT = datetime(2026, 1, 31, 6, tzinfo=UTC)


def batch(*values: float) -> pl.DataFrame:
    return pl.DataFrame(
        [(AT, "m", "good", v, None, GOOD, AT) for v in values], schema=dict(SAMPLES), orient="row"
    )


def test_appended_batches_come_out_in_order_and_are_gone_when_removed(tmp_path: Path) -> None:
    a, b, reader = Spool(tmp_path, "a"), Spool(tmp_path, "b"), Spool(tmp_path)
    assert reader.pending() == [] and Spool(tmp_path / "nowhere").pending() == []
    numbers = [a.append(batch(1)), b.append(batch(2)), a.append(batch(3))]
    assert numbers[2] == numbers[0] + 1
    waiting = reader.pending()
    assert [(e.collector, e.sequence) for e in waiting if e.collector == "a"] == [
        ("a", numbers[0]),
        ("a", numbers[2]),
    ]
    assert sorted(reader.read(e)["value"][0] for e in waiting) == [1, 2, 3]
    for entry in waiting:
        reader.remove(entry)
        reader.remove(entry)
    assert reader.pending() == []


def test_sequence_numbers_are_never_used_again(tmp_path: Path) -> None:
    seen: list[int] = []
    for _ in range(3):
        spool = Spool(tmp_path, "a")
        seen += [spool.append(batch(1)), spool.append(batch(2))]
        spool.close()
        for entry in spool.pending():
            spool.remove(entry)
    assert seen == sorted(set(seen))


def test_a_second_writer_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, "a"), Spool(tmp_path, "a")
    first.append(batch(1))
    with pytest.raises(SpoolError, match="another process collects"):
        second.append(batch(2))
    first.close()
    assert second.append(batch(2)) > 0


def test_full_says_so_and_goes_on_when_the_reader_made_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", max_bytes=3000)
    taken = 0
    with pytest.raises(SpoolFullError, match="is full"):
        for taken in range(1000):
            spool.append(batch(taken))
    assert taken >= 1 and len(spool.pending()) == taken
    spool.remove(spool.pending()[0])
    spool.append(batch(taken))
    assert [spool.read(e)["value"][0] for e in spool.pending()] == list(range(1, taken + 1))


def test_a_disk_that_refuses_is_full_with_the_reason(tmp_path: Path) -> None:
    blocked = tmp_path / "spool"
    blocked.write_text("a file where the folder should be")
    spool = Spool(blocked, "a")
    with pytest.raises(SpoolFullError, match="cannot write to the spool"):
        spool.append(batch(1))
    blocked.unlink()
    spool.append(batch(1))
    assert len(spool.pending()) == 1


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_damage_is_set_aside_and_the_rest_still_reads(tmp_path: Path, harm: str) -> None:
    spool = Spool(tmp_path, "a")
    for value in (1, 2):
        spool.append(batch(value))
    first, second = spool.pending()
    data = bytearray(first.path.read_bytes())
    data[len(data) // 2] ^= 1
    first.path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-9]), "empty": b""}[harm])
    with pytest.raises(SpoolDamagedError, match="set aside"):
        spool.read(first)
    assert spool.pending() == [second] and spool.read(second)["value"].to_list() == [2]
    assert len(list((tmp_path / "a").glob("*.damaged"))) == 1


def test_torn_files_of_a_killed_writer_are_no_batches(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    torn = tmp_path / "a" / "0000000000000000-00000000.arrow.tmp"
    torn.write_bytes(b"half")
    spool = Spool(tmp_path, "a")
    assert spool.pending() == []
    spool.append(batch(1))
    assert not torn.exists()


def test_other_frames_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a batch of samples"):
        Spool(tmp_path, "a").append(batch(1).drop("text"))
    with pytest.raises(SpoolError, match="needs a name"):
        Spool(tmp_path, "../a").append(batch(1))


def test_emit_gathers_what_comes_together_into_one_durable_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")

    async def main() -> None:
        emit = SpoolEmit(spool, linger=0.02)
        await asyncio.gather(*(emit(batch(v)) for v in range(5)), emit(empty(SAMPLES)))
        assert emit.batches == 1
        with pytest.raises(ValueError, match="not a batch"):
            await emit(batch(9).drop("value"))
        await emit(batch(5))
        await emit.close()

    asyncio.run(main())
    assert [spool.read(e)["value"].to_list() for e in spool.pending()] == [[0, 1, 2, 3, 4], [5]]


def test_emit_waits_while_the_spool_is_full_and_goes_on_by_itself(tmp_path: Path) -> None:
    probe = Spool(tmp_path / "probe", "a")
    probe.append(batch(1))
    size = probe.pending()[0].path.stat().st_size
    spool = Spool(tmp_path / "spool", "a", max_bytes=size + size // 2)

    async def main() -> None:
        emit = SpoolEmit(spool, linger=0, retry=0.01)
        await emit(batch(1))
        waiting = asyncio.create_task(emit(batch(2)))
        async with asyncio.timeout(20):
            while not emit.problem:
                await asyncio.sleep(0.01)
            assert "is full" in emit.problem and not waiting.done()
            spool.remove(spool.pending()[0])
            await waiting
        assert emit.problem == ""
        await emit.close()

    asyncio.run(main())
    assert [spool.read(e)["value"].to_list() for e in spool.pending()] == [[2]]
