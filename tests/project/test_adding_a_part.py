"""docs/adding-a-part.md, followed to the letter in a copy."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from watchkeeper.core.testkit import RunningWatchkeeper

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-part.md").read_text(encoding="utf-8")
FOLDERS = ("watchkeeper", "collector", "detectors", "exporters", "dashboards", "docs", "tests/contract")


pytestmark = pytest.mark.timeout(1000)  # all contracts and all types, beside whatever else this machine does


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """This project with the page's source in it, and nothing done that the page does not say."""
    folder = tmp_path_factory.mktemp("project")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for path, text in re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", PAGE, re.M | re.S):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        assert not (folder / path).exists()
        (folder / path).write_text(text)
    name_twice(folder / "watchkeeper/core/vocabulary/__init__.py", "rooms", "Final = (", "Final = (rooms, ")
    name_twice(folder / "collector/__init__.py", "room", "] = (", "] = (room.PLUGIN, ")
    for page, command in (("metrics", "metrics"), ("config", "config-schema")):
        done = run(folder, "-m", "watchkeeper", command, "--format", "markdown")
        (folder / "docs" / f"{page}.md").write_text(done.stdout)
    return folder


def name_twice(listing: Path, module: str, opening: str, listed: str) -> None:
    """Into the last import of parts, and into the list."""
    text, imported = re.subn(
        r"^(from (?:collector|watchkeeper\.core\.vocabulary) import )(\(?)",
        rf"\1\2{module}, ",
        listing.read_text(),
        flags=re.M,
    )
    assert (imported, text.count(opening)) == (1, 1)
    listing.write_text(text.replace(opening, listed))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=900)


def test_the_part_of_the_page_keeps_the_promises_of_every_part_and_its_own_tests_pass(copy):
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract", "tests/collector/test_room.py")

    assert done.returncode == 0, done.stdout


def test_the_part_of_the_page_is_typed_and_in_form(copy):
    files = ["collector/room.py", "watchkeeper/core/vocabulary/rooms.py"]
    typed = run(copy, "-m", "mypy", "--follow-imports=silent", *files)
    form = run(copy, "-m", "ruff", "check", "--no-cache", *files, "tests/collector/test_room.py")

    assert typed.returncode == 0, typed.stdout
    assert form.returncode == 0, form.stdout


def test_the_part_of_the_page_shows_its_metric_and_leaves_the_ledger_whole(copy, tmp_path, monkeypatch):
    thermometer = tmp_path / "temperature"
    thermometer.write_text("21500\n")
    monkeypatch.chdir(copy)
    with RunningWatchkeeper(tmp_path, {"room": {"enabled": True, "path": str(thermometer)}}) as watchkeeper:
        assert watchkeeper.wait_for("watchkeeper_room_temperature_celsius") == 21.5
        assert watchkeeper.wait_for("watchkeeper_source_up", source="room") == 1
        assert watchkeeper.value("watchkeeper_pipeline_exported_total", source="room") is None


def test_doctor_says_what_the_page_says_of_its_part(copy):
    config = copy / "watchkeeper.yaml"
    config.write_text("room: {enabled: true, path: /nowhere/temperature}\n")

    said = " ".join(run(copy, "-m", "watchkeeper", "doctor", "--config", str(config)).stdout.split())

    assert "room.path: /nowhere/temperature: No such file or directory; name another file" in said
