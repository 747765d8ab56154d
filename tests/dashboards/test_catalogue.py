"""Every alert has all that belongs to it, and the generated files are what the catalogue makes."""

import math
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
import yaml

import dashboards
from dashboards import build, rule_files
from dashboards.alert import Alert, Recording, Text
from dashboards.alerts import catalogue
from dashboards.alerts.data_drift import PSI_NOISE, SHARE_FLOOR
from dashboards.findings import OF_SIGNALS, runbook_of
from dashboards.promql import Recorded, check
from dashboards.values import DEFAULTS, Budget, Expected, Slo, Thresholds, Values
from detectors import signals
from detectors.drift import distances
from watchkeeper.core.testkit import require

HERE = Path(dashboards.__file__).parent
ALERTS = [alert for chapter in catalogue(DEFAULTS) for alert in chapter.alerts]
NAMES = {alert.name for alert in ALERTS}
EVERYTHING = Values(
    extra_labels=("cluster",),
    node_label="kubernetes_node",
    slos=(
        Slo("chat", "availability", 0.999, service="chat.*"),
        Slo("slow", "tpot", 0.99, 0.5, namespace="ml", model="q.+"),
    ),
    expected=(Expected("chat", "qwen", "ml"), Expected("search")),
    budgets=(Budget(1000, "EUR"), Budget(500, "USD", "ml")),
    thresholds=Thresholds(kv_cache_share=0.8),
    hold={"WatchkeeperQueueSaturated": "20m"},
    leave_out=("WatchkeeperDeviceIdleAllocated",),
    grafana_url="https://grafana.example.org/",
    runbooks_url="https://runbooks.example.org/",
)


def write(values, folder):
    for name, text in build.files(values).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "generated"


def rules_of(text):
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def fields(text):
    return set(re.findall(r"\{\w+\}", text))


def run(*command, cwd):
    return subprocess.run([str(one) for one in command], cwd=cwd, capture_output=True, text=True)


def test_generated_files_are_current():
    on_disk = {
        path.relative_to(HERE).as_posix(): path.read_text(encoding="utf-8")
        for pattern in ("generated/rules/*", "generated/tests/*", "generated/*.yaml", "runbooks/*")
        for path in HERE.glob(pattern)
    }

    assert on_disk == dict(build.files(DEFAULTS)), "run: watchkeeper rules build"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
class TestAlert:
    def test_every_rule_has_a_case_in_which_it_fires_and_the_alert_one_in_which_it_is_quiet(self, alert):
        fired = {fired.severity for case in alert.cases for fired in case.fires}
        quiet = [case for case in alert.cases if not case.fires]

        assert fired == {rule.severity for rule in alert.rules}
        assert quiet or alert.name == "WatchkeeperWatchdog"

    def test_its_summary_names_subject_value_or_since_when(self, alert):
        assert "{since}" in alert.summary.en + alert.detail.en or alert.name == "WatchkeeperWatchdog"
        assert not alert.labels or re.search(r"\{(?!value|since)\w+\}", alert.summary.en)

    def test_all_is_said_in_both_languages(self, alert):
        book = alert.runbook
        texts = [alert.title, alert.summary, alert.detail, book.meaning, book.first, book.false_alarm, book.next]

        assert [text.en for text in texts if re.search("[一-鿿]", text.en)] == []
        assert [text.zh for text in texts if not re.search("[一-鿿]", text.zh) and not text.zh.startswith("`")] == []
        assert [text for text in texts if fields(text.en) != fields(text.zh)] == []

    def test_its_runbook_is_short_and_names_only_alerts_that_there_are(self, alert):
        page = (HERE / "runbooks" / alert.page).read_text(encoding="utf-8")
        words = page.partition("**Fires when**")[0].split()

        assert len(words) < 200
        assert set(re.findall(r"Watchkeeper[A-Z]\w+", page)) <= NAMES

    def test_only_what_users_feel_lost_hardware_unsafe_answers_and_blindness_page(self, alert):
        may = {"slo", "saturation", "accelerator", "output", "monitor"}

        assert all(rule.severity != "critical" or alert.area in may for rule in alert.rules)


def test_a_rule_that_names_what_does_not_exist_is_no_rule():
    [slo, *_] = catalogue(DEFAULTS)
    [group, *_] = slo.groups
    wrong = msgspec.structs.replace(
        group, recordings=(Recording(Recorded("wk:x", frozenset()), "sum(watchkeeper_nothing_total)"),)
    )
    alert = slo.alerts[0]
    bad = msgspec.structs.replace(alert, rules=(msgspec.structs.replace(alert.rules[0], expr="up{colour='red'} > 1"),))

    assert rule_files.problems((wrong,), (bad,), DEFAULTS) == [
        "wk:x: watchkeeper_nothing_total is no series that is emitted or recorded",
        f"{alert.name}: up has no label colour; it has instance, job, node",
    ]


def test_words_that_name_a_label_the_alert_does_not_have_are_refused():
    with pytest.raises(ValueError, match="WatchkeeperTtftBudgetBurn has no label pod"):
        msgspec.structs.replace(ALERTS[1], summary=Text("{pod}", "{pod}")).__post_init__()


