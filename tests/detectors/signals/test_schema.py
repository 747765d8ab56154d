from detectors.signals.schema import PLUGIN
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary import links

APP = {"source": "otlp", "k8s__namespace__name": "ml", "service__name": "chat"}
OLD = {"scope__name": "openinference.instrumentation.openai", "scope__version": "0.1.28"}
NEW = OLD | {"scope__version": "0.1.30"}


def run(watch, seconds, *writers):
    for _ in range(round(seconds / 60)):
        for writer in writers:
            watch.add(links.SCHEMA, 1.0, **APP, **writer)
        watch.tick(60.0)


def test_a_new_version_is_told_once_as_a_fact(way):
    watch = way(PLUGIN)
    run(watch, 1_200, OLD)
    run(watch, 300, OLD, NEW)
    run(watch, 1_200, NEW)

    [finding] = watch.raised
    assert finding.severity is Severity.INFO
    assert "openai 0.1.30, before by openinference.instrumentation.openai 0.1.28" in finding.summary
    assert "ml/chat over otlp" in finding.summary
    assert finding.action
    assert watch.state("ml", "chat", "otlp") == 1


def test_it_leaves_after_an_hour(way):
    watch = way(PLUGIN)
    run(watch, 1_200, OLD)
    run(watch, 4_200, NEW)

    assert len(watch.over) == 1
    assert watch.state("ml", "chat", "otlp") == 0


def test_what_a_new_link_uses_is_no_change(way):
    watch = way(PLUGIN)
    run(watch, 300, OLD)
    run(watch, 4_200, OLD, NEW)

    assert watch.raised == []


def test_a_version_that_was_away_is_not_told_again(way):
    watch = way(PLUGIN)
    run(watch, 1_200, OLD, NEW)
    run(watch, 1_200, NEW)
    run(watch, 600, OLD, NEW)

    assert watch.raised == []


def test_what_was_before_is_named_even_when_it_went_silent_meanwhile(way):
    watch = way(PLUGIN)
    run(watch, 1_200, OLD)
    run(watch, 1_200)
    run(watch, 120, NEW)

    [finding] = watch.raised
    assert "before by openinference.instrumentation.openai 0.1.28" in finding.summary


def test_records_without_an_instrumentation_have_a_name_too(way):
    watch = way(PLUGIN)
    run(watch, 1_200, OLD)
    run(watch, 120, {})

    assert "an instrumentation without a name" in watch.raised[0].summary
