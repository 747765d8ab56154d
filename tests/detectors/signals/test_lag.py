import pytest

from detectors.signals.lag import PLUGIN
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import health


def run(watch, seconds, *, full=0.0, age=0.0, refused=0, reason="queue_full"):
    for _ in range(round(seconds / 10)):
        watch.add(health.QUEUE_SIZE, full * 1e6, queue="otlp")
        watch.add(health.QUEUE_CAPACITY, 1e6, queue="otlp")
        watch.add(health.QUEUE_LENGTH, full * 1e3, queue="otlp")
        watch.add(health.QUEUE_AGE, age, queue="otlp")
        watch.add(health.REFUSED_REQUESTS, refused, source="otlp", signal="traces", reason=reason)
        watch.tick()


@pytest.mark.parametrize("how", [{"full": 0.6}, {"age": 90.0}], ids=["full", "old"])
def test_a_queue_that_is_full_or_old_for_a_minute_is_told(way, how):
    watch = way(PLUGIN)
    run(watch, 600)
    run(watch, 120, **how)

    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert "the queue otlp is" in finding.summary
    assert finding.action
    assert watch.state("otlp") == 1


def test_it_is_over_when_the_queue_has_been_short_for_a_while(way):
    watch = way(PLUGIN)
    run(watch, 120, full=0.9)
    run(watch, 200)
    assert watch.over == []
    run(watch, 200)

    assert len(watch.over) == 1
    assert watch.state("otlp") == 0


def test_a_peak_of_seconds_is_what_queues_are_for(way):
    watch = way(PLUGIN)
    for _ in range(20):
        run(watch, 40, full=0.9, age=70.0)
        run(watch, 20)

    assert watch.raised == []


def test_one_sender_refused_for_want_of_room_is_enough(way):
    watch = way(PLUGIN)
    run(watch, 60)
    run(watch, 10, refused=1)
    run(watch, 120)

    [finding] = watch.raised
    assert "1 refused for want of room" in finding.summary


def test_refusals_for_what_they_hold_are_not_the_queues(way):
    watch = way(PLUGIN)
    run(watch, 600, refused=5, reason="undecodable")

    assert watch.raised == []


def test_a_reader_that_is_behind_a_log_is_told_by_its_age_alone(way):
    watch = way(PLUGIN)
    for _ in range(20):
        watch.add(health.QUEUE_AGE, 400.0, queue="orders")
        watch.tick()

    [finding] = watch.raised
    assert "its oldest item has waited 400 s" in finding.summary


def test_a_queue_that_nobody_tells_of_any_more_is_forgotten(way):
    watch = way(PLUGIN)
    run(watch, 120, full=0.9)
    watch.run(900)

    assert watch.states == {}
    assert watch.over[0].summary.endswith("(no longer observed)")
