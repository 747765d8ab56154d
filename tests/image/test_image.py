"""What deploy/docker/Dockerfile promises. `scripts/image` builds it and starts what comes out; that takes minutes."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from watchkeeper.agent.command_line import main

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "docker"
STEPS = DockerfileParser(str(FOLDER / "Dockerfile")).structure
LOCKS = ("image", "image-report")


def stages() -> dict[str, list[dict[str, str]]]:
    """Steps by the name of their stage."""
    found: dict[str, list[dict[str, str]]] = {}
    for step in STEPS:
        if step["instruction"] == "FROM":
            name = step["value"].rpartition(" AS ")[2]
        if step["instruction"] not in ("COMMENT", "ARG") or found:
            found.setdefault(name, []).append(step)
    return found


def values(instruction: str, stage: str) -> list[str]:
    return [step["value"] for step in stages()[stage] if step["instruction"] == instruction]


def copied() -> Iterator[str]:
    """What the build takes from the checkout."""
    for step in STEPS:
        if step["instruction"] == "COPY" and not step["value"].startswith("--from"):
            yield from step["value"].split()[:-1]


def pins(name: str) -> dict[str, set[str]]:
    lock = (ROOT / "requirements" / f"{name}.txt").read_text()
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


def test_the_linter_has_nothing_to_say():
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", FOLDER / "Dockerfile"], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def test_everything_that_is_copied_is_there_and_nothing_else_reaches_the_build():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]

    assert lines[0] == "*"
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert [source for source in copied() if not any(covers(pattern, source) for pattern in let_in)] == []
    assert [pattern for pattern in let_in if not any(covers(pattern, source) for source in copied())] == []


def covers(pattern: str, path: str) -> bool:
    return path.startswith(f"{pattern}/") or Path(path).match(pattern)


def test_every_package_of_python_comes_by_hash_and_is_not_built_or_is_our_own():
    installations = [
        command
        for step in STEPS
        if step["instruction"] == "RUN"
        for command in step["value"].split("&&")
        if re.search(r"\bpip\b.* (install|wheel) ", command)
    ]
    from_outside = [one for one in installations if "--no-index" not in one]

    assert len(installations) == 5
    assert [one for one in installations if "--no-deps" not in one] == []
    assert len(from_outside) == 3
    assert [one for one in from_outside if "--require-hashes" not in one or "--only-binary :all:" not in one] == []


@pytest.mark.parametrize("name", LOCKS)
def test_what_is_in_the_image_is_what_was_tested(name):
    tested = pins("test")

    assert len(pins(name)) > 40
    assert {package: versions for package, versions in pins(name).items() if not versions <= tested[package]} == {}


@pytest.mark.parametrize(("name", "extras"), [("image", ("store", "postgres")), ("image-report", ("report",))])
def test_what_the_project_wants_is_in_the_image(name, extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    wanted = {match[1].lower() for line in lines if (match := re.match(r"([\w-]+)(?:\[\w+\])?==", line))}

    assert len(wanted) > 20
    assert wanted - pins(name).keys() == set()


def test_the_report_image_is_the_image_and_more():
    small, large = (pins(name) for name in LOCKS)

    assert {package: large.get(package) for package in small} == small
    assert {"evidently", "pandas"} <= large.keys() - small.keys()


def test_both_targets_are_the_same_but_for_their_packages():
    last = stages()["watchkeeper"], stages()["report"]

    assert [step["value"] for step in last[0]][1:] == [
        step["value"].replace("build-report", "build-watchkeeper") for step in last[1]
    ][1:]
    assert [values("FROM", stage) for stage in ("watchkeeper", "report")] == [
        ["runtime AS watchkeeper"],
        ["runtime AS report"],
    ]
    assert STEPS[-1] in last[0], "what is built without --target is the small one"


def test_it_runs_without_a_shell_as_a_user_by_number():
    [user], [entry], [command], [health] = (
        values(name, "runtime") for name in ("USER", "ENTRYPOINT", "CMD", "HEALTHCHECK")
    )
    health = health.partition("CMD ")[2]

    assert user == "65532:65532"
    assert json.loads(entry) == json.loads(health)[:1] == ["/opt/watchkeeper/bin/watchkeeper"]
    assert json.loads(command) == ["run", "--config", "/etc/watchkeeper/watchkeeper.yaml"]
    assert json.loads(health)[1:] == ["health", "--config", "/etc/watchkeeper/watchkeeper.yaml"]


def test_nothing_is_downloaded_while_it_runs_and_nothing_compiled():
    environment = " ".join(values("ENV", "runtime"))

    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert [one for one in values("RUN", "runtime") if re.search(r"\b(pip|curl|wget)\b", one)] == []
    assert all("rm -rf /var/lib/apt/lists" in one for one in values("RUN", "runtime") if "apt-get" in one)


def test_the_labels_are_those_of_the_oci_and_the_version_is_that_of_the_project():
    [labels] = values("LABEL", "runtime")
    keys = re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", labels)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert sorted(keys) == sorted(
        ["title", "description", "licenses", "version", "revision", "created", "source", "base.name"]
    )
    assert f"VERSION={project['version']}" in values("ARG", "runtime")
    assert f'description="{project["description"]}"' in labels
    assert f'licenses="{project["license"]}"' in labels


def test_its_own_configuration_is_good_and_can_be_reached_from_outside(capsys):
    path = FOLDER / "watchkeeper.yaml"

    assert main(["check-config", str(path)]) == 0
    assert path.read_text().count("host: 0.0.0.0") == 2


@pytest.mark.parametrize(
    ("licence", "may"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("Apache Software License; MIT License", True),
        ("GPL-3.0 OR MIT", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("MIT License\n\nCopyright (c) 2022 Somebody", True),
        ("MIT AND GPL-3.0", False),
        ("GPL-3.0", False),
        ("AGPL-3.0-only; MIT", False),
        ("Not the MIT License", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_a_licence_may_be_shipped_when_all_that_it_demands_is_known(licence, may):
    is_permitted = runpy.run_path(str(FOLDER / "finish.py"))["is_permitted"]

    assert is_permitted(licence) is may
