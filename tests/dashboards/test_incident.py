"""
A service on two devices, for hours: busy and well, and then one device falls off the bus. Prometheus's own evaluator
says which alerts fire when; a real Alertmanager is told of them in that order and must page once.
"""

import itertools
import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

import dashboards
from dashboards import build, routing
from dashboards.cases import CHAT, given, timed, up
from dashboards.heard import Alarm, told
from dashboards.values import Receivers, Values, Waits
from watchkeeper.core.testkit import Alertmanager, PrometheusServer, Webhook, require
from watchkeeper.core.vocabulary import devices, drift, engines, health, outputs, requests

RULES = Path(dashboards.__file__).parent / "generated" / "rules"
POD = {"k8s_namespace_name": "ml", "k8s_pod_name": "chat-0"}
REPLICA = {**CHAT, "k8s_pod_name": "chat-0"}
STREAM = {**CHAT, "signal": "output_tokens", "reference": "p1"}


def card(number):
    return {"node": "n1", "hw_vendor": "nvidia", "hw_name": str(number), "hw_id": f"GPU-{number}"}


def steady(per_minute, minutes=240):
    return f"0+{per_minute}x{minutes}"


def stops(per_minute, at=120, minutes=240):
    return f"0+{per_minute}x{at} {per_minute * at}x{minutes - at}"


def begins(per_minute, at=120, minutes=240):
    return f"0x{at} {per_minute}+{per_minute}x{minutes - at}"


HEALTHY = (
    up("1x240", job="watchkeeper", node="n1", instance="n1:9464"),
    given(requests.REQUESTS, steady(600), outcome="ok", **CHAT),
    given(requests.REQUESTS, steady(1), outcome="error", **CHAT),
    given(requests.REQUESTS, steady(60), outcome="cancelled", **CHAT),
    given(requests.REQUESTS, "0x240", outcome="rejected", **CHAT),
    *timed(requests.SERVER_FIRST_TOKEN, 2.5, 590, 10, 240, watchkeeper_vantage="page", **CHAT),
    *timed(requests.SERVER_PER_TOKEN, 0.1, 590, 10, 240, watchkeeper_vantage="page", **CHAT),
    given(engines.RUNNING, "60x240", **REPLICA), given(engines.WAITING, "0x240", **REPLICA),
    given(engines.KV_CACHE, "0.99x240", **REPLICA),
    given(engines.TOKENS, steady(90000), gen_ai_token_type="output", **REPLICA),
    given(engines.ENGINE_UP, "1x240", **REPLICA),
    *(given(devices.ALLOCATION, "1x240", **card(n), **POD) for n in (0, 1)),
    *(given(devices.STATUS, "0x240", hw_state="failed", **card(n), **POD) for n in (0, 1)),
    *(given(devices.THROTTLED, "1x240", reason="sw_power_cap", **card(n)) for n in (0, 1)),
    *(given(devices.FAULTS, "0x240", fault_class="bus", severity="critical", **card(n)) for n in (0, 1)),
    given(devices.FAULTS, "0x60 1x180", fault_class="application", severity="info", **card(0)),
    given(devices.DEVICES, "2x240", node="n1", hw_vendor="nvidia", hw_state="addressable"),
    *(given(outputs.CHECKED, steady(600), check=check, **CHAT) for check in ("secrets", "pii", "tail_loop", "refusal")),
    *(given(outputs.FLAGGED, steady(3), check=check, **CHAT) for check in ("pii", "tail_loop", "refusal")),
    given(outputs.FLAGGED, "0x240", check="secrets", **CHAT),
    given(drift.OBSERVATIONS, steady(600), bin="0", **STREAM),
    given(drift.STATE, "0x240", **CHAT | {"signal": "output_tokens"}),
    given(health.SOURCE_UP, "1x240", source="otlp", node="n1"),
    given(health.RECEIVED, steady(600), source="otlp", signal="traces"),
    given(health.DROPPED, "0x240", source="otlp", reason="fault"),
)  # fmt: skip

