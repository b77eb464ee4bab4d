"""`make setup` and `make services` say in one sentence what is wrong."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "infra" / "scripts"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository, as far as the setup looks at it."""
    (tmp_path / "infra" / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPTS / "setup.py", tmp_path / "infra" / "scripts")
    return tmp_path


def setup(checkout: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(checkout / "infra" / "scripts" / "setup.py")]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_setup_without_requirements_names_the_file(checkout: Path) -> None:
    done = setup(checkout)
    assert done.returncode == 1
    assert (
        done.stderr == f"setup: {checkout}/requirements.txt is missing: fetch it again from the repository\n"
    )
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_setup_without_network_says_so_and_can_be_repeated(checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("polars==2.1.0 --hash=sha256:" + "0" * 64)
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull,
    }
    for _ in range(2):
        done = setup(checkout, **nowhere)
        assert done.returncode == 1
        assert "the package index cannot be reached" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not (checkout / ".venv" / ".ready").exists()
    assert "making .venv" not in done.stdout


def services(path: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/bash", str(SCRIPTS / "services.sh")],
        env={"PATH": str(path), "HEADERS": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A path with all the programs and headers that services.sh looks for."""
    for program in ("chromium", "gcc", "influxd", "mosquitto", "nginx", "postgres"):
        (tmp_path / program).symlink_to("/bin/true")
    (tmp_path / "modbus").mkdir()
    (tmp_path / "modbus" / "modbus.h").touch()
    return tmp_path


def test_services_has_nothing_to_do_when_all_is_there(programs: Path) -> None:
    done = services(programs)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == "services: chromium, gcc, influxd, libmodbus, mosquitto, nginx and postgres are installed\n"
    )


@pytest.mark.parametrize(("gone", "package"), [("influxd", "influxdb"), ("modbus/modbus.h", "libmodbus-dev")])
def test_services_names_what_is_missing_where_it_cannot_install(
    programs: Path, gone: str, package: str
) -> None:
    (programs / gone).unlink()
    done = services(programs)
    assert done.returncode == 1
    assert f"missing {package}, and this is not a Debian machine" in done.stderr
