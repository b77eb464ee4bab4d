"""The files of infra/deploy: systemd takes the units, commands and variables exist, ports and volumes fit.

Nothing is deployed here. Where systemd-analyze is not installed, the units are still read and checked.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.main import get_command

from infra.cli import app
from infra.cli.provision import OWN_TOKEN, PASSWORD, POSTGRES, TOKEN, USER
from infra.plantfile import load, with_secrets
from plant.parse import PlantErrors

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "infra" / "deploy"
SYSTEMD = DEPLOY / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("*.service"))
PARTS = ("alert", "collect", "derive", "serve")
PROGRAM = "/opt/lineside/.venv/bin/lineside"
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 2.0
"""Of systemd's own scale: 0 is nothing, 10 is everything."""

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
EXAMPLE = (DEPLOY / ".env.example").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Sections, keys, values; a key may be there more than once."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in (SYSTEMD / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, f"{name}: {line}"
            section.setdefault(key, []).append(value)
    return found


def parse(arguments: list[str]) -> dict[str, Any]:
    """What the command line makes of the arguments of `lineside`; it raises for what it does not know."""
    commands: dict[str, Any] = getattr(get_command(app), "commands")  # noqa: B009 (typed as a plain command)
    parsed: dict[str, Any] = commands[arguments[0]].make_context(arguments[0], arguments[1:]).params
    return parsed


def variables(text: str) -> set[str]:
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))


