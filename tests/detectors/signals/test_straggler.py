import random
from itertools import pairwise
from math import pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.signals.straggler import PLUGIN, Look, StragglerConfig, compare, stem
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import devices

FULL = 1_980e6
CONFIG = StragglerConfig()


def work(host, index, *, clock=FULL, matrix=0.4, compute=0.9, busy=1.0, rng=None, pod="ml/llama-0", **kind):
    """One sample of a device at work, with the noise of a real one."""
    own = host.gpu(index, pod, **kind)
    jitter = (lambda: rng.gauss(1.0, 0.01)) if rng else (lambda: 1.0)
    host.say(own, devices.CLOCK, clock * jitter(), clock="core")
    host.say(own, devices.CLOCK, 2_600e6, clock="memory")
    host.say(own, devices.UTILIZATION, min(1.0, busy), hw__gpu__task="general")
    host.say(own, devices.UTILIZATION, 0.0, hw__gpu__task="encoder")
    if matrix is not None:
        host.say(own, devices.MATRIX_ACTIVE, min(1.0, matrix * jitter()))
    if compute is not None:
        host.say(own, devices.COMPUTE_ACTIVE, min(1.0, compute * jitter()))
    host.say(own, devices.POWER, 600.0)


def run(host, seconds, slow=(), share=0.75, step=2.0, rng=None, **kind):
    for _ in range(int(seconds / step)):
        for index in range(8):
            factor = share if index in slow else 1.0
            # in lock step the slow one is busier by as much as its clock is lower
            work(host, index, clock=FULL * factor, matrix=0.4 / factor, compute=min(1, 0.6 / factor), rng=rng, **kind)
        host.tick(step)


def test_two_slow_devices_of_eight_are_found_within_seven_minutes_and_only_they(host):
    watch = host(PLUGIN)
    rng = random.Random(1)
    run(watch, 3600, rng=rng)
    assert watch.findings == []

    run(watch, 7 * 60, slow=(2, 5), rng=rng)

    assert sorted(finding.subject.split()[2] for finding in watch.raised) == ["hw.name=2", "hw.name=5"]
    finding = watch.raised[0]
    assert finding.severity is Severity.WARNING
    assert finding.summary == "device 2 (NVIDIA H100) of pod ml/llama-0 runs 25% slower than its peers at the same work"
    assert finding.evidence[0].startswith("core clock 14")
    assert "peers 19" in finding.evidence[0]


def test_since_is_when_it_became_slow_and_not_when_that_was_found(host):
    watch = host(PLUGIN)
    run(watch, 1800, rng=random.Random(3))
    began = watch.at
    run(watch, 7 * 60, slow=(3,), rng=random.Random(4))

    assert watch.raised[0].since == pytest.approx(began, abs=20)
    assert watch.raised[0].at > began + 240


def test_a_reason_that_holds_all_peers_back_is_not_what_makes_one_slow(host):
    watch = host(PLUGIN)
    for _ in range(900):
        for index in range(8):
            watch.say(watch.gpu(index), devices.THROTTLED, 1.0, reason="sw_power_cap")
            work(watch, index, clock=FULL * (0.8 if index == 3 else 1.0))
        watch.tick()

    [finding] = watch.raised
    assert "compare its power limit" in finding.action
    assert finding.evidence[-1] == "clocks held back now by: sw_power_cap, as its peers"


def test_much_slower_is_an_alarm(host):
    watch = host(PLUGIN)
    run(watch, 900)
    run(watch, 7 * 60, slow=(3,), share=0.5)

    assert [finding.severity for finding in watch.raised] == [Severity.CRITICAL]


def test_it_is_well_again_some_minutes_after_it_runs_as_its_peers(host):
    watch = host(PLUGIN)
    run(watch, 900, slow=(0,))
    assert len(watch.raised) == 1

    run(watch, 15 * 60)

    assert [finding.resolved for finding in watch.findings] == [False, True]
    assert watch.states()[("GPU-0", "0", "nvidia")] == 0.0


def test_slow_from_the_start_is_found_once_it_has_been_watched(host):
    watch = host(PLUGIN)
    run(watch, 240, slow=(7,))
    assert watch.states() == {}

    run(watch, 180, slow=(7,))

    assert len(watch.raised) == 1


def test_reasons_that_hold_its_clock_back_are_named_and_the_action_goes_to_them(host):
    watch = host(PLUGIN)
    for _ in range(300):
        for index in range(8):
            work(watch, index, clock=FULL * (0.7 if index == 1 else 1))
            on = float(index == 1)
            watch.say(watch.gpu(index), devices.THROTTLED, on, reason="hw_thermal_slowdown")
        watch.tick(2)

    [finding] = watch.raised
    assert "clocks held back now by: hw_thermal_slowdown" in finding.evidence
    assert "throttling" in finding.action


def test_a_day_of_changing_load_power_caps_and_idle_nights_is_quiet(host):
    """The clock of all falls with load and cap, each differs by 3 % for good, work is dealt out unevenly."""
    watch = host(PLUGIN)
    rng = random.Random(2)
    own_speed = [rng.uniform(0.97, 1.03) for _ in range(8)]
    step = 10.0
    for tick in range(int(86_400 / step)):
        hour = tick * step / 3600
        load = max(0.0, 0.5 + 0.5 * sin(hour / 24 * 2 * pi)) * rng.uniform(0.7, 1.0)
        capped = 0.8 if 10 < hour < 12 else 1.0
        for index in range(8):
            busy = min(1.0, max(0.0, load * rng.uniform(0.85, 1.15)))
            clock = 0.345e9 if busy < 0.05 else FULL * own_speed[index] * capped * (1.05 - 0.2 * busy)
            work(watch, index, clock=clock, matrix=0.5 * busy, compute=busy, busy=busy, rng=rng)
        watch.tick(step)

    assert watch.findings == []
    assert len(watch.states()) == 8


