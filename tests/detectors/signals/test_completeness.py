import pytest

from detectors.signals.completeness import PLUGIN
from watchkeeper.core.records import Outcome, Severity

MISSING = {
    "input_tokens": {"input_tokens": None},
    "output_tokens": {"output_tokens": None},
    "finish_reason": {"finish_reasons": ()},
    "text": {"text": None},
}


@pytest.mark.parametrize("part", MISSING)
def test_a_part_that_used_to_be_there_is_missed_within_minutes(way, part):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    assert watch.raised == []
    gone_at = watch.at

    watch.run(600, 2, **MISSING[part])

    [finding] = watch.raised
    assert finding.severity is Severity.WARNING
    assert finding.at - gone_at < 360
    assert part.replace("_", " ") in finding.summary
    assert "ml/chat over otlp" in finding.summary
    assert "at first 100%" in finding.summary
    assert finding.action
    assert watch.state("ml", "chat", "otlp", "m") == 1


def test_what_is_back_is_over(way):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    watch.run(600, 2, text=None)
    watch.run(900, 2)

    assert len(watch.over) == 1
    assert watch.state("ml", "chat", "otlp", "m") == 0


def test_a_part_that_never_was_there_is_not_missed(way):
    watch = way(PLUGIN)
    watch.run(4_000, 2, text=None)

    assert watch.raised == []
    assert watch.state("ml", "chat", "otlp", "m") == 0


def test_what_is_usual_is_never_learned_anew(way):
    """Lost a little at a time, over days, text would be gone without a word."""
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    for share in range(9, -1, -1):
        for _ in range(120):
            watch.calls(share)
            watch.calls(10 - share, text=None)
            watch.tick(60.0)

    [finding] = watch.raised
    assert "at first 100%" in finding.summary


def test_calls_that_fail_miss_nothing(way):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    nothing = {"input_tokens": None, "output_tokens": None, "finish_reasons": (), "text": None}
    watch.run(1_200, 2, outcome=Outcome.ERROR, error_type="500", **nothing)

    assert watch.raised == []


def test_half_of_the_calls_without_is_left_alone(way):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    for _ in range(200):
        watch.calls(6)
        watch.calls(4, text=None)
        watch.tick()

    assert watch.raised == []


def test_calls_that_name_no_model_any_more_are_missed_for_the_service(way):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    watch.run(600, 2, request_model="")

    [finding] = watch.raised
    assert "the model's name" in finding.summary
    assert watch.state("ml", "chat", "otlp") == 1


def test_several_parts_are_one_finding_with_all_of_them(way):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    watch.run(600, 2, input_tokens=None, output_tokens=None)

    [finding] = watch.raised
    assert [line.split(":")[0] for line in finding.evidence] == ["input tokens", "output tokens"]


def test_a_part_that_may_come_and_go_can_be_left_out(way):
    watch = way(PLUGIN, parts=["input_tokens"])
    watch.run(2_400, 2)
    watch.run(600, 2, text=None)

    assert watch.raised == []


def test_a_link_with_few_calls_is_judged_by_its_last_twenty(way):
    watch = way(PLUGIN)
    watch.run(36_000, 1, every=60.0)
    lost_at = watch.at
    watch.run(7_200, 1, every=60.0, text=None)

    [finding] = watch.raised
    assert 300 < finding.at - lost_at <= 900


def test_a_new_link_has_half_an_hour_to_show_what_it_brings(way):
    watch = way(PLUGIN)
    watch.run(900, 10)
    watch.run(2_400, 10, text=None)

    assert watch.raised == []


def test_a_silent_link_keeps_its_state(way):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    watch.run(600, 2, text=None)
    watch.run(7_200)

    assert watch.over == []
    assert watch.state("ml", "chat", "otlp", "m") == 1


def test_a_link_that_is_gone_for_a_day_is_forgotten_with_its_finding(way):
    watch = way(PLUGIN)
    watch.run(2_400, 2)
    watch.run(600, 2, text=None)
    watch.run(90_000, every=60.0)

    assert watch.states == {}
    assert watch.over[0].summary.endswith("(no longer observed)")


def test_each_way_of_a_service_is_judged_apart(way):
    watch = way(PLUGIN)
    for _ in range(300):
        watch.calls(2)
        watch.calls(2, source="tap")
        watch.tick()
    for _ in range(60):
        watch.calls(2)
        watch.calls(2, source="tap", text=None)
        watch.tick()

    assert [dict(finding.labels)["link"] for finding in watch.raised] == ["tap"]
