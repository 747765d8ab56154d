import random
from math import pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.signals.memory_leak import PLUGIN, growth, slope_of
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import devices

GIB = 2.0**30
LIMIT = 80 * GIB
STEP = 60.0


def sample(host, usage_gib, load=0.6, pod="ml/llama-0", index=0):
    own = host.gpu(index, pod)
    host.say(own, devices.MEMORY_LIMIT, LIMIT)
    host.say(own, devices.MEMORY_USAGE, min(usage_gib, 80.0) * GIB)
    host.say(own, devices.UTILIZATION, min(1.0, max(0.0, load)), hw__gpu__task="general")


def run(host, hours, usage, load=lambda hour: 0.6, **who):
    """`usage` and `load` are functions of the hours since this began."""
    began = host.at
    while (host.at - began) / 3600 < hours:
        hour = (host.at - began) / 3600
        sample(host, usage(hour), load(hour), **who)
        host.tick(STEP)


@pytest.mark.parametrize(("gib_an_hour", "hours"), [(1.5, 3.0), (3.0, 3.0), (6.0, 3.0)])
def test_a_leak_is_found_within_three_hours_of_its_beginning(host, gib_an_hour, hours):
    watch = host(PLUGIN)
    rng = random.Random(5)
    run(watch, 8, lambda hour: 45 + rng.uniform(0, 0.05))
    assert watch.findings == []

    run(watch, hours, lambda hour: 45 + gib_an_hour * hour + rng.uniform(0, 0.05))

    [finding, *_] = watch.raised
    assert finding.severity is Severity.WARNING
    assert "rises by" in finding.summary
    assert "device 0 (NVIDIA H100) of pod ml/llama-0" in finding.summary
    assert finding.subject.endswith("k8s.namespace.name=ml k8s.pod.name=llama-0")


def test_a_leak_under_noise_as_large_as_an_hour_of_it_is_found(host):
    watch = host(PLUGIN)
    rng = random.Random(6)
    run(watch, 8, lambda hour: 50 + 2 * hour + rng.expovariate(1 / 0.7))

    assert len(watch.raised) >= 1


def test_a_leak_is_found_within_three_hours_whatever_the_noise_of_the_load(host):
    watch = host(PLUGIN)
    rng = random.Random(12)
    run(watch, 6, lambda hour: 45 + rng.random(), load=lambda hour: rng.gauss(0.6, 0.2))
    run(watch, 3, lambda hour: 45 + 3 * hour + rng.random(), load=lambda hour: rng.gauss(0.6, 0.2))

    assert len(watch.raised) == 1


def test_a_leak_under_a_days_wave_of_load_is_found_before_the_device_is_full(host):
    watch = host(PLUGIN)
    run(watch, 22, lambda hour: 45 + 1.5 * hour, load=lambda hour: 0.5 + 0.4 * sin(hour / 24 * 2 * pi))

    assert len(watch.raised) >= 1


def test_a_clock_that_is_set_back_begins_anew_and_still_finds(host):
    watch = host(PLUGIN)
    run(watch, 3, lambda hour: 45)
    watch.at -= 86_400
    run(watch, 3, lambda hour: 45 + 4 * hour)

    assert len(watch.raised) == 1


def test_about_to_be_full_is_an_alarm(host):
    watch = host(PLUGIN)
    run(watch, 8.5, lambda hour: 36 + 5 * hour)

    assert [finding.severity for finding in watch.raised] == [Severity.WARNING, Severity.CRITICAL]
    assert "is full in" in watch.raised[-1].summary


def test_a_restart_of_the_engine_ends_it(host):
    watch = host(PLUGIN)
    run(watch, 5, lambda hour: 40 + 4 * hour)
    assert len(watch.raised) == 1

    run(watch, 0.2, lambda hour: 0.5, load=lambda hour: 0.0)
    run(watch, 3, lambda hour: 40)

    assert watch.findings[-1].resolved


def test_another_pod_on_the_device_begins_anew(host):
    watch = host(PLUGIN)
    run(watch, 5, lambda hour: 40 + 4 * hour)
    run(watch, 1, lambda hour: 60 + 4 * hour, pod="ml/other-0")

    assert [finding.resolved for finding in watch.findings] == [False, True]


