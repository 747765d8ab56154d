"""One call counted once, in whatever order its spans arrive."""

import itertools
from typing import Any

import pytest

from collector.otlp import calls as memory
from collector.otlp import links, one_trace
from watchkeeper.core.records import Completion, Vantage
from watchkeeper.core.vocabulary import health

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
ENGINE = {"gen_ai.latency.e2e": 0.4, "gen_ai.latency.time_in_queue": 0.1, "gen_ai.latency.time_to_first_token": 0.2}
HTTP = {"http.method": "POST"}


def counted(calls: tuple[Completion, ...]) -> int:
    return sum(call.counts for call in calls)


def every_order(items: list[Any]) -> list[Any]:
    return list(itertools.permutations(items))


def forgotten(otlp: Any) -> float:
    otlp.counts()
    return float(otlp._counts[(health.CALLS_FORGOTTEN, (("source", "otlp"),))])


NESTED = ["agent", "outer", "http", "inner"]
LINKED_IN_TIME = [
    order for order in every_order(NESTED) if order.index("http") < max(order.index("outer"), order.index("inner"))
]


class TestRepeated:
    def test_a_batch_sent_twice_is_counted_once(self, otlp: Any) -> None:
        span = otlp.span(CHAT)

        assert len(otlp.calls(span)) == 1
        assert len(otlp.calls(span)) == 0
        assert otlp.ignored == {"duplicate": 1}

    def test_a_tool_span_sent_twice_is_counted_once(self, otlp: Any) -> None:
        tool = otlp.span({"gen_ai.operation.name": "execute_tool"})
        otlp.send(tool, tool)

        assert len(otlp.read().samples) == 1
        assert otlp.ignored == {"duplicate": 1}

    def test_the_same_span_id_in_another_trace_is_another_call(self, otlp: Any) -> None:
        spans = [otlp.span(CHAT, trace=trace, span=1) for trace in (1, 2)]

        assert counted(otlp.calls(*spans)) == 2


class TestNested:
    def spans(self, otlp: Any) -> dict[str, Any]:
        """An agent, a framework's call, and in it one client's call over HTTP."""
        return {
            "agent": otlp.span({"gen_ai.operation.name": "invoke_agent"}, trace=1, span=1, start=-3.0),
            "outer": otlp.span(CHAT, trace=1, span=2, parent=1, start=-2.9),
            "http": otlp.span(HTTP, trace=1, span=3, parent=2, start=-2.8),
            "inner": otlp.span(CHAT, trace=1, span=4, parent=3, start=-2.7),
        }

    @pytest.mark.parametrize("order", every_order(NESTED), ids="-".join)
    def test_in_one_request_the_order_does_not_matter(self, otlp: Any, order: tuple[str, ...]) -> None:
        spans = self.spans(otlp)
        calls = otlp.calls(*(spans[name] for name in order))

        assert counted(calls) == 1

    def test_in_one_request_the_innermost_call_is_the_one_counted(self, otlp: Any) -> None:
        outer = otlp.span({**CHAT, "gen_ai.request.model": "alias"}, trace=1, span=1, start=-2.0)
        inner = otlp.span({**CHAT, "gen_ai.request.model": "real"}, trace=1, span=2, parent=1)

        assert [call.request_model for call in otlp.calls(outer, inner)] == ["real"]

    @pytest.mark.parametrize("order", LINKED_IN_TIME, ids="-".join)
    def test_one_by_one_the_order_does_not_matter_either(self, otlp: Any, order: tuple[str, ...]) -> None:
        """But for the link between two calls coming after both: nothing is held back to wait for it."""
        spans = self.spans(otlp)
        calls = tuple(call for name in order for call in otlp.calls(spans[name]))

        assert counted(calls) == 1

    def test_two_calls_under_one_outer_span_are_two(self, otlp: Any) -> None:
        outer = otlp.span(CHAT, trace=1, span=1, start=-3.0)
        first = otlp.span(CHAT, trace=1, span=2, parent=1, start=-2.0)
        second = otlp.span(CHAT, trace=1, span=3, parent=1, start=-1.0)
        for order in every_order([outer, first, second]):
            together = otlp.fresh().calls(*order)
            one_by_one = otlp.fresh()

            assert counted(together) == 2
            assert sum(counted(one_by_one.calls(span)) for span in order) == 2

    def test_two_outer_spans_around_one_call_are_one(self, otlp: Any) -> None:
        spans = [otlp.span(CHAT, trace=1, span=n, parent=n - 1, start=-4.0 + n) for n in (1, 2, 3)]
        for order in every_order(spans):
            if order[2] is spans[1]:
                continue  # the link between the two others comes last
            sent = otlp.fresh()

            assert sum(counted(sent.calls(span)) for span in order) == 1

    def test_calls_that_share_only_a_trace_are_each_their_own(self, otlp: Any) -> None:
        root = otlp.span({"gen_ai.operation.name": "invoke_agent"}, trace=1, span=1, start=-3.0)
        leaves = [otlp.span(CHAT, trace=1, span=n, parent=1, start=-2.0) for n in range(2, 7)]

        assert counted(otlp.calls(root, *leaves)) == 5

    def test_the_outer_span_adds_what_the_inner_did_not_know(self, otlp: Any) -> None:
        inner = otlp.span(CHAT, trace=1, span=2, parent=1)
        outer = otlp.span(
            {**CHAT, "gen_ai.response.time_to_first_chunk": 0.5, "gen_ai.input.messages": "hi"}, trace=1, span=1,
            start=-2.0,
        )  # fmt: skip
        otlp.send(inner)
        [added] = otlp.calls(outer)[1:]

        assert not added.counts
        assert (added.duration_seconds, added.time_to_first_token_seconds, added.text.prompt) == (None, 0.5, "hi")

    def test_the_outer_span_that_adds_nothing_is_ignored(self, otlp: Any) -> None:
        inner = otlp.span(CHAT, trace=1, span=2, parent=1)
        outer = otlp.span(CHAT, trace=1, span=1, start=-2.0)

        assert len(otlp.calls(inner, outer)) == 1
        assert otlp.ignored == {"same_call": 1}

    @pytest.mark.parametrize("kind", ["ai.generateText", "ai.streamText", "ai.generateObject", "ai.embedMany"])
    def test_an_outer_vercel_span_never_counts(self, otlp: Any, kind: str) -> None:
        usage = {"ai.usage.inputTokens": 5, "ai.model.id": "m", "ai.model.provider": "openai"}
        outer = otlp.span({"ai.operationId": kind, **usage}, trace=1, span=1, start=-2.0)
        inner = otlp.span({"ai.operationId": f"{kind}.doGenerate", **usage}, trace=1, span=2, parent=1)

        assert counted(otlp.calls(outer)) == 0
        assert counted(otlp.calls(inner)) == 1
        assert otlp.ignored == {"same_call": 1}


