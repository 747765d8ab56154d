import json
from pathlib import Path

import pytest

from watchkeeper import __version__
from watchkeeper.agent.command_line import main
from watchkeeper.core.vocabulary import METRICS


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_metrics_prints_the_whole_vocabulary(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--format", "json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert [entry["prometheus_name"] for entry in printed] == [metric.prometheus_name for metric in METRICS]


def test_metrics_as_text_names_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    main(["metrics"])

    out = capsys.readouterr().out
    assert all(metric.prometheus_name in out for metric in METRICS)


def test_the_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config-schema"]) == 0

    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")


def test_a_good_file_is_ok_and_a_bad_one_lists_every_mistake_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("log_level: debug\n")
    good = main(["check-config", str(file)])
    file.write_text("log_lvl: debug\nwebb: {}\n")
    bad = main(["check-config", str(file)])

    err = capsys.readouterr().err.splitlines()
    assert (good, bad) == (0, 2)
    assert err == [
        "watchkeeper: log_lvl: unknown setting; did you mean 'log_level'?",
        "watchkeeper: webb: unknown setting; did you mean 'web'?",
    ]
