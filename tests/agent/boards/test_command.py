"""`watchkeeper dashboards` as an operator calls it."""

import json
import subprocess
import sys

import pytest

from watchkeeper.agent.command_line import main


def test_build_writes_and_check_finds_what_was_changed_or_is_too_much(tmp_path, capsys):
    assert main(["dashboards", "build", "--language", "zh", "--out", str(tmp_path)]) == 0
    assert "10 files, 10 written" in capsys.readouterr().out
    assert main(["dashboards", "build", "--language", "zh", "--out", str(tmp_path)]) == 0
    assert "10 files, 0 written" in capsys.readouterr().out
    assert main(["dashboards", "check", "--language", "zh", "--out", str(tmp_path)]) == 0

    folder = tmp_path / "generated" / "grafana" / "zh"
    (folder / "wk-old.json").write_text("{}")
    changed = folder / "wk-slo.json"
    changed.write_text(changed.read_text().replace("30s", "5s").replace("5m", "1m"))
    capsys.readouterr()
    assert main(["dashboards", "check", "--language", "zh", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "wk-slo.json" in said
    assert "wk-old.json" in said


def test_values_of_the_rules_are_values_of_the_dashboards(tmp_path, capsys):
    values = tmp_path / "values.yaml"
    values.write_text("extra_labels: [region]\nnode_label: instance\n")

    assert main(["dashboards", "build", "--values", str(values), "--language", "en", "--out", str(tmp_path)]) == 0
    board = json.loads((tmp_path / "generated" / "grafana" / "en" / "wk-node.json").read_text())
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "region", "node", "device"]


def test_a_value_that_is_wrong_is_refused(tmp_path, capsys):
    values = tmp_path / "values.yaml"
    values.write_text("scrape_second: 5\n")

    assert main(["dashboards", "build", "--values", str(values), "--out", str(tmp_path)]) == 2
    assert "scrape_second" in capsys.readouterr().err


def test_a_prometheus_that_is_not_there_is_one_clear_line(tmp_path, capsys):
    arguments = ["dashboards", "preview", "--prometheus", "http://127.0.0.1:1", "--out", str(tmp_path)]

    assert main(arguments) == 2
    assert "http://127.0.0.1:1 does not answer as a Prometheus does" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["build", "check", "preview"])
def test_without_grafanalib_it_says_what_to_install(tmp_path, action):
    code = (
        "import sys; sys.modules['grafanalib'] = None;"
        "from watchkeeper.agent.command_line import main;"
        f"sys.exit(main(['dashboards', '{action}', '--out', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 2
    assert "pip install 'watchkeeper[dashboards]'" in done.stderr
    assert "Traceback" not in done.stderr
