import random

import pytest

from detectors.signals.fault import PLUGIN
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import devices
from watchkeeper.core.vocabulary.faults import XIDS, FaultClass

STATES = ("ok", "degraded", "failed", "predicted_failure")
ACTIONS = ("gpu_reset", "node_reboot", "drain_p2p", "drain_and_reset")


def sample(host, state="ok", *, index=0, asked="", unreadable="", pod="ml/llama-0"):
    own = host.gpu(index, pod)
    for known in STATES:
        host.say(own, devices.STATUS, float(known == state), hw__type="gpu", hw__state=known)
    for known in ACTIONS:
        host.say(own, devices.RECOVERY_ACTION, float(known == asked), action=known)
    for known in ("lost", "hung", "failing"):
        host.say(own, devices.DEVICE_FAULT, float(known == unreadable), reason=known)
    for kind in FaultClass:
        for severity in Severity:
            host.say(own, devices.FAULTS, 0.0, fault__class=kind.value, severity=severity.value)


def report(host, code, count=1.0, index=0, pod="ml/llama-0"):
    own, row = host.gpu(index, pod), XIDS[code]
    host.say(own, devices.FAULTS, count, fault__class=row.fault_class.value, severity=row.severity.value)
    host.say(own, devices.FAULT_CODES, count, fault__code=code)


def run(host, seconds, *args, step=5.0, **how):
    for _ in range(int(seconds / step)):
        sample(host, *args, **how)
        host.tick(step)


def test_a_critical_code_is_an_alarm_at_the_next_question_with_its_own_action(host):
    watch = host(PLUGIN)
    run(watch, 60)
    sample(watch)
    report(watch, "79")
    watch.tick(5)

    [finding] = watch.raised
    assert finding.severity is Severity.CRITICAL
    assert finding.summary == (
        "device 0 (NVIDIA H100) of pod ml/llama-0 reported a fault of class bus: GPU has fallen off the bus (79)"
    )
    assert finding.action == XIDS["79"].action
    assert "code 79: GPU has fallen off the bus, 1 times" in finding.evidence
    assert finding.subject.endswith("reason=bus")


@pytest.mark.parametrize("code", sorted(XIDS))
def test_every_code_is_judged_by_the_severity_that_its_table_has(host, code):
    watch = host(PLUGIN)
    sample(watch)
    report(watch, code)
    watch.tick(5)

    wanted = [] if XIDS[code].severity is Severity.INFO else [XIDS[code].severity]
    assert [finding.severity for finding in watch.raised] == wanted


def test_a_fault_is_held_for_half_an_hour_after_its_last_event(host):
    watch = host(PLUGIN)
    sample(watch)
    report(watch, "94")
    run(watch, 1200)
    report(watch, "94")
    run(watch, 1700)
    assert [finding.resolved for finding in watch.findings] == [False]

    run(watch, 120)

    assert [finding.resolved for finding in watch.findings] == [False, True]


def test_application_faults_warn_only_when_they_repeat(host):
    watch = host(PLUGIN)
    for _ in range(2):
        report(watch, "31")
        run(watch, 600)
    assert watch.findings == []

    report(watch, "31")
    run(watch, 10)

    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert finding.subject.endswith("reason=application")


def test_a_code_that_nobody_knows_is_told_as_such(host):
    watch = host(PLUGIN)
    own = watch.gpu(0, vendor="ascend")
    watch.say(own, devices.FAULTS, 1.0, fault__class="engine", severity="critical")
    watch.say(own, devices.FAULT_CODES, 1.0, fault__code="0DDC0DE0")
    watch.tick(5)

    [finding] = watch.raised
    assert "code 0DDC0DE0: a code that is in no table, 1 times" in finding.evidence
    assert "catalogue" in finding.action


def test_uncorrected_memory_errors_warn_where_a_source_has_no_events(host):
    watch = host(PLUGIN)
    own = watch.gpu(0)
    watch.say(own, devices.ERRORS, 900.0, hw__type="gpu", error__type="corrected")
    watch.tick(5)
    assert watch.findings == []

    watch.say(own, devices.ERRORS, 1.0, hw__type="gpu", error__type="uncorrected")
    watch.tick(5)

    assert [(f.severity, f.subject.rpartition("=")[2]) for f in watch.raised] == [(Severity.WARNING, "memory")]
    assert watch.raised[0].summary.endswith("reported a fault of class memory: uncorrected memory errors")
    assert "uncorrected memory errors: 1" in watch.raised[0].evidence


@pytest.mark.parametrize(
    ("how", "severity", "within_seconds", "says"),
    [
        ({"state": "failed", "unreadable": "lost"}, Severity.CRITICAL, 75, "fallen off the bus"),
        ({"state": "failed", "asked": "gpu_reset"}, Severity.CRITICAL, 75, "then reset it"),
        ({"state": "predicted_failure"}, Severity.CRITICAL, 315, "replacement"),
        ({"state": "degraded", "asked": "drain_and_reset"}, Severity.WARNING, 315, "let the work on this device end"),
        ({"state": "degraded"}, Severity.WARNING, 315, "maintenance window"),
    ],
)
def test_a_condition_that_lasts_is_told_with_what_to_do(host, how, severity, within_seconds, says):
    watch = host(PLUGIN)
    run(watch, 60)
    run(watch, 30, **how)
    assert watch.findings == []

    run(watch, within_seconds - 30, **how)

    [finding] = watch.raised
    assert (finding.severity, says in finding.action) == (severity, True)
    assert finding.subject.endswith("reason=condition")


def test_days_of_reloads_hangs_restarts_and_single_application_faults_are_quiet(host):
    watch = host(PLUGIN)
    rng = random.Random(9)
    for hour in range(48):
        pod = f"ml/llama-{hour // 5}"
        if hour % 7 == 0:  # the driver is loaded anew
            run(watch, 120, "degraded", unreadable="failing", step=10.0, pod=pod)
        if hour % 11 == 0:
            watch.lose("GPU-0")
            watch.tick(900)
        for minute in range(60):
            hung = rng.random() < 0.02
            run(watch, 10, "degraded" if hung else "ok", unreadable="hung" if hung else "", step=10.0, pod=pod)
            run(watch, 50, step=10.0, pod=pod)
            if minute == 30:
                report(watch, rng.choice(["13", "31", "43", "45", "154"]), pod=pod)

    assert watch.findings == []


def test_many_codes_are_kept_within_bounds(host):
    watch = host(PLUGIN)
    for code in range(500):
        watch.say(watch.gpu(0), devices.FAULT_CODES, 1.0, fault__code=str(10_000 + code))
        watch.say(watch.gpu(0), devices.FAULTS, 1.0, fault__class="other", severity="warning")
        watch.tick(1)

    [known] = watch.watched._signal._roster.present(watch.at)
    assert (len(known.kept.codes), len(known.kept.events["other"]["warning"].at)) == (32, 64)


def test_a_device_that_nobody_tells_of_any_more_is_forgotten(host):
    watch = host(PLUGIN)
    report(watch, "48")
    run(watch, 30)
    run(watch, 400, index=1)

    assert watch.findings[-1].summary.endswith("(no longer observed)")