BROKEN = (
    up("1x240", job="watchkeeper", node="n1", instance="n1:9464"),
    given(requests.REQUESTS, stops(600), outcome="ok", **CHAT),
    given(requests.REQUESTS, begins(600), outcome="error", **CHAT),
    given(requests.SERVER_FIRST_TOKEN, stops(600), "bucket", le="2.5", watchkeeper_vantage="client", **CHAT),
    given(requests.SERVER_FIRST_TOKEN, steady(600), "count", watchkeeper_vantage="client", **CHAT),
    given(engines.RUNNING, "60x120 _x120", **REPLICA), given(engines.WAITING, "0x120 _x120", **REPLICA),
    given(engines.ENGINE_UP, "1x120 0x120", **REPLICA),
    *(given(devices.ALLOCATION, "1x240", **card(n), **POD) for n in (0, 1)),
    given(devices.FAULTS, "0x120 1x120", fault_class="bus", severity="critical", **card(0)),
    given(devices.DEVICE_FAULT, "0x120 1x120", reason="lost", **card(0)),
    *(given(devices.UP, text, **card(n)) for n, text in ((0, "1x120 0x120"), (1, "1x240"))),
    given(devices.DEVICES, "2x120 1x120", node="n1", hw_vendor="nvidia", hw_state="addressable"),
    given(outputs.CHECKED, stops(600), check="secrets", **CHAT),
    given(outputs.FLAGGED, "0x240", check="secrets", **CHAT),
    given(drift.OBSERVATIONS, stops(600), bin="0", **STREAM),
    given(drift.STATE, "0x125 2x115", **CHAT | {"signal": "error"}),
)  # fmt: skip

LOST = {**card(0), **REPLICA, "area": "accelerator"}
COUNTED = {"node": "n1", "hw_vendor": "nvidia", "area": "accelerator"}
AVAILABILITY = {"area": "slo", **CHAT, "slo": "availability", "sli": "availability"}
FIRST_TOKEN = {"area": "slo", **CHAT, "slo": "first-token", "sli": "ttft"}
HAPPENS = (
    ("122m", "WatchkeeperDeviceFaultFatal", "critical", LOST),
    ("122m", "WatchkeeperCausePaged", "none", LOST),
    ("126m", "WatchkeeperDeviceLost", "warning", COUNTED),
    ("126m", "WatchkeeperDeviceLost", "critical", COUNTED),
    ("150m", "WatchkeeperAvailabilityBudgetBurn", "critical", AVAILABILITY),
    ("150m", "WatchkeeperAvailabilityBudgetBurn", "warning", AVAILABILITY),
    ("150m", "WatchkeeperDriftDetected", "warning", {"area": "data_drift", **CHAT, "signal": "error"}),
    ("150m", "WatchkeeperEngineUnreadable", "warning", {"area": "monitor", **REPLICA}),
    ("150m", "WatchkeeperDetectorStalled", "warning", {"area": "data_drift", **CHAT}),
    ("150m", "WatchkeeperErrorBudgetExhausted", "warning", AVAILABILITY),
    ("150m", "WatchkeeperErrorBudgetExhausted", "warning", FIRST_TOKEN),
    ("180m", "WatchkeeperTtftBudgetBurn", "critical", FIRST_TOKEN),
    ("150m", "WatchkeeperTtftBudgetBurn", "warning", FIRST_TOKEN),
)
"""when it is known to fire, at the latest; with the labels that its rule gives"""
HEARTBEAT = ("WatchkeeperWatchdog", "none", {"area": "monitor"})


def labels(name, severity, rest):
    return {"alertname": name, "severity": severity, "component": "watchkeeper", **rest}


def selector(given_labels):
    return "{" + ", ".join(f'{key}="{value}"' for key, value in given_labels.items()) + "}"


