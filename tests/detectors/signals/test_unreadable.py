import random

import pytest

from detectors.signals.unreadable import PLUGIN
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import health

TRACES = {"source": "otlp", "signal": "traces"}


def come(watch, *, requests=4, items=200, refused=0, rejected=0, invalid=0, reason="undecodable"):
    """What one interval brings."""
    watch.add(health.TAKEN_REQUESTS, requests, **TRACES)
    watch.add(health.RECEIVED, items, **TRACES)
    watch.add(health.REFUSED_REQUESTS, refused, **TRACES, reason=reason)
    watch.add(health.REJECTED, rejected, **TRACES, reason=reason)
    watch.add(health.INVALID_VALUES, invalid, source="otlp", field="time")
    watch.tick()


def run(watch, intervals, **how):
    for _ in range(intervals):
        come(watch, **how)


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ({"requests": 0, "items": 0, "refused": 3}, "requests", "requests to otlp are refused"),
        ({"rejected": 200}, "items", "items that come over otlp are refused"),
        ({"invalid": 200}, "values", "a value left out"),
    ],
)
def test_everything_unreadable_is_told_within_a_minute(way, how, kind, words):
    watch = way(PLUGIN)
    run(watch, 60)
    broken_at = watch.at
    run(watch, 12, **how)

    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert finding.at - broken_at <= 60
    assert abs(finding.since - broken_at) <= 20
    assert words in finding.summary
    assert finding.action
    assert finding.evidence[1].startswith("time" if kind == "values" else "undecodable")
    assert watch.state("otlp", kind) == 1


@pytest.mark.parametrize(("share", "intervals"), [(0.1, 15), (0.02, 360)])
def test_a_share_above_what_is_let_pass_is_found(way, share, intervals):
    watch = way(PLUGIN)
    run(watch, 60)
    run(watch, intervals, rejected=round(200 * share))

    assert len(watch.raised) == 1


def test_a_share_that_is_let_pass_is_never_told(way):
    chance = random.Random(1)
    watch = way(PLUGIN)
    for _ in range(4_320):
        come(watch, rejected=2 if chance.random() < 0.9 else 0)

    assert watch.raised == []
    assert watch.state("otlp", "items") == 0


def test_a_broken_batch_of_hundreds_of_items_is_one_fact(way):
    watch = way(PLUGIN)
    run(watch, 60)
    come(watch, rejected=200)
    run(watch, 200)

    assert watch.raised == []


def test_a_quiet_source_counts_only_when_something_comes(way):
    watch = way(PLUGIN)
    come(watch, requests=0, items=0, refused=1)
    watch.run(36_000)
    come(watch, requests=0, items=0, refused=1)
    watch.run(600)

    assert watch.raised == []


@pytest.mark.parametrize("reason", ["queue_full", "overloaded", "shutting_down"])
def test_what_is_refused_for_want_of_room_could_be_read(way, reason):
    watch = way(PLUGIN)
    run(watch, 60, refused=40, reason=reason)

    assert watch.raised == []


def test_it_is_over_ten_minutes_after_the_last(way):
    watch = way(PLUGIN)
    run(watch, 60, rejected=100)
    run(watch, 50)
    assert watch.over == []
    run(watch, 40)

    assert len(watch.over) == 1
    assert watch.state("otlp", "items") == 0


def test_what_goes_on_stays_one_finding(way):
    watch = way(PLUGIN)
    run(watch, 2_000, rejected=100)

    assert len(watch.findings) == 1


def test_the_share_that_is_let_pass_can_be_set(way):
    watch = way(PLUGIN, let_pass_ratio=0.5)
    run(watch, 1_000, rejected=80)

    assert watch.raised == []


def test_each_source_is_judged_apart(way):
    watch = way(PLUGIN)
    for _ in range(30):
        watch.add(health.RECEIVED, 10, source="tap", signal="calls")
        watch.add(health.REJECTED, 10, source="tap", signal="calls", reason="malformed")
        come(watch)

    assert [dict(finding.labels)["link"] for finding in watch.raised] == ["tap"]


def test_a_few_refused_among_many_requests_are_let_pass(way):
    watch = way(PLUGIN)
    run(watch, 600, requests=400, refused=2)

    assert watch.raised == []


def test_a_busy_stretch_ends_no_finding_of_quiet_ones(way):
    watch = way(PLUGIN)
    run(watch, 20, items=2, rejected=2)
    run(watch, 50, items=5_000)
    assert len(watch.raised) == 1
    assert watch.over == []
    run(watch, 20, items=5_000)

    assert len(watch.over) == 1