class TestClientAndEngine:
    def client(self, otlp: Any, **how: Any) -> Any:
        return otlp.span(CHAT, **{"trace": 1, "span": 1, "start": -1.0, "end": 0.0, **how})

    def engine(self, otlp: Any, **how: Any) -> Any:
        given = {"trace": 1, "span": 9, "parent": 8, "start": -0.9, "end": -0.4, **how}
        return otlp.span(ENGINE, name="llm_request", **given)

    def test_an_engine_adds_its_timings_to_its_clients_call(self, otlp: Any) -> None:
        [seen] = otlp.calls(self.client(otlp))
        [added] = otlp.calls(self.engine(otlp))

        assert (seen.counts, added.counts) == (True, False)
        assert (
            added.vantage, added.duration_seconds, added.time_to_first_token_seconds, added.queue_seconds,
        ) == (Vantage.ENGINE, 0.4, 0.2, 0.1)  # fmt: skip
        assert added.request_model == "m", "the engine's span has no model; its client's call has"

    def test_a_client_adds_its_timings_to_its_engines_call(self, otlp: Any) -> None:
        [seen] = otlp.calls(self.engine(otlp))
        [added] = otlp.calls(self.client(otlp))

        assert (seen.counts, added.counts) == (True, False)
        assert (added.vantage, pytest.approx(added.duration_seconds)) == (Vantage.CLIENT, 1.0)

    def test_an_engine_whose_clocks_are_a_little_off_is_found(self, otlp: Any) -> None:
        otlp.send(self.client(otlp))

        assert counted(otlp.calls(self.engine(otlp, start=-1.9, end=-0.8))) == 1

    def test_an_engine_at_another_time_is_another_call(self, otlp: Any) -> None:
        otlp.send(self.client(otlp))

        assert counted(otlp.calls(self.engine(otlp, start=-5.0, end=-4.0))) == 2

    def test_with_two_clients_to_choose_from_nothing_is_guessed(self, otlp: Any) -> None:
        otlp.send(self.client(otlp), self.client(otlp, span=2))

        assert counted(otlp.calls(self.engine(otlp))) == 3

    def test_a_known_chain_decides_between_two_clients(self, otlp: Any) -> None:
        http = otlp.span(HTTP, trace=1, span=8, parent=2, start=-0.95)
        calls = otlp.calls(self.client(otlp), self.client(otlp, span=2), http, self.engine(otlp))

        assert counted(calls) == 2

    def test_two_engines_do_not_share_a_client(self, otlp: Any) -> None:
        otlp.send(self.client(otlp), self.engine(otlp))

        assert counted(otlp.calls(self.engine(otlp, span=10))) == 2

    def test_two_clients_do_not_share_an_engine(self, otlp: Any) -> None:
        otlp.send(self.engine(otlp))
        otlp.send(self.client(otlp))

        assert counted(otlp.calls(self.client(otlp, span=2))) == 2

    def test_engine_spans_alone_count(self, otlp: Any) -> None:
        assert counted(otlp.calls(self.engine(otlp), self.engine(otlp, trace=2))) == 2


