import random
from math import pi, sin

import pytest

from detectors.signals.throttling import PLUGIN, kind_of
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import devices

COUNTED = ("sw_power_cap", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sync_boost")
SAMPLED = (*COUNTED, "hw_slowdown")


def sample(host, shares=None, *, seconds=1.0, indexes=(0,), clock=1_800e6, counted=True):
    """`shares`: reason to the share of this tick in which it held."""
    shares = shares or {}
    for index in indexes:
        own = host.gpu(index)
        for reason in COUNTED if counted else ():
            host.say(own, devices.THROTTLE_TIME, shares.get(reason, 0.0) * seconds, reason=reason)
        for reason in SAMPLED:
            host.say(own, devices.THROTTLED, float(shares.get(reason, 0.0) >= 0.5), reason=reason)
        host.say(own, devices.CLOCK, clock, clock="core")
        host.say(own, devices.CLOCK_LIMIT, 1_980e6, clock="core")
        host.say(own, devices.TEMPERATURE, 84.0, hw__sensor_location="chip")
        host.say(own, devices.TEMPERATURE_LIMIT, 87.0, hw__sensor_location="chip", hw__limit_type="slowdown")
        host.say(own, devices.POWER, 650.0)
        host.say(own, devices.POWER_LIMIT, 700.0)
    host.tick(seconds)


def run(host, seconds, shares=None, **how):
    for _ in range(int(seconds)):
        sample(host, shares, **how)


@pytest.mark.parametrize(
    ("reason", "share", "severity", "within_seconds"),
    [
        ("hw_power_brake_slowdown", 1.0, Severity.CRITICAL, 240),
        ("hw_thermal_slowdown", 0.5, Severity.CRITICAL, 300),
        ("sw_thermal_slowdown", 0.5, Severity.WARNING, 300),
        ("hw_slowdown", 1.0, Severity.CRITICAL, 300),
    ],
)
def test_a_reason_that_lasts_is_told_in_minutes_by_what_it_is(host, reason, share, severity, within_seconds):
    watch = host(PLUGIN)
    run(watch, 1800)
    assert watch.findings == []

    run(watch, within_seconds, {reason: share})

    assert {finding.subject.rpartition("reason=")[2] for finding in watch.raised} == {reason}
    assert watch.raised[-1].severity is severity


def test_what_it_says_has_share_temperature_and_what_to_do(host):
    watch = host(PLUGIN)
    run(watch, 900, {"sw_thermal_slowdown": 0.5})

    [finding] = watch.raised
    assert finding.summary == (
        "device 0 (NVIDIA H100) of pod ml/llama-0 is held back by heat (sw_thermal_slowdown) for 50% of the time"
    )
    assert "temperature 84 Cel, limit 87 Cel" in finding.evidence
    assert "fan" in finding.action


def test_a_power_cap_at_full_load_is_normal_until_the_clock_is_far_down(host):
    watch = host(PLUGIN)
    run(watch, 3600, {"sw_power_cap": 1.0}, clock=1_400e6)
    assert watch.findings == []

    run(watch, 300, {"sw_power_cap": 1.0}, clock=1_000e6)

    assert [finding.severity for finding in watch.raised] == [Severity.WARNING]


def test_a_power_cap_without_a_known_clock_says_nothing(host):
    watch = host(PLUGIN)
    for _ in range(1200):
        watch.say(watch.gpu(0), devices.THROTTLE_TIME, 1.0, reason="sw_power_cap")
        watch.tick()

    assert watch.findings == []


def test_a_driver_that_counts_no_time_is_judged_by_samples(host):
    watch = host(PLUGIN)
    run(watch, 600, counted=False)
    run(watch, 300, {"hw_power_brake_slowdown": 1.0}, counted=False)

    assert {finding.severity for finding in watch.raised} == {Severity.WARNING, Severity.CRITICAL}
    assert watch.raised[-1].evidence[0].endswith("of the samples")


def test_a_source_that_is_read_once_a_minute_tells_the_same(host):
    watch = host(PLUGIN)
    for _ in range(30):
        sample(watch, seconds=60.0)
    for _ in range(6):
        sample(watch, {"sw_thermal_slowdown": 0.6}, seconds=60.0)

    assert len(watch.raised) == 1


def test_intermittent_throttling_is_raised_once_and_cleared_once(host):
    watch = host(PLUGIN)
    for _ in range(60):
        run(watch, 20, {"sw_thermal_slowdown": 1.0})
        run(watch, 40)
    assert len(watch.findings) == 1

    run(watch, 900)

    assert [finding.resolved for finding in watch.findings] == [False, True]


def test_bursts_some_minutes_apart_are_one_finding_that_tells_their_share(host):
    watch = host(PLUGIN)
    for _ in range(12):
        run(watch, 60, {"hw_thermal_slowdown": 1.0})
        run(watch, 480)
    assert [finding.resolved for finding in watch.findings] == [False]

    run(watch, 1200)

    assert [finding.resolved for finding in watch.findings] == [False, True]


def test_what_has_ended_is_let_go_without_telling_of_nothing(host):
    watch = host(PLUGIN)
    run(watch, 900, {"hw_thermal_slowdown": 1.0})
    run(watch, 1200)

    assert watch.findings[-1].resolved
    assert not [finding.summary for finding in watch.findings if " 0% of" in finding.summary]


def test_half_a_day_of_load_spikes_and_power_caps_is_quiet(host):
    """Brief slowdowns when the clock changes, heat for some seconds at the peak of the day, capped half of the time."""
    watch = host(PLUGIN)
    rng = random.Random(4)
    indexes = range(4)
    for minute in range(12 * 60):
        load = max(0.0, 0.6 + 0.4 * sin(minute / 1440 * 2 * pi))
        for second in range(0, 60, 5):
            shares = {"sw_power_cap": 1.0 if rng.random() < load else 0.0, "sync_boost": 1.0}
            if rng.random() < 0.01:
                shares["hw_slowdown"] = 1.0
            if minute % 30 == 0 and second < 25:
                shares["sw_thermal_slowdown"] = 1.0
            there = [index for index in indexes if index or (minute // 60) % 3]
            sample(watch, shares, seconds=5.0, indexes=there, clock=1_980e6 * (1 - 0.35 * load))
        if minute % 200 == 199:
            watch.lose(*(f"GPU-{index}" for index in indexes))

    assert watch.findings == []


@pytest.mark.parametrize("reason", ["hw_thermal_slowdown", "hw_power_brake_slowdown", "sw_thermal_slowdown"])
def test_a_spike_that_has_ended_is_quiet_however_hard_it_was(host, reason):
    watch = host(PLUGIN)
    for _ in range(6):
        run(watch, 25, {reason: 1.0})
        run(watch, 900)

    assert watch.findings == []


def test_too_short_a_time_says_nothing_yet(host):
    watch = host(PLUGIN)
    run(watch, 100, {"hw_power_brake_slowdown": 1.0})

    assert watch.states() == {}


def test_a_device_that_is_gone_is_forgotten_with_its_finding(host):
    watch = host(PLUGIN)
    run(watch, 600, {"sw_thermal_slowdown": 1.0}, indexes=(0, 1))
    run(watch, 400, indexes=(1,))

    gone = [finding for finding in watch.findings if finding.summary.endswith("(no longer observed)")]
    assert [finding.subject.split()[1] for finding in gone] == ["hw.id=GPU-0"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("sw_power_cap", "power cap"), ("hw_power_brake_slowdown", "power brake"), ("powerBrake", "power brake"),
        ("hw_thermal_slowdown", "hardware heat"), ("sw_thermal_slowdown", "heat"), ("thermal", "heat"),
        ("hw_slowdown", "slowdown"), ("ppt_pwr", "power cap"), ("hbm_thrm", "heat"), ("prochot", "hardware heat"),
        ("sync_boost", ""), ("gpu_idle", ""), ("app_clocks_setting", ""), ("tdp", "power cap"),
    ],
)  # fmt: skip
def test_every_vendors_reason_has_a_kind_or_is_no_trouble(reason, kind):
    assert kind_of(reason) == kind
