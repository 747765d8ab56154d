from detectors.signals.duplicates import PLUGIN
from watchkeeper.core.vocabulary import links

APP = {"source": "otlp", "k8s__namespace__name": "ml", "service__name": "chat"}


def run(watch, seconds, calls, repeated=0, every=10.0, **own):
    for _ in range(round(seconds / every)):
        watch.calls(calls)
        watch.add(links.REPEATED, repeated, **(APP | own))
        watch.tick(every)


def test_a_second_exporter_is_told_within_minutes(way):
    watch = way(PLUGIN)
    run(watch, 2_400, 4)
    doubled_at = watch.at
    run(watch, 600, 4, 4)

    [finding] = watch.raised
    assert finding.at - doubled_at < 300
    assert "were here before, at first 0%" in finding.summary
    assert "second exporter" in finding.action
    assert watch.state("ml", "chat", "otlp") == 1


def test_it_is_over_when_they_come_once_again(way):
    watch = way(PLUGIN)
    run(watch, 2_400, 4)
    run(watch, 600, 4, 4)
    run(watch, 900, 4)

    assert len(watch.over) == 1
    assert watch.state("ml", "chat", "otlp") == 0


def test_a_link_that_was_doubled_from_the_start_is_taken_as_it_is(way):
    watch = way(PLUGIN)
    run(watch, 4_000, 4, 4)

    assert watch.raised == []
    assert watch.state("ml", "chat", "otlp") == 0


def test_a_retry_now_and_then_is_let_pass(way):
    watch = way(PLUGIN)
    run(watch, 2_400, 20)
    for _ in range(60):
        run(watch, 50, 20)
        run(watch, 10, 20, 8)

    assert watch.raised == []


def test_a_few_records_say_nothing(way):
    watch = way(PLUGIN)
    run(watch, 2_400, 4)
    watch.run(7_200)
    run(watch, 600, 0, 0)
    watch.add(links.REPEATED, 5, **APP)
    watch.run(600)

    assert watch.raised == []


def test_until_a_link_is_known_nothing_is_said(way):
    watch = way(PLUGIN)
    run(watch, 1_200, 4)
    run(watch, 300, 4, 4)

    assert watch.raised == []
    assert watch.state("ml", "chat", "otlp") is None
