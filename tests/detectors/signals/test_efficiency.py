import random

import pytest

from detectors.signals.efficiency import PLUGIN
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.signals import Watched
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Reading, Sample, Severity
from watchkeeper.core.vocabulary import devices, efficiency, engines, requests, signals

POD = {"k8s.namespace.name": "ml", "k8s.pod.name": "llama-0"}
PLACED = tuple(POD.items())


def sample(host, *, watts=600.0, tokens=50.0, step=5.0, indexes=(0, 1), metered=None, metric=requests.TOKENS):
    for index in indexes:
        own = host.gpu(index)
        if metered is None or index in metered:
            host.say(own, devices.ENERGY, watts * step, watchkeeper__obtained="meter")
        host.say(own, devices.ALLOCATED_TIME, step, k8s__container__name="engine")
    host.say(POD, metric, tokens * step, gen_ai__token__type="output", gen_ai__request__model="llama")
    host.say(POD, metric, 9 * tokens * step, gen_ai__token__type="input", gen_ai__request__model="llama")
    host.tick(step)


def run(host, seconds, step=5.0, **how):
    for _ in range(int(seconds / step)):
        sample(host, step=step, **how)


def test_joules_device_seconds_and_money_per_output_token(host):
    watch = host(PLUGIN, prices=[{"model": "nvidia h100*", "per_hour": 3.6, "currency": "EUR"}])
    run(watch, 600)

    assert watch.values(efficiency.ENERGY_PER_TOKEN) == [pytest.approx(2 * 600 / 50)]
    assert watch.values(efficiency.DEVICE_TIME_PER_TOKEN) == [pytest.approx(2 / 50)]
    assert watch.values(efficiency.DEVICE_COST_PER_TOKEN) == [pytest.approx(2 / 50 * 3.6 / 3600)]
    assert watch.states() == {("ml", "llama-0"): 0.0}


def test_the_engines_own_tokens_hold_where_it_tells_them_and_are_never_added(host):
    watch = host(PLUGIN)
    for _ in range(120):
        watch.say(POD, engines.TOKENS, 500.0, gen_ai__token__type="output")
        sample(watch, tokens=50.0)

    assert watch.values(efficiency.DEVICE_TIME_PER_TOKEN) == [pytest.approx(2 / 100)]


def test_device_cost_adds_up_to_the_price_of_the_hours(host):
    watch = host(PLUGIN, prices=[{"model": "*H100*", "per_hour": 2.0}, {"model": "*", "per_hour": 99.0}])
    total = 0.0
    for _ in range(720):
        for index in (0, 1):
            watch.say(watch.gpu(index), devices.ALLOCATED_TIME, 5.0)
        judged = watch.tick(5.0)
        total += sum(one.value for one in judged.samples if one.metric is efficiency.DEVICE_COST)

    assert total == pytest.approx(2 * 2.0, rel=0.01)
    assert watch.values(efficiency.DEVICE_COST_PER_TOKEN) == []


def test_without_a_price_there_is_no_cost(host):
    watch = host(PLUGIN, prices=[{"model": "TPU*", "per_hour": 2.0}])
    run(watch, 600)

    assert watch.values(efficiency.DEVICE_COST) == watch.values(efficiency.DEVICE_COST_PER_TOKEN) == []


def test_energy_is_absent_where_a_device_of_the_pod_does_not_tell_its_own(host):
    watch = host(PLUGIN)
    run(watch, 600, metered=(0,))

    assert watch.values(efficiency.ENERGY_PER_TOKEN) == []
    assert watch.values(efficiency.DEVICE_TIME_PER_TOKEN) == [pytest.approx(2 / 50)]


def test_few_tokens_make_no_number(host):
    watch = host(PLUGIN)
    run(watch, 600, tokens=0.2)

    assert watch.values(efficiency.ENERGY_PER_TOKEN) == []
    assert watch.states() == {}


