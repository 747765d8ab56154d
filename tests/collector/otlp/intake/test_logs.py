"""Log records: whole calls, and messages that belong to one."""

from typing import Any

import pytest

from collector.otlp import messages

DETAILS = "gen_ai.client.inference.operation.details"
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.response.id": "r1",
    "gen_ai.usage.input_tokens": 5,
}
LEGACY = {**CALL, "gen_ai.system": "openai"}
del LEGACY["gen_ai.provider.name"]
UNTIMED = {**CALL, "gen_ai.usage.output_tokens": 11}
TIMED = {**UNTIMED, "gen_ai.response.time_to_first_chunk": 0.5}
WORDS = [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]


def counted(calls: Any) -> int:
    return sum(call.counts for call in calls)


class TestPace:
    """Time per output token, where a call's duration and its first token come in different records."""

    def records(self, otlp: Any, log: Any, span: Any) -> list[Any]:
        return [otlp.log(DETAILS, log, trace=1, span=1), otlp.span(span, trace=1, span=1, start=-1.5)]

    @pytest.mark.parametrize("log_first", [True, False])
    @pytest.mark.parametrize("both_know", [True, False])
    def test_it_is_told_once_in_any_order(self, otlp: Any, log_first: bool, both_know: bool) -> None:
        log, span = self.records(otlp, TIMED, TIMED if both_know else UNTIMED)
        for item in (log, span, log, span) if log_first else (span, log, span, log):
            otlp.send(item)
        calls = otlp.read().completions
        whole = [call for call in calls if None not in (call.duration_seconds, call.time_to_first_token_seconds)]
        paces = [call.pace_seconds for call in calls if call.pace_seconds is not None]

        assert [call.duration_seconds for call in calls if call.duration_seconds is not None] == [pytest.approx(1.5)]
        assert [call.time_to_first_token_seconds for call in calls if call.time_to_first_token_seconds] == [0.5]
        assert (len(whole), len(paces)) == ((1, 0) if both_know and not log_first else (0, 1))
        assert paces in ([], [pytest.approx(0.1)])

    @pytest.mark.parametrize(
        "change", [{"gen_ai.usage.output_tokens": 1}, {"gen_ai.response.time_to_first_chunk": 1.6}], ids=str
    )
    def test_it_is_not_made_of_numbers_that_do_not_fit(self, otlp: Any, change: dict[str, object]) -> None:
        log, span = self.records(otlp, {**TIMED, **change}, {**UNTIMED, "gen_ai.usage.output_tokens": 1})
        otlp.send(log)
        otlp.send(span)

        assert [call.pace_seconds for call in otlp.read().completions] == [None, None]

    def test_an_engines_view_is_not_mixed_with_its_clients(self, otlp: Any) -> None:
        otlp.send(otlp.span(UNTIMED, trace=1, span=1))
        engine = {"gen_ai.latency.time_to_first_token": 0.2, "gen_ai.latency.e2e": 0.8, "gen_ai.usage.output_tokens": 5}
        [_, added] = otlp.calls(otlp.span(engine, name="llm_request", trace=1, span=2, parent=1))

        assert (added.counts, added.time_to_first_token_seconds, added.pace_seconds) == (False, 0.2, None)