def fire(tmp_path, series, expected, every="1m"):
    """promtool's word on which alerts fire: `expected` by time, and no others. Rules are evaluated `every` so often."""
    tests = [
        {
            "expr": 'group without () (ALERTS{alertstate="firing"})',
            "eval_time": at,
            "exp_samples": [{"labels": selector({**one, "alertstate": "firing"}), "value": 1} for one in alerts],
        }
        for at, alerts in expected.items()
    ]  # fmt: skip
    files = sorted(RULES.glob("*.yaml"))
    order = [group["name"] for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    recorded = [name for name in order if name.startswith("watchkeeper-sli")]
    document = {
        "rule_files": [str(path) for path in files],
        "evaluation_interval": every,
        "group_eval_order": recorded + [name for name in order if name not in recorded],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": tests,
            }
        ],
    }
    path = tmp_path / "estate.yaml"
    path.write_text(json.dumps(document))
    return subprocess.run(
        [require("promtool", "prometheus"), "test", "rules", str(path)], capture_output=True, text=True, cwd=tmp_path
    )


def test_an_estate_that_is_busy_and_well_fires_nothing_but_the_heartbeat(tmp_path):
    done = fire(tmp_path, HEALTHY, {"100m": [labels(*HEARTBEAT)], "240m": [labels(*HEARTBEAT)]}, every="2m")

    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_the_same_when_two_observers_tell_of_each_thing(tmp_path):
    twice = [
        (name.replace("}", f',instance="{who}"}}') if "instance=" not in name else name, values)
        for name, values in HEALTHY
        for who in ("a", "b")
    ]
    done = fire(tmp_path, dict(twice).items(), {"240m": [labels(*HEARTBEAT)]}, every="2m")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_real_prometheus_evaluates_every_rule(tmp_path):
    made = build.files(Values(evaluation_seconds=1, scrape_seconds=1))
    paths = []
    for name, text in made.items():
        if name.startswith("generated/rules/"):
            paths.append(tmp_path / Path(name).name)
            paths[-1].write_text(text, encoding="utf-8")
    (tmp_path / "server").mkdir()
    with PrometheusServer(tmp_path / "server", {}, rule_files=paths) as prometheus:
        prometheus.wait_for('ALERTS{alertname="WatchkeeperWatchdog",alertstate="firing"}')
        rules = [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]

    assert len(rules) == sum(text.count(" expr: ") for name, text in made.items() if "/rules/" in name)
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] == "err"] == []


def test_a_device_that_falls_off_the_bus_fires_these_in_this_order(tmp_path):
    times = list(dict.fromkeys(at for at, *_ in HAPPENS))
    expected = {"119m": [labels(*HEARTBEAT)]}
    for at in times:
        known = [one for when, *one in HAPPENS if times.index(when) <= times.index(at)]
        expected[at] = [labels(*HEARTBEAT), *(labels(*one) for one in known)]
    done = fire(tmp_path, BROKEN, expected)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def webhook():
    with Webhook() as webhook:
        yield webhook


@pytest.fixture
def page_seconds():
    """How long it gathers what belongs on one page."""
    return 0


@pytest.fixture
def alertmanager(tmp_path, webhook, page_seconds):
    addresses = {name: f"{webhook.url}/{name}" for name in Receivers.__struct_fields__}
    waits = Waits(page_seconds=page_seconds, ticket_seconds=1, update_seconds=1, repeat_seconds=3600)
    with Alertmanager(tmp_path, routing.file(Values(receivers=Receivers(**addresses), waits=waits))) as alertmanager:
        yield alertmanager


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_one_incident_is_one_page_and_its_tickets_stay_inhibited(alertmanager, webhook):
    for _, group in itertools.groupby(HAPPENS, key=lambda one: one[0]):
        alertmanager.tell(*(labels(*one) for _, *one in group))
        wait_for(lambda: webhook.to("pager"))
    sentinel = {**CHAT, "gen_ai_request_model": "another", "area": "saturation"}
    alertmanager.tell(labels("WatchkeeperQueueSaturated", "warning", sentinel))
    wait_for(lambda: webhook.to("tickets"))  # by now, whatever could be sent has been
    time.sleep(2)

    assert webhook.to("pager") == [["WatchkeeperDeviceFaultFatal"]]
    assert webhook.to("tickets") == [["WatchkeeperQueueSaturated"]]
    assert [webhook.to(name) for name in ("hardware", "governance", "cost")] == [[], [], []]
    assert len(alertmanager.suppressed()) == len(HAPPENS) - 2  # all but the page and what mutes
    assert alertmanager.suppressed() == never_told([labels(*one) for _, *one in HAPPENS])