def test_devices_that_do_other_work_are_not_compared(host):
    """Prefill at a capped clock beside decode; one idle at its lowest clock; a training job of two."""
    watch = host(PLUGIN)
    for _ in range(900):
        for index in range(5):
            work(watch, index, matrix=0.08, compute=0.5)
        for index in (5, 6):
            work(watch, index, clock=1_300e6, matrix=0.7, compute=0.95)
        work(watch, 7, clock=345e6, matrix=0.0, compute=0.0, busy=0.0)
        watch.tick(2)

    assert watch.findings == []


def test_devices_with_little_to_do_are_not_compared(host):
    """The clock of one that is nearly idle says how deep it sleeps, not how fast it is."""
    watch = host(PLUGIN)
    for _ in range(900):
        for index in range(8):
            clock = 600e6 if index in (2, 3) else FULL
            work(watch, index, clock=clock, matrix=0.1, compute=0.2, busy=0.25)
        watch.tick(2)

    assert watch.findings == []


def test_the_slow_one_is_told_where_only_utilisation_is_known(host):
    watch = host(PLUGIN)
    run(watch, 480, slow=(4,))
    alone = host(PLUGIN)
    for _ in range(300):
        for index in range(8):
            work(alone, index, clock=FULL * (0.8 if index == 4 else 1), matrix=None, compute=None)
        alone.tick(2)

    assert [f.subject for f in alone.raised] == [f.subject for f in watch.raised]


def test_replicas_of_one_workload_are_peers_and_other_workloads_are_not(host):
    watch = host(PLUGIN)
    for _ in range(300):
        for index in range(6):
            pod = f"ml/qwen-6b9f8c7d5b-x{index + 4}z9k" if index < 4 else f"ml/other-6b9f8c7d5b-x{index}z9k"
            work(watch, index, clock=FULL * (0.8 if index in (1, 5) else 1), pod=pod.replace("3", "4"))
        watch.tick(2)

    assert [finding.subject.split()[1] for finding in watch.raised] == ["hw.id=GPU-1"]


def test_another_model_beside_is_no_peer(host):
    watch = host(PLUGIN)
    for _ in range(300):
        for index in range(8):
            work(watch, index, **({"model": "NVIDIA L40S", "clock": 1_200e6} if index > 5 else {}))
        watch.tick(2)

    assert watch.findings == []
    assert len(watch.states()) == 6


def test_devices_that_come_and_go_and_a_restarted_driver_raise_nothing(host):
    watch = host(PLUGIN)
    rng = random.Random(3)
    for minute in range(180):
        there = [index for index in range(8) if (minute // 20 + index) % 5 or index < 4]
        for _ in range(12):
            for index in there if minute % 45 else ():
                work(watch, index, rng=rng)
            watch.tick(5)
        if minute % 45 == 0:
            watch.lose(*(f"GPU-{index}" for index in range(8)))

    assert watch.findings == []


def test_a_device_that_is_gone_is_forgotten(host):
    watch = host(PLUGIN)
    run(watch, 480, slow=(6,))
    for _ in range(400):
        for index in range(6):
            work(watch, index)
        watch.tick(1)

    assert watch.findings[-1].resolved
    assert watch.findings[-1].summary.endswith("(no longer observed)")


def test_a_clock_that_is_set_back_begins_anew_and_still_finds(host):
    watch = host(PLUGIN)
    run(watch, 480)
    watch.at -= 86_400
    run(watch, 600, slow=(1,))

    assert len(watch.raised) == 1


LOAD = st.floats(0.35, 1.0)


@settings(deadline=None, max_examples=150)
@given(
    slow=st.sets(st.integers(0, 7), min_size=1, max_size=2),
    share=st.floats(0.3, 0.88),
    load=LOAD,
    common=st.floats(0.3, 1.0),
    noise=st.lists(st.floats(0.995, 1.005), min_size=8, max_size=8),
)
def test_any_two_of_eight_stand_out_at_any_load_and_any_common_clock(slow, share, load, common, noise):
    looks = []
    for index in range(8):
        factor = share if index in slow else 1.0
        looks.append(Look(FULL * common * noise[index] * factor, (load, load, 1.0)))

    found = compare(looks, CONFIG, 0.0)

    assert {index for index, one in enumerate(found) if one and one.slower >= max(0.1, 4 * one.spread)} == slow


@settings(deadline=None, max_examples=150)
@given(
    steps=st.lists(st.tuples(st.floats(0.2, 1.0), LOAD), min_size=2, max_size=30),
    own=st.lists(st.floats(0.97, 1.03), min_size=4, max_size=16),
)
def test_whatever_changes_for_all_is_no_difference(steps, own):
    by_device = []
    for common, load in steps:
        found = compare([Look(FULL * common * one, (load, load, 1.0)) for one in own], CONFIG, 0.0)
        by_device.append([one.slower for one in found if one])
        assert len(found) == len(by_device[-1])

    assert all(slower < 0.1 for row in by_device for slower in row)
    assert all(before == pytest.approx(after) for before, after in pairwise(by_device))


@pytest.mark.parametrize(
    ("pod", "name"),
    [
        ("llama-6b9f8c7d5b-x4z9k", "llama"),
        ("llama-70b-0", "llama-70b"),
        ("vllm-lws-0-1", "vllm-lws"),
        ("batch-x4z9k", "batch"),
        ("batch-3-x4z9k", "batch"),
        ("qwen", "qwen"),
    ],
)
def test_the_stem_of_a_pods_name_is_its_workload(pod, name):
    assert stem(pod) == name
