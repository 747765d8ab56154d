"""Two instrumentations in one program tell of the same call by spans that know nothing of each other."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from collector.otlp import calls as memory

FRAMEWORK, CLIENT, THIRD = "openinference.instrumentation.langchain", "com.example.sdk", "opentelemetry.instrumentation"
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 21,
}


class Telling:
    """Sends spans of several scopes, each in a request of its own, and counts."""

    def __init__(self, otlp: Any) -> None:
        self.otlp = otlp
        self.counted = 0

    def tell(
        self, scope: str, *, trace: int = 1, changed: Mapping[str, object] = {}, service: str = "app", **how: Any
    ) -> None:
        span = self.otlp.span({**CHAT, **changed}, trace=trace, **how)
        calls = self.otlp.calls(span, scope=scope, resource={"service.name": service})
        self.counted += sum(call.counts for call in calls)


@pytest.fixture
def telling(otlp: Any) -> Telling:
    return Telling(otlp)


class TestOneTrace:
    @pytest.mark.parametrize("framework_first", [False, True])
    def test_a_framework_beside_its_client_is_one_call(self, telling: Telling, framework_first: bool) -> None:
        spans: list[tuple[str, dict[str, Any]]] = [
            (CLIENT, {"span": 3, "parent": 1, "start": -0.9}),
            (FRAMEWORK, {"span": 2, "parent": 1}),
        ]
        for scope, how in reversed(spans) if framework_first else spans:
            telling.tell(scope, **how)

        assert telling.counted == 1

    def test_in_one_request_too(self, protobuf: Any) -> None:
        spans = [
            (FRAMEWORK, protobuf.span(CHAT, trace=1, span=2)),
            (CLIENT, protobuf.span(CHAT, trace=1, span=3, start=-0.9)),
        ]
        requests = [protobuf.body(span, scope=scope)[1] for scope, span in spans]
        protobuf.intake.take(protobuf.Traces, protobuf.encoding, b"".join(requests), {}, protobuf.now)

        assert sum(call.counts for call in protobuf.read().completions) == 1

    def test_a_third_beside_a_framework_around_its_client_is_the_same_call(self, telling: Telling) -> None:
        telling.tell(CLIENT, span=3, parent=2, start=-0.9)
        telling.tell(FRAMEWORK, span=2)
        telling.tell(THIRD, span=4, parent=2, start=-0.9)

        assert telling.counted == 1

    def test_failures_are_told_apart_by_their_model(self, telling: Telling) -> None:
        failed = {"gen_ai.usage.input_tokens": None, "error.type": "RateLimitError"}
        telling.tell(CLIENT, span=3, start=-0.9, changed=failed)
        telling.tell(FRAMEWORK, span=2, changed=failed)
        telling.tell(FRAMEWORK, span=4, changed={**failed, "gen_ai.request.model": "n"})

        assert telling.counted == 2

    @pytest.mark.parametrize(
        ("changed", "how"),
        [
            ({"gen_ai.usage.input_tokens": 22}, {}),
            ({"gen_ai.request.model": "another"}, {}),
            ({}, {"start": -3.0, "end": -2.0}),
            ({}, {"start": -1.5, "end": -0.5}),
        ],
        ids=["other tokens", "other model", "other time", "neither within the other"],
    )
    def test_what_differs_is_a_call_of_its_own(
        self, telling: Telling, changed: Mapping[str, object], how: Mapping[str, Any]
    ) -> None:
        telling.tell(CLIENT, span=3)
        telling.tell(FRAMEWORK, span=2, changed=changed, **how)

        assert telling.counted == 2

    def test_nobody_tells_of_a_call_twice(self, telling: Telling) -> None:
        for span in range(1, 4):
            telling.tell(CLIENT, span=span)

        assert telling.counted == 3

    def test_every_call_has_one_twin_of_a_kind(self, telling: Telling) -> None:
        """Three questions at once, each told of by both."""
        for span, scope in itertools.product(range(1, 4), (CLIENT, FRAMEWORK)):
            telling.tell(scope, span=10 * span + len(scope) % 10)

        assert telling.counted == 3

    def test_the_same_answer_is_the_same_call_whatever_its_tokens(self, telling: Telling) -> None:
        answer = {"gen_ai.response.id": "r"}
        telling.tell(CLIENT, span=3, changed=answer)
        telling.tell(FRAMEWORK, span=2, changed={**answer, "gen_ai.usage.input_tokens": 22})

        assert telling.counted == 1

    def test_a_gateways_name_before_the_model_makes_no_other_model(self, telling: Telling) -> None:
        telling.tell(CLIENT, span=3)
        telling.tell(FRAMEWORK, span=2, changed={"gen_ai.request.model": "openai/m"})

        assert telling.counted == 1


class TestTracesOfTheirOwn:
    @pytest.mark.parametrize("answer", [{"gen_ai.response.id": "r"}, {}], ids=["by its id", "by its tokens"])
    @pytest.mark.parametrize("framework_first", [False, True])
    def test_both_are_one_call(self, telling: Telling, answer: Mapping[str, object], framework_first: bool) -> None:
        told = [(CLIENT, 1, -0.9), (FRAMEWORK, 2, -1.0)]
        for scope, trace, start in reversed(told) if framework_first else told:
            telling.tell(scope, trace=trace, start=start, changed=answer)

        assert telling.counted == 1

    def test_sent_again_they_are_known(self, telling: Telling) -> None:
        for _ in range(2):
            telling.tell(CLIENT, trace=1, span=1)
            telling.tell(FRAMEWORK, trace=2, span=2)

        assert telling.counted == 1
        assert telling.otlp.ignored["duplicate"] == 2

    def test_another_service_is_another_call(self, telling: Telling) -> None:
        telling.tell(CLIENT, trace=1)
        telling.tell(FRAMEWORK, trace=2, changed={"gen_ai.request.model": "n"})
        telling.tell(FRAMEWORK, trace=3, service="other")

        assert telling.counted == 3

    def test_without_tokens_nothing_is_guessed(self, telling: Telling) -> None:
        for trace, scope in enumerate((CLIENT, FRAMEWORK), 1):
            telling.tell(scope, trace=trace, changed={"gen_ai.usage.input_tokens": None})

        assert telling.counted == 2

    def test_who_sends_is_bounded(self, telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "MAX_SENDERS", 2)
        for number in range(9):
            for scope in (CLIENT, FRAMEWORK):
                telling.tell(scope, trace=100 * number + len(scope), service=f"app{number}")
        calls = telling.otlp.intake._calls

        assert len(calls._tellers) <= 2
        assert len(calls._beside_others) <= 3
