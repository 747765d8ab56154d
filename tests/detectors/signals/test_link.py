import random
from math import pi, sin

import pytest

from detectors.signals.link import PLUGIN
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import devices

NVLINK, PCIE = "nvlink", "pcie"


def sample(host, index=0, *, up=18, down=0, width=16, generation=5, busy=0.8, errors=None):
    own = host.gpu(index)
    host.say(own, devices.LINKS, up, link=NVLINK, hw__state="up")
    host.say(own, devices.LINKS, down, link=NVLINK, hw__state="down")
    host.say(own, devices.LINK_WIDTH, width, link=PCIE)
    host.say(own, devices.LINK_WIDTH_LIMIT, 16, link=PCIE)
    host.say(own, devices.LINK_GENERATION, generation, link=PCIE)
    host.say(own, devices.LINK_GENERATION_LIMIT, 5, link=PCIE)
    host.say(own, devices.UTILIZATION, busy, hw__gpu__task="general")
    for (link, kind), count in (errors or {}).items():
        host.say(own, devices.LINK_ERRORS, count, link=link, error__type=kind)


def run(host, seconds, step=5.0, indexes=(0,), **how):
    for _ in range(int(seconds / step)):
        for index in indexes:
            sample(host, index, **how)
        host.tick(step)


@pytest.mark.parametrize(
    ("link", "kind", "severity"),
    [
        (PCIE, "fatal", Severity.CRITICAL),
        (PCIE, "nonfatal", Severity.WARNING),
        (NVLINK, "recovery_failed", Severity.CRITICAL),
        (NVLINK, "buffer_overrun", Severity.WARNING),
    ],
)
def test_an_error_that_costs_data_is_told_at_the_next_question_and_held(host, link, kind, severity):
    watch = host(PLUGIN)
    run(watch, 600)
    sample(watch, errors={(link, kind): 1})
    watch.tick(10)

    [finding] = watch.raised
    assert finding.severity is severity
    assert finding.subject.endswith(f"link={link}")
    assert f"1 {kind}" in finding.summary

    run(watch, 1700)
    assert len(watch.findings) == 1
    run(watch, 120)
    assert watch.findings[-1].resolved


def test_links_trained_anew_warn_when_they_repeat_and_pcie_recovery_is_how_it_changes_speed(host):
    watch = host(PLUGIN)
    for _ in range(3):
        assert watch.findings == []
        run(watch, 60)
        sample(watch, errors={(NVLINK, "recovery"): 1, (PCIE, "recovery"): 3})
        watch.tick(10)

    assert [(f.severity, f.subject.rpartition("=")[2]) for f in watch.raised] == [(Severity.WARNING, NVLINK)]


def test_a_rising_rate_of_corrected_errors_warns_within_minutes_and_is_told_per_minute(host):
    watch = host(PLUGIN)
    run(watch, 1200, errors={(PCIE, "replay"): 0})
    run(watch, 480, errors={(PCIE, "replay"): 1.5})

    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert "errors a minute (replay)" in finding.summary


def test_a_burst_of_corrected_errors_when_a_job_is_killed_is_quiet(host):
    watch = host(PLUGIN)
    for _ in range(12):
        run(watch, 600, errors={(NVLINK, "crc"): 10, (NVLINK, "replay"): 0})
        sample(watch, errors={(NVLINK, "crc"): 20_000, (NVLINK, "replay"): 500})
        watch.tick(5)

    assert watch.findings == []


def test_links_that_went_down_are_an_alarm_after_a_minute(host):
    watch = host(PLUGIN)
    run(watch, 300)
    run(watch, 50, up=17, down=1)
    assert watch.findings == []

    run(watch, 30, up=17, down=1)

    [finding] = watch.raised
    assert (finding.severity, "has 17 of 18 links up" in finding.summary) == (Severity.CRITICAL, True)


def test_two_of_eight_with_links_down_from_the_start_are_found_by_their_peers(host):
    watch = host(PLUGIN)
    for _ in range(30):
        for index in range(8):
            sample(watch, index, up=12 if index in (1, 6) else 18, down=6 if index in (1, 6) else 0)
        watch.tick(5)

    assert [finding.subject.split()[1] for finding in watch.raised] == ["hw.id=GPU-1", "hw.id=GPU-6"]


def test_ports_that_were_never_up_are_not_missed(host):
    watch = host(PLUGIN)
    run(watch, 3600, indexes=range(8), up=0, down=18)

    assert watch.findings == []


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"width": 8}, "8 of 16 lanes"),
        ({"generation": 3}, "generation 3 of 5"),
        ({"generation": 4}, "generation 4 of 5"),
    ],
)
def test_pcie_below_its_limit_under_load_warns_and_not_while_idle(host, how, says):
    watch = host(PLUGIN)
    run(watch, 3600, busy=0.0, **how)
    assert watch.findings == []

    run(watch, 450, busy=0.9, **how)

    [finding] = watch.raised
    assert (finding.severity, says in finding.summary) == (Severity.WARNING, True)


def test_what_was_found_under_load_is_not_forgotten_in_a_pause(host):
    watch = host(PLUGIN)
    run(watch, 600, width=8)
    run(watch, 1800, busy=0.0, width=8)
    assert [finding.resolved for finding in watch.findings] == [False]

    run(watch, 600)

    assert watch.findings[-1].resolved


def test_days_of_idle_generations_rare_errors_and_reloaded_drivers_are_quiet(host):
    watch = host(PLUGIN)
    rng = random.Random(10)
    for minute in range(2 * 24 * 60):
        load = max(0.0, 0.5 + 0.5 * sin(minute / 1440 * 2 * pi))
        for _ in range(4):
            for index in range(4):
                busy = load * rng.random()
                errors = {(PCIE, "replay"): float(rng.random() < 0.02), (NVLINK, "crc"): rng.randrange(40)}
                sample(watch, index, busy=busy, generation=5 if busy > 0.2 else 1, errors=errors)
            watch.tick(15)
        if minute % 300 == 299:
            watch.lose(*(f"GPU-{index}" for index in range(4)))
            for index in range(4):
                sample(watch, index, up=0, down=18, busy=0.0)
            watch.tick(30)

    assert watch.findings == []


def test_a_device_that_is_gone_is_forgotten(host):
    watch = host(PLUGIN)
    run(watch, 600, indexes=(0, 1), width=8)
    run(watch, 400, indexes=(1,), width=8)

    assert watch.findings[-1].summary.endswith("(no longer observed)")
