import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from dashboards.alerts import catalogue
from dashboards.values import DEFAULTS
from watchkeeper.agent.command_line import main
from watchkeeper.agent.demo import run_demo
from watchkeeper.agent.demo.alerting import NOT_INSTALLED, Alerting, Teller, alerting, summed_up
from watchkeeper.agent.demo.children import Child, DemoFailed, port_near
from watchkeeper.agent.demo.performance import ENGINE_LIBRARY
from watchkeeper.agent.demo.promised import PROMISED
from watchkeeper.agent.demo.stage import Ports, Stage
from watchkeeper.agent.demo.summary import PROGRESS_HEAD
from watchkeeper.agent.demo.watching import GOES_ON, pause_seconds, watch
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.testkit import PrometheusServer, free_port, require, require_library

ROOT = Path(__file__).parents[3]
ALERTS = sum(len(chapter.alerts) for chapter in catalogue(DEFAULTS))


@pytest.mark.timeout(600)
def test_a_short_demo_shows_every_promised_metric_and_leaves_nothing_behind(tmp_path):
    require_library(ENGINE_LIBRARY, "libgomp1")
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", "demo"],
        env={**os.environ, "DEMO_SECONDS": "15", "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=540,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"All {len(PROMISED)} promised metrics are there." in done.stdout
    assert "client_error" in done.stdout
    assert "timeout" in done.stdout
    assert max(map(len, done.stdout.replace(str(tmp_path), "/tmp").splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


def test_a_demo_that_is_interrupted_sums_up_too_and_was_watched_by_a_prometheus_with_the_rules(tmp_path):
    require_library(ENGINE_LIBRARY, "libgomp1")
    require("prometheus", "prometheus")
    require("prometheus-alertmanager", "prometheus-alertmanager")
    with subprocess.Popen(
        [sys.executable, "-m", "watchkeeper", "demo", "--seconds", "300"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            said = "".join(until_progress(demo.stdout))
            watched = watched_by(addresses(said))
        finally:
            demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=120)

    assert demo.returncode == 0, said + rest
    assert "promised metrics are there" in rest
    assert watched == {
        "rows of calls": 1,
        "rules": ALERTS,
        "alert list": 200,
        "runbooks": {200},
        "receivers": "http://alertmanager.test/api/v2/alerts",
    }
    assert f"\n{ALERTS} alerts watched by Prometheus:\n" in rest
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


def test_without_prometheus_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with alerting(stage(tmp_path), Event()) as alerts:
        assert alerts.said == (NOT_INSTALLED,)
        assert list(summed_up(alerts)) == []
        assert list(Teller(alerts).news()) == []


def test_a_prometheus_that_does_not_start_is_told_and_the_demo_goes_on(tmp_path, monkeypatch):
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with alerting(stage(tmp_path), Event()) as alerts:
        assert alerts.said == ("No alerts: prometheus ended with exit code 3.",)


def test_an_alert_is_told_of_when_it_is_pending_when_it_fires_and_when_it_ends(tmp_path):
    rules = tmp_path / "rules.yaml"
    alert = {"alert": "Brief", "expr": "vector(1)", "for": "1h", "labels": {"severity": "warning"}}
    heartbeat = {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}}
    rules.write_text(json.dumps({"groups": [{"name": "one", "rules": [alert, heartbeat]}]}))
    told = []
    with PrometheusServer(tmp_path, {}, rule_files=[rules]) as prometheus:
        teller = Teller(Alerting(prometheus.url))
        deadline = time.monotonic() + 120
        # It is pending until that was told of; and once it fires, there is no such rule any more.
        for then in ([alert | {"for": "0s"}, heartbeat], [heartbeat], [heartbeat]):
            before = len(told)
            while len(told) == before and time.monotonic() < deadline:
                time.sleep(0.1)
                told += teller.news()
            rules.write_text(json.dumps({"groups": [{"name": "one", "rules": then}]}))
            prometheus.read_again()

    assert told == ["  Alert Brief is pending: fires after 3600 s", "  Alert Brief fires", "  Alert Brief has ended"]


def test_a_prometheus_that_does_not_answer_says_of_no_alert_that_it_has_ended(monkeypatch):
    answers = {"rules": '{"data": {"groups": []}}', "alerts": None}
    monkeypatch.setattr("watchkeeper.agent.demo.alerting.fetch", lambda url: answers[url.rpartition("/")[2]])
    teller = Teller(Alerting("http://prometheus.test"))
    firing = '{"data": {"alerts": [{"labels": {"alertname": "Brief"}, "state": "firing"}]}}'
    told = []
    for answers["alerts"] in (firing, None, firing, '{"data": {"alerts": []}}'):
        told.append(list(teller.news()))

    assert told == [["  Alert Brief fires"], [], [], ["  Alert Brief has ended"]]


def stage(folder):
    """Of a demo that does not run: nobody is asked anything."""
    return Stage(None, None, "http://127.0.0.1:9", folder / "none.yaml", folder, Ports(1, 2, 3, 4))


def until_progress(stdout):
    """What it says before it counts."""
    for line in stdout:
        yield line
        if line.startswith(PROGRESS_HEAD):
            return


def addresses(said):
    """By the words before them: Queries, Alerts, Routing."""
    return dict(re.findall(r"^(\w+): +.*?(http://[\w.:/#]+)", said, re.MULTILINE))


def status(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status


def watched_by(links):
    """What a person sees who follows the links of the demo."""
    url = links["Queries"].rstrip("/")

    def asked(path):
        with urllib.request.urlopen(f"{url}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    deadline = time.monotonic() + 120
    while not (rows := asked("query?query=sum(watchkeeper_requests_total)%3E0")["result"]):
        assert time.monotonic() < deadline, "no call was counted"
        time.sleep(0.2)
    rules = [rule for group in asked("rules")["groups"] for rule in group["rules"] if rule["type"] == "alerting"]
    pages = {rule["annotations"]["runbook_url"] for rule in rules}
    receivers = [one["url"] for one in asked("alertmanagers")["activeAlertmanagers"]]
    address = links["Routing"].removeprefix("http://").partition("/")[0]
    return {
        "rows of calls": len(rows),
        "rules": len({rule["name"] for rule in rules}),
        "alert list": status(links["Alerts"]),
        "runbooks": {status(page) for page in pages},
        "receivers": "".join(receivers).replace(address, "alertmanager.test"),
    }


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


@pytest.mark.parametrize(("shown_after", "looks", "said"), [(1, 1, 0), (3, 3, 1), (99, 5, 1)])
def test_a_demo_goes_on_past_its_time_until_all_has_shown_or_that_is_over_too(
    monkeypatch, capsys, shown_after, looks, said
):
    clock, fetched = iter(range(100)), []
    monkeypatch.setattr("watchkeeper.agent.demo.watching.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("watchkeeper.agent.demo.watching.pause_seconds", lambda *_: 0.001)
    monkeypatch.setattr("watchkeeper.agent.demo.watching.fetch", lambda url: fetched.append(url) or "")

    watch("http://page", (), 1, Event(), more_seconds=4, is_shown=lambda _: len(fetched) >= shown_after)

    assert (len(fetched), capsys.readouterr().out.count(GOES_ON)) == (looks, said)


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
