"""Evaluations and users' feedback in every dialect that really comes by OTLP, through whole bodies."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.otlp import judging
from collector.otlp.intake import Encoding
from watchkeeper.core.records import Judgement
from watchkeeper.core.vocabulary import health

RESULT = "gen_ai.evaluation.result"
NAME, VALUE, LABEL = "gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.evaluation.score.label"
WHY = "gen_ai.evaluation.explanation"
GOOD = {NAME: "relevance", VALUE: 0.75, LABEL: "relevant", WHY: "MARKER because it says so"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
TRACE, SPAN, PARENT = (7).to_bytes(16, "big"), (8).to_bytes(8, "big"), (9).to_bytes(8, "big")


def told(otlp: Any, *items: Any, **how: Any) -> tuple[Judgement, ...]:
    otlp.send(*items, **how)
    judgements: tuple[Judgement, ...] = otlp.read().judgements
    return judgements


class TestLogRecords:
    @pytest.mark.parametrize("legacy", [False, True])
    def test_a_result_names_its_call_and_leaves_the_explanation_behind(self, otlp: Any, legacy: bool) -> None:
        log = otlp.log(RESULT, {**GOOD, "gen_ai.response.id": "r1"}, trace=7, span=8, at=-1.0, legacy=legacy)
        [judged] = told(otlp, log, resource={"service.name": "judge", "k8s.namespace.name": "ns"})

        assert judged == Judgement(
            at=otlp.now - 1.0, name="relevance", score=0.75, label="relevant", namespace="ns",
            service="judge", trace_id=TRACE, span_id=SPAN, response_id="r1",
        )  # fmt: skip
        assert "MARKER" not in repr(judged)

    def test_an_answers_id_is_enough(self, otlp: Any) -> None:
        [judged] = told(otlp, otlp.log(RESULT, {NAME: "n", VALUE: 1, "gen_ai.response.id": "r1"}))

        assert (judged.response_id, judged.trace_id, judged.span_id) == ("r1", b"", b"")

    def test_a_trace_without_a_span_is_kept(self, otlp: Any) -> None:
        [judged] = told(otlp, otlp.log(RESULT, GOOD, trace=7))

        assert (judged.trace_id, judged.span_id) == (TRACE, b"")

    def test_azures_user_feedback_of_before_has_its_name_in_the_events(self, otlp: Any) -> None:
        given = {"gen_ai.response.id": "r1", "gen_ai.evaluation.score": -1.0}
        [judged] = told(otlp, otlp.log("gen_ai.evaluation.user_feedback", given))

        assert (judged.name, judged.score, judged.response_id) == ("user_feedback", -1.0, "r1")

    def test_splunks_list_of_results_is_read_one_by_one(self, otlp: Any) -> None:
        body = {"gen_ai.evaluations": [
            {NAME: "bias", VALUE: 0.1, "gen_ai.evaluation.passed": True, WHY: "MARKER"},
            {NAME: "mood", LABEL: "glad"},
            {NAME: "broken", VALUE: "high"},
            "no result",
        ]}  # fmt: skip
        judged = told(otlp, otlp.log("gen_ai.evaluation.results", trace=7, span=8, body=body))

        assert [(one.name, one.score, one.label) for one in judged] == [("bias", 0.1, "pass"), ("mood", None, "glad")]
        assert {one.span_id for one in judged} == {SPAN}
        assert otlp.invalid == {"evaluation_score": 1}

    def test_a_record_is_one_item_however_many_results_it_lists(self, otlp: Any) -> None:
        many = [{NAME: f"n{number}", VALUE: number} for number in range(judging.MAX_PER_ITEM + 5)]
        otlp.send(otlp.log("gen_ai.evaluation.results", trace=7, span=8, body={"gen_ai.evaluations": many}))
        reading = otlp.read()

        assert (reading.items, len(reading.judgements)) == (1, judging.MAX_PER_ITEM)

    def test_a_record_that_says_all_but_its_events_name_counts_too(self, otlp: Any) -> None:
        [judged] = told(otlp, otlp.log("", GOOD, trace=7, span=8))

        assert judged.name == "relevance"


class TestSpans:
    def test_an_event_of_a_call_judges_that_call(self, otlp: Any) -> None:
        span = otlp.span(CHAT, trace=7, span=8, parent=9, events=[(RESULT, -0.5, GOOD)])
        otlp.send(span)
        reading = otlp.read()

        assert [call.counts for call in reading.completions] == [True]
        assert [(one.name, one.trace_id, one.span_id) for one in reading.judgements] == [("relevance", TRACE, SPAN)]
        assert reading.judgements[0].at == pytest.approx(otlp.now - 0.5)

    def test_an_event_of_any_other_span_judges_the_span_above(self, otlp: Any) -> None:
        [judged] = told(otlp, otlp.span(trace=7, span=8, parent=9, name="judge", events=[(RESULT, -0.5, GOOD)]))

        assert judged.span_id == PARENT
        assert otlp.ignored == {}

    def test_an_event_behind_those_of_a_stream_is_found(self, otlp: Any) -> None:
        chunks: list[Any] = [("gen_ai.content.completion.chunk", -0.9, {})] * 3
        [judged] = told(otlp, otlp.span(CHAT, events=[*chunks, (RESULT, -0.1, GOOD), *chunks]))

        assert judged.name == "relevance"

    def test_an_event_may_end_in_the_evaluations_name(self, otlp: Any) -> None:
        [judged] = told(otlp, otlp.span(CHAT, events=[("gen_ai.evaluation.tone", -0.5, {VALUE: 0.5})]))

        assert (judged.name, judged.score) == ("tone", 0.5)

    def test_a_span_that_is_the_result_judges_the_span_above(self, otlp: Any) -> None:
        [judged] = told(otlp, otlp.span(GOOD, trace=7, span=8, parent=9, name=RESULT))

        assert (judged.name, judged.span_id) == ("relevance", PARENT)

    def test_opensearchs_span_that_says_it_twice_judges_once(self, otlp: Any) -> None:
        attributes = {"gen_ai.operation.name": "evaluation", **GOOD}
        span = otlp.span(attributes, parent=9, events=[(RESULT, -0.5, GOOD), (RESULT, -0.4, {**GOOD, NAME: "other"})])
        judged = told(otlp, span)

        assert [one.name for one in judged] == ["relevance", "other"]

    @pytest.mark.parametrize(
        ("value", "score", "label"),
        [(0.1, 0.1, ""), (4, 4.0, ""), (True, 1.0, ""), (False, 0.0, ""), ("thumbs-up", None, "thumbs-up")],
    )
    def test_logfires_feedback_has_its_value_under_the_evaluations_name(
        self, otlp: Any, value: object, score: float | None, label: str
    ) -> None:
        given = {"logfire.feedback.name": "fact", "fact": value, "logfire.feedback.comment": "MARKER"}
        [judged] = told(otlp, otlp.span(given, trace=7, span=8, parent=9, name="feedback: fact"))

        assert (judged.name, judged.score, judged.label, judged.span_id) == ("fact", score, label, PARENT)
        assert "MARKER" not in repr(judged)

    def test_langwatchs_evaluation_is_json_inside_an_attribute(self, otlp: Any) -> None:
        said = json.dumps({"name": "toxicity", "score": 0.9, "passed": False, "label": None, "details": "MARKER"})
        event = ("langwatch.evaluation.custom", -0.5, {"json_encoded_event": said})
        [judged] = told(otlp, otlp.span(CHAT, trace=7, span=8, events=[event]))

        assert (judged.name, judged.score, judged.label, judged.span_id) == ("toxicity", 0.9, "fail", SPAN)

    def test_langwatchs_thumb_is_an_event_with_a_vote(self, otlp: Any) -> None:
        vote = {"event.type": "thumbs_up_down", "event.metrics.vote": -1.0, "event.details.feedback": "MARKER"}
        [judged] = told(otlp, otlp.span(CHAT, events=[("langwatch.event", -0.5, vote)]))

        assert (judged.name, judged.score) == ("thumbs_up_down", -1.0)


class TestValues:
    @pytest.mark.parametrize(
        ("value", "score"),
        [(1, 1.0), (0.5, 0.5), (True, 1.0), (False, 0.0), ("0.5", 0.5), ("true", 1.0), ("False", 0.0), (-1e6, -1e6)],
    )
    def test_numbers_in_any_dress_and_yes_and_no_are_scores(self, otlp: Any, value: object, score: float) -> None:
        [judged] = told(otlp, otlp.log(RESULT, {NAME: "n", VALUE: value}))

        assert (judged.score, otlp.invalid) == (score, {})

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e7, -1e7, "good", "NaN", [1.0], {"a": 1}, b"1"])
    def test_what_is_no_score_is_counted_and_the_label_stays(self, otlp: Any, value: object) -> None:
        [judged] = told(otlp, otlp.log(RESULT, {NAME: "n", VALUE: value, LABEL: "pass"}))

        assert (judged.score, judged.label) == (None, "pass")
        assert otlp.invalid == {"evaluation_score": 1}

    @pytest.mark.parametrize("label", ["x" * 65, "two\nlines", ["pass"], 0.5])
    def test_what_may_be_an_explanation_is_no_label(self, otlp: Any, label: object) -> None:
        [judged] = told(otlp, otlp.log(RESULT, {NAME: "n", VALUE: 1, LABEL: label}))

        assert (judged.score, judged.label) == (1.0, "")
        assert otlp.invalid == {"evaluation_label": 1}

    @pytest.mark.parametrize("given", [{}, {VALUE: "bad"}, {VALUE: "none", LABEL: ""}, {"error.type": "timeout"}])
    def test_without_score_and_label_there_is_nothing_to_measure(self, otlp: Any, given: dict[str, object]) -> None:
        otlp.send(otlp.log(RESULT, {NAME: "n", **given}))
        reading = otlp.read()

        assert (reading.items, reading.judgements, otlp.ignored) == (0, (), {"no_score": 1})

    def test_a_name_that_is_none_costs_its_judgement(self, otlp: Any) -> None:
        assert told(otlp, otlp.log(RESULT, {NAME: "x" * 129, VALUE: 1})) == ()
        assert (otlp.invalid, otlp.ignored) == ({"evaluation_name": 1}, {"no_score": 1})

    def test_without_a_name_it_is_unnamed(self, otlp: Any) -> None:
        assert told(otlp, otlp.log(RESULT, {VALUE: 1}))[0].name == "unnamed"

    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        inside=st.one_of(
            st.text(max_size=30),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=5),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["name", "score", "label", "passed"]), inner, max_size=4)
                ),
                max_leaves=8,
            ).map(json.dumps),
        )
    )
    def test_json_of_any_shape_is_read_or_counted_and_never_costs_the_call(self, protobuf: Any, inside: str) -> None:
        otlp = protobuf.fresh()
        otlp.send(otlp.span(CHAT, events=[("langwatch.evaluation.custom", 0.0, {"json_encoded_event": inside})]))
        reading = otlp.read()

        assert (reading.items, len(reading.completions)) == (1, 1)
        assert reading.judgements or otlp.invalid or isinstance(json.loads(inside), dict)
        for judged in reading.judgements:
            assert judged.score is not None or judged.label
            assert judged.score is None or abs(judged.score) <= judging.MAX_SCORE


class TestOnce:
    def test_a_request_sent_again_judges_nothing_again(self, otlp: Any) -> None:
        log = otlp.log(RESULT, GOOD, trace=7, span=8)
        span = otlp.span(GOOD, trace=7, span=5, parent=9, name=RESULT)
        for item in (log, span):
            assert len(told(otlp, item)) == 1
            assert told(otlp, item) == ()

        assert otlp.ignored == {"duplicate": 2}

    def test_two_users_who_think_alike_are_two(self, otlp: Any) -> None:
        judged = told(otlp, *(otlp.log(RESULT, GOOD, trace=7, span=8, at=-number) for number in (0.1, 0.2)))

        assert len(judged) == 2

    def test_judgements_that_name_no_call_are_never_taken_for_one(self, otlp: Any) -> None:
        assert len(told(otlp, *(otlp.log(RESULT, GOOD) for _ in range(3)))) == 3


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(["log", "bad log", "span", "call", "bad body", "list"]), max_size=10),
    encoding=st.sampled_from(list(Encoding)),
)
def test_the_books_balance_whatever_judges(protobuf: Any, kinds: list[str], encoding: Encoding) -> None:
    otlp = protobuf.fresh()
    otlp.encoding = encoding
    for number, kind in enumerate(kinds):
        if kind == "call":
            item = otlp.span(CHAT, trace=1, span=number + 1, events=[(RESULT, 0.0, GOOD)] * 2)
        elif kind == "span":
            item = otlp.span(GOOD, trace=1, span=number + 1, parent=9)
        else:
            given_body = {"bad body": "x", "list": {"gen_ai.evaluations": [GOOD, GOOD]}}.get(kind)
            event = "gen_ai.evaluation.results" if given_body else RESULT
            item = otlp.log(event, GOOD if kind == "log" else {}, trace=1, span=number + 1, body=given_body)
        otlp.send(item, item)
    held = otlp.read().items

    accepted = sum(otlp.counts(health.ACCEPTED).values())
    assert (accepted, sum(otlp.counts(health.RECEIVED).values())) == (2 * len(kinds), 2 * len(kinds))
    assert accepted == held + sum(otlp.ignored.values())


def test_broken_values_inside_an_event_cost_their_span_alone(protobuf: Any) -> None:
    bad = protobuf.span(CHAT, events=[(RESULT, 0.0, {NAME: "n", VALUE: "xy"})])
    raw = bad.SerializeToString().replace(b"xy", b"\xff\xfe")
    otlp = protobuf
    good = otlp.span(CHAT)
    body = b"\x0a" + _sized(b"\x12" + _sized(b"\x12" + _sized(raw) + b"\x12" + _sized(good.SerializeToString())))
    taken = otlp.intake.take(otlp.Traces, Encoding.PROTOBUF, body, {}, otlp.now)

    assert (taken.rejected, len(otlp.read().completions)) == (1, 1)
    assert otlp.rejected == {"invalid_utf8": 1}


def _sized(raw: bytes) -> bytes:
    size = len(raw)
    return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + raw
