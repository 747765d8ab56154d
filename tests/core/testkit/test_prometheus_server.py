import subprocess
import time

import pytest

from watchkeeper.core.testkit import PrometheusServer, free_port


def test_it_answers_queries_and_is_gone_afterwards(tmp_path):
    with PrometheusServer(tmp_path, {}) as prometheus:
        [row] = prometheus.query("vector(42)")
        assert row["value"][1] == "42"
        running = prometheus._process

    assert running.returncode == 0


def test_a_target_nobody_serves_is_down(tmp_path):
    with PrometheusServer(tmp_path, {"nobody": f"127.0.0.1:{free_port()}"}) as prometheus:
        prometheus.wait_for("up == 0")
        end = time.monotonic() + 60
        while "refused" not in (target := prometheus.targets()[0]).last_error and time.monotonic() < end:
            time.sleep(0.1)  # of a machine that stands still for a second it says that there was no time

    assert (target.health, "refused" in target.last_error) == ("down", True)


def test_recording_rules_are_evaluated(tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: g, rules: [{record: two, expr: 1 + vector(1)}]}]")

    with PrometheusServer(tmp_path, {}, rule_files=[rules]) as prometheus:
        [row] = prometheus.wait_for("two")

    assert row["value"][1] == "2"


def test_a_bad_query_raises_with_the_servers_own_message(tmp_path):
    with PrometheusServer(tmp_path, {}) as prometheus, pytest.raises(RuntimeError, match="parse error"):
        prometheus.query("sum(")


def test_a_server_that_cannot_start_shows_its_log_and_leaves_no_process(tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: 7")
    server = PrometheusServer(tmp_path, {}, rule_files=[rules])

    with pytest.raises(RuntimeError, match=r"rules\.yml"):
        server.__enter__()
    assert server._process is None


def test_two_servers_run_side_by_side(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    with PrometheusServer(tmp_path / "a", {}) as first, PrometheusServer(tmp_path / "b", {}) as second:
        assert first.url != second.url
        assert isinstance(first._process, subprocess.Popen)
