import socket
import subprocess
import sys
from pathlib import Path

import pytest

from watchkeeper.agent import doctor, registry
from watchkeeper.agent.command_line import main
from watchkeeper.agent.doctor import Remark, show
from watchkeeper.core.testkit import RunningWatchkeeper
from watchkeeper.core.testkit.ports import free_port

PATIENT = """
import sys
from watchkeeper.agent import command_line, health

health._SECONDS = 60.0
sys.exit(command_line.main())
"""


def run_doctor(config: Path, *program: str) -> tuple[int, str]:
    """In a process of its own: in this one other tests may have loaded the libraries of made-up devices."""
    command = [sys.executable, *(program or ("-m", "watchkeeper")), "doctor", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


def test_a_taken_port_is_bad_and_says_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = tmp_path / "c.yaml"
        config.write_text(f"web: {{port: {taken.getsockname()[1]}}}\notlp: {{enabled: false}}\n")
        code, out = run_doctor(config)

    assert code == 1
    assert "bad   web" in out
    assert "set web.port" in " ".join(out.split())
    assert out.endswith("\nTo act on: web (bad above)\n")


def test_beside_a_watchkeeper_that_runs_its_ports_are_no_fault(tmp_path: Path) -> None:
    tap = {"port": free_port(), "upstream": f"http://127.0.0.1:{free_port()}"}
    with RunningWatchkeeper(tmp_path, {"tap": [tap]}):
        code, out = run_doctor(tmp_path / "watchkeeper.yaml", "-c", PATIENT)

    said = " ".join(out.split())
    assert "note web a watchkeeper runs here already" in said.replace("  ", " ")
    assert said.count("is in use, by the watchkeeper that runs") == 3
    assert [line.split()[1] for line in out.splitlines() if line.startswith("bad")] == ["tap"]
    assert "bad tap" in said
    assert code == 1


def test_a_package_that_is_missing_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'lz4'", name="lz4.block")

    monkeypatch.setattr(registry, "checks", missing)

    assert main(["check-config", "/dev/null"]) == 2
    assert capsys.readouterr().err.startswith("watchkeeper: the Python package `lz4.block` is not installed here")


def test_a_module_of_our_own_that_is_missing_is_our_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModuleNotFoundError("No module named 'detectors.gone'", name="detectors.gone")

    monkeypatch.setattr(registry, "checks", missing)

    with pytest.raises(ModuleNotFoundError):
        main(["check-config", "/dev/null"])


def test_a_clock_far_in_the_past_is_bad() -> None:
    assert [remark.mark for remark in doctor.clock(1_000_000.0)] == ["bad"]


def test_a_foreign_package_of_our_name_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Foreign:
        origin = str(tmp_path / "collector" / "__init__.py")

    monkeypatch.setattr(registry, "find_spec", lambda name: Foreign() if name == "collector" else None)

    assert main(["check-config", "/dev/null"]) == 2
    assert "install watchkeeper into an environment of its own" in capsys.readouterr().err


def test_long_lines_are_folded_for_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    lines = show([Remark("ok", "subject", "word " * 40)]).splitlines()

    assert len(lines) > 3
    assert max(map(len, lines)) <= 60