@pytest.mark.parametrize(
    "usage",
    [
        pytest.param(lambda hour, _: 72.0 if hour > 0.1 else 1 + 700 * hour, id="memory taken at start"),
        pytest.param(lambda hour, _: 20.0 + 8 * (hour // 5), id="steps"),
        pytest.param(lambda hour, _: 20.0 + 6 * (hour > 6) + 6 * (hour > 7.5), id="two adapters loaded"),
        pytest.param(lambda hour, rng: 40 + 12 * (hour * 4 % 1) + rng.random(), id="sawtooth of a quarter hour"),
        pytest.param(lambda hour, rng: 40 + 6 * (hour / 1.5 % 1) + rng.random(), id="sawtooth of an hour and a half"),
        pytest.param(lambda hour, rng: 50 + 15 * sin(hour / 24 * 2 * pi) + rng.random(), id="a day's wave"),
        pytest.param(lambda hour, rng: 40 + rng.expovariate(1 / 4), id="bursts"),
        pytest.param(lambda hour, _: 70 - 30 * 2 ** (-hour / 0.7), id="a cache that fills to its bound"),
        pytest.param(lambda hour, _: 78 - 38 * 2 ** (-hour / 0.75), id="a cache that fills nearly all"),
        pytest.param(lambda hour, _: 40 + 0.1 * hour, id="a hundred MiB an hour"),
        pytest.param(lambda hour, _: 40 + sum(8 * (hour > at) for at in (20, 20.7, 21.4)), id="three adapters in turn"),
        pytest.param(
            lambda hour, _: 40 + 0.15 * hour + sum(10 * (hour > at) for at in (20, 20.9)), id="two, and creep"
        ),
    ],
)
def test_three_days_of_what_engines_do_with_memory_are_quiet(host, usage):
    watch = host(PLUGIN)
    rng = random.Random(7)
    run(watch, 72, lambda hour: usage(hour, rng), load=lambda hour: 0.5 + 0.45 * sin(hour / 24 * 2 * pi))

    assert watch.findings == []
    assert list(watch.states().values()) == [0.0]


@pytest.mark.parametrize("power", [0.5, 1, 2, 3])
def test_memory_that_follows_the_load_is_quiet(host, power):
    watch = host(PLUGIN)

    def load(hour):
        return max(0.05, 0.5 - 0.5 * sin((hour / 24 + 0.25) * 2 * pi))

    run(watch, 72, lambda hour: 30 + 30 * load(hour) ** power, load=load)

    assert watch.findings == []


@pytest.mark.parametrize("seed", range(6))
def test_memory_that_wanders_is_quiet(host, seed):
    watch = host(PLUGIN)
    rng = random.Random(seed)
    level = 45.0

    def usage(_hour):
        nonlocal level
        level = min(60.0, max(30.0, level + rng.gauss(0, 0.15)))
        return level

    run(watch, 48, usage)

    assert watch.findings == []


def test_a_leak_that_ended_in_a_restart_is_found_again(host):
    watch = host(PLUGIN)
    for _ in range(2):
        run(watch, 0.2, lambda hour: 0.5, load=lambda hour: 0.0)
        run(watch, 5, lambda hour: 40 + 4 * hour)

    assert len([finding for finding in watch.raised if finding.severity is Severity.WARNING]) == 2


def test_a_sawtooth_of_many_hours_is_known_after_its_first_tooth(host):
    watch = host(PLUGIN)
    run(watch, 120, lambda hour: 30 + 2.5 * (hour % 12))
    teeth = [(finding.at - watch.began) / 3600 for finding in watch.raised]

    assert all(at < 12 for at in teeth)


def test_pods_that_restart_every_hour_raise_nothing(host):
    watch = host(PLUGIN)
    for _ in range(24):
        run(watch, 1, lambda hour: 1 + 60 * min(1, hour * 6) + 8 * hour)

    assert watch.findings == []


def test_less_than_two_hours_say_nothing_yet(host):
    watch = host(PLUGIN)
    run(watch, 1.9, lambda hour: 40 + 10 * hour)

    assert watch.states() == {}


def test_a_device_without_a_known_limit_is_not_judged(host):
    watch = host(PLUGIN)
    for tick in range(600):
        watch.say(watch.gpu(0), devices.MEMORY_USAGE, (40 + tick / 60) * GIB)
        watch.tick(STEP)

    assert watch.states() == {}


CREEP = [40 + 0.1 * place for place in range(24)]


@pytest.mark.parametrize(
    ("added", "is_growth"),
    [
        pytest.param(list(range(24)), True, id="a line"),
        pytest.param([10 * (place >= 4) + 10 * (place >= 20) for place in range(24)], False, id="two steps have most"),
        pytest.param(
            [8 * ((place >= 4) + (place >= 12) + (place >= 20)) - 0.1 * place for place in range(24)],
            False,
            id="flat between steps",
        ),
        pytest.param([place + 20 * (place % 3 == 1) for place in range(24)], False, id="back and forth"),
        pytest.param([24 * (1 - 0.5 ** (place / 6)) for place in range(24)], False, id="slower and slower"),
        pytest.param([-place for place in range(24)], False, id="falling"),
    ],
)
def test_growth_is_steady_or_it_is_none(added, is_growth):
    levels = [(base + more) * GIB for base, more in zip(CREEP, added, strict=True)]

    assert (growth(levels, GIB) is not None) == is_growth


@settings(deadline=None, max_examples=60)
@given(
    slope=st.floats(-5, 5),
    wrong=st.lists(st.tuples(st.integers(0, 23), st.floats(-1e3, 1e3)), max_size=5),
)
def test_a_fifth_of_the_levels_may_be_anything_without_turning_the_slope(slope, wrong):
    levels = [slope * place for place in range(24)]
    for place, value in wrong:
        levels[place] = value

    assert slope_of(levels) == pytest.approx(slope, abs=0.5 * abs(slope) + 1e-6)


@settings(deadline=None, max_examples=100)
@given(
    at=st.integers(0, 23), height=st.floats(0.1, 70), before=st.floats(5, 40),
    noise=st.lists(st.floats(0, 0.2), min_size=24, max_size=24),
)  # fmt: skip
def test_one_step_is_no_growth_wherever_it_falls(at, height, before, noise):
    levels = [(before + (height if place >= at else 0) + noise[place]) * GIB for place in range(24)]

    assert growth(levels, GIB) is None