class TestDetails:
    def test_a_call_told_by_a_log_record_counts_without_a_duration(self, otlp: Any) -> None:
        [call] = otlp.calls(otlp.log(DETAILS, {**CALL, "gen_ai.input.messages": WORDS}, trace=1, span=1))

        assert (call.counts, call.duration_seconds, call.input_tokens, call.text.prompt) == (True, None, 5, "hi")
        assert otlp.invalid == {}

    def test_its_span_then_adds_the_duration(self, otlp: Any) -> None:
        otlp.send(otlp.log(DETAILS, {**CALL, "gen_ai.input.messages": WORDS}, trace=1, span=1))
        [_, added] = otlp.calls(otlp.span({**CALL, "gen_ai.input.messages": "hi"}, trace=1, span=1))

        assert (False, pytest.approx(1.0), None) == (added.counts, added.duration_seconds, added.text)

    def test_after_its_span_it_adds_the_text(self, otlp: Any) -> None:
        otlp.send(otlp.span(CALL, trace=1, span=1))
        [_, added] = otlp.calls(otlp.log(DETAILS, {**CALL, "gen_ai.input.messages": WORDS}, trace=1, span=1))

        assert (added.counts, added.duration_seconds, added.text.prompt) == (False, None, "hi")

    def test_after_its_span_it_may_add_nothing(self, otlp: Any) -> None:
        otlp.send(otlp.span(CALL, trace=1, span=1))
        otlp.send(otlp.log(DETAILS, CALL, trace=1, span=1))

        assert otlp.read().items == 1
        assert otlp.ignored == {"same_call": 1}

    def test_sent_twice_it_is_counted_once(self, otlp: Any) -> None:
        record = otlp.log(DETAILS, CALL, trace=1, span=1)

        assert counted(otlp.calls(record, record)) == 1
        assert otlp.ignored == {"duplicate": 1}

    def test_without_ids_it_counts_on_its_own(self, otlp: Any) -> None:
        assert counted(otlp.calls(otlp.log(DETAILS, CALL))) == 1

    @pytest.mark.parametrize("span_first", [True, False])
    def test_without_ids_its_answer_and_time_find_its_span(self, otlp: Any, span_first: bool) -> None:
        items = [otlp.span(CALL, start=-1.0, end=0.0), otlp.log(DETAILS, CALL, at=-0.1)]
        for item in items if span_first else reversed(items):
            otlp.send(item)
        calls = otlp.read().completions

        assert counted(calls) == 1
        assert [call.duration_seconds for call in calls if call.duration_seconds] == [pytest.approx(1.0)]

    def test_without_ids_another_time_is_another_call(self, otlp: Any) -> None:
        otlp.send(otlp.span(CALL, start=-1.0, end=0.0))
        otlp.send(otlp.log(DETAILS, CALL, at=-5.0))

        assert counted(otlp.read().completions) == 2

    def test_without_ids_a_span_that_came_after_another_such_record_is_found_too(self, otlp: Any) -> None:
        otlp.send(otlp.log(DETAILS, {**CALL, "gen_ai.response.id": "r0"}, at=-9.0))
        otlp.send(otlp.span(CALL, start=-1.0, end=0.0))
        otlp.send(otlp.log(DETAILS, CALL, at=-0.1))

        assert counted(otlp.read().completions) == 2

    def test_spans_are_never_taken_for_one_by_their_answer(self, otlp: Any) -> None:
        otlp.send(otlp.log(DETAILS, {**CALL, "gen_ai.response.id": "r0"}, at=-9.0))
        otlp.send(otlp.span(CALL, start=-1.0, end=0.0))
        otlp.send(otlp.span(CALL, start=-1.0, end=0.0))

        assert counted(otlp.read().completions) == 3

    def test_a_record_with_all_zero_ids_is_one_without(self, otlp: Any) -> None:
        record = otlp.log(DETAILS, CALL)
        record.trace_id, record.span_id = bytes(16), bytes(8)
        [call] = otlp.calls(record)

        assert (call.trace_id, call.span_id) == (b"", b"")

    def test_the_event_name_may_be_an_attribute(self, otlp: Any) -> None:
        assert counted(otlp.calls(otlp.log(DETAILS, CALL, legacy=True))) == 1


