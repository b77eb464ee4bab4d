"""The spool on a real folder: order, bounds, damage, two writers; and the emit that feeds it."""

import asyncio
import errno
import os
import random
import shutil
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.emit import SpoolEmit
from collectors.gaps import Gap, gaps, record
from collectors.spool import Spool, SpoolDamagedError, SpoolError, SpoolFullError, Waiting, damaged_files
from collectors.watch import SpoolWatch
from plant.frames import GOOD, SAMPLES, TIME, Window, empty

AT = datetime(2026, 1, 31, 6, tzinfo=UTC)
S = timedelta(seconds=1)


def batch(*values: float) -> pl.DataFrame:
    return pl.DataFrame(
        [(AT + v * S, "m", "good", v, None, GOOD, AT) for v in values], schema=dict(SAMPLES), orient="row"
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


def harmed(path: Path, harm: str) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    match harm:
        case "a directory":
            path.mkdir()
        case "a link to itself":
            path.symlink_to(path)
        case _:
            path.write_bytes({"flipped": bytes(data), "cut": bytes(data[:-9]), "empty": b""}[harm])


@pytest.mark.parametrize("harm", ["flipped", "cut", "empty", "a directory", "a link to itself"])
def test_damage_is_set_aside_recorded_and_the_rest_still_reads(tmp_path: Path, harm: str) -> None:
    spool = Spool(tmp_path, "a", clock=lambda: AT)
    for value in (1, 2):
        spool.append(batch(value, value + 1))
    first, second = spool.pending()
    harmed(first.path, harm)
    with pytest.raises(SpoolDamagedError, match="set aside"):
        spool.read(first)
    assert spool.pending() == [second] and spool.read(second)["value"].to_list() == [2, 3]
    assert [path.name for path in damaged_files(tmp_path)] == [first.name + ".damaged"]
    (gap,) = gaps(tmp_path)
    assert (gap.collector, gap.first, gap.last, gap.rows) == ("a", AT + 1 * S, AT + 2 * S, 2)
    assert str(first.sequence) in gap.why and gap.recorded_at == AT


def test_any_flipped_byte_is_noticed(tmp_path: Path) -> None:
    spool, chance = Spool(tmp_path, "a"), random.Random(5)
    spool.append(batch(*range(50)))
    (entry,) = spool.pending()
    whole = entry.path.read_bytes()
    for _ in range(200):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        entry.path.write_bytes(data)
        with pytest.raises(SpoolDamagedError):
            spool.read(entry)
        entry.path.with_name(entry.name + ".damaged").unlink()
    entry.path.write_bytes(whole)
    assert spool.read(entry).height == 50


def test_what_will_read_again_is_not_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, "a")
    spool.append(batch(1))
    (entry,) = spool.pending()

    def out_of_descriptors(self: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", out_of_descriptors)
        with pytest.raises(OSError, match="Too many open files"):
            spool.read(entry)
    assert spool.read(entry)["value"].to_list() == [1] and gaps(tmp_path) == []


def test_a_batch_that_has_gone_is_no_gap(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    spool.append(batch(1))
    (entry,) = spool.pending()
    spool.remove(entry)
    with pytest.raises(SpoolDamagedError, match="not there any more"):
        spool.read(entry)
    assert gaps(tmp_path) == [] and damaged_files(tmp_path) == []


def test_names_say_what_is_in_them(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    numbers = [spool.append(batch(5, 3)), spool.append(batch(60)), spool.append(batch(70))]
    first, second, third = spool.pending()
    assert (first.rows, first.first, first.last) == (2, AT + 3 * S, AT + 5 * S)
    assert first.overlaps(Window(AT, AT + 4 * S)) and first.overlaps(Window(AT + 5 * S, AT + 9 * S))
    assert not first.overlaps(Window(AT, AT + 3 * S)) and not first.overlaps(Window(AT + 6 * S, AT + 9 * S))
    assert spool.pending({"a": numbers[0]}) == [second, third] == spool.pending({"a": numbers[0], "b": 99})
    assert spool.pending({"a": numbers[2]}) == []


def test_samples_without_a_time_or_with_an_absurd_one_wait_like_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    timeless = batch(1).with_columns(time=pl.lit(None, TIME))
    nothing = timeless.with_columns(received=pl.lit(None, TIME))
    absurd = batch(1).with_columns(time=pl.Series([-(1 << 62)]).cast(TIME))
    for frame in (timeless, nothing, absurd):
        spool.append(frame)
    entries = sorted(spool.pending(), key=lambda entry: entry.sequence)
    assert [entry.first for entry in entries] == [
        AT,
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ]
    assert all(spool.read(e).equals(f) for e, f in zip(entries, (timeless, nothing, absurd), strict=True))
    assert len(spool.drop_older(datetime(2100, 1, 1, tzinfo=UTC))) == 3
    assert len(gaps(tmp_path)) == 3


def test_files_of_version_0_1_are_still_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    for value in (1, 2, 3):
        spool.append(batch(value))
    for entry in spool.pending():
        entry.path.rename(entry.folder / f"{entry.sequence:016d}-{entry.name[-14:-6]}.arrow")
    damaged = min((tmp_path / "a").glob("*.arrow"))
    damaged.write_bytes(b"no arrow")
    reader = Spool(tmp_path)
    assert reader.waiting().batches == 3
    broken, *entries = sorted(reader.pending(), key=lambda entry: entry.sequence)
    assert [reader.read(e)["value"].to_list() for e in entries] == [[2], [3]]
    assert [(e.rows, e.first, e.last) for e in entries] == [(1, AT + v * S, AT + v * S) for v in (2, 3)]
    with pytest.raises(SpoolDamagedError):
        reader.read(broken)
    assert [g.rows for g in gaps(tmp_path)] == [0]
    assert spool.append(batch(4)) > entries[-1].sequence


def test_a_folder_that_lost_its_numbers_counts_on_above_the_old_ones(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    before = [spool.append(batch(v)) for v in range(3)][-1]
    spool.close()
    shutil.rmtree(tmp_path / "a")
    again = Spool(tmp_path, "a")
    again.append(batch(9))
    assert len(again.pending({"a": before})) == 1


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    spool.append(batch(1))
    for name in ("notes.arrow", "1_2_3_4_5_6.arrow", "a_b_c_d_e.arrow", ".hidden"):
        (tmp_path / "a" / name).write_text("mine")
    (tmp_path / "README").write_text("mine")
    for _ in range(2):
        assert len(spool.pending()) == spool.waiting().batches == 1
    assert len(list((tmp_path / "a").iterdir())) == 7


def test_waiting_is_counted_by_collector_and_in_all(tmp_path: Path) -> None:
    reader = Spool(tmp_path)
    assert reader.waiting() == Waiting(0, 0, 0, None)
    Spool(tmp_path, "a").append(batch(1, 2))
    b = Spool(tmp_path, "b")
    b.append(batch(3))
    for _ in range(2):  # the second look knows the files
        every = reader.waiting_by_collector()
        assert [(name, w.batches, w.rows) for name, w in every.items()] == [("a", 1, 2), ("b", 1, 1)]
        whole = reader.waiting()
        assert (whole.batches, whole.rows) == (2, 3) and reader.waiting("a") == every["a"]
        assert whole.bytes == sum(e.path.stat().st_size for e in reader.pending())
    oldest = min(tmp_path.glob("b/*.arrow"))
    os.utime(oldest, (1e9, 1e9))
    b.append(batch(4))
    reader.remove(reader.pending()[0])
    whole = reader.waiting()
    assert (whole.batches, whole.rows, whole.oldest) == (2, 2, datetime.fromtimestamp(1e9, UTC))


def test_an_alarm_says_how_full_how_long_and_what_to_do(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", max_bytes=1000, max_age=timedelta(days=10))
    hour = timedelta(hours=1)
    assert spool.alarm(Waiting(0, 0, 0, None), AT) is None
    assert spool.alarm(Waiting(1, 1, 799, AT - 4 * hour), AT) is None
    full = spool.alarm(Waiting(1, 1, 800, AT - 16 * hour), AT)
    assert full and full.startswith("the spool is 80% full") and "lasts for another 4 hours" in full
    assert "`lineside doctor`" in full
    stopped = spool.alarm(Waiting(1, 1, 1000, AT - hour), AT)
    assert stopped and "100% full" in stopped and "nothing more is acknowledged" in stopped
    assert spool.alarm(Waiting(1, 1, 1, AT - timedelta(days=7.9)), AT) is None
    aged = spool.alarm(Waiting(1, 1, 1, AT - timedelta(days=8)), AT)
    assert aged and "waits for 10 days is dropped in 2 days" in aged
    small = spool.alarm(Waiting(1, 1, 100, AT - hour), AT)
    assert small is None


def test_an_alarm_comes_when_the_disk_is_smaller_than_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 10**7, 10**7)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    said = Spool(tmp_path).alarm(Waiting(1, 1, 9 * 10**7, AT - 9 * timedelta(hours=1)), AT)
    assert said and said.startswith("the disk of the spool is 90% full") and "another 60 minutes" in said


def test_batches_too_old_are_recorded_then_dropped(tmp_path: Path) -> None:
    writer, other = Spool(tmp_path, "a", clock=lambda: AT), Spool(tmp_path, "b")
    for value in (0, 30, 59, 4000, 10):
        writer.append(batch(value))
    other.append(batch(1))
    for entry in writer.pending():
        if entry.collector == "a":
            os.utime(entry.path, (1e9, 1e9))
    found = Spool(tmp_path, clock=lambda: AT).drop_older(datetime.fromtimestamp(1e9 + 1, UTC))
    spans = [(gap.first, gap.last, gap.rows) for gap in found]
    assert spans == [(AT, AT + 59 * S, 3), (AT + 4000 * S, AT + 4000 * S, 1), (AT + 10 * S, AT + 10 * S, 1)]
    assert gaps(tmp_path) == found and "max_age" in found[0].why
    assert [e.collector for e in writer.pending()] == ["b"]
    assert writer.drop_older(datetime.fromtimestamp(1e9 + 1, UTC)) == []


def test_what_cannot_be_removed_is_dropped_and_recorded_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    for value in (1, 2):
        spool.append(batch(value))
    harmed(spool.pending()[0].path, "a directory")
    for _ in range(2):
        spool.drop_older(datetime(2100, 1, 1, tzinfo=UTC))
    assert spool.pending() == [] and len(damaged_files(tmp_path)) == 1
    assert [gap.rows for gap in gaps(tmp_path)] == [2]


def test_nothing_is_dropped_that_cannot_be_recorded(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a")
    spool.append(batch(1))
    (tmp_path / "a" / "gaps.jsonl").mkdir()
    with pytest.raises(OSError, match="gaps"):
        spool.drop_older(datetime(2100, 1, 1, tzinfo=UTC))
    (entry,) = spool.pending()
    entry.path.write_bytes(b"")
    with pytest.raises(SpoolDamagedError, match="cannot be set aside"):
        spool.read(entry)
    assert spool.pending() == [entry]


def test_the_watch_drops_by_time_that_really_passed_and_not_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "a", max_age=timedelta(days=1))
    spool.append(batch(1))
    passed, now = [0.0], datetime.now(UTC)
    watch = SpoolWatch(spool, now, lambda: passed[0])
    watch.look(now)
    assert watch.waiting.batches == 1 and watch.alarm == ""
    passed[0] = 7200.0
    watch.look(now + timedelta(days=400))  # somebody set the clock
    assert watch.waiting.batches == 1 and "is being dropped" in watch.alarm
    spool.append(batch(2))
    after_a_standstill = SpoolWatch(spool, now + timedelta(days=2), lambda: passed[0])
    after_a_standstill.look(now + timedelta(days=2))
    assert after_a_standstill.waiting.batches == 2
    spool.remove(spool.pending()[1])
    passed[0] = 2 * 86_400.0
    watch.look(now + timedelta(days=2))
    assert watch.waiting.batches == 0 and watch.alarm == "" and [g.rows for g in gaps(tmp_path)] == [1]


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


def test_gaps_survive_a_torn_line_and_are_told_once(tmp_path: Path) -> None:
    assert gaps(tmp_path) == []
    lost = [Gap("a", AT, AT + S, 3, "why", AT), Gap("b", AT, AT, 0, "ä\n", AT + 2 * S)]
    record(tmp_path, lost)
    record(tmp_path, [Gap("a", AT, AT + S, 3, "why", AT + 9 * S)])  # again, after a kill
    assert gaps(tmp_path) == lost
    file = tmp_path / "a" / "gaps.jsonl"
    file.write_bytes(file.read_bytes() + b'{"first": "2026-01')
    assert gaps(tmp_path) == lost
    later = Gap("a", AT, AT, 1, "later", AT + 5 * S)
    record(tmp_path, [later])
    file.write_bytes(file.read_bytes() + b'\xff\n[]\n{"first": 1}\n')
    assert gaps(tmp_path) == [*lost, later]
