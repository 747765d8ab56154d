import random

import pytest

from detectors.signals.allocated_idle import PLUGIN
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import devices, engines, requests

STEP = 5.0


def sample(host, busy, index=0, pod="ml/llama-0", holders=None, active=None):
    own = host.gpu(index, pod)
    host.say(own, devices.UTILIZATION, busy, hw__gpu__task="general")
    if active is not None:
        host.say(own, devices.COMPUTE_ACTIVE, active)
    for holder in holders if holders is not None else [pod] if pod else []:
        host.say(host.gpu(index, holder), devices.ALLOCATION, 1.0, k8s__container__name="engine")


def run(host, minutes, busy=0.0, step=STEP, **how):
    for _ in range(int(minutes * 60 / step)):
        sample(host, busy() if callable(busy) else busy, **how)
        host.tick(step)


def test_half_an_hour_without_work_is_told_with_the_hours_it_cost(host):
    watch = host(PLUGIN)
    run(watch, 60, 0.7)
    run(watch, 29)
    assert watch.findings == []

    run(watch, 3)

    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert finding.summary == ("device 0 (NVIDIA H100) of pod ml/llama-0 has stood idle for 30 of the last 30 minutes")
    assert "0.5 device-hours paid for and not used since it last worked" in finding.evidence
    assert finding.subject == "allocated_idle k8s.namespace.name=ml k8s.pod.name=llama-0"


def test_eight_idle_devices_of_a_pod_are_one_finding_with_their_number(host):
    """They stop one after the other, ten seconds apart."""
    watch = host(PLUGIN)
    for step in range(40 * 6):
        for index in range(8):
            sample(watch, 0.7 if step < index else 0.0, index)
        sample(watch, 0.8, 8, pod="ml/busy-0")
        watch.tick(10)

    [finding] = watch.raised
    assert finding.summary == (
        "all 8 devices (NVIDIA H100) of pod ml/llama-0 have stood idle for 30 of the last 30 minutes"
    )
    assert finding.labels == (("k8s.namespace.name", "ml"), ("k8s.pod.name", "llama-0"))
    assert finding.evidence[0] == "devices 0, 1, 2, 3, 4, 5, 6, 7"
    assert "4.1 device-hours paid for and not used since they last worked" in finding.evidence
    assert watch.states() == {("ml", "busy-0"): 0, ("ml", "llama-0"): 1}


def test_of_a_pod_that_uses_some_of_its_devices_the_others_are_told(host):
    watch = host(PLUGIN)
    for _ in range(40 * 6):
        for index in range(8):
            sample(watch, 0.7 if index < 5 else 0.0, index)
        watch.tick(10)

    [finding] = watch.raised
    assert finding.summary.startswith("3 of 8 devices (NVIDIA H100) of pod ml/llama-0 have stood idle for 30")
    assert finding.evidence[0] == "devices 5, 6, 7"


def test_a_pod_stays_idle_as_long_as_one_of_its_devices_is(host):
    watch = host(PLUGIN)
    for minute in range(120):
        for _ in range(6):
            sample(watch, 0.9 if minute >= 40 else 0.0, 0)
            sample(watch, 0.9 if minute >= 100 else 0.0, 1)
            watch.tick(10)

    assert [finding.resolved for finding in watch.findings] == [False, True]


def test_minutes_until_it_is_told_are_configured(host):
    watch = host(PLUGIN, idle_seconds=600)
    run(watch, 5, 0.7)
    run(watch, 12)

    assert len(watch.raised) == 1


def test_one_question_hides_no_idle_afternoon_and_work_ends_it(host):
    watch = host(PLUGIN)
    run(watch, 40)
    run(watch, 2, 0.9)
    run(watch, 60)
    assert len(watch.findings) == 1

    run(watch, 10, 0.9)

    assert [finding.resolved for finding in watch.findings] == [False, True]


def test_health_probes_of_half_a_second_a_minute_are_no_work(host):
    watch = host(PLUGIN)
    for _ in range(45):
        for second in range(60):
            sample(watch, 0.4 if second == 7 else 0.0)
            watch.tick(1.0)

    assert len(watch.raised) == 1


@pytest.mark.parametrize("metric", [requests.TOKENS, engines.TOKENS], ids=lambda metric: metric.name)
def test_a_pod_whose_tokens_are_counted_is_not_idle(host, metric):
    watch = host(PLUGIN)
    for _ in range(60):
        run(watch, 1)
        pod = {"k8s.namespace.name": "ml", "k8s.pod.name": "llama-0", "service.name": "chat"}
        watch.say(pod, metric, 5.0, gen_ai__token__type="output")

    assert watch.findings == []


def test_tokens_of_another_pod_do_not_excuse_it(host):
    watch = host(PLUGIN)
    for _ in range(40):
        run(watch, 1)
        pod = {"k8s.namespace.name": "ml", "k8s.pod.name": "other-0"}
        watch.say(pod, requests.TOKENS, 5.0, gen_ai__token__type="output")

    assert len(watch.raised) == 1


def test_a_free_device_is_nobodys_waste(host):
    watch = host(PLUGIN)
    run(watch, 90, pod="")

    assert (watch.findings, watch.states()) == ([], {})


def test_a_pod_that_just_came_gets_its_time_to_start(host):
    watch = host(PLUGIN)
    run(watch, 60, pod="")
    run(watch, 25)
    run(watch, 60, 0.5)

    assert watch.findings == []


def test_a_given_back_device_resolves_its_finding(host):
    watch = host(PLUGIN)
    run(watch, 40)
    watch.lose("GPU-0")
    run(watch, 2, pod="")

    assert [finding.resolved for finding in watch.findings] == [False, True]


def test_a_shared_device_names_all_who_have_it(host):
    watch = host(PLUGIN)
    run(watch, 35, pod="", holders=["ml/a-0", "ml/b-0"])

    [finding] = watch.raised
    assert "given to ml/a-0, ml/b-0," in finding.summary


def test_a_partition_that_tells_only_its_units_is_judged_by_them(host):
    watch = host(PLUGIN)
    run(watch, 60, 0.0, active=0.3)

    assert watch.findings == []


def test_a_standby_that_is_meant_is_quiet(host):
    watch = host(PLUGIN, standby=["ml/llama-*"])
    run(watch, 90)

    assert watch.findings == []


def test_minutes_without_a_number_are_not_called_idle(host):
    watch = host(PLUGIN)
    for _ in range(30):
        run(watch, 1)
        for _ in range(36):  # the agent ticks on, the device says nothing
            watch.tick(5)

    assert watch.findings == []


def test_days_of_thin_load_restarts_and_pods_that_come_and_go_are_quiet(host):
    """A burst every ten minutes at night, models that take 20 minutes to load, a device read badly now and then."""
    watch = host(PLUGIN)
    rng = random.Random(8)
    for hour in range(48):
        pod = f"ml/llama-{hour // 6}"
        for minute in range(60):
            loading = hour % 6 == 0 and minute < 20
            burst = minute % 10 == 3 or minute == 21 or 8 < hour % 24 < 20
            if rng.random() < 0.02:
                watch.lose("GPU-0")
                watch.tick(60)
                continue
            run(watch, 1, 0.0 if loading or not burst else rng.uniform(0.1, 0.9), pod=pod, step=15.0)

    assert watch.findings == []