class TestMessages:
    def events(self, otlp: Any, **ids: int) -> list[Any]:
        ids = ids or {"trace": 1, "span": 1}
        tool = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
        choice = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [tool]}}
        return [
            otlp.log("gen_ai.system.message", body={"content": "be terse"}, legacy=True, **ids),
            otlp.log("gen_ai.user.message", body={"content": "hi"}, legacy=True, **ids),
            otlp.log("gen_ai.choice", body=choice, legacy=True, **ids),
        ]

    def test_before_their_span_they_become_its_text(self, otlp: Any) -> None:
        otlp.send(*self.events(otlp))
        [call] = otlp.calls(otlp.span(LEGACY, trace=1, span=1))

        assert (call.text.prompt, call.text.answer) == ("be terse\nhi", '{"a":1}')
        assert (call.finish_reasons, call.tool_names) == (("tool_call",), ("look",))
        assert otlp.ignored == {"message_event": 3}

    def test_after_their_span_they_are_added_to_it(self, otlp: Any) -> None:
        otlp.send(otlp.span(LEGACY, trace=1, span=1))
        [seen, added] = otlp.calls(*self.events(otlp))

        assert (seen.counts, added.counts) == (True, False)
        assert (added.text.prompt, added.text.answer) == ("be terse\nhi", '{"a":1}')
        assert (
            added.finish_reasons, added.tool_names, added.duration_seconds,
        ) == (("tool_call",), ("look",), None)  # fmt: skip
        assert (added.service, added.request_model, added.provider) == ("app", "m", "openai")

    def test_a_span_between_question_and_answer_waits_for_the_answer(self, otlp: Any) -> None:
        system, user, choice = self.events(otlp)
        otlp.send(system, user)
        otlp.send(otlp.span(LEGACY, trace=1, span=1))
        [seen, added] = otlp.calls(choice)

        assert seen.text is None
        assert (added.text.prompt, added.text.answer) == ("be terse\nhi", '{"a":1}')

    def test_a_reason_that_the_span_had_is_not_given_again(self, otlp: Any) -> None:
        otlp.send(otlp.span({**LEGACY, "gen_ai.response.finish_reasons": ["stop"]}, trace=1, span=1))

        assert otlp.calls(*self.events(otlp))[1].finish_reasons == ()

    def test_messages_of_another_span_of_the_trace_are_not_added(self, otlp: Any) -> None:
        otlp.send(otlp.span(LEGACY, trace=1, span=1))

        assert len(otlp.calls(*self.events(otlp, trace=1, span=2))) == 1

    def test_answers_sent_twice_are_added_once(self, otlp: Any) -> None:
        otlp.send(otlp.span(LEGACY, trace=1, span=1))
        otlp.send(*self.events(otlp))

        assert len(otlp.calls(*self.events(otlp))) == 2

    def test_messages_of_nobody_are_forgotten(self, protobuf: Any) -> None:
        protobuf.send(*self.events(protobuf))
        protobuf.read(protobuf.now + messages.MAX_AGE_SECONDS + 1)

        assert protobuf.intake._messages.size_bytes == 0
        assert protobuf.call(LEGACY, trace=1, span=1).text is None

    def test_messages_are_bounded_in_bytes(self, protobuf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(messages, "MAX_BYTES", 10_000)
        for trace in range(1, 30):
            protobuf.send(*self.events(protobuf, trace=trace, span=1))

        assert 0 < protobuf.intake._messages.size_bytes <= 10_000
        assert protobuf.call(LEGACY, trace=1, span=1).text is None
        assert protobuf.call(LEGACY, trace=29, span=1).text is not None

    def test_a_message_without_ids_belongs_to_nobody(self, otlp: Any) -> None:
        otlp.send(otlp.log("gen_ai.user.message", body={"content": "hi"}, legacy=True))

        assert otlp.ignored == {"message_event": 1}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("gen_ai.evaluation.result", "no_score"),
        ("gen_ai.client.operation.exception", "event_not_used"),
        ("browser.click", "not_genai"),
        ("", "not_genai"),
    ],
)
def test_other_records_are_ignored_with_a_reason(otlp: Any, event: str, reason: str) -> None:
    otlp.send(otlp.log(event, {"x": 1}, body="words"))

    assert otlp.read().items == 0
    assert {reason: 1} == otlp.ignored


@pytest.mark.parametrize("ids", [{"trace_id": b"short"}, {"span_id": b"short"}])
def test_a_record_with_broken_ids_is_rejected(otlp: Any, ids: dict[str, bytes]) -> None:
    record = otlp.log(DETAILS, CALL)
    for name, value in ids.items():
        setattr(record, name, value)

    assert otlp.send(record).rejected == 1
    assert otlp.rejected == {"invalid_id": 1}
