import shutil
from itertools import islice

import pytest
import yaml

from dashboards.alerts import catalogue
from dashboards.values import DEFAULTS, Values
from watchkeeper.agent import rules
from watchkeeper.agent.command_line import EXIT_CONFIG, main
from watchkeeper.core.testkit import require


@pytest.fixture
def no_tools(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)


def test_build_writes_rules_tests_routing_and_runbooks_and_says_what_changed(tmp_path, capsys):
    assert main(["rules", "build", "--out", str(tmp_path)]) == 0
    first = capsys.readouterr().out
    assert main(["rules", "build", "--out", str(tmp_path)]) == 0
    second = capsys.readouterr().out

    assert "0 removed" in first
    assert ", 0 written, 0 removed" in second
    assert yaml.safe_load((tmp_path / "generated" / "rules" / "slo.yaml").read_text())["groups"]
    assert (tmp_path / "generated" / "tests" / "slo.yaml").is_file()
    assert (tmp_path / "generated" / "alertmanager.yaml").is_file()
    assert (tmp_path / "runbooks" / "WatchkeeperTtftBudgetBurn.zh-CN.md").is_file()


def test_what_is_no_longer_made_is_removed_and_what_is_not_ours_stays(tmp_path, capsys):
    main(["rules", "build", "--out", str(tmp_path)])
    gone = tmp_path / "runbooks" / "WatchkeeperGone.md"
    others = tmp_path / "generated" / "grafana" / "fleet.json"
    others.parent.mkdir()
    for path in (gone, others):
        path.write_text("{}")
    main(["rules", "build", "--out", str(tmp_path)])

    assert "1 removed" in capsys.readouterr().out
    assert (gone.exists(), others.exists()) == (False, True)


def test_check_says_which_file_is_stale_and_fails(tmp_path, capsys, no_tools):
    main(["rules", "build", "--out", str(tmp_path)])
    assert main(["rules", "check", "--out", str(tmp_path)]) == 0
    path = tmp_path / "generated" / "rules" / "cost.yaml"
    path.write_text(path.read_text() + "# edited by hand\n")
    capsys.readouterr()

    assert main(["rules", "check", "--out", str(tmp_path)]) == 1
    assert "not current: generated/rules/cost.yaml; run: watchkeeper rules build" in capsys.readouterr().out


def test_tools_that_are_missing_are_named_with_the_package_that_has_them(tmp_path, capsys, no_tools):
    main(["rules", "build", "--out", str(tmp_path)])
    main(["rules", "check", "--out", str(tmp_path)])

    told = capsys.readouterr().out
    assert "promtool test rules: not run, promtool is not installed (apt-get install prometheus)" in told
    assert "amtool check-config: not run, amtool is not installed (apt-get install prometheus-alertmanager)" in told


def test_who_waits_is_told_which_file_is_read_and_what_it_has(tmp_path):
    require("promtool", "prometheus")
    told = []
    [*_, (is_well, line)] = islice(rules.verify(Values(leave_out=("WatchkeeperWatchdog",)), tmp_path, told.append), 2)

    assert told == [
        "making the files",
        *(
            f"promtool check rules: {name}.yaml, {place} of 7"
            for place, name in enumerate(
                ("accelerator", "cost", "data_drift", "monitor", "output", "saturation", "slo"), 1
            )
        ),
    ]
    assert (is_well, line) == (True, "promtool check rules: ok (7 files)")


def test_a_file_that_a_tool_refuses_is_a_failure_with_its_words(tmp_path, monkeypatch):
    program = tmp_path / "promtool"
    program.write_text('#!/bin/sh\ncase "$*" in *cost.yaml) echo "cost is wrong"; exit 1;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    lines = list(rules.verify(DEFAULTS, tmp_path))

    assert (False, "promtool check rules: failed\ncost is wrong") in lines
    assert (False, "promtool test rules: failed\ncost is wrong") in lines


def test_values_of_ones_own_make_rules_without_tests(tmp_path, capsys):
    values = tmp_path / "values.yaml"
    values.write_text("thresholds: {kv_cache_share: 0.8}\nbudgets: [{amount: 1000, currency: EUR}]\n")

    assert main(["rules", "build", "--values", str(values), "--out", str(tmp_path)]) == 0
    assert "> 0.8" in (tmp_path / "generated" / "rules" / "saturation.yaml").read_text()
    assert "CostBudgetForecast" in (tmp_path / "generated" / "rules" / "cost.yaml").read_text()
    assert not (tmp_path / "generated" / "tests").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("slos: [{name: a, sli: ttft, objective: 0.95, seconds: 2}]", "slos[0].seconds: 2 is no edge of the buckets"),
        ("slos: [{name: a, sli: ttft, objective: 0.9, seconds: 2.5}]", "nearest that works: 0.9375"),
        ("thresholds: {kv_cache: 0.8}", "thresholds.kv_cache: unknown setting; did you mean"),
        ("thresholds: {kv_cache_share: 1}", "thresholds.kv_cache_share: expected"),
        ("leave_out: [WatchkeeperNothing]", "leave_out: there is no alert WatchkeeperNothing"),
        ("job: a\njob: b", "'job' is given twice"),
    ],
)
def test_values_that_cannot_be_are_refused_before_anything_is_written(tmp_path, capsys, text, problem):
    values = tmp_path / "values.yaml"
    values.write_text(text)

    assert main(["rules", "build", "--values", str(values), "--out", str(tmp_path)]) == EXIT_CONFIG
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "generated").exists()


def test_list_names_every_alert(capsys):
    assert main(["rules", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert "WatchkeeperTtftBudgetBurn: First token too late (page, 2m, ticket, 15m)" in lines
    assert [line.partition(":")[0] for line in lines] == [
        alert.name for chapter in catalogue(DEFAULTS) for alert in chapter.alerts
    ]