def never_told(alerts):
    """What dashboards.heard says that nobody hears of, while all of them fire."""
    sent = told([Alarm(one, ((0.0, 9000.0),)) for one in alerts], Values())
    return sorted(
        one["alertname"] for one, at in zip(alerts, sent, strict=True) if at is None and one["severity"] != "none"
    )


def test_without_the_page_the_same_tickets_are_sent(alertmanager, webhook):
    tickets = [labels(*one) for _, *one in HAPPENS if one[1] == "warning"]
    alertmanager.tell(*tickets)
    wait_for(lambda: webhook.to("tickets") and webhook.to("hardware") and webhook.to("governance"))

    assert webhook.to("pager") == []
    assert webhook.to("hardware") == [["WatchkeeperDeviceLost"]]


@pytest.mark.parametrize("page_seconds", [4])
def test_many_nodes_that_lose_devices_at_once_are_one_page(alertmanager, webhook):
    lost = [
        labels("WatchkeeperDeviceFaultFatal", "critical", LOST | {"node": f"n{n}", "hw_id": f"g{n}"}) for n in range(5)
    ]
    alertmanager.tell(*lost)
    wait_for(lambda: webhook.to("pager"))
    time.sleep(2)

    assert webhook.alerts_of("pager") == [5]


def test_a_budget_that_burns_on_after_hours_is_heard_again(alertmanager, webhook):
    """The device is still lost, but what muted has ended."""
    alertmanager.tell(labels("WatchkeeperDeviceFaultFatal", "critical", LOST))
    wait_for(lambda: webhook.to("pager"))
    alertmanager.tell(labels("WatchkeeperAvailabilityBudgetBurn", "critical", AVAILABILITY))
    wait_for(lambda: len(webhook.to("pager")) == 2)

    assert webhook.to("pager")[1] == ["WatchkeeperAvailabilityBudgetBurn"]


def test_an_engine_that_hangs_mutes_the_budget_of_its_model(alertmanager, webhook):
    hangs = {**REPLICA, "area": "saturation"}
    alertmanager.tell(
        labels("WatchkeeperEngineStalled", "critical", hangs),
        labels("WatchkeeperCausePaged", "none", {**REPLICA, "area": "accelerator"}),
    )
    wait_for(lambda: webhook.to("pager"))
    alertmanager.tell(labels("WatchkeeperAvailabilityBudgetBurn", "critical", AVAILABILITY))
    time.sleep(2)

    assert webhook.to("pager") == [["WatchkeeperEngineStalled"]]
    assert alertmanager.suppressed() == ["WatchkeeperAvailabilityBudgetBurn"]


def test_clocks_that_heat_holds_back_explain_a_slow_device_and_no_other(alertmanager, webhook):
    hot, slow = (labels(f"WatchkeeperDevice{name}", "warning", {**card(0), "area": "accelerator"})
                 for name in ("ThermalThrottle", "Straggler"))  # fmt: skip
    other = slow | card(1)
    alertmanager.tell(hot, slow, other)
    wait_for(lambda: webhook.to("hardware"))
    time.sleep(1)

    assert alertmanager.suppressed() == ["WatchkeeperDeviceStraggler"] == never_told([hot, slow, other])


