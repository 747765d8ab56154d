import pytest

from detectors.signals.lateness import PLUGIN, _over
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import links

CHAT = ("ml", "chat", "otlp")


def test_records_that_come_late_are_told_with_median_and_percentile(way):
    watch = way(PLUGIN)
    watch.run(1_200, 4, late=4.0)
    assert watch.state(*CHAT, "late") == 0
    watch.run(600, 4, late=400.0)

    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert "records from ml/chat over otlp come late" in finding.summary
    assert "median" in finding.evidence[1]
    assert finding.action
    assert watch.state(*CHAT, "late") == 1


def test_a_twentieth_of_late_records_is_enough_and_less_is_not(way):
    few, enough = way(PLUGIN), way(PLUGIN)
    for watch, late in ((few, 2), (enough, 7)):
        for _ in range(120):
            watch.calls(100 - late, late=4.0)
            watch.calls(late, late=200.0)
            watch.tick()

    assert few.raised == []
    assert len(enough.raised) == 1


def test_it_is_over_when_they_come_in_time_again(way):
    watch = way(PLUGIN)
    watch.run(600, 4, late=400.0)
    watch.run(900, 4, late=4.0)

    assert len(watch.over) == 1


def test_the_bound_can_be_set(way):
    watch = way(PLUGIN, late_seconds=600)
    watch.run(1_200, 4, late=400.0)

    assert watch.raised == []


def test_one_late_batch_is_no_lateness(way):
    """A collector that restarted sends what it held: over after the window."""
    watch = way(PLUGIN)
    watch.run(1_200, 50, late=4.0)
    watch.calls(600, late=300.0)
    watch.run(1_200, 50, late=4.0)

    assert watch.raised == []


def test_a_clock_that_is_ahead_is_told(way):
    watch = way(PLUGIN)
    watch.run(1_200, 4)
    watch.run(600, 4, late=-30.0)

    [finding] = watch.raised
    assert "end in the future" in finding.summary
    assert "NTP" in finding.action
    assert watch.state(*CHAT, "clock ahead") == 1
    assert watch.state(*CHAT, "late") == 0


def test_a_clock_that_is_a_second_ahead_is_let_pass(way):
    watch = way(PLUGIN)
    watch.run(1_200, 4, late=-1.0)

    assert watch.raised == []


def test_silence_changes_nothing(way):
    watch = way(PLUGIN)
    watch.run(600, 4, late=400.0)
    watch.run(7_200)

    assert watch.over == []
    assert watch.state(*CHAT, "late") == 1


def test_few_records_say_nothing(way):
    watch = way(PLUGIN)
    watch.run(3_600, 1, every=360.0, late=400.0)

    assert watch.raised == []
    assert watch.states == {}


@pytest.mark.parametrize(("limit", "late"), [(60.0, 20.0), (90.0, 15.0), (120.0, 10.0), (1_800.0, 0.0)])
def test_between_two_edges_delays_lie_evenly(limit, late):
    counts = [0.0] * (len(links.DELAY.buckets) + 1)
    counts[5], counts[6] = 10.0, 10.0

    assert _over(limit, links.DELAY.buckets, counts) == late