def test_tokens_of_another_pod_are_not_counted(host):
    watch = host(PLUGIN)
    for _ in range(120):
        other = {**POD, "k8s.pod.name": "other-0"}
        watch.say(other, requests.TOKENS, 1e6, gen_ai__token__type="output")
        sample(watch)

    assert watch.values(efficiency.DEVICE_TIME_PER_TOKEN) == [pytest.approx(2 / 50)]


def test_no_limit_means_no_verdict_however_bad_it_gets(host):
    watch = host(PLUGIN)
    run(watch, 3600, tokens=1.0, watts=1e5)

    assert watch.findings == []
    assert watch.states() == {("ml", "llama-0"): 0.0}


def test_a_stated_limit_passed_for_ten_minutes_warns_and_clears(host):
    watch = host(PLUGIN, limits=[{"pod": "ml/llama-*", "joules_per_token": 35, "device_seconds_per_token": 1}])
    run(watch, 1800)
    assert watch.findings == []

    run(watch, 960, tokens=25)
    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert finding.summary == "an output token of pod ml/llama-0 takes 48 J, 35 is the limit"

    run(watch, 1200)
    assert watch.findings[-1].resolved


def test_a_limit_on_device_time_is_told_in_its_unit(host):
    watch = host(PLUGIN, limits=[{"pod": "*", "device_seconds_per_token": 0.02}])
    run(watch, 1800)

    assert "device-seconds" in watch.raised[0].summary


def test_two_days_of_noise_nights_and_new_pods_stay_within_a_limit_of_twice_the_usual(host):
    watch = host(PLUGIN, limits=[{"pod": "*", "joules_per_token": 50}])
    rng = random.Random(11)
    for minute in range(2 * 24 * 60):
        night = minute % 1440 < 300
        restart = minute % 400 < 10
        tokens = 0.0 if night or restart else 50 * rng.uniform(0.6, 1.4)
        run(watch, 60, step=15.0, tokens=tokens, watts=120 if night or restart else 600 * rng.uniform(0.8, 1.2))

    assert watch.findings == []


def test_a_pod_that_is_gone_takes_its_last_cost_with_it_and_is_forgotten(host):
    watch = host(PLUGIN, prices=[{"model": "*", "per_hour": 1.0}])
    run(watch, 600)
    for _ in range(100):
        watch.tick(5.0)

    assert watch.watched._signal._pods == {}


def test_through_the_pipeline_its_numbers_become_series():
    ledger = Ledger()
    batches: list[Batch] = []
    config = PLUGIN.config()
    signal = PLUGIN.build(config, ledger)
    watched = Watched(PLUGIN.name, signal, PLUGIN.reads, PLUGIN.interval_seconds(config), ledger)
    aggregate = Aggregate(ledger, max_series=1000, max_values_per_label=100)
    pipeline = Pipeline(aggregate, ledger, [batches.append], signals=[watched])
    device = (("hw.id", "GPU-0"), ("hw.name", "0"), ("hw.vendor", "nvidia"), ("hw.model", "NVIDIA H100"))
    for second in range(700):
        at = 1_700_000_000.0 + second
        told = (
            Sample(devices.ENERGY, 600.0, at, (*device, *PLACED, ("watchkeeper.obtained", "meter"))),
            Sample(devices.ALLOCATED_TIME, 1.0, at, (*device, *PLACED, ("k8s.container.name", "engine"))),
            Sample(requests.TOKENS, 30.0, at, (*PLACED, ("gen_ai.token.type", "output"))),
        )
        pipeline.accept("test", Reading(told), at)
        pipeline.tick(at)
        pipeline.tick(at + 0.5)

    series = {(point.metric, point.labels): point.value for batch in batches for point in batch.points}
    assert series[(efficiency.ENERGY_PER_TOKEN, PLACED)] == pytest.approx(20.0)
    assert series[(signals.STATE, (("signal", "efficiency"), *PLACED))] == 0.0