def test_what_the_operator_sets_stands_in_the_rules(tmp_path):
    files = build.files(EVERYTHING)
    saturation = {rule["alert"]: rule for rule in rules_of(files["generated/rules/saturation.yaml"])}
    queue, cache = saturation["WatchkeeperQueueSaturated"], saturation["WatchkeeperKvCacheSaturated"]

    assert queue["for"] == "20m"
    assert "sum by (cluster, k8s_namespace_name, service_name, gen_ai_request_model)" in queue["expr"]
    assert "> 0.8" in cache["expr"]
    assert cache["annotations"]["runbook_url"] == "https://runbooks.example.org/WatchkeeperKvCacheSaturated.md"
    assert cache["annotations"]["dashboard_url"].startswith("https://grafana.example.org/d/wk-service?from=")
    assert 'service_name=~"chat.*"' in files["generated/rules/slo.yaml"]
    assert "kubernetes_node" in files["generated/rules/accelerator.yaml"]
    assert "WatchkeeperDeviceIdleAllocated" not in files["generated/rules/accelerator.yaml"]


@pytest.mark.parametrize("values", [DEFAULTS, EVERYTHING], ids=["shipped", "everything set"])
def test_prometheus_takes_the_rules(tmp_path, values):
    promtool = require("promtool", "prometheus")
    folder = write(values, tmp_path)
    done = run(promtool, "check", "rules", *sorted((folder / "rules").glob("*.yaml")), cwd=tmp_path)

    assert (done.returncode, done.stdout + done.stderr) == (0, done.stdout)


@pytest.mark.parametrize("path", sorted((HERE / "generated" / "tests").glob("*.yaml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_say_so_and_are_quiet_otherwise(path):
    done = run(require("promtool", "prometheus"), "test", "rules", path, cwd=path.parent)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_forecast_of_a_budget_fires_and_is_quiet(tmp_path):
    values = Values(budgets=(Budget(1000, "EUR"),))
    [cost] = [chapter for chapter in catalogue(values) if chapter.area == "cost"]
    forecast = msgspec.structs.replace(cost, alerts=tuple(a for a in cost.alerts if "Budget" in a.name), groups=())
    (tmp_path / "rules.yaml").write_text(rule_files.rules_file(forecast, values), encoding="utf-8")
    (tmp_path / "test.yaml").write_text(rule_files.test_file(forecast, "rules.yaml", values), encoding="utf-8")
    done = run(require("promtool", "prometheus"), "test", "rules", tmp_path / "test.yaml", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(forecast.alerts[0].cases) == 2


def test_a_test_that_expects_too_little_fails(tmp_path):
    promtool = require("promtool", "prometheus")
    folder = write(DEFAULTS, tmp_path)
    path = folder / "tests" / "monitor.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    [one] = [test for test in document["tests"] if test["name"].startswith("WatchkeeperCollectorDown: a source")]
    right = yaml.safe_dump(document | {"tests": [one]})
    codes = []
    for text in (right, right.replace("since 1970", "since 1971")):
        path.write_text(text, encoding="utf-8")
        codes.append(run(promtool, "test", "rules", path, cwd=folder / "tests").returncode)

    assert [code == 0 for code in codes] == [True, False]


@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.25, 0.25), (0.4, 0.3, 0.2, 0.1), (0.5, 0.5, 0, 0)])
def test_psi_in_promql_is_that_of_the_detectors(shares):
    import numpy as np

    expected = {(0.25,) * 4: 0, (0.4, 0.3, 0.2, 0.1): 228, (0.5, 0.5, 0, 0): 4257}
    found = distances.psi(np.array(shares) * 2400, np.array([0.25] * 4) * 10_000)

    assert (round(1000 * found.value), SHARE_FLOOR) == (expected[shares], 1e-4)
    # the quantile by Wilson and Hilferty lies a little above: never below the exact one by more than a hundredth
    k = len(shares) - 1
    quantile = k * (1 - 2 / (9 * k) + 3.0902 * math.sqrt(2 / (9 * k))) ** 3
    assert 0.99 < quantile * (1 / 2400 + 1 / 10_000) / found.noise < 1.03
    assert PSI_NOISE.name in build.files(DEFAULTS)["generated/rules/data_drift.yaml"]


def test_every_signal_has_a_runbook_and_a_drifting_stream_too():
    names = {plugin.name for plugin in signals.PLUGINS}

    assert names - OF_SIGNALS.keys() == set()
    for name in (*OF_SIGNALS, "time_to_first_token", "watchkeeper.output.surprise"):
        assert (HERE.parent / runbook_of(name)).is_file()


def test_signals_that_rules_ask_for_are_known():
    asked = set()
    for name, text in build.files(DEFAULTS).items():
        if name.startswith("generated/rules/"):
            asked |= {one for found in re.findall(r'signal=~?"([\w|]+)"', text) for one in found.split("|")}

    assert asked
    assert asked <= OF_SIGNALS.keys()


@pytest.mark.parametrize("page", sorted((HERE / "runbooks").glob("*.md")), ids=lambda page: page.name)
def test_every_link_of_a_runbook_leads_somewhere(page):
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))

    assert links
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_every_alert_is_a_record_of_its_own_name():
    assert len(NAMES) == len(ALERTS)
    assert all(isinstance(alert, Alert) and alert.name.startswith("Watchkeeper") for alert in ALERTS)


def test_a_panel_may_name_what_is_emitted_and_what_rules_record_and_nothing_else():
    known = build.known(DEFAULTS)

    assert check('wk:slo_budget_remaining:ratio{slo="$slo"}', known) == []
    assert check("sum by (hw_id) (hw_power_watts)", known) == []
    assert check("wk:slo_budget:ratio30d", known) == ["wk:slo_budget:ratio30d is no series that is emitted or recorded"]
    assert "has no label node" in check('wk:slo_budget_remaining:ratio{node="n1"}', known)[0]
