"""Makes `.venv` with everything Lineside needs: `make setup`, or `python3 infra/scripts/setup.py`.

Standard library only. Repeating it is safe; a half-made or moved environment is made anew.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
READY = VENV / ".ready"
LOG = VENV / "setup.log"
OLDEST = (3, 11)

# What pip says, and what to do about it. The first that fits is shown.
ADVICE = (
    (("No space left on device",), "the disk is full: make room and repeat `make setup`"),
    (("Read-only file system", "Permission denied"), f"{VENV} cannot be written: give this user the folder"),
    (
        ("DO NOT MATCH THE HASHES", "Hashes are required", "In --require-hashes mode"),
        "requirements.txt does not fit the packages: fetch it again from the repository, or run `make lock`",
    ),
    (
        (
            "Temporary failure in name resolution",
            "Name or service not known",
            "Failed to establish a new connection",
            "NewConnectionError",
            "Network is unreachable",
            "Connection refused",
            "ConnectTimeoutError",
            "ReadTimeoutError",
            "ProxyError",
            "SSLError",
            "(from versions: none)",
        ),
        "the package index cannot be reached: check the network, or point pip at another index (pip config)",
    ),
    (
        ("No matching distribution found", "Could not find a version"),
        "the package index does not have a package in requirements.txt for this Python: see the log",
    ),
)


class SetupError(Exception):
    """Why there is no environment, in one sentence."""


def main() -> int:
    """Make the environment; 0 when it is ready, 1 after one sentence on what is wrong."""
    began = time.monotonic()
    try:
        check_python()
        make_venv()
        pip("downloading and installing packages", "--require-hashes", "-r", str(ROOT / "requirements.txt"))
        pip("installing Lineside itself", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
        READY.touch()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: stopped; repeat `make setup` to go on", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"setup: {VENV} cannot be written ({error.strerror}): give this user the folder", file=sys.stderr
        )
        return 1
    print(f"setup: ready in {time.monotonic() - began:.0f} s")
    return 0


def check_python() -> None:
    """Raises SetupError when this Python cannot be used."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        wanted = ".".join(map(str, OLDEST))
        raise SetupError(
            f"Python {found} is too old, Lineside needs {wanted} or newer: run `make setup PY=python{wanted}`"
        )
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        raise SetupError(
            "Python's venv module is incomplete: install it (Debian: apt-get install python3-venv)"
        ) from None
    if not (ROOT / "requirements.txt").is_file():
        raise SetupError(f"{ROOT / 'requirements.txt'} is missing: fetch it again from the repository")
    if not os.access(ROOT, os.W_OK):
        raise SetupError(f"{ROOT} cannot be written: copy the repository to a folder of your own")


def make_venv() -> None:
    """A working environment of this Python, kept if there is one."""
    if usable():
        return
    if VENV.exists():
        print("setup: the environment does not work here, making it anew")
        shutil.rmtree(VENV)
    print("setup: making .venv")
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise SetupError(f"`python3 -m venv` failed: {last_line(made.stdout + made.stderr)}")


def usable() -> bool:
    """Whether `.venv` is of a Python new enough, in this place, with pip."""
    if not PYTHON.exists():
        return False
    probe = f"import pip, sys; sys.exit(sys.version_info < {OLDEST} or sys.prefix != {str(VENV)!r})"
    return subprocess.run([str(PYTHON), "-c", probe], capture_output=True, check=False).returncode == 0


def pip(what: str, *arguments: str) -> None:
    """Run `pip install`, its output in the log. Raises SetupError with the advice that fits."""
    print(f"setup: {what}", flush=True)
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        *arguments,
    ]
    environment = {**os.environ, "PYTHONUTF8": "1", "PIP_REQUIRE_VIRTUALENV": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    output = done.stdout + done.stderr
    LOG.write_text(output, encoding="utf-8")
    if done.returncode:
        for signs, advice in ADVICE:
            if any(sign in output for sign in signs):
                raise SetupError(f"{what} failed: {advice} (details in {LOG})")
        raise SetupError(f"{what} failed: {last_line(output)} (details in {LOG})")


def last_line(output: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")


if __name__ == "__main__":
    sys.exit(main())
