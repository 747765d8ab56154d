"""The made-up estate: its numbers are possible, the same each time, and each fault leaves a trace."""

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dashboards.estate import FAULTS, openmetrics, simulate, until
from dashboards.estate.series import notation
from watchkeeper.core.metric import Kind
from watchkeeper.core.vocabulary import METRICS, devices, requests

CLOCK = until(1_800_000_000.0, hours=2.0, step=120.0)


def values(book, metric, **labels):
    """All series of a metric with these labels, added up."""
    wanted = set(labels.items())
    found = [one.values for one in book.families()[metric.prometheus_name].series if wanted <= set(one.labels)]
    assert found
    return np.nansum(found, axis=0)


@pytest.fixture(scope="module")
def healthy():
    return simulate(CLOCK)


def test_the_same_arguments_make_the_same_numbers(healthy):
    again = simulate(CLOCK)

    assert "".join(openmetrics(again)) == "".join(openmetrics(healthy))


def test_it_has_eight_devices_on_two_nodes_and_four_engines(healthy):
    labels = [dict(one.labels) for one in healthy.families()[devices.UP.prometheus_name].series]

    assert len(labels) == 8
    assert {one["node"] for one in labels} == {"gpu-node-1", "gpu-node-2"}
    assert {one["k8s_pod_name"] for one in labels} == {f"chat-{index}" for index in range(4)}


def test_it_is_busy_and_almost_all_goes_well(healthy):
    good, bad = (
        values(healthy, requests.REQUESTS, service_name="chat", outcome=outcome)[-1] for outcome in ("ok", "error")
    )

    assert good > 50_000
    assert 0 < bad < good / 200


def test_counters_never_fall(healthy):
    counters = {metric.prometheus_name for metric in METRICS if metric.kind is not Kind.GAUGE}

    for name, family in healthy.families().items():
        if name in counters:
            for one in family.series:
                assert np.all(np.diff(one.values[~np.isnan(one.values)]) >= -1e-9), one.selector


def test_shares_are_shares(healthy):
    for name, family in healthy.families().items():
        if name.endswith("_ratio"):
            for one in family.series:
                assert 0 <= np.nanmin(one.values) <= np.nanmax(one.values) <= 1, one.selector


def test_the_reference_parser_reads_each_scrape_of_it():
    """
    One scrape at a time: it cannot take two of a histogram, which promtool can.
    """
    small = simulate(until(1_800_000_000.0, hours=0.2, step=240.0, trouble_hours=0.1), "device-lost")
    end = f" {small.clock.end:.0f}"
    lines = [line for line in "".join(openmetrics(small)).splitlines() if line.startswith("#") or line.endswith(end)]
    families = {one.name: one for one in text_string_to_metric_families("\n".join(lines) + "\n")}

    assert families["watchkeeper_requests"].type == "counter"
    assert families["gen_ai_server_time_to_first_token_seconds"].type == "histogram"
    assert len(families["watchkeeper_device_up"].samples) == 8


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_changes_something_and_nothing_before_its_onset(healthy, fault):
    broken = simulate(CLOCK, fault.name)
    before = CLOCK.times < CLOCK.onset
    was = {one.selector: one.values for one in healthy.series()}
    changed = 0
    for one in broken.series():
        if one.selector not in was:  # a new model version, a fault's code
            assert not np.any(one.values[before] > 0), one.selector
            changed += 1
            continue
        np.testing.assert_allclose(one.values[before], was[one.selector][before], err_msg=one.selector)
        changed += not np.array_equal(one.values, was[one.selector], equal_nan=True)

    assert changed > 5


def test_a_fault_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="device-lost"):
        simulate(CLOCK, "flood")


@pytest.mark.parametrize(("hours", "step", "trouble"), [(1.0, 60.0, 1.0), (1.0, 0.0, 0.5), (1.0, 60.0, 0.0)])
def test_times_that_are_none_are_refused(hours, step, trouble):
    with pytest.raises(ValueError, match="hours must be"):
        until(1_800_000_000.0, hours, step, trouble)


def test_a_series_reads_as_promtool_writes_it():
    assert notation(np.array([0.0, 1.5, np.nan])) == "0 1.5 _"
