"""What a person reads when a machine lacks something that the two commands need."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cat", "cksum", "grep", "mktemp", "tail", "rm", "id", "env")
OLD_PYTHON = '[ "$1" = --version ] && { echo Python 3.9.2; exit; }\nexit 1'
NO_VENV = f'case "$2" in venv|*ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"'


@pytest.fixture
def machine(tmp_path):
    """A copy of what set-up reads, and an empty PATH but for the plainest tools: no python3, no apt-get."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or "missing")
    return tmp_path


def install(machine: Path, name: str, text: str) -> None:
    program = machine / "bin" / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


def set_up(machine: Path, *purpose: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(machine / "scripts" / "set-up"), *purpose]
    environment = {"PATH": str(machine / "bin"), **environment}
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=280)


def test_no_python_is_said_with_the_packages_that_bring_it(machine):
    done = set_up(machine, "demo")

    assert done.returncode == 1
    assert "Python 3.11 or newer is needed, found: none" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_an_old_python_is_said_with_its_version(machine):
    install(machine, "python3", OLD_PYTHON)

    assert "Python 3.11 or newer is needed, found: Python 3.9.2" in set_up(machine, "demo").stderr


def test_a_newer_python_beside_an_old_one_is_taken(machine):
    install(machine, "python3", OLD_PYTHON)
    install(machine, "python3.12", NO_VENV)

    assert f"{machine}/bin/python3.12 cannot make environments" in set_up(machine, "demo").stderr


def test_a_python_without_venv_is_said_with_the_package_that_brings_it(machine):
    install(machine, "python3", NO_VENV)
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"

    done = set_up(machine, "demo")

    assert (done.returncode, f"run: apt-get install {package}" in done.stderr) == (1, True)
    assert not (machine / ".venv").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root is offered an installation; run the tests as root")
def test_root_with_apt_has_the_missing_package_installed(machine):
    install(machine, "python3", NO_VENV)
    install(machine, "apt-get", f'echo "$@" >>{machine}/asked')

    set_up(machine, "demo")

    assert (machine / "asked").read_text().splitlines()[0] == "update -qq"
    assert re.fullmatch(r"install -qq -y --no-install-recommends python3\.\d+-venv", lines(machine / "asked")[1])


def test_without_a_package_index_it_stops_and_the_next_run_tries_again(machine):
    (machine / "bin" / "python3").symlink_to(sys.executable)
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}

    done = set_up(machine, "demo", **nowhere)

    assert done.returncode == 1
    assert "packages could not be installed (pip says why above)" in done.stderr
    assert not (machine / ".venv" / "set-up-demo").exists()


def test_a_purpose_it_does_not_know_is_refused_with_the_usage(machine):
    assert "usage: sh scripts/set-up demo|test" in set_up(machine).stderr
    assert "usage: sh scripts/set-up demo|test" in set_up(machine, "tests").stderr


def test_every_package_is_pinned_by_version_and_hash():
    for path in (ROOT / "requirements").glob("*.txt"):
        for entry in re.split(r"\n(?=\S)", path.read_text()):
            if not entry.startswith("#"):
                assert re.match(r"[a-z0-9-]+==\S+", entry), entry
                assert "--hash=sha256:" in entry


def test_the_locks_hold_the_versions_that_the_project_names():
    named = re.findall(r'^  "([\w-]+)==([\w.]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    locked = (ROOT / "requirements" / "test.txt").read_text()

    assert len(named) > 20
    assert [pin for pin in named if f"\n{pin[0].lower()}=={pin[1]} " not in locked] == []


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
