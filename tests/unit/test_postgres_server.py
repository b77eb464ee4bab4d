"""Where no PostgreSQL is installed, the tests that need one fail with a sentence."""

from pathlib import Path

import pytest

from infra.postgres import server


def test_a_missing_server_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(server.ServerError, match=r"initdb is not installed: run `make services`"):
        server.running(tmp_path / "cluster").__enter__()
    assert not (tmp_path / "cluster").exists()


def test_the_newest_of_debians_versions_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()
    # The pattern is of Debian's folder: /usr/lib/postgresql/VERSION/bin.
    monkeypatch.setattr(server, "_DEBIAN", tmp_path)
    assert server._program("postgres") == str(tmp_path / "17" / "bin" / "postgres")
