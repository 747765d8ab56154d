"""A state folder is one watchkeeper's: the second is told so and ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from watchkeeper.agent.claim import Claim
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.testkit import RunningWatchkeeper


def test_a_second_watchkeeper_on_a_state_folder_ends_with_a_reason_and_a_third_after_the_first(tmp_path: Path) -> None:
    state = tmp_path / "state"
    settings = {"state_folder": str(state), "otlp": {"enabled": False}}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with RunningWatchkeeper(tmp_path / "first", settings) as first:
        second = subprocess.run(
            [sys.executable, "-m", "watchkeeper", "run"],
            env=os.environ | {"WATCHKEEPER__STATE_FOLDER": str(state), "WATCHKEEPER__WEB__PORT": "0"},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert second.returncode == 2
        assert second.stderr.splitlines()[-1].startswith(
            f"watchkeeper: state_folder: '{state}' is in use by another watchkeeper (process {first.pid} on "
        )
        os.kill(first.pid, signal.SIGKILL)
        with RunningWatchkeeper(tmp_path / "second", settings) as third:
            assert third.status("/readyz") == 200


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    Claim(str(tmp_path / "state")).release()

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_was_given_back_can_be_had(tmp_path: Path) -> None:
    first = Claim(str(tmp_path / "state"))
    with pytest.raises(ConfigError, match="is in use by another watchkeeper"):
        Claim(str(tmp_path / "state"), 0.0)
    first.release()

    Claim(str(tmp_path / "state"), 0.0).release()


def test_a_link_in_the_place_of_the_claim_is_refused_and_what_it_leads_to_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.write_text("not ours")
    (tmp_path / "in-use").symlink_to(other)

    with pytest.raises(ConfigError, match=r"^state_folder: '.*/in-use' is a link, and none is followed; remove it$"):
        Claim(str(tmp_path))

    assert other.read_text() == "not ours"


def test_without_a_folder_or_where_none_can_be_made_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for folder in ("", str(tmp_path / "file" / "state")):
        Claim(folder).release()
        Claim(folder, 0.0).release()

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
