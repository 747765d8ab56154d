"""
The incident of the whole chain: a card falls off the bus under a serving pod, the others slow down, many requests fail,
detectors hear nothing. A real Prometheus evaluates the rules over it, and a real Alertmanager routes what fires to a
webhook. Nobody tells either.
"""

import contextlib
import time
from pathlib import Path

from dashboards import build, routing
from dashboards.alert import Text
from dashboards.estate import Fault, simulate, until
from dashboards.estate.conditions import REPLICAS, Conditions, Reported
from dashboards.values import DEFAULTS, Receivers, Values, Waits
from watchkeeper.agent.simulate.history import fill
from watchkeeper.core.testkit import Alertmanager, PrometheusServer, Webhook, require
from watchkeeper.core.vocabulary import drift


def falls_off_the_bus(it: Conditions) -> None:
    it.lost[0] = it.clock.since()
    it.reported.append(Reported(0, 0.0, "bus", "79", "critical"))
    it.drift["error"] = it.clock.since(300.0) * 4.0
    for replica in range(REPLICAS):
        it.slow[replica] = 1 + it.clock.since() * 1.0
        it.failing[replica] = it.clock.since() * 0.3


INCIDENT = Fault("incident", Text("", ""), falls_off_the_bus, "DeviceFaultFatal", 2)


SYMPTOMS = (
    "AvailabilityBudgetBurn",
    "TtftBudgetBurn",
    "DetectorStalled",
    "DeviceLost",
    "DriftDetected",
    "QueueSaturated",
    "ServiceUnusual",
)


def written(folder, values):
    """The generated rules, evaluated each second."""
    files = build.files(values)
    paths = []
    for name in files:
        if name.startswith("generated/rules/"):
            paths.append(folder / Path(name).name)
            paths[-1].write_text(files[name], encoding="utf-8")
    return paths


def names(labels):
    return {(one["alertname"], one["severity"]) for one in labels}


class Past:
    """The incident when it is `minutes` old, in a folder from which a server goes on; `fired`: what fires by then."""

    def __init__(self, folder, minutes):
        folder.mkdir()
        self.folder = folder
        clock = until(time.time(), hours=1.0 + minutes / 60, trouble_hours=minutes / 60)
        book = simulate(clock, INCIDENT)
        for series in book.families()[drift.OBSERVATIONS.prometheus_name].series:  # detectors hear nothing any more
            at = int((clock.onset - clock.start) // clock.step)
            series.values[at:] = series.values[at]
        fired = fill(folder, book, DEFAULTS)
        self.fired = names(dict(one.labels) for one in fired if one.spans[-1][1] == clock.end)


def wait_until(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def wait_for_all(expected, alertmanager):
    wait_until(lambda: expected <= names(one["labels"] for one in alertmanager.alerts()))


def test_a_card_lost_under_a_pod_is_one_page_from_prometheus_to_the_webhook(tmp_path):
    require("promtool", "prometheus")
    rules = written(tmp_path, Values(evaluation_seconds=1, scrape_seconds=1))
    early, late = Past(tmp_path / "early", 5), Past(tmp_path / "late", 60)
    with contextlib.ExitStack() as running:
        webhook = running.enter_context(Webhook())
        receivers = Receivers(**{name: f"{webhook.url}/{name}" for name in Receivers.__struct_fields__})
        waits = Waits(page_seconds=1, ticket_seconds=1, update_seconds=1, repeat_seconds=3600)
        routes = routing.file(Values(receivers=receivers, waits=waits))
        alertmanager = running.enter_context(Alertmanager(tmp_path, routes))
        for past in (early, late):  # the first goes on saying what it said: nothing is resolved between them
            server = PrometheusServer(past.folder, {}, rule_files=rules, alertmanager=alertmanager.url)
            prometheus = running.enter_context(server)
            wait_for_all(past.fired, alertmanager)
            live = names(row["metric"] for row in prometheus.query('ALERTS{alertstate="firing"}'))
            assert past.fired <= live <= late.fired  # time has gone on since the past was written
        wait_until(lambda: webhook.to("pager") and webhook.to("deadman"))
        time.sleep(3)  # by now, whatever could be sent has been
        suppressed = set(alertmanager.suppressed())

    assert webhook.to("pager") == [["WatchkeeperDeviceFaultFatal"]]
    assert [webhook.to(name) for name in ("tickets", "hardware", "governance", "cost")] == [[], [], [], []]
    assert webhook.to("deadman")
    assert suppressed >= {f"Watchkeeper{name}" for name in SYMPTOMS}