def test_a_lost_device_does_not_mute_the_pages_of_another_model(alertmanager, webhook):
    other = AVAILABILITY | {"gen_ai_request_model": "another"}
    alertmanager.tell(labels("WatchkeeperDeviceFaultFatal", "critical", LOST))
    alertmanager.tell(labels("WatchkeeperAvailabilityBudgetBurn", "critical", other))
    wait_for(lambda: len(webhook.to("pager")) == 2)

    assert alertmanager.suppressed() == []


def test_a_device_of_which_no_model_is_known_mutes_no_page(alertmanager, webhook):
    nameless = {key: value for key, value in LOST.items() if key != "gen_ai_request_model"}
    alertmanager.tell(labels("WatchkeeperDeviceFaultFatal", "critical", nameless))
    alertmanager.tell(labels("WatchkeeperTapRefusing", "critical", {"area": "saturation", "service_name": "chat"}))
    wait_for(lambda: len(webhook.to("pager")) == 2)

    assert alertmanager.suppressed() == []


def test_when_all_of_watchkeeper_is_gone_nothing_that_is_silent_by_it_is_told(alertmanager, webhook):
    alertmanager.tell(labels("WatchkeeperAgentDown", "critical", {"area": "monitor"}))
    wait_for(lambda: webhook.to("pager"))
    alertmanager.tell(
        *(labels("WatchkeeperAgentDown", "warning", {"area": "monitor", "node": f"n{n}"}) for n in range(3)),
        labels("WatchkeeperSliAbsent", "warning", {"area": "slo", **CHAT}),
    )
    time.sleep(3)

    assert (len(webhook.to("pager")), webhook.to("tickets")) == (1, [])
    assert len(alertmanager.suppressed()) == 4


@pytest.mark.parametrize(
    ("told", "receivers"),
    [
        ({"alertname": "WatchkeeperWatchdog", "severity": "none", "area": "monitor"}, "deadman"),
        ({"severity": "critical", "area": "slo"}, "pager"),
        ({"severity": "critical", "area": "accelerator"}, "pager"),
        ({"severity": "critical", "area": "monitor"}, "pager"),
        ({"severity": "critical", "area": "output"}, "governance,pager"),
        ({"severity": "warning", "area": "output"}, "governance"),
        ({"severity": "warning", "area": "data_drift"}, "governance"),
        ({"severity": "warning", "area": "accelerator"}, "hardware"),
        ({"severity": "info", "area": "accelerator"}, "nobody"),
        ({"severity": "warning", "area": "saturation"}, "tickets"),
        ({"severity": "warning", "area": "monitor"}, "tickets"),
        ({"severity": "info", "area": "cost"}, "cost"),
        ({"severity": "warning", "area": "cost"}, "cost"),
    ],
)
def test_alerts_go_where_they_belong(told, receivers):
    config = RULES.parent / "alertmanager.yaml"
    command = [require("amtool", "prometheus-alertmanager"), "config", "routes", "test", f"--config.file={config}"]
    command += [f"--verify.receivers={receivers}", *(f"{key}={value}" for key, value in told.items())]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, receivers), done.stderr


def test_amtool_takes_the_routing():
    amtool = require("amtool", "prometheus-alertmanager")
    done = subprocess.run(
        [amtool, "check-config", str(RULES.parent / "alertmanager.yaml")], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


def test_an_alertmanager_with_nothing_set_has_no_complaint_about_the_routing(tmp_path):
    """It complains of what is repeated later than it remembers that it was told: 120 h, unless `--data.retention`."""
    with Alertmanager(tmp_path, (RULES.parent / "alertmanager.yaml").read_text()):
        pass
    log = (tmp_path / "alertmanager.log").read_text().lower()

    assert "completed loading of configuration file" in log
    assert [line for line in log.splitlines() if "level=info" not in line] == []
