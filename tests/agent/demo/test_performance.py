import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from watchkeeper.agent.command_line import main
from watchkeeper.agent.demo import run_demo
from watchkeeper.agent.demo.children import Child, DemoFailed, port_near
from watchkeeper.agent.demo.performance import ENGINE_LIBRARY
from watchkeeper.agent.demo.promised import PROMISED
from watchkeeper.agent.demo.watching import pause_seconds
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.testkit import free_port, require_library

ROOT = Path(__file__).parents[3]


def test_a_short_demo_shows_every_promised_metric_and_leaves_nothing_behind(tmp_path):
    require_library(ENGINE_LIBRARY, "libgomp1")
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", "demo"],
        env={**os.environ, "DEMO_SECONDS": "15", "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"All {len(PROMISED)} promised metrics are there." in done.stdout
    assert "client_error" in done.stdout
    assert "timeout" in done.stdout
    assert max(map(len, done.stdout.replace(str(tmp_path), "/tmp").splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_a_demo_that_is_interrupted_sums_up_too(tmp_path):
    require_library(ENGINE_LIBRARY, "libgomp1")
    with subprocess.Popen(
        [sys.executable, "-m", "watchkeeper", "demo", "--seconds", "300"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        lines = []
        for line in demo.stdout:
            lines.append(line)
            if line.startswith("    0:05"):  # the first line of progress
                demo.send_signal(signal.SIGINT)
                break
        rest, _ = demo.communicate(timeout=120)

    assert demo.returncode == 0, "".join(lines) + rest
    assert "promised metrics are there" in rest
    assert processes_of(tmp_path) == []


def test_a_demo_whose_reader_has_gone_leaves_nothing_behind(tmp_path):
    require_library(ENGINE_LIBRARY, "libgomp1")
    with subprocess.Popen(
        [sys.executable, "-m", "watchkeeper", "demo", "--seconds", "300"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        demo.stdout.readline()
        demo.stdout.close()
        complaints = demo.stderr.read()
        demo.wait(timeout=120)

    assert complaints == ""
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_a_process_that_ends_too_early_is_named_with_its_last_words(tmp_path):
    child = Child("engine", ["watchkeeper", "check-config", str(tmp_path / "absent.yaml")], tmp_path, os.environ)

    with pytest.raises(DemoFailed, match=r"engine ended with exit code 2\.(.|\n)*absent\.yaml"):
        child.wait_for(lambda: False, 60, Event())


def test_a_process_that_does_not_get_ready_is_named(tmp_path):
    child = Child("engine", ["http.server", str(free_port())], tmp_path, os.environ)

    with pytest.raises(DemoFailed, match="engine is not ready after 0 s"):
        child.wait_for(lambda: False, 0.2, Event())
    child.end(10)


def test_a_taken_port_is_given_another():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        wanted = listener.getsockname()[1]
        taken: set[int] = set()

        other = port_near(wanted, taken)

    assert other not in (0, wanted)
    assert taken == {other}


def test_a_free_port_is_kept_unless_another_part_has_it():
    wanted = free_port()

    assert port_near(wanted, set()) == wanted
    assert port_near(wanted, {wanted}) != wanted


@pytest.mark.parametrize("text", ["soon", "0", "-3", "nan", "inf"])
def test_a_duration_that_is_no_time_is_the_operators_to_change(monkeypatch, text):
    monkeypatch.setenv("DEMO_SECONDS", text)

    with pytest.raises(ConfigError, match=f"DEMO_SECONDS: expected a number of seconds above 0, got '{text}'"):
        run_demo()


def test_a_duration_on_the_command_line_is_refused_by_its_own_name(capsys):
    assert main(["demo", "--seconds", "-3"]) == 2
    assert "watchkeeper: --seconds: expected a number of seconds above 0, got '-3'" in capsys.readouterr().err


@pytest.mark.parametrize("elapsed", [0, 4.9, 30, 58, 59, 61, 3600, 1e6])
def test_a_line_comes_at_least_every_15_seconds_and_none_after_the_end(elapsed):
    assert 0 < pause_seconds(elapsed, None) <= 15
    assert pause_seconds(elapsed, elapsed + 1) == pytest.approx(1)


def processes_of(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder, or are the demo's own modules."""
    found = []
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={folder}".encode() in process.read_bytes():
                found.append(process.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