def test_there_is_a_unit_for_all_and_one_for_each_part() -> None:
    assert sorted(["lineside.service", *(f"lineside-{part}.service" for part in PARTS)]) == UNITS
    target = unit("lineside.target")
    assert sorted(target["Unit"]["Wants"][0].split()) == sorted(set(UNITS) - {"lineside.service"})
    conflicts = unit("lineside.service")["Unit"]["Conflicts"][0].split()
    assert sorted(conflicts) == sorted({"lineside.target", *UNITS} - {"lineside.service"})


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_a_command_that_exists(name: str) -> None:
    program, *arguments = shlex.split(unit(name)["Service"]["ExecStart"][0])
    assert program == PROGRAM
    parsed = parse(arguments)
    assert parsed["plant"] == Path("/etc/lineside/plant.toml")
    assert parsed["data"] == Path("/var/lib/lineside")
    part = name.removeprefix("lineside").removesuffix(".service").removeprefix("-")
    assert (arguments[-2:] == ["--part", part]) == bool(part)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_can_harm_nothing_and_never_gives_up(name: str) -> None:
    found = unit(name)
    service = {key: values[-1] for key, values in found["Service"].items()}
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID"):
        assert service[key] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert (service["User"], service["StateDirectory"]) == ("lineside", "lineside")
    assert service["EnvironmentFile"] == "-/etc/lineside/secrets.env"
    assert service["Restart"] == "always"
    assert found["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert re.fullmatch(r"\d+G", service["MemoryMax"])
    assert "u lineside " in (SYSTEMD / "lineside.sysusers").read_text()


def test_the_units_differ_in_what_they_run_alone() -> None:
    own = {"ExecStart", "MemoryMax"}
    alike = [{k: v for k, v in unit(name)["Service"].items() if k not in own} for name in UNITS]
    assert all(service == alike[0] for service in alike)


if ANALYZE:

    def analyze(*arguments: str, units: Path) -> "subprocess.CompletedProcess[str]":
        assert ANALYZE
        environment = {"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin", "HOME": str(units)}
        return subprocess.run(
            [ANALYZE, *arguments], env=environment, cwd=units, capture_output=True, text=True, check=False
        )

    @pytest.fixture(scope="module")
    def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The units with a program that is there on this machine."""
        folder = tmp_path_factory.mktemp("units")
        for path in [*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target")]:
            (folder / path.name).write_text(path.read_text().replace(PROGRAM, sys.executable))
        return folder

    def test_systemd_takes_the_units_without_a_word(installed: Path) -> None:
        names = [f"./{path.name}" for path in installed.iterdir()]
        done = analyze("verify", "--man=no", "--recursive-errors=yes", *names, units=installed)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    def test_systemd_would_notice_a_word_it_does_not_know(installed: Path, tmp_path: Path) -> None:
        text = (installed / "lineside.service").read_text().replace("ProtectHome", "ProtectHomes")
        (tmp_path / "wrong.service").write_text(text)
        assert "ProtectHomes" in analyze("verify", "--man=no", "./wrong.service", units=tmp_path).stderr

    @pytest.mark.parametrize("name", UNITS)
    def test_systemd_finds_little_that_a_unit_could_reach(name: str, installed: Path) -> None:
        done = analyze("security", "--offline=yes", f"./{name}", units=installed)
        level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        assert level
        assert float(level[1]) <= MOST_EXPOSED


def test_every_variable_is_explained_and_every_explained_one_is_used() -> None:
    used = variables((DEPLOY / "compose.yaml").read_text())
    plant = tomllib.loads((DEPLOY / "plant.toml").read_text())
    used |= {
        v["env"] for table in plant.values() if isinstance(table, dict) for v in table.values() if "env" in v
    }
    used |= {USER, PASSWORD, TOKEN, OWN_TOKEN, POSTGRES}
    explained = re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE, re.MULTILINE)
    assert sorted(explained) == sorted(used)


def test_there_is_no_password_but_the_plants_own() -> None:
    # A line that is not a comment is empty; compose has no value of its own for a secret.
    assert [
        line for line in EXAMPLE.splitlines() if not line.startswith("#") and line and line[-1] != "="
    ] == []
    text = (DEPLOY / "compose.yaml").read_text()
    for name, otherwise in re.findall(r"(?<!\$)\$\{([A-Z_]+)([^}]*)\}", text):
        if any(word in name for word in ("PASSWORD", "TOKEN", "USER")):
            assert otherwise in ("-", ":?see .env.example"), name
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "TOKEN" in key:
                assert value.startswith("${"), f"{name}: {key}"
    assert "allow_anonymous false" in (DEPLOY / "mosquitto.conf").read_text()
    # Only what sets the server up knows its administrator.
    assert [n for n, s in SERVICES.items() if any("ADMIN" in k for k in s.get("environment", {}))] == [
        "provision"
    ]


def test_images_are_pinned_to_a_major_version() -> None:
    images = {service["image"] for service in SERVICES.values()} - {"lineside:local"}
    images |= set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert len(images) == 4
    assert [image for image in images if not re.fullmatch(r"[a-z-]+:\d+(\.\d+)*(-[a-z]+)?", image)] == []


def test_lineside_runs_commands_that_exist() -> None:
    own = {name: service for name, service in SERVICES.items() if service["image"] == "lineside:local"}
    assert sorted(own) == ["lineside", "provision"]
    for service in own.values():
        parsed = parse(service["command"])
        assert parsed["plant"] == Path("/etc/lineside/plant.toml")
        assert str(parsed["data"]) in {volume.split(":")[1] for volume in service["volumes"]}
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
    port = parse(own["lineside"]["command"])["port"]
    assert f"http://127.0.0.1:{port}/health" in own["lineside"]["healthcheck"]["test"][-1]


def test_what_stays_up_has_a_health_check_and_is_started_again() -> None:
    for name, service in SERVICES.items():
        if name != "provision":
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
            assert service["restart"] == "unless-stopped", name
    for name in ("lineside", "provision"):
        needed = SERVICES[name]["depends_on"]
        assert set(needed) == {"influxdb", "postgres"}
        assert all(how == {"condition": "service_healthy"} for how in needed.values())


def test_ports_are_on_loopback_and_those_of_the_plant_file() -> None:
    published = {}
    for name, service in SERVICES.items():
        for entry in service.get("ports", []):
            address, outside, inside = entry.rsplit(":", 2)
            assert address in ("127.0.0.1", "${LINESIDE_MQTT_ADDRESS:-127.0.0.1}")
            assert outside == inside
            published[name] = int(outside)
    assert published == {"influxdb": 8086, "postgres": 5432, "mqtt": 1883}
    plant = tomllib.loads((DEPLOY / "plant.toml").read_text())
    assert urlsplit(plant["historian"]["url"]).port == published["influxdb"]
    assert "listener 1883" in (DEPLOY / "mosquitto.conf").read_text()
    # Which is how Lineside, on the machine's own network, reaches them.
    for name in ("lineside", "provision"):
        assert SERVICES[name]["network_mode"] == "host"
        records = urlsplit(
            re.sub(r"\$\{[^}]*\}", "secret", SERVICES[name]["environment"]["LINESIDE_RECORDS_URL"])
        )
        postgres = SERVICES["postgres"]["environment"]
        assert records.port == published["postgres"]
        assert (records.username, records.path) == (postgres["POSTGRES_USER"], f"/{postgres['POSTGRES_DB']}")


def test_volumes_are_declared_and_files_are_there() -> None:
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).is_file(), source
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])
    build = SERVICES["lineside"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_the_plant_file_is_one_and_its_secrets_are_what_compose_hands_over() -> None:
    plant = load(DEPLOY / "plant.toml")
    assert plant.historian.kind == "influxdb"
    with pytest.raises(PlantErrors) as caught:
        with_secrets(plant, {})
    missing = {re.search(r"[A-Z_]{5,}", error.problem)[0] for error in caught.value.errors}  # type: ignore[index]
    assert missing == set(SERVICES["lineside"]["environment"])
    assert missing < set(SERVICES["provision"]["environment"])


def test_the_image_holds_every_package_and_runs_as_nobody_in_particular() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"][
        "include"
    ]
    copied = set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE))
    assert copied == {name.removesuffix("*") for name in packages}
    let_through = set(re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    files = {
        name
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in line.split()
    }
    assert let_through == files
    assert all((ROOT / name).exists() for name in files)
    stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER lineside$", stage, re.MULTILINE)
    assert "--require-hashes" in DOCKERFILE
    entry = re.search(r"^ENTRYPOINT \[\"(.+)\"\]$", stage, re.MULTILINE)
    assert entry
    assert entry[1] == PROGRAM


def test_the_page_shows_what_is_there() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for name in re.findall(r"infra/deploy/[\w./-]*\w", page):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`(lineside-\w+|lineside\.\w+)`", page):
        assert list(SYSTEMD.glob(f"{name}*")), name
    for name, rest in re.findall(r"^docker compose run --rm (\w+)(.*)$", page, re.MULTILINE):
        parse(rest.split() or SERVICES[name]["command"])
    for name in re.findall(r"--profile (\w+)", page):
        assert any(name in service.get("profiles", []) for service in SERVICES.values())
    for path in re.findall(r"`(tests/\S+\.py)`", page):
        assert (ROOT / path).is_file()
