import socket
from pathlib import Path

import pytest

from watchkeeper.agent import doctor, registry
from watchkeeper.agent.command_line import main
from watchkeeper.agent.doctor import Remark, show


def test_a_taken_port_is_bad_and_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = tmp_path / "c.yaml"
        config.write_text(f"web: {{port: {taken.getsockname()[1]}}}\notlp: {{enabled: false}}\n")
        code = main(["doctor", "--config", str(config)])

    out = capsys.readouterr().out
    assert code == 1
    assert "bad   web" in out
    assert "set web.port" in " ".join(out.split())


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