class TestBounds:
    def test_traces_are_bounded_in_number(self, protobuf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "MAX_TRACES", 10)
        spans = [protobuf.span(CHAT) for _ in range(11)]
        protobuf.send(*spans)

        assert 5 <= len(protobuf.intake._calls) <= 10
        assert counted(protobuf.calls(spans[0])) + counted(protobuf.calls(spans[-1])) > 0

    def test_spans_are_bounded_in_number(self, protobuf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "MAX_SPANS", 10)
        for trace in range(1, 5):
            protobuf.send(*(protobuf.span(CHAT, trace=trace, span=n) for n in range(1, 5)))

        assert len(protobuf.intake._calls) <= 10

    def test_other_spans_are_bounded_in_number_and_push_out_no_call(
        self, protobuf: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "MAX_SPANS", 10)
        monkeypatch.setattr(links, "MAX_LINKS", 10)
        monkeypatch.setattr(links, "MAX_LINKS_PER_TRACE", 4)
        call = protobuf.span(CHAT, trace=1, span=100)
        protobuf.send(call)
        for trace in (1, 2, 3, 4):
            protobuf.send(*(protobuf.span(HTTP, trace=trace, span=n) for n in range(1, 7)))

        assert len(protobuf.intake._calls) == 1 + 8
        assert counted(protobuf.calls(call)) == 1, "the first time"
        assert protobuf.ignored["duplicate"] == 1
        assert forgotten(protobuf) == 0

    def test_every_call_of_one_huge_trace_is_counted_once(self, protobuf: Any) -> None:
        """Seen by a framework and in it by a client, in many requests, and all of it sent again."""
        spans = []
        for n in range(1, 1501):
            outer = protobuf.span(CHAT, trace=1, span=2 * n, parent=1, start=n / 100 - 20, end=n / 100 - 19.9)
            inner = protobuf.span(
                CHAT, trace=1, span=2 * n + 1, parent=2 * n, start=n / 100 - 19.99, end=n / 100 - 19.95
            )
            spans += [outer, inner]
        batches = [spans[at : at + 500] for at in range(0, len(spans), 500)]
        calls = tuple(call for batch in batches + batches for call in protobuf.calls(*batch))

        assert counted(calls) == 1500
        assert forgotten(protobuf) == 0

    def test_a_trace_alone_makes_room_for_itself_and_says_so(
        self, protobuf: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(memory, "MAX_SPANS", 10)
        monkeypatch.setattr(one_trace, "_COVERED_SLACK", 5)
        spans = [protobuf.span(CHAT, trace=1, span=n, parent=n + 1000) for n in range(1, 51)]
        calls = tuple(call for span in spans for call in protobuf.calls(span))

        assert counted(calls) == 50
        [trace] = protobuf.intake._calls._newer.values()
        assert len(trace.spans) == 10
        assert len(trace.covered) <= 25
        assert forgotten(protobuf) == 40
        assert len([record for record in caplog.records if record.name == "watchkeeper.otlp"]) == 1
        assert counted(protobuf.calls(spans[-1])) == 0

    def test_a_forgotten_trace_is_counted_unless_it_is_old(
        self, protobuf: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "MAX_TRACES", 2)
        protobuf.send(protobuf.span(CHAT), protobuf.span(CHAT))
        protobuf.send(protobuf.span(CHAT), now=protobuf.now + memory.MAX_AGE_SECONDS + 1)
        assert forgotten(protobuf) == 0
        protobuf.send(protobuf.span(CHAT), protobuf.span(CHAT), now=protobuf.now + memory.MAX_AGE_SECONDS + 2)

        assert forgotten(protobuf) == 1

    def test_old_traces_are_forgotten(self, protobuf: Any) -> None:
        protobuf.send(protobuf.span(CHAT))
        protobuf.read(protobuf.now + memory.MAX_AGE_SECONDS + 1)

        assert len(protobuf.intake._calls) == 0

    def test_a_trace_in_use_is_not_old(self, protobuf: Any) -> None:
        for step in range(5):
            protobuf.send(protobuf.span(CHAT, trace=1, span=step + 1), now=protobuf.now + step * 60)
            protobuf.read(protobuf.now + step * 60)

        assert len(protobuf.intake._calls) == 5

    def test_a_trace_out_of_use_is_old_beside_an_older_one_in_use(self, protobuf: Any) -> None:
        protobuf.send(protobuf.span(CHAT, trace=1, span=1))
        protobuf.send(protobuf.span(CHAT, trace=2, span=1))
        protobuf.send(protobuf.span(CHAT, trace=1, span=2), now=protobuf.now + 100)
        protobuf.read(protobuf.now + memory.MAX_AGE_SECONDS + 1)

        assert len(protobuf.intake._calls) == 2

    def test_a_ring_of_parents_ends(self, otlp: Any) -> None:
        ring = [otlp.span(HTTP, trace=1, span=n, parent=n % 3 + 1) for n in (1, 2, 3)]

        assert counted(otlp.calls(*ring, otlp.span(CHAT, trace=1, span=4, parent=1))) == 1
        assert counted(otlp.calls(otlp.span(CHAT, trace=2, span=5, parent=5))) == 1
