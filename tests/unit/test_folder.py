"""The data folder and the address: a second instance, a folder or port that cannot be used, and no way out."""

import socket
from pathlib import Path

import pytest

from infra.folder import DataFolder, FolderError
from infra.serve import AddressError, check_address


def test_a_second_instance_is_refused(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path / "data"),
        pytest.raises(FolderError, match=r"Another Lineside is using .*--data"),
        DataFolder(tmp_path / "data"),
    ):
        pass
    with DataFolder(tmp_path / "data"):
        pass  # free again


def test_a_folder_that_cannot_be_written_is_one_sentence() -> None:
    with (
        pytest.raises(FolderError, match=r"Cannot write to the data folder .*--data"),
        DataFolder(Path("/proc/nothing")),
    ):
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "plant.example", "8.8.8.8"])
def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(AddressError, match=r"loopback only.*no sign-in"):
        check_address(host, 8050)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_taken_port_is_one_sentence(host: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=f"Port {port} is taken.*--port"):
            check_address(host, port)
    check_address(host, port)
