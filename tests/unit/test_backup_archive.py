"""The file a backup is: every byte of it counts."""

import io
import tarfile
from pathlib import Path

import pytest

from infra.backup.archive import ArchiveWriter, BackupError, verified


def quiet(what: str, done: int, total: int) -> None:
    """Nobody watches."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    writer = ArchiveWriter(tmp_path / "a.backup")
    writer.add("records/orders/00000.parquet", b"rows" * 50, 7)
    (tmp_path / "segment").write_bytes(b"history" * 300)
    writer.add_file("history/2026-03-01/1_2_3_4_5.parquet", tmp_path / "segment", 3)
    writer.finish({"lineside": "0.1.0", "schema": "0001"})
    return tmp_path / "a.backup"


def test_what_went_in_comes_out(archive: Path) -> None:
    found = verified(archive, quiet)
    assert found.manifest["schema"] == "0001"
    assert [(m.name, m.bytes, m.rows) for m in found.members] == [
        ("records/orders/00000.parquet", 200, 7),
        ("history/2026-03-01/1_2_3_4_5.parquet", 2100, 3),
    ]
    assert [file.read() for _, file in found.contents(found.below("history"))] == [b"history" * 300]
    with tarfile.open(archive) as tar:
        assert tar.getnames()[-2:] == ["manifest.json", "sha256"], "any tar program can look into it"


@pytest.mark.slow
def test_every_flipped_byte_is_found(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    file = tmp_path / "flipped"
    found = []
    for position in range(len(data)):
        with file.open("wb") as target:
            target.write(
                data[:position] + bytes([data[position] ^ (1 << position % 8)]) + data[position + 1 :]
            )
        try:
            verified(file, quiet)
        except BackupError:
            found.append(position)
    assert found == list(range(len(data)))


def test_the_damaged_member_is_named(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes().replace(b"historyhistory", b"historyhistorx", 1))
    with pytest.raises(
        BackupError, match=r"is damaged \(history/2026-03-01/1_2_3_4_5.parquet\): nothing was changed"
    ):
        verified(archive, quiet)


def test_a_file_cut_short_or_longer_is_refused(archive: Path) -> None:
    data = archive.read_bytes()
    for length in (0, 1, 511, 512, 1024, 2000, len(data) // 2, 5120, len(data) - 9000, len(data) - 1):
        archive.write_bytes(data[:length])
        if length >= len(data.rstrip(b"\0")):
            continue  # only the tar's own padding is missing
        with pytest.raises(BackupError, match=r"damaged|no Lineside backup|not a Lineside backup"):
            verified(archive, quiet)
    archive.write_bytes(data + b"more")
    with pytest.raises(BackupError, match="damaged"):
        verified(archive, quiet)


def test_other_files_are_no_backup(tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(BackupError, match="there is no file"):
        verified(other, quiet)
    other.write_text("hello")
    with pytest.raises(BackupError, match="is not a Lineside backup"):
        verified(other, quiet)
    with tarfile.open(other, "w") as tar:
        tar.addfile(tarfile.TarInfo("x"), io.BytesIO())
    with pytest.raises(BackupError, match="no Lineside backup"):
        verified(other, quiet)
    with pytest.raises(BackupError, match="cannot be read"):
        verified(tmp_path, quiet)


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.backup.archive.FORMAT", 2)
    ArchiveWriter(tmp_path / "new").finish({"lineside": "9.0.0"})
    monkeypatch.undo()
    with pytest.raises(
        BackupError, match=r"made by Lineside 9.0.0, which is newer: restore it with that version"
    ):
        verified(tmp_path / "new", quiet)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "history/../../outside"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    writer = ArchiveWriter(tmp_path / "bad")
    writer.add(name, b"x")
    writer.finish({"lineside": "0.1.0"})
    with pytest.raises(BackupError, match="was not made by Lineside"):
        verified(tmp_path / "bad", quiet)


def test_a_manifest_that_says_something_else_is_refused(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path / "bad")
    writer.add("history/a", b"x")
    writer.members.clear()
    writer.finish({"lineside": "0.1.0"})
    with pytest.raises(BackupError, match="was not made by Lineside"):
        verified(tmp_path / "bad", quiet)


def test_there_is_nothing_under_the_name_before_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a"
    writer = ArchiveWriter(target)
    writer.add("x", b"x")
    assert not target.exists()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BackupError, match="choose a folder that is there"):
        ArchiveWriter(tmp_path / "none" / "a")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path / "a")
    writer._file.close()
    writer._file = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
    writer._tar.fileobj._file = writer._file  # type: ignore[union-attr]
    with pytest.raises(BackupError, match=r"No space left on device.*make room"):
        writer.add("x", b"x" * 100_000)
    writer.abandon()
